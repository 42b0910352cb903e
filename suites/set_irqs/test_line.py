# SPDX-License-Identifier: MIT
"""INTx: masks, what they do to the device's line, and eventfds that unmask."""

from collections.abc import Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.device.files import EventFd, File
from vfiospec.device.irq_model import (
    BOOL,
    EVENTFD,
    INTX,
    MASK,
    NONE,
    TRIGGER,
    UNMASK,
    Fd,
    Promised,
    Request,
)
from vfiospec.rules import set_irqs as rules
from vfiospec.session.irqs import NOT_OPEN, Irqs
from vfiospec.session.marks import checks, devices

pytestmark = devices("intx")
DISABLED = regs.PCI_COMMAND_INTX_DISABLE


def line(irqs: Irqs, *, disabled: bool, when: str) -> None:
    """Hold the device's own command register against what must be."""
    found = bool(irqs.hardware(regs.PCI_COMMAND, 2) & DISABLED)
    expect.equal(f"line disabled in the device, {when}", found, disabled)


def tell(irqs: Irqs, action: int, value: int | None = None) -> None:
    """MASK or UNMASK, by NONE or by a BOOL."""
    if value is None:
        irqs.apply(Request(INTX, action | NONE, 0, 1))
    else:
        irqs.apply(Request(INTX, action | BOOL, 0, 1, bytes([value])))


@pytest.fixture
def command(irqs: Irqs) -> Iterator[int]:
    """The command register as the user sees it; put back."""
    before = irqs.device.read_config(regs.PCI_COMMAND, 2)
    yield before
    irqs.device.write_config(regs.PCI_COMMAND, 2, before)


@checks(rules.MASK, rules.ENABLED_UNMASKED)
@pytest.mark.parametrize("value", [None, 1, 0x80, 0xFF], ids=["none", "1", "80", "ff"])
def test_mask_and_unmask(irqs: Irqs, value: int | None) -> None:
    """The line follows; a second time changes nothing."""
    irqs.on(INTX)
    line(irqs, disabled=False, when="turned on")
    for _ in range(2):
        for _ in range(2):
            tell(irqs, MASK, value)
            line(irqs, disabled=True, when="masked")
        for _ in range(2):
            tell(irqs, UNMASK, value)
            line(irqs, disabled=False, when="unmasked")


@checks(rules.MASK_ZERO)
def test_a_bool_of_zero_masks_and_unmasks_nothing(irqs: Irqs) -> None:
    """In either state."""
    irqs.on(INTX)
    for mask, disabled in ((UNMASK, False), (MASK, True)):
        tell(irqs, mask)
        for action in (MASK, UNMASK):
            tell(irqs, action, 0)
            line(irqs, disabled=disabled, when="a BOOL of 0 later")


@checks(rules.REFUSED_CHANGES_NOTHING, rules.MASK_EVENTFD, rules.COUNT_OF_LINE)
def test_a_refused_mask_changes_nothing(irqs: Irqs) -> None:
    """Wrong counts and data, in either state."""
    irqs.on(INTX)
    for mask, disabled in ((UNMASK, False), (MASK, True)):
        tell(irqs, mask)
        irqs.apply(
            *(Request(INTX, action | data) for action in (MASK, UNMASK) for data in (NONE, BOOL)),
            Request(INTX, EVENTFD | MASK, 0, 1, fds=(Fd.EVENTFD,)),
            Request(INTX, EVENTFD | MASK, 0, 1, fds=(Fd.MINUS_ONE,)),
            Request(INTX, EVENTFD | UNMASK, 0, 1, fds=(Fd.CLOSED,)),
            Request(INTX, EVENTFD | UNMASK, 0, 1, fds=(Fd.OTHER,)),
            Request(INTX, NONE | MASK | UNMASK, 0, 1),
        )
        line(irqs, disabled=disabled, when="refused")


