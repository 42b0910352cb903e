# SPDX-License-Identifier: MIT
"""The two interrupts of mtty, raised by its serial port and by SET_IRQS; and devices with none."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.container import Container
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd
from vfiospec.device.group import Assigned
from vfiospec.device.mdev import Mdev
from vfiospec.device.port import Port
from vfiospec.device.uart import (
    UART_IER,
    UART_IER_MSI,
    UART_IER_RDI,
    UART_IER_RLSI,
    UART_MCR,
    UART_MCR_RTS,
    Uart,
)
from vfiospec.rules import interrupts, lifetime
from vfiospec.rules import mdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
INTX, MSI = vfio.VFIO_PCI_INTX_IRQ_INDEX, vfio.VFIO_PCI_MSI_IRQ_INDEX
NONE, BOOL = vfio.VFIO_IRQ_SET_DATA_NONE, vfio.VFIO_IRQ_SET_DATA_BOOL
EVENTFD = vfio.VFIO_IRQ_SET_DATA_EVENTFD
MASK, UNMASK = vfio.VFIO_IRQ_SET_ACTION_MASK, vfio.VFIO_IRQ_SET_ACTION_UNMASK
TRIGGER = vfio.VFIO_IRQ_SET_ACTION_TRIGGER
INFO = {
    INTX: (
        vfio.VFIO_IRQ_INFO_EVENTFD | vfio.VFIO_IRQ_INFO_MASKABLE | vfio.VFIO_IRQ_INFO_AUTOMASKED
    ),
    MSI: vfio.VFIO_IRQ_INFO_EVENTFD | vfio.VFIO_IRQ_INFO_NORESIZE,
}
FIFO = 16
CAUSES: dict[str, tuple[int, Callable[[Uart], None]]] = {
    "data": (UART_IER_RDI, lambda uart: uart.send(b"1")),
    "too-much": (UART_IER_RLSI, lambda uart: uart.send(bytes(FIFO + 1))),
    "modem": (UART_IER_MSI, lambda uart: uart.write(UART_MCR, UART_MCR_RTS)),
}
each_kind = pytest.mark.parametrize("index", INFO, ids={INTX: "intx", MSI: "msi"}.get)


@pytest.fixture
def uart(serial: Device) -> Uart:
    """The card's port, with nothing in its queue."""
    made = Uart(serial.region(vfio.VFIO_PCI_BAR0_REGION_INDEX))
    made.enable()
    return made


@pytest.fixture
def card(port: Port, make: Callable[[str], Mdev]) -> Iterator[Callable[[], Device]]:
    """Opens a card with one port, again and again."""
    mdev = make("mtty-1")
    own = Assigned(port, mdev.group)

    def open_it() -> Device:
        device = own.open(mdev.name)
        device.get_info()  # as for the fixture of one that is open
        return device

    yield open_it
    own.close()


def turn_on(serial: Device, index: int, event: EventFd | int) -> None:
    """Have an interrupt signal an eventfd."""
    expect.accepted(serial.try_set_irqs(index, EVENTFD | TRIGGER, 0, 1, eventfds=(event,)))


@checks(rules.IRQS)
def test_what_there_is(serial: Device, promised: Promised) -> None:
    """One of each kind, and no other kind."""
    for index in range(vfio.VFIO_PCI_NUM_IRQS + 2):
        call = serial.try_get_irq_info(index)
        if index in INFO:
            expect.reply(call, vfio.vfio_irq_info(vfio.IRQ_INFO_MIN, INFO[index], index, 1))
        else:
            expect.refused(call, promised(rules.IRQ_REFUSED))


@checks(rules.NO_IRQS)
@pytest.mark.parametrize("which", ["screen", "bochs"])
def test_displays_have_none(
    request: pytest.FixtureRequest, which: str, event: EventFd, promised: Promised
) -> None:
    """Counts of 0, and nothing to be set."""
    device: Device = request.getfixturevalue(which)
    for index in range(vfio.VFIO_PCI_NUM_IRQS):
        expect.equal(f"count of {index}", device.get_irq_info(index).count, 0)
        call = device.try_set_irqs(index, EVENTFD | TRIGGER, 0, 1, eventfds=(event,))
        expect.refused(call, promised(rules.NO_IRQS))
    call = device.try_get_irq_info(vfio.VFIO_PCI_NUM_IRQS)
    expect.refused(call, promised(rules.NO_IRQS))


@checks(rules.SIGNALLED)
@each_kind
def test_it_comes(serial: Device, uart: Uart, event: EventFd, index: int) -> None:
    """By the device, and by each of the two ways of SET_IRQS; not by a 0."""
    turn_on(serial, index, event)
    for flags, data in ((None, b""), (NONE | TRIGGER, b""), (BOOL | TRIGGER, b"\1")):
        if flags is None:
            uart.interrupt()
        else:
            expect.accepted(serial.try_set_irqs(index, flags, 0, 1, data))
        expect.equal("signals", event.count(), 1)
        serial.try_set_irqs(INTX, NONE | UNMASK, 0, 1)
    expect.accepted(serial.try_set_irqs(index, BOOL | TRIGGER, 0, 1, b"\0"))
    expect.equal("signals by a 0", event.count(), 0)


