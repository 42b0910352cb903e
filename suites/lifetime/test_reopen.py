# SPDX-License-Identifier: MIT
"""What the last close of a device ends, and what an earlier one does not."""

import pytest

from vfiospec import expect
from vfiospec.abi import pci, vfio
from vfiospec.device.device import Device
from vfiospec.device.edu import Edu
from vfiospec.device.files import EventFd
from vfiospec.device.group import Assigned
from vfiospec.device.info import snapshot
from vfiospec.device.observe import runtime_status
from vfiospec.device.ops import ReadFile
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import lifetime as rules
from vfiospec.session.marks import checks, devices

TRIGGER = vfio.VFIO_IRQ_SET_ACTION_TRIGGER
SET = vfio.VFIO_IRQ_SET_DATA_EVENTFD | TRIGGER
FIRE = vfio.VFIO_IRQ_SET_DATA_NONE | TRIGGER
REQ = vfio.VFIO_PCI_REQ_IRQ_INDEX
INDEXES = {"intx": vfio.VFIO_PCI_INTX_IRQ_INDEX, "msi": vfio.VFIO_PCI_MSI_IRQ_INDEX,
           "msix": vfio.VFIO_PCI_MSIX_IRQ_INDEX}  # fmt: skip
SCRATCH = 0x5A


def usable(device: Device) -> list[int]:
    """The interrupt indexes of a device that exclude each other."""
    return [i for i in INDEXES.values() if device.get_irq_info(i).count]


@checks(rules.BUS_MASTER)
def test_it_is_no_bus_master_at_first(own: Assigned, spec: BenchDevice) -> None:
    """Whoever had it before left it able to do DMA."""
    for _ in range(2):
        with own.open(spec.bdf) as device:
            command = device.read_config(pci.PCI_COMMAND, 2)
            expect.flags("command", command, forbidden=pci.PCI_COMMAND_MASTER)
            device.write_config(pci.PCI_COMMAND, 2, command | pci.PCI_COMMAND_MASTER)
            command = device.read_config(pci.PCI_COMMAND, 2)
            expect.flags("command", command, needed=pci.PCI_COMMAND_MASTER)


@checks(rules.CLEAN_REOPEN)
def test_interrupts_end_with_the_last_close(own: Assigned, port: Port, spec: BenchDevice) -> None:
    """Each kind of interrupt that was on is off, and its eventfd is no longer known."""
    with own.open(spec.bdf) as device:
        indexes = [*usable(device), REQ]
    for index in indexes:
        with EventFd.create(port) as event:
            with own.open(spec.bdf) as device:
                expect.accepted(device.try_set_irqs(index, SET, 0, 1, eventfds=(event,)))
                expect.accepted(device.try_set_irqs(index, FIRE, 0, 1))
                expect.equal("signals while open", event.count(), 1)
            with own.open(spec.bdf) as device:
                expect.holds(
                    not device.try_set_irqs(index, FIRE, 0, 1).ok,
                    f"index {index} is off after reopening",
                    "it can be triggered",
                )
                expect.accepted(device.try_set_irqs(index, SET, 0, 1, eventfds=(-1,)))
                expect.equal("signals after reopening", event.count(), 0)


@checks(rules.CLEAN_REOPEN)
@devices("irq-stimulus")
def test_ioeventfds_end_with_the_last_close(own: Assigned, port: Port, spec: BenchDevice) -> None:
    """The same one can be set anew; it would exist already otherwise."""
    with EventFd.create(port) as event:
        for _ in range(2):
            with own.open(spec.bdf) as device:
                offset = int(device.region(0).info.offset)
                wide = vfio.VFIO_DEVICE_IOEVENTFD_32
                expect.accepted(device.try_ioeventfd(wide, offset + 8, 1, event))