@checks(rules.MASKED_LOOPBACK)
def test_loopback_signals_a_masked_line(irqs: Irqs) -> None:
    """It is not the line that interrupts, and it stays masked; replacing keeps it masked too."""
    irqs.on(INTX)
    tell(irqs, MASK)
    irqs.loopback(INTX)
    irqs.apply(Request(INTX, BOOL | TRIGGER, 0, 1, b"\x01"))
    line(irqs, disabled=True, when="loopback")
    irqs.on(INTX)
    line(irqs, disabled=True, when="another eventfd")
    irqs.loopback(INTX)


@checks(rules.ENABLED_UNMASKED, rules.DISABLE)
def test_turned_on_again_it_is_not_masked(irqs: Irqs) -> None:
    """The mask goes with the interrupt."""
    irqs.on(INTX)
    tell(irqs, MASK)
    irqs.off(INTX)
    irqs.on(INTX)
    line(irqs, disabled=False, when="turned on again")


@checks(rules.LOOPBACK_LINE_DISABLED)
def test_a_disabled_line_is_silent(irqs: Irqs, command: int, promised: Promised) -> None:
    """The user's DisINTx holds loopback back, and UNMASK cannot enable the line against it."""
    irqs.on(INTX)
    irqs.device.write_config(regs.PCI_COMMAND, 2, command | DISABLED)
    line(irqs, disabled=True, when="disabled by the user")
    for flags, data in ((NONE, b""), (BOOL, b"\x01")):
        call = irqs.device.try_set_irqs(INTX, flags | TRIGGER, 0, 1, data)
        expect.accepted(call, promised(rules.LOOPBACK))
        expect.equal("signals while disabled", irqs.events[INTX, 0].count(), 0)
    tell(irqs, UNMASK)
    line(irqs, disabled=True, when="UNMASK")
    irqs.device.write_config(regs.PCI_COMMAND, 2, command & ~DISABLED)
    line(irqs, disabled=False, when="enabled by the user")
    irqs.loopback(INTX)


@checks(rules.ENABLED_UNMASKED)
def test_a_disabled_line_starts_masked(irqs: Irqs, command: int) -> None:
    """INTx turned on while the user has it disabled waits for the user."""
    irqs.device.write_config(regs.PCI_COMMAND, 2, command | DISABLED)
    irqs.on(INTX)
    line(irqs, disabled=True, when="turned on while disabled")
    irqs.device.write_config(regs.PCI_COMMAND, 2, command & ~DISABLED)
    line(irqs, disabled=False, when="enabled by the user")
    irqs.loopback(INTX)


def unmasked_by(irqs: Irqs, event: EventFd, *, works: bool) -> None:
    """Mask, write to an eventfd, and see whether that unmasks; and that nothing is signalled."""
    tell(irqs, MASK)
    event.signal()
    line(irqs, disabled=not works, when="an eventfd was written to")
    event.count()
    expect.equal("signals of the trigger", irqs.events[INTX, 0].count(), 0)


def bind(irqs: Irqs, fd: File | int) -> int:
    """UNMASK by an eventfd of the test's own: 0 or the errno."""
    return irqs.device.try_set_irqs(INTX, EVENTFD | UNMASK, 0, 1, eventfds=(fd,)).errno


@checks(rules.UNMASK_EVENTFD, rules.UNMASK_EVENTFD_GONE)
@pytest.mark.parametrize("fd", [-1, -2, -(1 << 31)], ids=["minus-1", "minus-2", "least"])
def test_an_eventfd_unmasks_until_it_is_taken_away(
    irqs: Irqs, port_event: EventFd, fd: int, promised: Promised
) -> None:
    """By a negative fd, which also succeeds where none is bound."""
    gone = promised(rules.UNMASK_EVENTFD_GONE)
    irqs.on(INTX)
    for _ in range(2):
        expect.equal("nothing taken away", bind(irqs, fd), gone)
        expect.equal("bound", bind(irqs, port_event), promised(rules.UNMASK_EVENTFD))
        for _ in range(2):
            unmasked_by(irqs, port_event, works=True)
        expect.equal("taken away", bind(irqs, fd), gone)
        unmasked_by(irqs, port_event, works=False)
    irqs.loopback(INTX)


