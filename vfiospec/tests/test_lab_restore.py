# SPDX-License-Identifier: MIT
"""The way back from vfio-pci: complete, repeatable, and told where it falls short."""

from pathlib import Path

import pytest

from vfiospec.lab.bind import (
    Before,
    Binding,
    bind,
    driver_of,
    restore,
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


def test_restore_puts_everything_back_and_may_be_repeated(machine: MadeUpMachine) -> None:
    """The old driver is bound by name; the empty override is a newline; twice is once."""
    found = tree(machine)
    before = bind(machine, ONE, record=ignore)
    machine.writes.clear()
    assert restore(machine, before) == []
    assert tree(machine) == found
    assert machine.writes == [
        (f"{PCI}/drivers/vfio-pci/unbind", TWO),
        (f"{DEVICES}/{TWO}/driver_override", "pci-stub\n"),
        (f"{PCI}/drivers/vfio-pci/unbind", ONE),
        (f"{DEVICES}/{ONE}/driver_override", "\n"),
        (f"{PCI}/drivers/nvme/bind", ONE),
    ]
    machine.writes.clear()
    assert restore(machine, before) == []
    assert machine.writes == []


def test_a_device_that_was_on_vfio_pci_stays_there(machine: MadeUpMachine) -> None:
    """A lab machine may keep its device on vfio-pci between runs."""
    machine.device("0000:02:00.0", group=8, driver="vfio-pci", override="vfio-pci")
    before = bind(machine, "0000:02:00.0", record=ignore)
    assert restore(machine, before) == []
    assert machine.writes == []


def test_virtual_functions_go_before_the_unbind_and_come_back_last(
    machine: MadeUpMachine,
) -> None:
    """The suite may have made some on vfio-pci; the old driver gets its own number back."""
    path = f"{DEVICES}/{ONE}/sriov_numvfs"
    machine.put(path, "2\n")
    before = bind(machine, ONE, record=ignore)
    machine.put(path, "4\n")
    machine.writes.clear()
    assert restore(machine, before) == []
    order = [write for write in machine.writes if write[0] == path or write[1] == ONE]
    assert order == [
        (path, "0"),
        (f"{PCI}/drivers/vfio-pci/unbind", ONE),
        (f"{PCI}/drivers/nvme/bind", ONE),
        (path, "2"),
    ]


def test_a_device_that_is_held_open_is_not_unbound(machine: MadeUpMachine) -> None:
    """The unbind would hang in the kernel until the last holder closes the device."""
    before = bind(machine, ONE, record=ignore)
    machine.process(200, "/dev/vfio/7")
    machine.writes.clear()
    assert restore(machine, before) == [
        f"{bdf} is still held open by process 200: end it, then restore again" for bdf in (TWO, ONE)
    ]
    assert machine.writes == []


def test_a_device_given_to_someone_else_is_left_alone(machine: MadeUpMachine) -> None:
    """After us somebody bound another driver: it stays."""
    before = bind(machine, ONE, record=ignore)
    machine.driver("uio_pci_generic")
    link = machine.at(f"{DEVICES}/{ONE}/driver")
    link.unlink()
    link.symlink_to("../../../../bus/pci/drivers/uio_pci_generic")
    assert restore(machine, before) == [
        f"{ONE} has been given to uio_pci_generic by someone else: left alone"
    ]
    assert driver_of(machine, ONE) == "uio_pci_generic"


def test_a_device_that_is_gone_is_told_and_its_mate_put_back(machine: MadeUpMachine) -> None:
    """One loss does not stop the rest."""
    before = bind(machine, TWO, record=ignore)
    machine.at(f"{DEVICES}/{TWO}").unlink()
    assert restore(machine, before) == [
        f"{TWO} is gone from the machine: rescan the PCI bus, then restore again"
    ]
    assert driver_of(machine, ONE) == "nvme"


def test_an_unloaded_driver_is_told(machine: MadeUpMachine) -> None:
    """The message is the command that helps; the next restore then finishes."""
    before = bind(machine, ONE, record=ignore)
    away = machine.at(f"{PCI}/drivers/nvme").rename(machine.at("/nvme"))
    assert restore(machine, before) == [f"{ONE} was on nvme, which is not loaded: modprobe nvme"]
    away.rename(machine.at(f"{PCI}/drivers/nvme"))
    assert restore(machine, before) == []
    assert driver_of(machine, ONE) == "nvme"


def test_binding_as_a_context_puts_back_after_an_error(machine: MadeUpMachine) -> None:
    """The error of the body comes through, and the group is back."""
    found = tree(machine)

    def fail_inside() -> None:
        with Binding(machine, ONE, ignore) as before:
            assert before.driver == "nvme"
            assert driver_of(machine, TWO) == "vfio-pci"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert tree(machine) == found


def test_binding_as_a_context_tells_what_it_could_not_put_back(machine: MadeUpMachine) -> None:
    """A device that stays behind is an error, not a silence."""
    with pytest.raises(LabError, match="held open by process 200"), Binding(machine, ONE, ignore):
        machine.process(200, "/dev/vfio/7")
