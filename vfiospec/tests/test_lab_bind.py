# SPDX-License-Identifier: MIT
"""Binding: the order of the writes, the record before them, and the undo."""

from pathlib import Path

import msgspec
import pytest

from vfiospec.lab.bind import (
    Before,
    Member,
    bind,
    driver_of,
    group_of,
    members,
)
from vfiospec.lab.cache import LabError
from vfiospec.tests.made_up_pci import PCI, MadeUpMachine

ONE, TWO = "0000:01:00.0", "0000:01:00.1"
DEVICES = f"{PCI}/devices"


def ignore(_: Before) -> None:
    """Keep no record."""


@pytest.fixture
def machine(tmp_path: Path) -> MadeUpMachine:
    """Return a machine with a group of a disk, a driverless mate and a bridge."""
    machine = MadeUpMachine(tmp_path)
    machine.device(ONE, driver="nvme")
    machine.device(TWO, override="pci-stub")
    machine.device("0000:00:1c.5", code="0x060400", driver="pcieport")
    return machine


def tree(machine: MadeUpMachine) -> dict[str, tuple[str | None, str]]:
    """Return what binding may change: driver and override of each device."""
    return {
        bdf: (driver_of(machine, bdf), machine.read(f"{DEVICES}/{bdf}/driver_override"))
        for bdf in machine.listdir(DEVICES)
    }


def test_group_and_members(machine: MadeUpMachine) -> None:
    """The bridge is part of the group and not a member."""
    assert group_of(machine, TWO) == 7
    assert members(machine, TWO) == [ONE, TWO]
    assert driver_of(machine, ONE) == "nvme"
    assert driver_of(machine, TWO) is None


def test_no_group_is_told(machine: MadeUpMachine) -> None:
    """Without an IOMMU there is nothing to bind."""
    machine.device("0000:02:00.0", group=None)
    with pytest.raises(LabError, match=r"0000:02:00\.0 has no IOMMU group"):
        group_of(machine, "0000:02:00.0")


def test_the_writes_come_in_order(machine: MadeUpMachine) -> None:
    """Override, unbind, probe; member by member; the bridge is left alone."""
    bind(machine, ONE, record=ignore)
    assert machine.writes == [
        (f"{DEVICES}/{ONE}/driver_override", "vfio-pci\n"),
        (f"{PCI}/drivers/nvme/unbind", ONE),
        (f"{PCI}/drivers_probe", ONE),
        (f"{DEVICES}/{TWO}/driver_override", "vfio-pci\n"),
        (f"{PCI}/drivers_probe", TWO),
    ]
    assert tree(machine) == {
        "0000:00:1c.5": ("pcieport", "(null)"),
        ONE: ("vfio-pci", "vfio-pci"),
        TWO: ("vfio-pci", "vfio-pci"),
    }


def test_the_record_is_made_before_the_first_write(machine: MadeUpMachine) -> None:
    """The record holds everything that is about to change, and survives JSON."""
    machine.put(f"{DEVICES}/{ONE}/sriov_numvfs", "0\n")
    seen: list[tuple[int, Before]] = []
    before = bind(machine, ONE, record=lambda b: seen.append((len(machine.writes), b)))
    assert seen == [(0, before)]
    assert before.members == (Member(ONE, "nvme", None, 0), Member(TWO, None, "pci-stub", None))
    assert (before.group, before.driver, before.driver_override) == (7, "nvme", None)
    assert before.sriov_numvfs == 0
    assert msgspec.json.decode(msgspec.json.encode(before), type=Before) == before


def test_nothing_is_written_when_the_record_fails(machine: MadeUpMachine) -> None:
    """What could not be noted is not taken."""

    def full_disk(_: Before) -> None:
        msg = "no space"
        raise LabError(msg)

    with pytest.raises(LabError, match="no space"):
        bind(machine, ONE, record=full_disk)
    assert machine.writes == []


def test_a_missing_driver_is_told_before_anything_is_touched(machine: MadeUpMachine) -> None:
    """The message is the command that helps."""
    with pytest.raises(LabError, match="modprobe mlx5-vfio-pci"):
        bind(machine, ONE, "mlx5-vfio-pci", record=ignore)
    assert machine.writes == []


def test_a_bridge_is_not_bound(machine: MadeUpMachine) -> None:
    """Asking for the bridge does not take its group instead."""
    with pytest.raises(LabError, match="is a PCI bridge"):
        bind(machine, "0000:00:1c.5", record=ignore)
    assert machine.writes == []


def test_a_probe_that_takes_nothing_is_undone(machine: MadeUpMachine) -> None:
    """The kernel may accept the probe and still bind nothing: told, and undone."""
    found = tree(machine)
    machine.put("/stubborn", "")
    with pytest.raises(LabError, match=f"after the probe {ONE} is on no driver.*; undone$"):
        bind(machine, ONE, record=ignore)
    assert tree(machine) == found


def test_a_write_that_fails_on_the_second_member_undoes_the_first(
    machine: MadeUpMachine,
) -> None:
    """A half-bound group is not left behind, and the message says what the machine said."""
    machine.device("0000:02:00.0", group=9, driver="nvme")
    machine.device("0000:02:00.1", group=9, driver="ahci")
    machine.at(f"{PCI}/drivers/ahci/unbind").unlink()
    found = tree(machine)
    with pytest.raises(LabError, match=r"No such file.*drivers/ahci/unbind.*; undone$"):
        bind(machine, "0000:02:00.1", record=ignore)
    assert (f"{PCI}/drivers/nvme/unbind", "0000:02:00.0") in machine.writes
    assert tree(machine) == found


def test_a_group_that_cannot_be_read_is_left_alone(machine: MadeUpMachine) -> None:
    """A device that vanishes while we look is told in one line."""
    machine.at(f"{DEVICES}/{TWO}/class").unlink()
    with pytest.raises(LabError, match=f"{ONE} was left alone, its group could not be read"):
        bind(machine, ONE, record=ignore)
    assert machine.writes == []


def test_an_interrupt_is_undone(machine: MadeUpMachine) -> None:
    """Ctrl-C between two writes leaves nothing behind."""
    found = tree(machine)

    class Interrupted(MadeUpMachine):
        def write(self, path: str, text: str) -> None:
            super().write(path, text)
            if path.endswith("nvme/unbind"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bind(Interrupted(machine.root), ONE, record=ignore)
    assert tree(machine) == found
