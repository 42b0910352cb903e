# SPDX-License-Identifier: MIT
"""What outlives a reset: configuration, mappings, interrupts, ioeventfds."""

import signal

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.asleep import lose_state
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd
from vfiospec.device.observe import faults_of_load
from vfiospec.device.pci import SYSFS, PciDevice
from vfiospec.device.port import Port
from vfiospec.device.scratch import Scratch, decode_memory
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import reset as rules
from vfiospec.session.marks import checks, devices

TRIGGER = vfio.VFIO_IRQ_SET_ACTION_TRIGGER
FIRE = vfio.VFIO_IRQ_SET_DATA_NONE | TRIGGER
ASSIGN = vfio.VFIO_IRQ_SET_DATA_EVENTFD | TRIGGER
STATUS = slice(regs.PCI_STATUS, regs.PCI_STATUS + 2)


def shown(device: Device) -> bytes:
    """The header of configuration space as the user sees it, without the status bits."""
    size = regs.PCI_STD_HEADER_SIZEOF
    header = bytearray(device.read_config(0, size).to_bytes(size, "little"))
    header[STATUS] = bytes(2)
    return bytes(header)


def real(port: Port, bdf: str) -> bytes:
    """The same of the device itself."""
    header = bytearray(PciDevice(port, bdf).config[: regs.PCI_STD_HEADER_SIZEOF])
    header[STATUS] = bytes(2)
    return bytes(header)


@checks(rules.CONFIG)
@devices("pcie", "pm")
def test_configuration_stays(resettable: Device, port: Port, spec: BenchDevice) -> None:
    """The user's view and the device's own header are the same before and after."""
    command = resettable.read_config(regs.PCI_COMMAND, 2) | regs.PCI_COMMAND_MASTER
    resettable.write_config(regs.PCI_COMMAND, 2, command)
    resettable.write_config(regs.PCI_CACHE_LINE_SIZE, 1, 0x10)
    resettable.write_config(regs.PCI_INTERRUPT_LINE, 1, 0x5A)
    before = shown(resettable), real(port, spec.bdf)
    expect.accepted(resettable.try_reset())
    expect.equal("the user's header", shown(resettable).hex(" "), before[0].hex(" "))
    expect.equal("the device's header", real(port, spec.bdf).hex(" "), before[1].hex(" "))


@checks(rules.MEMORY_OFF, rules.ZAPPED)
@devices("pcie", "pm")
def test_memory_stays_off(resettable: Device) -> None:
    """Before, after, and for a mapping; on again, the mapping works again."""
    bar = resettable.region(0)
    with bar.map() as mapping:
        expect.equal("signal of a load", mapping.load(0, 4).signal, 0)
        decode_memory(resettable, on=False)
        expect.accepted(resettable.try_reset())
        command = resettable.read_config(regs.PCI_COMMAND, 2)
        expect.flags("command", command, forbidden=regs.PCI_COMMAND_MEMORY)
        expect.equal("signal of a load", mapping.load(0, 4).signal, signal.SIGBUS)
        decode_memory(resettable)
        expect.equal("signal of a load", mapping.load(0, 4).signal, 0)


@checks(rules.ZAPPED)
@devices("pcie", "pm")
def test_mapped_pages_are_withdrawn(resettable: Device) -> None:
    """A page in use takes a new fault after the reset, and shows the same device."""
    with resettable.region(0).map() as mapping:
        first = mapping.load(0, 4).value
        expect.equal("faults of a page in use", faults_of_load(mapping, 0), 0)
        expect.accepted(resettable.try_reset())
        faults = faults_of_load(mapping, 0)
        expect.holds(faults > 0, "a fault at the first load after a reset", "none")
        expect.equal("what is mapped", mapping.load(0, 4).value, first)


@checks(rules.ZAPPED)
@devices("pcie", "flr")
def test_the_reset_bit_withdraws_them_too(resettable: Device, pci: PciDevice) -> None:
    """A reset by device control, as one by the ioctl; a write without the bit leaves them."""
    control = pci.capabilities[regs.PCI_CAP_ID_EXP] + regs.PCI_EXP_DEVCTL
    value = resettable.read_config(control, 2) & ~regs.PCI_EXP_DEVCTL_BCR_FLR
    with resettable.region(0).map() as mapping:
        first = mapping.load(0, 4).value
        resettable.write_config(control, 2, value)
        expect.equal("faults of a page in use", faults_of_load(mapping, 0), 0)
        resettable.write_config(control, 2, value | regs.PCI_EXP_DEVCTL_BCR_FLR)
        faults = faults_of_load(mapping, 0)
        expect.holds(faults > 0, "a fault at the first load after a reset", "none")
        expect.equal("what is mapped", mapping.load(0, 4).value, first)