@checks(rules.CLEAN_REOPEN)
def test_virtual_configuration_ends_with_the_last_close(own: Assigned, spec: BenchDevice) -> None:
    """The interrupt line and the BARs, which the device itself never saw."""
    registers = [(pci.PCI_INTERRUPT_LINE, 1), (pci.PCI_BASE_ADDRESS_0, 4)]
    with own.open(spec.bdf) as device:
        before = [device.read_config(offset, size) for offset, size in registers]
        device.write_config(pci.PCI_INTERRUPT_LINE, 1, before[0] ^ SCRATCH)
        device.write_config(pci.PCI_BASE_ADDRESS_0, 4, 0xFFFFFFFF)
    with own.open(spec.bdf) as device:
        after = [device.read_config(offset, size) for offset, size in registers]
        expect.equal("interrupt line and first BAR", after, before)


@checks(rules.CLEAN_REOPEN)
@devices("irq-stimulus")
def test_intx_is_held_back_for_its_user_only(own: Assigned, port: Port, spec: BenchDevice) -> None:
    """The next one has INTx, without a word to the command register."""
    with own.open(spec.bdf) as device:
        Edu(device).hold_back(disable=True)
    with EventFd.create(port) as event, own.open(spec.bdf) as device:
        expect.equal("Interrupt Disable of the next", Edu(device).is_held_back(), False)
        intx = INDEXES["intx"]
        expect.accepted(device.try_set_irqs(intx, SET, 0, 1, eventfds=(event,)))
        expect.accepted(device.try_set_irqs(intx, FIRE, 0, 1))
        expect.equal("signals", event.count(), 1)


@checks(rules.CLEAN_REOPEN)
def test_a_device_is_the_same_at_each_open(own: Assigned, spec: BenchDevice) -> None:
    """All that the INFO ioctls say."""
    seen = []
    for _ in range(3):
        with own.open(spec.bdf) as device:
            seen.append(snapshot(device))
    expect.equal("info at the second open", seen[1], seen[0])
    expect.equal("info at the third open", seen[2], seen[0])


@checks(rules.LAST_CLOSE)
@pytest.mark.parametrize("by", ["dup", "second-fd"])
def test_a_device_lives_until_its_last_descriptor(
    own: Assigned, port: Port, spec: BenchDevice, by: str
) -> None:
    """The interrupt set up by the first descriptor works after that one is closed."""
    with EventFd.create(port) as event:
        first = own.open(spec.bdf)
        other = first.dup() if by == "dup" else own.open(spec.bdf)
        expect.accepted(first.try_set_irqs(REQ, SET, 0, 1, eventfds=(event,)))
        first.write_config(pci.PCI_INTERRUPT_LINE, 1, SCRATCH)
        first.close()
        with other:
            expect.accepted(other.try_set_irqs(REQ, FIRE, 0, 1))
            expect.equal("signals", event.count(), 1)
            line = other.read_config(pci.PCI_INTERRUPT_LINE, 1)
            expect.equal("interrupt line", line, SCRATCH)


@checks(rules.MODULE_IN_USE)
def test_the_driver_is_in_use_while_a_device_is_open(
    own: Assigned, spec: BenchDevice, port: Port
) -> None:
    """From the first fd to the last, and as before afterwards."""
    before = references(port)
    first = own.open(spec.bdf)
    with own.open(spec.bdf):
        expect.holds(references(port) > before, "in use with two fds", "not in use")
        first.close()
        expect.holds(references(port) > before, "in use with one fd left", "not in use")
    expect.equal("references afterwards", references(port), before)


def references(port: Port) -> int:
    """Users of the vfio-pci module; skips where it is no module."""
    reply = port.do(ReadFile("/sys/module/vfio_pci/refcnt"))
    if not reply.ok:
        pytest.skip("vfio-pci is built in here: CONFIG_VFIO_PCI=m counts its users")
    return int(reply.bytes)


@checks(rules.AWAKE)
@devices("pm")
def test_a_device_is_powered_while_it_is_open(own: Assigned, spec: BenchDevice, port: Port) -> None:
    """By its power management capability: D0 while open."""
    for _ in range(2):
        with own.open(spec.bdf):
            expect.equal("runtime status while open", runtime_status(port, spec.bdf), "active")
