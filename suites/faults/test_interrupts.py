# SPDX-License-Identifier: MIT
"""SET_IRQS with eventfds: each interrupt of a device is turned on, and that fails."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.call import Call
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.rules import faults as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices
from vfiospec.session.sweep import Sweep

pytestmark = checks(rules.COPY)
EVENTFD = vfio.VFIO_IRQ_SET_DATA_EVENTFD
TRIGGER = vfio.VFIO_IRQ_SET_ACTION_TRIGGER
UNMASK = vfio.VFIO_IRQ_SET_ACTION_UNMASK
OFF = vfio.VFIO_IRQ_SET_DATA_NONE | TRIGGER
INTX, MSI, MSIX = (
    vfio.VFIO_PCI_INTX_IRQ_INDEX,
    vfio.VFIO_PCI_MSI_IRQ_INDEX,
    vfio.VFIO_PCI_MSIX_IRQ_INDEX,
)


@pytest.fixture
def added(port: Port) -> Iterator[EventFd]:
    """Another eventfd: one serves one vector."""
    with EventFd.create(port) as made:
        yield made


def given(sweep: Sweep, port: Port, device: Device, index: int, start: int, count: int) -> Call:
    """Give interrupts an eventfd each, which the kernel alone has afterwards, if at all."""
    with ExitStack() as stack:
        events = [stack.enter_context(EventFd.create(sweep.port)) for _ in range(count)]
        return Device(port, device.handle).try_set_irqs(
            index, EVENTFD | TRIGGER, start, count, eventfds=tuple(events)
        )


def turned_on(
    sweep: Sweep, rule: Rule, device: Device, pci: PciDevice, index: int, count: int = 1
) -> None:
    """Sweep the SET_IRQS that turns an index on, while the device decodes no memory."""
    command = device.read_config(regs.PCI_COMMAND, 2)
    device.write_config(regs.PCI_COMMAND, 2, command & ~regs.PCI_COMMAND_MEMORY)
    sweep(
        rule,
        lambda port: given(sweep, port, device, index, 0, count),
        lambda: device.try_set_irqs(index, OFF),
        also=(rules.NO_VECTORS,) if rule is rules.SET_VECTORS else (),
        state=lambda: f"command {PciDevice(sweep.port, pci.bdf).u16(regs.PCI_COMMAND):#06x}",
    )


@checks(rules.SET_IRQS)
@devices("intx", "irq-stimulus", without=("grouped",))
def test_intx(sweep: Sweep, opened: Device, pci: PciDevice) -> None:
    """The line."""
    turned_on(sweep, rules.SET_IRQS, opened, pci, INTX)


@checks(rules.SET_IRQS)
@devices("intx", "irq-stimulus", without=("grouped",))
def test_unmask(sweep: Sweep, opened: Device, event: EventFd, added: EventFd) -> None:
    """An eventfd that unmasks the line."""
    opened.try_set_irqs(INTX, EVENTFD | TRIGGER, 0, 1, eventfds=(event,))

    def off() -> None:
        opened.try_set_irqs(INTX, EVENTFD | UNMASK, 0, 1, eventfds=(-1,))

    sweep(
        rules.SET_IRQS,
        lambda port: Device(port, opened.handle).try_set_irqs(
            INTX, EVENTFD | UNMASK, 0, 1, eventfds=(added,)
        ),
        off,
    )
    opened.try_set_irqs(INTX, OFF)


@checks(rules.SET_VECTORS, rules.NO_VECTORS)
@devices("msi", "irq-stimulus", without=("grouped",))
def test_msi(sweep: Sweep, opened: Device, pci: PciDevice) -> None:
    """One message."""
    turned_on(sweep, rules.SET_VECTORS, opened, pci, MSI)


@checks(rules.SET_VECTORS, rules.NO_VECTORS)
@devices("msix", "pcie", "rom")
def test_msix(sweep: Sweep, opened: Device, pci: PciDevice) -> None:
    """Two vectors of the table, both of them or none."""
    turned_on(sweep, rules.SET_VECTORS, opened, pci, MSIX, 2)


@checks(rules.SET_VECTORS, rules.NO_VECTORS)
@devices("msix", "pcie", "rom")
def test_msix_added(sweep: Sweep, opened: Device, event: EventFd) -> None:
    """One more vector while another is on, which stays on."""
    opened.try_set_irqs(MSIX, EVENTFD | TRIGGER, 0, 1, eventfds=(event,))

    def off() -> None:
        opened.try_set_irqs(MSIX, OFF)
        opened.try_set_irqs(MSIX, EVENTFD | TRIGGER, 0, 1, eventfds=(event,))

    sweep(
        rules.SET_VECTORS,
        lambda port: given(sweep, port, opened, MSIX, 1, 1),
        off,
        also=(rules.NO_VECTORS,),
    )


@checks(rules.SET_IRQS)
@devices("irq-stimulus", without=("grouped",))
def test_request(sweep: Sweep, opened: Device, pci: PciDevice) -> None:
    """The request to give the device back."""
    turned_on(sweep, rules.SET_IRQS, opened, pci, vfio.VFIO_PCI_REQ_IRQ_INDEX)


@checks(rules.SET_IRQS)
@devices("msix", "pcie", "rom")
def test_error(sweep: Sweep, opened: Device, pci: PciDevice) -> None:
    """The report of an error."""
    turned_on(sweep, rules.SET_IRQS, opened, pci, vfio.VFIO_PCI_ERR_IRQ_INDEX)
