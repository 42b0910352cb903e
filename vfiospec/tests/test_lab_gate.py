# SPDX-License-Identifier: MIT
"""The gate: a device in use is refused, with its reason; an idle one is let through."""

from pathlib import Path

import pytest

from vfiospec.lab.gate import refusals
from vfiospec.tests.made_up_pci import PCI, RUNNER, MadeUpMachine

DISK, MATE, BRIDGE = "0000:01:00.0", "0000:01:00.1", "0000:00:1c.0"


@pytest.fixture
def machine(tmp_path: Path) -> MadeUpMachine:
    """Return a machine with no PCI device in it."""
    return MadeUpMachine(tmp_path)


def test_an_idle_device_is_let_through(machine: MadeUpMachine) -> None:
    """A disk nobody uses, with an idle mate and a bridge in its group, has no refusal."""
    base = machine.device(DISK, driver="nvme")
    machine.child("block", "nvme0n1", f"{base}/nvme/nvme0", dev="259:0")
    machine.mount("8:1", "/", "/dev/sda1")
    machine.device(MATE, code="0x020000", driver="e1000e")
    machine.child("net", "eth0", f"{PCI}/devices/{MATE}/net", flags="0x1002", operstate="down")
    machine.device("0000:00:1c.5", code="0x060400", driver="pcieport")
    machine.process(200, "/dev/vfio/vfio", "/dev/vfio/8", "/dev/sda")
    assert refusals(machine, DISK) == []


@pytest.mark.parametrize(
    "bdf", ["", "01:00.0", "0000:01:00.8", "0000:01:00.0\n", "../x", "0000:AF:00.0"]
)
def test_a_malformed_address_is_refused(machine: MadeUpMachine, bdf: str) -> None:
    """What is not a full PCI address never reaches a path."""
    assert refusals(machine, bdf) == [f"{bdf!r} is not a PCI address: write it like 0000:01:00.0"]


def test_an_absent_device_is_refused(machine: MadeUpMachine) -> None:
    """An address without a device is refused."""
    assert refusals(machine, DISK) == [f"{DISK} is not on this machine"]


def test_a_bridge_is_refused(machine: MadeUpMachine) -> None:
    """A bridge itself cannot be asked for."""
    machine.device(DISK, code="0x060400")
    assert refusals(machine, DISK) == [f"{DISK} is a bridge: choose a device behind it"]


def test_a_chipset_function_in_the_group_is_refused(machine: MadeUpMachine) -> None:
    """The ISA bridge must not follow its neighbour to vfio-pci."""
    machine.device(DISK)
    machine.device(MATE, code="0x060100")
    assert refusals(machine, DISK) == [
        (
            f"{MATE}, in IOMMU group 7 with {DISK}, is part of the chipset: "
            "taking it can stop the machine"
        )
    ]


def test_a_device_without_a_group_is_refused(machine: MadeUpMachine) -> None:
    """Without an IOMMU nothing isolates the device; its other reasons are told as well."""
    machine.device(DISK, group=None)
    machine.put(f"{PCI}/devices/{DISK}/boot_vga", "1\n")
    assert refusals(machine, DISK) == [
        f"{DISK} has no IOMMU group: nothing isolates it; turn the IOMMU on",
        f"{DISK} is the boot display",
    ]


def test_a_noiommu_group_is_refused(machine: MadeUpMachine) -> None:
    """The group that VFIO makes up without an IOMMU isolates nothing."""
    machine.device(DISK)
    machine.put("/sys/kernel/iommu_groups/7/name", "vfio-noiommu\n")
    assert [why for why in refusals(machine, DISK) if "nothing isolates it" in why]


@pytest.mark.parametrize(("flags", "state"), [("0x1003", "down"), ("0x1002", "up")])
def test_an_interface_that_is_up_is_refused(machine: MadeUpMachine, flags: str, state: str) -> None:
    """Either sign of an interface in use counts; virtio-net hangs it one level deeper."""
    base = machine.device(DISK, code="0x020000", driver="virtio-pci")
    machine.child("net", "eth0", f"{base}/virtio0/net", flags=flags, operstate=state)
    assert refusals(machine, DISK) == [
        f"{DISK} has network interface eth0, which is up: ip link set eth0 down"
    ]