@checks(rules.SIGNALLED)
@each_kind
@pytest.mark.parametrize("cause", CAUSES)
def test_it_comes_of(serial: Device, uart: Uart, event: EventFd, index: int, cause: str) -> None:
    """What was received, what there was no room for, a modem: if it is asked for, each time."""
    wanted, happen = CAUSES[cause]
    turn_on(serial, index, event)
    for ier in (wanted, 0, wanted):
        uart.write(UART_IER, ier)
        happen(uart)
        expect.equal(f"signals with {ier} in its register", event.count(), 1 if ier else 0)
        uart.enable()
        serial.try_set_irqs(INTX, NONE | UNMASK, 0, 1)


@checks(interrupts.INTX_REENABLED)
@pytest.mark.parametrize("masked", ["by-itself", "by-the-user"])
def test_masked_and_turned_off(serial: Device, uart: Uart, event: EventFd, masked: str) -> None:
    """Turned on again it comes."""
    turn_on(serial, INTX, event)
    if masked == "by-itself":
        uart.interrupt()
        expect.equal("signals", event.count(), 1)
    else:
        expect.accepted(serial.try_set_irqs(INTX, NONE | MASK, 0, 1))
    expect.accepted(serial.try_set_irqs(INTX, NONE | TRIGGER))
    turn_on(serial, INTX, event)
    uart.interrupt()
    expect.equal("signals once turned on again", event.count(), 1)


@checks(lifetime.CLEAN_REOPEN)
@each_kind
def test_closed(card: Callable[[], Device], event: EventFd, index: int, promised: Promised) -> None:
    """Whoever opens it next finds nothing on, and can turn on either kind."""
    with card() as device:
        turn_on(device, index, event)
    with card() as device:
        uart = Uart(device.region(vfio.VFIO_PCI_BAR0_REGION_INDEX))
        call = device.try_set_irqs(index, NONE | TRIGGER, 0, 1)
        expect.refused(call, promised(rules.IRQ_REFUSED))
        uart.enable()
        uart.interrupt()
        expect.equal("signals of the one before", event.count(), 0)
        turn_on(device, INTX + MSI - index, event)
        uart.interrupt()
        expect.equal("signals of the other kind", event.count(), 1)


@checks(rules.MASKED)
@pytest.mark.parametrize("data", [b"", b"\1"], ids=["none", "bool"])
def test_masked(serial: Device, uart: Uart, event: EventFd, data: bytes) -> None:
    """INTx masks itself as it comes; masked it does not come, and a 0 changes nothing."""
    turn_on(serial, INTX, event)
    kind = BOOL if data else NONE
    uart.interrupt()
    uart.interrupt()
    expect.equal("signals until unmasked", event.count(), 1)
    expect.accepted(serial.try_set_irqs(INTX, BOOL | UNMASK, 0, 1, b"\0"))
    uart.interrupt()
    expect.equal("signals until unmasked", event.count(), 0)
    expect.accepted(serial.try_set_irqs(INTX, kind | UNMASK, 0, 1, data))
    expect.accepted(serial.try_set_irqs(INTX, BOOL | MASK, 0, 1, b"\0"))
    uart.interrupt()
    expect.equal("signals", event.count(), 1)
    expect.accepted(serial.try_set_irqs(INTX, kind | UNMASK, 0, 1, data))
    expect.accepted(serial.try_set_irqs(INTX, kind | MASK, 0, 1, data))
    uart.interrupt()
    expect.equal("signals while masked", event.count(), 0)


@checks(rules.SIGNALLED)
@each_kind
@pytest.mark.parametrize("way", ["count-0", "fd-minus-1"])
def test_turned_off(
    serial: Device, uart: Uart, event: EventFd, index: int, way: str, promised: Promised
) -> None:
    """Nothing more is signalled, and there is nothing left to trigger; the other kind can be on."""
    turn_on(serial, index, event)
    if way == "count-0":
        expect.accepted(serial.try_set_irqs(index, NONE | TRIGGER))
    else:
        turn_on(serial, index, -1)
    uart.interrupt()
    expect.equal("signals", event.count(), 0)
    call = serial.try_set_irqs(index, NONE | TRIGGER, 0, 1)
    expect.refused(call, promised(rules.IRQ_REFUSED))
    turn_on(serial, INTX + MSI - index, event)
    uart.interrupt()
    expect.equal("signals of the other kind", event.count(), 1)


