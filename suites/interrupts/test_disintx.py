# SPDX-License-Identifier: MIT
"""The Interrupt Disable bit of the command register, as the user writes it."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import pci
from vfiospec.device.edu import Edu
from vfiospec.device.files import EventFd
from vfiospec.device.interrupt import Interrupt, arrived
from vfiospec.rules import interrupts as rules
from vfiospec.session.marks import checks, devices

pytestmark = devices("irq-stimulus")


@checks(rules.DISINTX_HOLDS)
def test_while_set_nothing_comes(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool]
) -> None:
    """Once it is cleared, what is asserted comes, once."""
    intx.signal(event)
    edu.hold_back(disable=True)
    expect.equal("device held back", held_back(), True)
    edu.raise_interrupt()
    expect.equal("signals", event.count(), 0)
    edu.hold_back(disable=False)
    expect.equal("signals once cleared", arrived(event), 1)


@checks(rules.DISINTX_HOLDS)
@pytest.mark.parametrize(
    ("at", "width"), [(1, 1), (0, 2), (0, 4)], ids=["upper-byte", "register", "and-status"]
)
def test_written_in_any_width(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool], at: int, width: int
) -> None:
    """The upper byte alone, the register, and the status behind it too."""
    intx.signal(event)
    command = edu.device.read_config(pci.PCI_COMMAND, 2) & ~pci.PCI_COMMAND_INTX_DISABLE
    for disable in (pci.PCI_COMMAND_INTX_DISABLE, 0, pci.PCI_COMMAND_INTX_DISABLE):
        value = (command | disable) >> 8 * at
        edu.device.write_config(pci.PCI_COMMAND + at, width, value)
        expect.equal("user's bit", edu.is_held_back(), bool(disable))
        expect.equal("device held back", held_back(), bool(disable))
    edu.raise_interrupt()
    expect.equal("signals", event.count(), 0)
    edu.device.write_config(pci.PCI_COMMAND + at, width, command >> 8 * at)
    expect.equal("signals once cleared", arrived(event), 1)


@checks(rules.DISINTX_HOLDS)
def test_cleared_with_nothing_asserted_nothing_comes(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool]
) -> None:
    """But the next one does."""
    intx.signal(event)
    edu.hold_back(disable=True)
    edu.hold_back(disable=False)
    expect.equal("device held back", held_back(), False)
    expect.equal("signals once cleared", event.count(), 0)
    edu.raise_interrupt()
    expect.equal("signals of the next", arrived(event), 1)


@checks(rules.DISINTX_HOLDS)
def test_set_once_signalled_and_cleared_it_comes_again(
    edu: Edu, intx: Interrupt, event: EventFd
) -> None:
    """Clearing the bit unmasks what masked itself."""
    intx.signal(event)
    edu.raise_interrupt()
    expect.equal("signals", arrived(event), 1)
    edu.hold_back(disable=True)
    edu.hold_back(disable=False)
    expect.equal("signals once cleared", arrived(event), 1)


@checks(rules.DISINTX_HOLDS)
def test_clearing_what_was_clear_unmasks_nothing(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool]
) -> None:
    """Only a change of the bit counts, not a write of it."""
    intx.signal(event)
    intx.mask()
    edu.hold_back(disable=False)
    expect.equal("device held back", held_back(), True)
    edu.raise_interrupt()
    expect.equal("signals while masked", event.count(), 0)
    intx.unmask()
    expect.equal("signals", arrived(event), 1)


@checks(rules.DISINTX_HOLDS)
def test_setting_it_again_changes_nothing(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool]
) -> None:
    """One clear write undoes two set ones."""
    intx.signal(event)
    edu.hold_back(disable=True)
    edu.hold_back(disable=True)
    expect.equal("device held back", held_back(), True)
    expect.equal("user's bit", edu.is_held_back(), True)
    edu.raise_interrupt()
    edu.hold_back(disable=False)
    expect.equal("signals", arrived(event), 1)
    expect.equal("user's bit once cleared", edu.is_held_back(), False)


@checks(rules.DISINTX_LOOPBACK)
def test_a_loopback_is_held_back_too(edu: Edu, intx: Interrupt, event: EventFd) -> None:
    """It is not kept for later."""
    intx.signal(event)
    edu.hold_back(disable=True)
    intx.loop_back()
    expect.equal("signals", event.count(), 0)
    edu.hold_back(disable=False)
    expect.equal("signals once cleared", event.count(), 0)
    intx.loop_back()
    expect.equal("signals of another", event.count(), 1)


@checks(rules.DISINTX_UNMASK)
@pytest.mark.parametrize("masked", [0, 1], ids="masked-{}".format)
def test_unmask_does_not_override_it(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool], masked: int
) -> None:
    """Whether the user masked the interrupt too or not."""
    intx.signal(event)
    if masked:
        intx.mask()
    edu.hold_back(disable=True)
    edu.raise_interrupt()
    intx.unmask()
    expect.equal("device held back", held_back(), True)
    expect.equal("signals", event.count(), 0)
    edu.hold_back(disable=False)
    expect.equal("signals once cleared", arrived(event), 1)


@checks(rules.DISINTX_BEFORE)
def test_turned_on_with_it_set_nothing_comes(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool]
) -> None:
    """Until it is cleared."""
    edu.hold_back(disable=True)
    intx.signal(event)
    expect.equal("device held back", held_back(), True)
    edu.raise_interrupt()
    expect.equal("signals", event.count(), 0)
    edu.hold_back(disable=False)
    expect.equal("signals once cleared", arrived(event), 1)


@checks(rules.DISINTX_BEFORE)
def test_turned_on_with_it_set_then_cleared_with_nothing_asserted(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool]
) -> None:
    """The device is let through, and the next one comes."""
    edu.hold_back(disable=True)
    intx.signal(event)
    edu.hold_back(disable=False)
    expect.equal("device held back", held_back(), False)
    expect.equal("signals", event.count(), 0)
    edu.raise_interrupt()
    expect.equal("signals of the next", arrived(event), 1)


@checks(rules.DISINTX_HARDWARE_BIT)
def test_with_intx_off_the_device_follows(edu: Edu, held_back: Callable[[], bool]) -> None:
    """Set, cleared, set, cleared."""
    seen = []
    for disable in (True, False, True, False):
        edu.hold_back(disable=disable)
        seen.append((held_back(), edu.is_held_back()))
    expect.equal("(device, user)", seen, [(True, True), (False, False)] * 2)


@checks(rules.DISINTX_HARDWARE_BIT)
def test_turned_off_with_it_set_the_device_stays_held_back(
    edu: Edu, intx: Interrupt, event: EventFd, other: EventFd, held_back: Callable[[], bool]
) -> None:
    """The bit outlives the index, on both sides."""
    intx.signal(event)
    edu.hold_back(disable=True)
    intx.off()
    expect.equal("device held back", held_back(), True)
    expect.equal("user's bit", edu.is_held_back(), True)
    edu.hold_back(disable=False)
    expect.equal("device held back once cleared", held_back(), False)
    intx.signal(other)
    edu.raise_interrupt()
    expect.equal("signals", arrived(other), 1)
    expect.equal("signals of the old eventfd", event.count(), 0)
