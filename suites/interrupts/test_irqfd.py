# SPDX-License-Identifier: MIT
"""Unmasking by a write to an eventfd."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.device.edu import Edu
from vfiospec.device.files import EventFd
from vfiospec.device.interrupt import Interrupt, arrived
from vfiospec.device.port import Port
from vfiospec.rules import interrupts as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

pytestmark = devices("irq-stimulus")


@pytest.fixture
def unmask(port: Port) -> Iterator[EventFd]:
    """An eventfd to unmask by."""
    with EventFd.create(port) as made:
        yield made


@pytest.fixture
def signalled(edu: Edu, intx: Interrupt, event: EventFd) -> Interrupt:
    """INTx that is asserted, was signalled to `event`, and masked itself."""
    intx.signal(event)
    edu.raise_interrupt()
    expect.equal("signals", arrived(event), 1)
    return intx


@checks(rules.IRQFD_UNMASKS)
def test_what_is_asserted_comes_again(
    signalled: Interrupt, event: EventFd, unmask: EventFd, held_back: Callable[[], bool]
) -> None:
    """Once for each write."""
    signalled.unmask_by(unmask)
    expect.equal("signals of the assignment", event.count(), 0)
    for turn in range(4):
        unmask.signal()
        expect.equal(f"signals of write {turn}", arrived(event), 1)
        expect.equal("device held back", held_back(), True)


@checks(rules.IRQFD_RELEASED)
def test_what_was_acknowledged_does_not(
    edu: Edu, signalled: Interrupt, event: EventFd, unmask: EventFd, held_back: Callable[[], bool]
) -> None:
    """But the next one does: it was unmasked."""
    signalled.unmask_by(unmask)
    edu.acknowledge()
    unmask.signal()
    expect.equal("device held back", held_back(), False)
    edu.raise_interrupt()
    expect.equal("signals of the next", arrived(event), 1)


@checks(rules.IRQFD_RELEASED)
def test_unmasking_what_is_not_masked_does_nothing(
    edu: Edu, intx: Interrupt, event: EventFd, unmask: EventFd
) -> None:
    """Nothing is signalled by the write itself."""
    intx.signal(event)
    intx.unmask_by(unmask)
    unmask.signal()
    edu.raise_interrupt()
    expect.equal("signals", arrived(event), 1)
    expect.equal("signals left", event.count(), 0)


@checks(rules.DISINTX_UNMASK, rules.IRQFD_UNMASKS)
def test_it_does_not_override_interrupt_disable(
    edu: Edu, signalled: Interrupt, event: EventFd, unmask: EventFd, held_back: Callable[[], bool]
) -> None:
    """The bit is cleared: it comes, by that and not by the write."""
    signalled.unmask_by(unmask)
    edu.hold_back(disable=True)
    unmask.signal()
    expect.equal("device held back", held_back(), True)
    expect.equal("signals", event.count(), 0)
    edu.hold_back(disable=False)
    expect.equal("signals once cleared", arrived(event), 1)


@checks(rules.IRQFD_DRAINED)
def test_what_is_left_in_it(
    signalled: Interrupt, event: EventFd, unmask: EventFd, promised: Callable[[Rule], int]
) -> None:
    """Read once the write has had its effect."""
    signalled.unmask_by(unmask)
    unmask.signal()
    expect.equal("signals", arrived(event), 1)
    expect.equal("count left", unmask.count(), promised(rules.IRQFD_DRAINED))


@checks(rules.IRQFD_PENDING)
def test_one_that_was_written_before_unmasks_at_once(
    signalled: Interrupt, event: EventFd, unmask: EventFd
) -> None:
    """And goes on to unmask by later writes."""
    unmask.signal()
    signalled.unmask_by(unmask)
    expect.equal("signals of the assignment", arrived(event), 1)
    unmask.signal()
    expect.equal("signals of a write", arrived(event), 1)


@checks(rules.IRQFD_PENDING)
def test_one_that_was_not_written_unmasks_nothing(
    signalled: Interrupt, event: EventFd, unmask: EventFd, held_back: Callable[[], bool]
) -> None:
    """Nothing comes of the assignment."""
    signalled.unmask_by(unmask)
    expect.equal("device held back", held_back(), True)
    signalled.unmask()
    expect.equal("signals of an unmask", arrived(event), 1)


@checks(rules.IRQFD_BUSY)
@pytest.mark.parametrize("same", [0, 1], ids="same-{}".format)
def test_a_second_one_is_refused(
    signalled: Interrupt,
    event: EventFd,
    other: EventFd,
    unmask: EventFd,
    promised: Callable[[Rule], int],
    same: int,
) -> None:
    """The refused one does nothing; the first unmasks as before."""
    signalled.unmask_by(unmask)
    second = unmask if same else other
    expect.refused(signalled.try_unmask_by(second), promised(rules.IRQFD_BUSY))
    if not same:
        other.signal()
        expect.equal("count of the refused one", other.count(), 1)
    expect.equal("signals", event.count(), 0)
    unmask.signal()
    expect.equal("signals of a write", arrived(event), 1)


@checks(rules.IRQFD_DEASSIGNED)
def test_after_minus_1_it_does_nothing(
    signalled: Interrupt,
    event: EventFd,
    other: EventFd,
    unmask: EventFd,
    held_back: Callable[[], bool],
) -> None:
    """What is written stays in it, and another takes its place."""
    signalled.unmask_by(unmask)
    signalled.unmask_by(-1)
    unmask.signal()
    expect.equal("count left", unmask.count(), 1)
    expect.equal("device held back", held_back(), True)
    signalled.unmask_by(other)
    other.signal()
    expect.equal("signals by another", arrived(event), 1)


@checks(rules.IRQFD_DEASSIGNED)
def test_minus_1_without_one_is_accepted(intx: Interrupt, event: EventFd) -> None:
    """There is nothing to end, and that is no error."""
    intx.signal(event)
    intx.unmask_by(-1)
    intx.unmask_by(-1)


@checks(rules.IRQFD_CLOSED)
def test_a_closed_one_makes_room(
    signalled: Interrupt, event: EventFd, port: Port, unmask: EventFd
) -> None:
    """Nothing is signalled by the close."""
    with EventFd.create(port) as short_lived:
        signalled.unmask_by(short_lived)
    expect.equal("signals of the close", event.count(), 0)
    signalled.unmask_by(unmask)
    unmask.signal()
    expect.equal("signals by another", arrived(event), 1)


@checks(rules.IRQFD_CLOSED)
def test_one_of_two_descriptors_closed_it_goes_on(
    signalled: Interrupt, event: EventFd, unmask: EventFd
) -> None:
    """It is the open file that counts."""
    with unmask.dup() as second:
        signalled.unmask_by(second)
    unmask.signal()
    expect.equal("signals of a write", arrived(event), 1)


@checks(rules.IRQFD_OFF)
def test_turning_intx_off_ends_it(
    signalled: Interrupt, event: EventFd, unmask: EventFd, held_back: Callable[[], bool]
) -> None:
    """It can be assigned anew, and unmasks again."""
    signalled.unmask_by(unmask)
    signalled.off()
    unmask.signal()
    expect.equal("count left", unmask.count(), 1)
    signalled.signal(event)
    signalled.mask()
    unmask.signal()
    expect.equal("device held back", held_back(), True)
    expect.equal("count left once more", unmask.count(), 1)
    event.count()
    signalled.unmask_by(unmask)
    unmask.signal()
    expect.equal("signals of a write once assigned anew", arrived(event), 1)


@checks(rules.IRQFD_UNMASKS, rules.REPLACED)
def test_it_signals_whoever_is_the_trigger_now(
    signalled: Interrupt, event: EventFd, other: EventFd, unmask: EventFd
) -> None:
    """The trigger was replaced after the unmask eventfd was assigned."""
    signalled.unmask_by(unmask)
    signalled.signal(other)
    unmask.signal()
    expect.equal("signals of the new trigger", arrived(other), 1)
    expect.equal("signals of the old trigger", event.count(), 0)


@checks(rules.IRQFD_UNMASKS, rules.DEASSIGNED)
def test_without_a_trigger_it_does_no_harm(
    edu: Edu, signalled: Interrupt, event: EventFd, unmask: EventFd, held_back: Callable[[], bool]
) -> None:
    """What comes with nobody to tell is told to whoever is the trigger at the next write."""
    signalled.unmask_by(unmask)
    signalled.signal(-1)
    edu.acknowledge()
    unmask.signal()
    expect.equal("device held back", held_back(), False)
    edu.raise_interrupt()
    expect.equal("device held back once it was raised", held_back(), True)
    signalled.signal(event)
    unmask.signal()
    expect.equal("signals", arrived(event), 1)
