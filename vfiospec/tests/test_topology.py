# SPDX-License-Identifier: MIT
"""Topologies: the one that ships, QEMU's arguments for it, and files that are refused."""

import re
from pathlib import Path

import pytest

from vfiospec.lab import LabError, topology
from vfiospec.lab.qemu import Machine, Sockets

GOOD = """
description = "made up"
kernel_arguments = ["vfio.x=1"]

[[bridge]]
name = "port"
model = "pcie-root-port"
slot = "1c.0"

[[device]]
name = "disk"
model = "nvme"
slot = "14.0"
properties = { serial = "a,b", multi = true, slow = false, size = 7 }
needs = ["nvme-subsys,id=s"]
roles = ["pcie", "msix"]

[[device]]
name = "card"
model = "e1000e"
slot = "0.0"
behind = "port"
roles = []
"""


SPARE = """
[[spare]]
name = "other"
model = "edu"
slot = "15.0"
roles = ["intx"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A topology of two devices, one behind a port."""
    path = tmp_path / "two.toml"
    path.write_text(GOOD)
    return path


def test_those_that_ship_load() -> None:
    """Each has a name, devices and a slot for each of them."""
    assert "default" in topology.known()
    for name in topology.known():
        loaded = topology.load(name)
        assert loaded.name == name
        assert re.fullmatch(r"[0-9a-f]{64}", loaded.sha256)
        assert {len(loaded.path(d)) for d in loaded.device} <= {1, 2}


def test_every_role_is_served() -> None:
    """A role without a device would leave its tests skipped in every run."""
    served = {role for n in topology.known() for d in topology.load(n).device for role in d.roles}
    assert served == {*topology.PROBED_ROLES, *topology.STATED_ROLES}


def test_a_topology_like_another(tmp_path: Path, file: Path) -> None:
    """It has the other's devices, is of its own kind, and tells itself apart by its digest."""
    (tmp_path / "mine.toml").write_text(
        f'description = "x"\nlike = "{file}"\nintremap = false\n[parameters]\n"vfio.a" = "1"\n'
    )
    mine, other = topology.load(str(tmp_path / "mine.toml")), topology.load(str(file))
    assert mine.device == other.device
    assert mine.bridge == other.bridge
    assert (mine.intremap, other.intremap) == (False, True)
    assert mine.parameters == {"vfio.a": "1"}
    assert mine.sha256 != other.sha256


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('repack = [["nobody"]]', "repack names 'nobody', which is no device"),
        ('parameters = { "vfio" = "1" }', "'vfio' is not module.parameter"),
        ('like = "nothing"', "no topology 'nothing'"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, line: str, said: str) -> None:
    """One line that names the setting."""
    path = tmp_path / "t.toml"
    path.write_text(
        f'description = "x"\n{line}\n'
        '[[device]]\nname = "d"\nmodel = "edu"\nslot = "1.0"\nroles = []\n'
    )
    with pytest.raises(LabError, match=said):
        topology.load(str(path))


def test_arguments(file: Path) -> None:
    """Bridges first, what a device needs before it, commas doubled, booleans as on and off."""
    assert topology.load(str(file)).arguments() == [
        "-device",
        "pcie-root-port,id=port,addr=0x1c.0x0",
        "-device",
        "nvme-subsys,id=s",
        "-device",
        "nvme,id=disk,addr=0x14.0x0,serial=a,,b,multi=on,slow=off,size=7",
        "-device",
        "e1000e,id=card,addr=0x0.0x0,bus=port",
    ]


def test_the_path_leads_through_the_bridge(file: Path) -> None:
    loaded = topology.load(str(file))
    assert [loaded.path(d) for d in loaded.device] == [("14.0",), ("1c.0", "0.0")]


def test_without_a_model_its_devices_are_left_out(file: Path) -> None:
    whole = topology.load(str(file))
    assert whole.left_out == ()
    part = whole.without(frozenset(["e1000e", "pcie-root-port"]))
    assert [d.name for d in part.device] == ["card"]
    assert part.left_out == ("disk",)
    assert (part.sha256, part.kernel_arguments) == (whole.sha256, ("vfio.x=1",))