@checks(rules.SIGNALLED)
@each_kind
def test_another_eventfd(
    serial: Device, uart: Uart, event: EventFd, port: Port, index: int
) -> None:
    """The second takes the first one's place."""
    turn_on(serial, index, event)
    with EventFd.create(port) as second:
        turn_on(serial, index, second)
        uart.interrupt()
        expect.equal("signals of the second", second.count(), 1)
        expect.equal("signals of the first", event.count(), 0)


@checks(rules.IRQ_REFUSED, rules.IRQ_ABSENT, rules.IRQ_FD)
def test_refused(serial: Device, container: Container, event: EventFd, promised: Promised) -> None:
    """Each thing that is wrong alone, beside what is on and stays on."""
    wrong = promised(rules.IRQ_REFUSED)
    off = ((NONE | MASK, 1), (NONE | UNMASK, 1), (NONE | TRIGGER, 1), (NONE | TRIGGER, 0))
    for index in (INTX, MSI):
        for flags, count in off:
            absent = index == MSI and not flags & TRIGGER
            errno = promised(rules.IRQ_ABSENT) if absent else wrong
            expect.refused(serial.try_set_irqs(index, flags, 0, count), errno)
        for fd, errno in ((9999, promised(rules.IRQ_FD)), (container, wrong)):
            call = serial.try_set_irqs(index, EVENTFD | TRIGGER, 0, 1, eventfds=(fd,))
            expect.refused(call, errno)
    turn_on(serial, INTX, event)
    head = vfio.IRQ_SET_MIN
    for index, flags, start, count, data in (
        (MSI, EVENTFD | TRIGGER, 0, 1, bytes(4)), (INTX, NONE | TRIGGER, 1, 1, b""),
        (INTX, NONE | TRIGGER, 0, 2, b""), (INTX, NONE | MASK, 1, 1, b""),
        (INTX, NONE | UNMASK, 0, 2, b""), (INTX, NONE | MASK, 0, 0, b""),
        (5, NONE | TRIGGER, 0, 0, b""), (1 << 31, NONE | TRIGGER, 0, 0, b""),
        (INTX, NONE | TRIGGER, 5, 0, b""), (INTX, NONE | TRIGGER, 4, 2, b""),
        (INTX, NONE | TRIGGER, 1, 0xFFFFFFFF, b""), (INTX, TRIGGER, 0, 1, b""),
        (INTX, NONE | BOOL | TRIGGER, 0, 1, b"\1"), (INTX, 1 << 6 | NONE | TRIGGER, 0, 1, b""),
        (INTX, BOOL | TRIGGER, 0, 1, b""), (INTX, EVENTFD | TRIGGER, 0, 1, b"123"),
    ):  # fmt: skip
        expect.refused(serial.try_set_irqs(index, flags, start, count, data), wrong)
    call = serial.try_set_irqs(INTX, NONE | TRIGGER, 0, 1, argsz=head - 1)
    expect.refused(call, wrong)
    for action in (MASK, UNMASK):
        call = serial.try_set_irqs(INTX, EVENTFD | action, 0, 1, eventfds=(event,))
        expect.refused(call, promised(rules.IRQ_ABSENT))
    for index in (vfio.VFIO_PCI_MSIX_IRQ_INDEX, vfio.VFIO_PCI_ERR_IRQ_INDEX):
        expect.refused(serial.try_set_irqs(index, NONE | TRIGGER), promised(rules.IRQ_ABSENT))
    expect.equal("signals", event.count(), 0)
    expect.accepted(serial.try_set_irqs(INTX, NONE | TRIGGER, 0, 1))
    expect.equal("signals of what stayed on", event.count(), 1)


@checks(rules.IRQ_REFUSED, rules.IRQ_ABSENT)
def test_ranges(serial: Device, promised: Promised) -> None:
    """A range within the number of kinds is looked at, one beyond is not; so is an index."""
    wrong, absent = promised(rules.IRQ_REFUSED), promised(rules.IRQ_ABSENT)
    many = vfio.VFIO_PCI_NUM_IRQS
    for index in range(vfio.VFIO_PCI_MSIX_IRQ_INDEX, many):
        for start, count in ((0, 0), (0, 1), (0, many), (many - 1, 1), (many - 1, 0)):
            call = serial.try_set_irqs(index, NONE | TRIGGER, start, count)
            expect.refused(call, absent)
        for start, count in (
            (0, many + 1), (many, 0), (many - 1, 2), (1, 0xFFFFFFFE), (1, 0xFFFFFFFF),
            (0, 0xFFFFFFFF), (0xFFFFFFFF, 1),
        ):  # fmt: skip
            call = serial.try_set_irqs(index, NONE | TRIGGER, start, count)
            expect.refused(call, wrong)
    for index in (many, many + 1, 0xFFFFFFFF):
        expect.refused(serial.try_set_irqs(index, NONE | TRIGGER, 0, 0), wrong)