def test_an_interface_out_of_sight_is_refused(machine: MadeUpMachine) -> None:
    """A container can hold the interface: sysfs then does not show it."""
    machine.device(DISK, code="0x020000", driver="e1000e")
    assert refusals(machine, DISK) == [
        f"{DISK} is on e1000e and shows no interface: another network namespace may use it"
    ]


def test_a_frame_buffer_console_is_refused(machine: MadeUpMachine) -> None:
    """A frame buffer is refused while the console is drawn on one, not otherwise."""
    base = machine.device(DISK, code="0x030000", driver="amdgpu")
    machine.put(f"{base}/boot_vga", "0\n")
    machine.child("graphics", "fb0", f"{base}/graphics")
    machine.put("/sys/class/vtconsole/vtcon1/name", "(M) frame buffer device\n")
    machine.put("/sys/class/vtconsole/vtcon1/bind", "0\n")
    assert refusals(machine, DISK) == []
    machine.put("/sys/class/vtconsole/vtcon1/bind", "1\n")
    assert refusals(machine, DISK) == [
        f"{DISK} has fb0, and the console is on a frame buffer: unbind its driver first"
    ]


@pytest.mark.parametrize(
    ("kind", "name", "node"),
    [
        ("drm", "card0", "/dev/dri/card0"),
        ("graphics", "fb0", "/dev/fb0"),
        ("infiniband_verbs", "uverbs0", "/dev/infiniband/uverbs0"),
        ("tty", "ttyS4", "/dev/ttyS4"),
    ],
)
def test_a_node_that_is_held_open_is_refused(
    machine: MadeUpMachine, kind: str, name: str, node: str
) -> None:
    """Someone works with the device through its node."""
    base = machine.device(DISK, code="0x038000")
    machine.child(kind, name, f"{base}/{kind}")
    machine.process(200, node)
    assert refusals(machine, DISK) == [f"{DISK} has {node}, held open by process 200"]


@pytest.mark.parametrize("node", ["/dev/vfio/7", "/dev/vfio/devices/vfio0"])
def test_a_device_in_use_through_vfio_is_refused(machine: MadeUpMachine, node: str) -> None:
    """A virtual machine holds the group or the device; our own descriptors do not count."""
    base = machine.device(DISK, driver="vfio-pci")
    machine.at(f"{base}/vfio-dev/vfio0").mkdir(parents=True)
    machine.link(f"/proc/{RUNNER}/fd/9", node)
    assert refusals(machine, DISK) == []
    machine.process(200, node)
    assert refusals(machine, DISK) == [f"{DISK} is in use through {node}, held open by process 200"]


def test_a_device_with_virtual_functions_is_refused(machine: MadeUpMachine) -> None:
    """Virtual functions vanish with their parent's driver, in use or not."""
    base = machine.device(DISK)
    machine.put(f"{base}/sriov_numvfs", "2\n")
    assert refusals(machine, DISK) == [
        f"{DISK} has virtual functions, whose settings would be lost: write 0 to sriov_numvfs"
    ]


def test_a_driven_platform_device_in_the_group_is_refused(machine: MadeUpMachine) -> None:
    """A group is viable only if all of it can be taken; this part is not ours to take."""
    machine.device(DISK)
    base = "/sys/kernel/iommu_groups/7/devices/AMDI0010:00"
    machine.link(f"{base}/driver", "../../../bus/platform/drivers/i2c_designware")
    assert refusals(machine, DISK) == [
        (
            f"AMDI0010:00, in IOMMU group 7 with {DISK}, is not a PCI device "
            "and is driven by i2c_designware"
        )
    ]


def test_what_cannot_be_read_is_refused(machine: MadeUpMachine) -> None:
    """Without the mount table nothing can be cleared."""
    machine.device(DISK)
    machine.at(f"/proc/{RUNNER}/mountinfo").unlink()
    assert [why for why in refusals(machine, DISK) if "cannot be judged" in why]