def test_a_spare_is_in_the_machine_and_not_among_its_devices(file: Path) -> None:
    """It has a place and roles as they have; of no model there is, it is left out."""
    file.write_text(GOOD + SPARE)
    whole = topology.load(str(file))
    assert [d.name for d in whole.device] == ["disk", "card"]
    assert [d.name for d in whole.spare] == ["other"]
    assert whole.arguments()[-1] == "edu,id=other,addr=0x15.0x0"
    part = whole.without(frozenset({"nvme", "e1000e"}))
    assert (part.spare, part.left_out) == ((), ("other",))
    for old, new, says in (("15.0", "14.0", "slot 14.0, which is taken"), ("intx", "odd", "'odd'")):
        file.write_text(GOOD + SPARE.replace(old, new))
        with pytest.raises(LabError, match=says):
            topology.load(str(file))


def test_a_kernel_can_be_told_more(file: Path) -> None:
    whole = topology.load(str(file))
    told = whole.told(topology.FOUR_LEVELS, topology.DIES_OF_KASAN)
    assert told.kernel_arguments == ("vfio.x=1", "no5lvl", "kasan.fault=panic")
    assert told.told() == told


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('slot = "14.0"', 'slot = "14.0"\nspeed = 5', "unknown field `speed`"),
        ("description", "flavour = 1\ndescription", "unknown field `flavour`"),
        ('description = "made up"', "", "missing required field `description`"),
        ('["pcie", "msix"]', '["pcie", "msx"]', "'disk' has the role 'msx'; there are pcie, "),
        ('slot = "0.0"\nbehind = "port"', 'slot = "14.0"', "'card' is at slot 14.0, which is"),
        ('slot = "0.0"\nbehind = "port"', 'slot = "1c.0"', "'card' is at slot 1c.0, which is"),
        ('behind = "port"', 'behind = "prt"', "'card' is behind 'prt', no bridge declared before"),
        ('behind = "port"', 'behind = "disk"', "'card' is behind 'disk', no bridge declared"),
        ('name = "card"', 'name = "disk"', "two devices are called 'disk'"),
        ('name = "card"', 'name = "port"', "two devices are called 'port'"),
        ('name = "card"', 'name = "Card"', "matching regex"),
        ('slot = "14.0"', 'slot = "14"', "matching regex"),
        ('slot = "14.0"', "slot = 14.0", "Expected `str`, got `float`"),
        ("roles = []", 'roles = "pcie"', "Expected `array`, got `str`"),
        ("roles = []", "", "missing required field `roles`"),
        ("roles = []", "roles = [", "nvalid"),
    ],
)
def test_a_wrong_file_is_one_line(file: Path, old: str, new: str, says: str) -> None:
    """The message names the file and what is wrong in it."""
    assert GOOD.count(old) == 1
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(LabError) as caught:
        topology.load(str(file))
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert says in message
    assert len(message.splitlines()) == 1


def test_one_slot_has_one_device_however_it_is_written(file: Path) -> None:
    more = '[[device]]\nname = "x"\nmodel = "edu"\nslot = "00.0"\nbehind = "port"\nroles = []\n'
    file.write_text(GOOD + more)
    with pytest.raises(LabError, match=r"'x' is at slot 00\.0, which is taken"):
        topology.load(str(file))


def test_a_machine_without_devices_is_refused(file: Path) -> None:
    file.write_text('description = "empty"\ndevice = []\n')
    with pytest.raises(LabError, match="no device at all"):
        topology.load(str(file))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for spec in ("defautl", str(tmp_path), str(tmp_path / "none.toml"), ""):
        with pytest.raises(LabError) as caught:
            topology.load(spec)
        known = ", ".join(topology.known())
        assert str(caught.value) == (
            f"no topology {spec!r}: it is neither a file nor one of {known}"
        )


def test_what_is_not_text_is_refused(file: Path) -> None:
    file.write_bytes(b"description = '\xff'\n")
    with pytest.raises(LabError, match=r"two\.toml: .*utf-8"):
        topology.load(str(file))


def test_a_machine_without_an_iommu(tmp_path: Path, file: Path) -> None:
    """It is one in all else; what it is like does not decide it."""
    (tmp_path / "bare.toml").write_text(
        f'description = "x"\nlike = "{file}"\niommu = false\nchapters = ["noiommu"]\n'
    )
    bare, other = topology.load(str(tmp_path / "bare.toml")), topology.load(str(file))
    assert (bare.iommu, other.iommu) == (False, True)
    assert (bare.chapters, other.chapters) == (("noiommu",), ())

    def devices(layout: topology.Topology) -> list[str]:
        machine = Machine(image=tmp_path, initramfs=tmp_path, topology=layout)
        words = machine.arguments("qemu", Sockets(3, 4, 5), tmp_path / "console")
        return [w for w in words if w.startswith("intel-iommu")]

    assert devices(bare) == []
    assert devices(other) == ["intel-iommu,intremap=on"]
