# SPDX-License-Identifier: MIT
"""INTx, held against the interrupt pin."""

from collections.abc import Callable

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.ops import Pread
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.rules import irq_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

INTX = vfio.VFIO_PCI_INTX_IRQ_INDEX


def pin(device: Device, port: Port) -> int:
    """The interrupt pin in the configuration space that vfio-pci shows."""
    config = device.get_region_info(vfio.VFIO_PCI_CONFIG_REGION_INDEX).struct
    return port.do(Pread(device.handle, 1, config.offset + regs.PCI_INTERRUPT_PIN)).value


@checks(rules.INTX)
def test_it_is_a_level_interrupt(
    device: Device, port: Port, promised: Callable[[Rule], int]
) -> None:
    """Maskable, masks itself, and has no size to change: on every device, pin or no pin."""
    count = 1 if pin(device, port) else 0
    expected = vfio.vfio_irq_info(vfio.IRQ_INFO_MIN, promised(rules.INTX), INTX, count)
    expect.reply(device.try_get_irq_info(INTX), expected)


@checks(rules.INTX_COUNT)
@devices("intx")
def test_a_device_with_a_pin_has_one(device: Device, pci: PciDevice, port: Port) -> None:
    """Any of the four pins counts once. vfio-pci may hide a pin; then it hides it everywhere."""
    shown = pin(device, port)
    expect.one_of("interrupt pin", shown, {pci.interrupt_pin, 0})
    expect.equal("count of INTx", device.get_irq_info(INTX).count, 1 if shown else 0)


@checks(rules.INTX_COUNT)
@devices(without=("intx",))
def test_a_device_without_a_pin_has_none(device: Device) -> None:
    """The index is answered all the same."""
    expect.equal("count of INTx", device.get_irq_info(INTX).count, 0)


@checks(rules.INTX_COUNT)
@devices("irq-stimulus")
def test_a_device_that_interrupts_has_one(device: Device) -> None:
    """Of this device it is known that its line works: it must not be hidden."""
    expect.equal("count of INTx", device.get_irq_info(INTX).count, 1)