@checks(rules.INTERRUPTS)
@devices("pcie", "pm")
@pytest.mark.parametrize("index", [0, 1, 2], ids=["intx", "msi", "msix"])
def test_interrupts_stay(
    resettable: Device, port: Port, spec: BenchDevice, pci: PciDevice, index: int
) -> None:
    """The eventfd is still there, and the capability still enabled in the device."""
    if not resettable.get_irq_info(index).count:
        pytest.skip("the device has no such interrupt")
    with EventFd.create(port) as event:
        expect.accepted(resettable.try_set_irqs(index, ASSIGN, 0, 1, eventfds=(event,)))
        try:
            before = enabled(port, spec.bdf, pci, index)
            expect.accepted(resettable.try_reset())
            expect.equal("interrupt control", enabled(port, spec.bdf, pci, index), before)
            expect.accepted(resettable.try_set_irqs(index, FIRE, 0, 1))
            expect.equal("count of the eventfd", event.count(), 1)
        finally:
            expect.accepted(resettable.try_set_irqs(index, FIRE, 0, 0))


def enabled(port: Port, bdf: str, pci: PciDevice, index: int) -> int:
    """The device's own control register of an interrupt: the command for INTx."""
    at = {
        vfio.VFIO_PCI_INTX_IRQ_INDEX: regs.PCI_COMMAND,
        vfio.VFIO_PCI_MSI_IRQ_INDEX: pci.capabilities.get(regs.PCI_CAP_ID_MSI, 0) + 2,
        vfio.VFIO_PCI_MSIX_IRQ_INDEX: pci.capabilities.get(regs.PCI_CAP_ID_MSIX, 0) + 2,
    }[index]
    return PciDevice(port, bdf).u16(at)


@checks(rules.IOEVENTFDS)
@devices("flr")
def test_ioeventfds_stay(resettable: Device, port: Port, scratch: Scratch) -> None:
    """A signal after the reset performs the write that was bound before it."""
    width = {1: vfio.VFIO_DEVICE_IOEVENTFD_8, 4: vfio.VFIO_DEVICE_IOEVENTFD_32}[scratch.width]
    at = resettable.region(scratch.bar).info.offset + scratch.offset
    with EventFd.create(port) as event:
        expect.accepted(resettable.try_ioeventfd(width, at, scratch.value, event))
        try:
            expect.accepted(resettable.try_reset())
            expect.equal("register after the reset", scratch.read(resettable), 0)
            event.signal()
            expect.equal("register after the signal", scratch.read(resettable), scratch.value)
        finally:
            expect.accepted(resettable.try_ioeventfd(width, at, scratch.value, -1))
            scratch.write(resettable, 0)


@checks(rules.POWER)
@devices("pcie", "pm")
def test_it_ends_in_full_power(
    resettable: Device, pci: PciDevice, port: Port, spec: BenchDevice, sysfs: PortSysfs
) -> None:
    """From D3hot to D0, with the header as before, and the registers answer."""
    control = pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL
    bar = resettable.region(0)
    answer = bar.read(0, 4)
    before = real(port, spec.bdf)
    resettable.write_config(control, 2, regs.PCI_PM_CTRL_STATE_MASK)
    try:
        expect.equal("state", resettable.read_config(control, 2) & 3, 3)
        expect.accepted(resettable.try_reset())
        expect.equal("state after the reset", resettable.read_config(control, 2) & 3, 0)
        expect.equal("the device's header", real(port, spec.bdf).hex(" "), before.hex(" "))
        expect.equal("first register", bar.read(0, 4), answer)
        if sysfs.exists(f"{SYSFS}/{spec.bdf}/power_state"):
            expect.equal("power state", sysfs.read(f"{SYSFS}/{spec.bdf}/power_state"), "D0")
    finally:
        resettable.write_config(control, 2, 0)


@checks(rules.CONFIG)
@devices("pcie", "pm")
@pytest.mark.usefixtures("machine")
def test_what_it_lost_in_d3hot_is_restored(
    resettable: Device, pci: PciDevice, port: Port, spec: BenchDevice
) -> None:
    """The reset finds it as it was before it went there."""
    control = pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL
    before = real(port, spec.bdf)
    resettable.write_config(control, 2, regs.PCI_PM_CTRL_STATE_MASK)
    try:
        lose_state(port, pci)
        expect.accepted(resettable.try_reset())
        expect.equal("the device's header", real(port, spec.bdf).hex(" "), before.hex(" "))
    finally:
        resettable.write_config(control, 2, 0)
