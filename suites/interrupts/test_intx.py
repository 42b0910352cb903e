# SPDX-License-Identifier: MIT
"""INTx as it comes: signalled once, then masked until the user asks for more."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.device.edu import Edu
from vfiospec.device.files import EventFd
from vfiospec.device.interrupt import Interrupt, arrived
from vfiospec.rules import interrupts as rules
from vfiospec.session.marks import checks, devices

pytestmark = devices("irq-stimulus")


@checks(rules.INTX_DELIVERED)
def test_it_is_signalled_once(edu: Edu, intx: Interrupt, event: EventFd) -> None:
    """Not before it is raised, and not twice."""
    intx.signal(event)
    expect.equal("signals before", event.count(), 0)
    edu.raise_interrupt()
    expect.equal("signals", arrived(event), 1)
    edu.acknowledge()
    intx.unmask()
    expect.equal("signals after it was acknowledged", event.count(), 0)


@checks(rules.INTX_DELIVERED)
def test_each_one_is_signalled_once(edu: Edu, intx: Interrupt, event: EventFd) -> None:
    """Raised, heard, acknowledged and unmasked, again and again."""
    intx.signal(event)
    for turn in range(8):
        edu.raise_interrupt(1 << turn)
        expect.equal(f"signals of interrupt {turn}", arrived(event), 1)
        edu.acknowledge()
        intx.unmask()
    expect.equal("signals left", event.count(), 0)


@checks(rules.INTX_AUTOMASKED)
def test_a_second_one_waits_for_the_unmask(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool]
) -> None:
    """The one that comes with the unmask is the only one: no other was on its way."""
    intx.signal(event)
    edu.raise_interrupt(1)
    expect.equal("signals", arrived(event), 1)
    expect.equal("device held back", held_back(), True)
    edu.acknowledge()
    edu.raise_interrupt(2)
    expect.equal("signals while masked", event.count(), 0)
    intx.unmask()
    expect.equal("signals after the unmask", arrived(event), 1)


@checks(rules.INTX_UNMASK_ASSERTED)
@pytest.mark.parametrize("how", ["none", "bool"], ids="data-{}".format)
def test_what_is_still_asserted_comes_again(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool], how: str
) -> None:
    """As often as it is unmasked, and masked again each time."""
    intx.signal(event)
    edu.raise_interrupt()
    expect.equal("signals", arrived(event), 1)
    for turn in range(3):
        intx.unmask() if how == "none" else intx.unmask_if(1)
        expect.equal(f"signals of unmask {turn}", arrived(event), 1)
        expect.equal("device held back", held_back(), True)


@checks(rules.INTX_UNMASK_RELEASED)
@pytest.mark.parametrize("how", ["none", "bool"], ids="data-{}".format)
def test_what_was_acknowledged_does_not_come_again(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool], how: str
) -> None:
    """The next one comes, alone."""
    intx.signal(event)
    edu.raise_interrupt()
    expect.equal("signals", arrived(event), 1)
    edu.acknowledge()
    intx.unmask() if how == "none" else intx.unmask_if(0xFF)
    expect.equal("device held back", held_back(), False)
    expect.equal("signals after the unmask", event.count(), 0)
    edu.raise_interrupt()
    expect.equal("signals of the next", arrived(event), 1)


@checks(rules.INTX_BOOL)
def test_unmask_by_zero_does_nothing(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool]
) -> None:
    """The interrupt stays masked."""
    intx.signal(event)
    edu.raise_interrupt()
    expect.equal("signals", arrived(event), 1)
    intx.unmask_if(0)
    expect.equal("device held back", held_back(), True)
    expect.equal("signals", event.count(), 0)
    intx.unmask()
    expect.equal("signals after an unmask", arrived(event), 1)


@checks(rules.INTX_BOOL)
def test_mask_by_zero_does_nothing(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool]
) -> None:
    """The interrupt comes."""
    intx.signal(event)
    intx.mask_if(0)
    expect.equal("device held back", held_back(), False)
    edu.raise_interrupt()
    expect.equal("signals", arrived(event), 1)


@checks(rules.INTX_MASKED)
@pytest.mark.parametrize("how", ["none", "bool-1", "bool-255"], ids="data-{}".format)
def test_what_is_masked_waits(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool], how: str
) -> None:
    """And comes once when it is unmasked."""
    intx.signal(event)
    intx.mask() if how == "none" else intx.mask_if(int(how.partition("-")[2]))
    expect.equal("device held back", held_back(), True)
    edu.raise_interrupt()
    expect.equal("signals while masked", event.count(), 0)
    intx.unmask()
    expect.equal("signals after the unmask", arrived(event), 1)


@checks(rules.INTX_MASKED)
def test_what_came_and_went_while_masked_is_not_told(
    edu: Edu, intx: Interrupt, event: EventFd
) -> None:
    """A level that is gone was no interrupt."""
    intx.signal(event)
    intx.mask()
    edu.raise_interrupt()
    edu.acknowledge()
    intx.unmask()
    expect.equal("signals", event.count(), 0)
    edu.raise_interrupt()
    expect.equal("signals of the next", arrived(event), 1)


@checks(rules.INTX_MASK_IS_NO_COUNT)
def test_masks_do_not_add_up(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool]
) -> None:
    """Two masks are undone by one unmask, and a second unmask is nothing."""
    intx.signal(event)
    intx.mask()
    intx.mask()
    intx.unmask()
    expect.equal("device held back", held_back(), False)
    intx.unmask()
    expect.equal("signals", event.count(), 0)
    intx.mask()
    expect.equal("device held back after one more mask", held_back(), True)
    edu.raise_interrupt()
    intx.unmask()
    expect.equal("signals", arrived(event), 1)


@checks(rules.INTX_HARDWARE_BIT)
def test_the_device_is_held_back_just_while_masked(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool]
) -> None:
    """On, masked, unmasked, signalled, unmasked."""
    intx.signal(event)
    seen = [held_back()]
    intx.mask()
    seen.append(held_back())
    intx.unmask()
    seen.append(held_back())
    edu.raise_interrupt()
    expect.equal("signals", arrived(event), 1)
    seen.append(held_back())
    edu.acknowledge()
    intx.unmask()
    seen.append(held_back())
    expect.equal("held back", seen, [False, True, False, True, False])


@checks(rules.INTX_HARDWARE_BIT)
def test_the_user_sees_no_mask(edu: Edu, intx: Interrupt, event: EventFd) -> None:
    """The bit of the command register that the user reads is the user's."""
    intx.signal(event)
    expect.equal("user's bit", edu.is_held_back(), False)
    intx.mask()
    expect.equal("user's bit while masked", edu.is_held_back(), False)
    intx.unmask()
    edu.raise_interrupt()
    expect.equal("signals", arrived(event), 1)
    expect.equal("user's bit once signalled", edu.is_held_back(), False)


@checks(rules.INTX_REENABLED)
@pytest.mark.parametrize("by", ["user", "signal"], ids="masked-by-{}".format)
def test_turned_off_masked_and_on_again_it_comes(
    edu: Edu, intx: Interrupt, event: EventFd, other: EventFd, by: str
) -> None:
    """A mask is no more than its index."""
    intx.signal(event)
    if by == "user":
        intx.mask()
    else:
        edu.raise_interrupt()
        expect.equal("signals", arrived(event), 1)
        edu.acknowledge()
    intx.off()
    intx.signal(other)
    edu.raise_interrupt()
    expect.equal("signals", arrived(other), 1)
    expect.equal("signals of the old eventfd", event.count(), 0)
