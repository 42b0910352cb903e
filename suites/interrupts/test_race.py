# SPDX-License-Identifier: MIT
"""Interrupts that arrive while they are set up, changed and torn down: the kernel stays quiet."""

from vfiospec import expect
from vfiospec.device.edu import ACKNOWLEDGE, RAISE, Edu
from vfiospec.device.files import EventFd
from vfiospec.device.interrupt import (
    EVENTFD,
    MASK,
    NONE,
    TRIGGER,
    UNMASK,
    Interrupt,
    arrived,
)  # fmt: skip
from vfiospec.device.ops import AnyOp, Pread, Pwrite, Race
from vfiospec.device.port import Port
from vfiospec.rules import interrupts as rules
from vfiospec.session.marks import checks, devices

pytestmark = devices("irq-stimulus")
ROUNDS = 60
_ONE = (1).to_bytes(8, "little")


def storm(edu: Edu) -> tuple[AnyOp, ...]:
    """Raise and acknowledge, again and again."""
    handle, base = edu.device.handle, int(edu.bar.info.offset)
    bit = (1).to_bytes(4, "little")
    up, down = Pwrite(handle, bit, base + RAISE), Pwrite(handle, bit, base + ACKNOWLEDGE)
    return (up, down) * 4


def answers(values: tuple[int, ...], program: int) -> set[tuple[int, int]]:
    """(return value, errno) of each answer that a program's operations got."""
    found = [values[i : i + 5] for i in range(0, len(values), 5)]
    return {(ret, errno) for who, _, ret, errno, _ in found if who == program}


def settled(edu: Edu, intx: Interrupt, event: EventFd) -> None:
    """Afterwards INTx works as ever."""
    edu.acknowledge()
    intx.try_off()
    event.count()
    intx.signal(event)
    edu.raise_interrupt()
    expect.equal("signals afterwards", arrived(event), 1)
    edu.acknowledge()
    intx.unmask()
    expect.equal("signals of the unmask", event.count(), 0)


@checks(rules.QUIET)
def test_turned_on_and_off_under_a_storm(
    edu: Edu, intx: Interrupt, event: EventFd, other: EventFd, port: Port
) -> None:
    """With an UNMASK eventfd that is written all the time."""
    setup = (
        intx.op(EVENTFD | TRIGGER, 1, event),
        intx.op(EVENTFD | UNMASK, 1, other),
        intx.op(EVENTFD | UNMASK, 1, -1),
        intx.op(NONE | TRIGGER, 0),
    )
    unmask = (Pwrite(other.handle, _ONE), Pread(other.handle, 8)) * 4
    reply = port.do(Race((setup, storm(edu), unmask), ROUNDS))
    expect.equal("answers of the set-up", answers(reply.values, 0), {(0, 0)})
    settled(edu, intx, event)


@checks(rules.QUIET)
def test_replaced_and_taken_away_under_a_storm(
    edu: Edu, intx: Interrupt, event: EventFd, other: EventFd, port: Port
) -> None:
    """While it is masked and unmasked by others."""
    intx.signal(event)
    change = (
        intx.op(EVENTFD | TRIGGER, 1, other),
        intx.op(EVENTFD | TRIGGER, 1, -1),
        intx.op(EVENTFD | TRIGGER, 1, event),
    )
    mask = (intx.op(NONE | MASK, 1), intx.op(NONE | UNMASK, 1), intx.op(NONE | TRIGGER, 1))
    reply = port.do(Race((change, storm(edu), mask), ROUNDS))
    expect.equal("answers of the change", answers(reply.values, 0), {(0, 0)})
    expect.equal("answers of the masks", answers(reply.values, 2), {(0, 0)})
    settled(edu, intx, event)


@checks(rules.QUIET)
def test_one_eventfd_after_another_to_unmask_by(
    edu: Edu, intx: Interrupt, event: EventFd, other: EventFd, port: Port
) -> None:
    """Assigned and taken away while it is written and INTx is signalled."""
    intx.signal(event)
    change = (intx.op(EVENTFD | UNMASK, 1, other), intx.op(EVENTFD | UNMASK, 1, -1)) * 3
    write = (Pwrite(other.handle, _ONE),) * 6
    reply = port.do(Race((change, storm(edu), write), ROUNDS))
    expect.equal("answers of the change", answers(reply.values, 0), {(0, 0)})
    settled(edu, intx, event)


@checks(rules.QUIET)
def test_messages_while_msi_is_turned_on_and_off(
    edu: Edu, msi: Interrupt, event: EventFd, other: EventFd, port: Port
) -> None:
    """Afterwards each message is signalled once."""
    setup = (
        msi.op(EVENTFD | TRIGGER, 1, event),
        msi.op(EVENTFD | TRIGGER, 1, other),
        msi.op(EVENTFD | TRIGGER, 1, -1),
        msi.op(EVENTFD | TRIGGER, 1, event),
        msi.op(NONE | TRIGGER, 0),
    )
    reply = port.do(Race((setup, storm(edu)), ROUNDS))
    expect.equal("answers of the set-up", answers(reply.values, 0), {(0, 0)})
    event.count()
    msi.signal(event)
    edu.raise_interrupt()
    expect.equal("signals afterwards", arrived(event), 1)