@checks(rules.UNMASK_EVENTFD_BUSY, rules.FD_CLOSED, rules.FD_NO_EVENTFD)
def test_a_second_eventfd_is_refused(irqs: Irqs, port_event: EventFd, promised: Promised) -> None:
    """And not bound, nor is the first lost; a number that is none is told apart."""
    irqs.on(INTX)
    with EventFd.create(irqs.port) as second:
        expect.equal("bound", bind(irqs, port_event), promised(rules.UNMASK_EVENTFD))
        for again in (second, port_event):
            expect.equal("refused", bind(irqs, again), promised(rules.UNMASK_EVENTFD_BUSY))
        expect.equal("refused", bind(irqs, NOT_OPEN), promised(rules.FD_CLOSED))
        with File.open(irqs.port, "/dev/null") as other:
            expect.equal("refused", bind(irqs, other), promised(rules.FD_NO_EVENTFD))
        unmasked_by(irqs, second, works=False)
        unmasked_by(irqs, port_event, works=True)


@checks(rules.UNMASK_EVENTFD_PENDING)
def test_an_eventfd_that_was_written_to_unmasks_at_once(irqs: Irqs, promised: Promised) -> None:
    """And each time it is written to afterwards."""
    irqs.on(INTX)
    tell(irqs, MASK)
    with EventFd.create(irqs.port, initial=1) as event:
        expect.equal("bound", bind(irqs, event), promised(rules.UNMASK_EVENTFD))
        line(irqs, disabled=False, when="bound")
        event.count()
        unmasked_by(irqs, event, works=True)


@checks(rules.UNMASK_EVENTFD_GONE)
def test_closed_it_makes_room_for_another(
    irqs: Irqs, port_event: EventFd, promised: Promised
) -> None:
    """The last close of the first one takes it away."""
    irqs.on(INTX)
    with EventFd.create(irqs.port) as first:
        expect.equal("bound", bind(irqs, first), promised(rules.UNMASK_EVENTFD))
    expect.equal("bound", bind(irqs, port_event), promised(rules.UNMASK_EVENTFD))
    unmasked_by(irqs, port_event, works=True)


@checks(rules.UNMASK_EVENTFD_GONE, rules.NOT_ON)
def test_it_goes_with_the_interrupt(irqs: Irqs, port_event: EventFd, promised: Promised) -> None:
    """Turned off and on again, nothing is bound."""
    irqs.on(INTX)
    expect.equal("bound", bind(irqs, port_event), promised(rules.UNMASK_EVENTFD))
    irqs.off(INTX)
    port_event.signal()
    port_event.count()
    expect.equal("while off", bind(irqs, port_event), promised(rules.NOT_ON))
    irqs.on(INTX)
    unmasked_by(irqs, port_event, works=False)
    expect.equal("bound", bind(irqs, port_event), promised(rules.UNMASK_EVENTFD))
    unmasked_by(irqs, port_event, works=True)


@checks(rules.UNMASK_EVENTFD)
def test_one_eventfd_may_trigger_and_unmask(
    irqs: Irqs, port_event: EventFd, promised: Promised
) -> None:
    """An eventfd that is bound survives another trigger, and one without."""
    irqs.on(INTX)
    expect.equal("bound", bind(irqs, port_event), promised(rules.UNMASK_EVENTFD))
    irqs.on(INTX)
    unmasked_by(irqs, port_event, works=True)
    irqs.apply(Request(INTX, EVENTFD | TRIGGER, 0, 1, fds=(Fd.MINUS_ONE,)))
    tell(irqs, MASK)
    port_event.signal()
    line(irqs, disabled=False, when="without a trigger")
