# SPDX-License-Identifier: MIT
"""SET_IRQS with eventfds: each interrupt of a device is turned on, and that fails."""

from collections.abc import Iterator, Sequence

import pytest

from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd
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


def turned_on(
    sweep: Sweep, rule: Rule, device: Device, index: int, events: Sequence[EventFd]
) -> None:
    """Sweep the SET_IRQS that gives interrupts of an index an eventfd each."""
    sweep(
        rule,
        lambda port: Device(port, device.handle).try_set_irqs(
            index, EVENTFD | TRIGGER, 0, len(events), eventfds=tuple(events)
        ),
        lambda: device.try_set_irqs(index, OFF),
        also=(rules.NO_VECTORS,) if rule is rules.SET_VECTORS else (),
    )


@checks(rules.SET_IRQS)
@devices("intx", "irq-stimulus", without=("grouped",))
def test_intx(sweep: Sweep, opened: Device, event: EventFd) -> None:
    """The line."""
    turned_on(sweep, rules.SET_IRQS, opened, INTX, [event])


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
def test_msi(sweep: Sweep, opened: Device, event: EventFd) -> None:
    """One message."""
    turned_on(sweep, rules.SET_VECTORS, opened, MSI, [event])


@checks(rules.SET_VECTORS, rules.NO_VECTORS)
@devices("msix", "pcie", "rom")
def test_msix(sweep: Sweep, opened: Device, event: EventFd, added: EventFd) -> None:
    """Two vectors of the table, both of them or none."""
    turned_on(sweep, rules.SET_VECTORS, opened, MSIX, [event, added])


@checks(rules.SET_VECTORS, rules.NO_VECTORS)
@devices("msix", "pcie", "rom")
def test_msix_added(sweep: Sweep, opened: Device, event: EventFd, added: EventFd) -> None:
    """One more vector while another is on, which stays on."""
    opened.try_set_irqs(MSIX, EVENTFD | TRIGGER, 0, 1, eventfds=(event,))

    def off() -> None:
        opened.try_set_irqs(MSIX, OFF)
        opened.try_set_irqs(MSIX, EVENTFD | TRIGGER, 0, 1, eventfds=(event,))

    sweep(
        rules.SET_VECTORS,
        lambda port: Device(port, opened.handle).try_set_irqs(
            MSIX, EVENTFD | TRIGGER, 1, 1, eventfds=(added,)
        ),
        off,
        also=(rules.NO_VECTORS,),
    )


@checks(rules.SET_IRQS)
@devices("irq-stimulus", without=("grouped",))
def test_request(sweep: Sweep, opened: Device, event: EventFd) -> None:
    """The request to give the device back."""
    turned_on(sweep, rules.SET_IRQS, opened, vfio.VFIO_PCI_REQ_IRQ_INDEX, [event])


@checks(rules.SET_IRQS)
@devices("msix", "pcie", "rom")
def test_error(sweep: Sweep, opened: Device, event: EventFd) -> None:
    """The report of an error."""
    turned_on(sweep, rules.SET_IRQS, opened, vfio.VFIO_PCI_ERR_IRQ_INDEX, [event])
