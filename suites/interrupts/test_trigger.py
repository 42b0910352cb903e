# SPDX-License-Identifier: MIT
"""Trigger eventfds that are replaced, taken away, closed, and turned off, while interrupts come."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.access import Access, Attach
from vfiospec.device.edu import Edu
from vfiospec.device.files import EventFd
from vfiospec.device.interrupt import Interrupt, arrived
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import interrupts as rules
from vfiospec.session.marks import checks, devices

pytestmark = devices("irq-stimulus")
KINDS = pytest.mark.parametrize(
    "index",
    [vfio.VFIO_PCI_INTX_IRQ_INDEX, vfio.VFIO_PCI_MSI_IRQ_INDEX],
    ids=["intx", "msi"],
)


def next_one(edu: Edu, interrupt: Interrupt, event: EventFd) -> int:
    """Signals of one more interrupt, whatever the kind."""
    edu.acknowledge()
    if interrupt.index == vfio.VFIO_PCI_INTX_IRQ_INDEX:
        interrupt.unmask()
    edu.raise_interrupt()
    return arrived(event)


@pytest.fixture
def interrupt(edu: Edu, index: int) -> Interrupt:
    """The kind the test is on, off."""
    return Interrupt(edu.device, index)


@checks(rules.REPLACED)
@KINDS
def test_only_the_last_one_is_signalled(
    edu: Edu, interrupt: Interrupt, event: EventFd, other: EventFd
) -> None:
    """The interrupts before the change went to the first."""
    interrupt.signal(event)
    expect.equal("signals of the first", next_one(edu, interrupt, event), 1)
    interrupt.signal(other)
    expect.equal("signals of the second", next_one(edu, interrupt, other), 1)
    expect.equal("signals of the first since", event.count(), 0)
    interrupt.signal(event)
    expect.equal("signals of the first again", next_one(edu, interrupt, event), 1)
    expect.equal("signals of the second since", other.count(), 0)


@checks(rules.REPLACED)
@KINDS
def test_the_same_one_set_again_is_signalled_once(
    edu: Edu, interrupt: Interrupt, event: EventFd
) -> None:
    """It does not count double."""
    interrupt.signal(event)
    interrupt.signal(event)
    expect.equal("signals", next_one(edu, interrupt, event), 1)
    expect.equal("signals of another", next_one(edu, interrupt, event), 1)


@checks(rules.REPLACED, rules.INTX_MASKED)
def test_a_mask_outlives_its_trigger(
    edu: Edu, intx: Interrupt, event: EventFd, other: EventFd, held_back: Callable[[], bool]
) -> None:
    """Replacing the eventfd of a masked INTx does not unmask it."""
    intx.signal(event)
    intx.mask()
    intx.signal(other)
    expect.equal("device held back", held_back(), True)
    edu.raise_interrupt()
    expect.equal("signals while masked", other.count(), 0)
    intx.unmask()
    expect.equal("signals", arrived(other), 1)
    expect.equal("signals of the first", event.count(), 0)


@checks(rules.DEASSIGNED)
@KINDS
def test_after_minus_1_nobody_is_signalled(
    edu: Edu, interrupt: Interrupt, event: EventFd, other: EventFd
) -> None:
    """The index stays on, and another eventfd hears the next."""
    interrupt.signal(event)
    interrupt.signal(-1)
    edu.raise_interrupt()
    interrupt.signal(other)
    expect.equal("signals of the second", next_one(edu, interrupt, other), 1)
    expect.equal("signals of the first", event.count(), 0)


@checks(rules.DEASSIGNED, rules.INTX_AUTOMASKED)
def test_intx_masks_itself_with_nobody_to_tell(
    edu: Edu, intx: Interrupt, event: EventFd, held_back: Callable[[], bool]
) -> None:
    """It is handled all the same: a line nobody handles would be shut off."""
    intx.signal(-1)
    expect.equal("device held back", held_back(), False)
    edu.raise_interrupt()
    expect.equal("device held back once it was raised", held_back(), True)
    intx.signal(event)
    intx.unmask()
    expect.equal("signals", arrived(event), 1)


@checks(rules.CLOSED)
@KINDS
def test_one_the_user_closed_does_no_harm(
    edu: Edu, interrupt: Interrupt, event: EventFd, port: Port
) -> None:
    """The kernel has its own hold on it."""
    with EventFd.create(port) as short_lived:
        interrupt.signal(short_lived)
    edu.raise_interrupt()
    interrupt.signal(event)
    expect.equal("signals", next_one(edu, interrupt, event), 1)


@checks(rules.CLOSED)
@KINDS
def test_one_of_two_descriptors_closed_it_is_signalled(
    edu: Edu, interrupt: Interrupt, event: EventFd
) -> None:
    """It is the open file that counts."""
    with event.dup() as second:
        interrupt.signal(second)
    expect.equal("signals", next_one(edu, interrupt, event), 1)


@checks(rules.OFF)
@KINDS
def test_turned_off_nobody_is_signalled(
    edu: Edu, interrupt: Interrupt, event: EventFd, other: EventFd
) -> None:
    """Shown by the next one, with the index on again."""
    interrupt.signal(event)
    expect.equal("signals", next_one(edu, interrupt, event), 1)
    edu.acknowledge()
    interrupt.off()
    edu.raise_interrupt()
    edu.acknowledge()
    interrupt.signal(other)
    expect.equal("signals of the second", next_one(edu, interrupt, other), 1)
    expect.equal("signals of the first since", event.count(), 0)


@checks(rules.SWITCHED)
def test_from_one_kind_to_the_other_and_back(
    edu: Edu, intx: Interrupt, msi: Interrupt, event: EventFd, other: EventFd
) -> None:
    """The one that is on, and only it, each time."""
    for turn in range(2):
        intx.signal(event)
        expect.equal(f"signals of INTx, turn {turn}", next_one(edu, intx, event), 1)
        edu.acknowledge()
        intx.off()
        msi.signal(other)
        expect.equal(f"signals of MSI, turn {turn}", next_one(edu, msi, other), 1)
        edu.acknowledge()
        msi.off()
        expect.equal("signals left", (event.count(), other.count()), (0, 0))


@checks(rules.OTHER_FD)
@KINDS
def test_the_fd_that_turned_it_on_may_be_closed(
    edu: Edu, index: int, event: EventFd, assigned: Access, spec: BenchDevice
) -> None:
    """Another fd of the device keeps it, and can turn it off."""
    with assigned.open(spec.bdf) as second:
        Interrupt(second, index).signal(event)
    kept = Interrupt(edu.device, index)
    expect.equal("signals", next_one(edu, kept, event), 1)
    kept.off()


@pytest.fixture
def mine(attach: Attach) -> Iterator[Access]:
    """The device's group, opened by the test alone."""
    assigned = attach()
    try:
        yield assigned
    finally:
        assigned.close()


@checks(rules.LAST_CLOSE)
@KINDS
@pytest.mark.parametrize("asserted", [0, 1], ids="asserted-{}".format)
def test_the_last_close_turns_it_off(
    mine: Access, spec: BenchDevice, event: EventFd, other: EventFd, index: int, asserted: int
) -> None:
    """Opened again it can be turned on anew, and the old eventfd is not told."""
    with mine.open(spec.bdf) as device, Edu(device).in_use():
        Interrupt(device, index).signal(event)
        expect.equal("signals", next_one(Edu(device), Interrupt(device, index), event), 1)
    with mine.open(spec.bdf) as device:
        edu = Edu(device)
        edu.enable()
        Interrupt(device, index).signal(event)
        if asserted:
            edu.raise_interrupt()
            expect.equal("signals before the close", arrived(event), 1)
    with mine.open(spec.bdf) as device, Edu(device).in_use():
        Interrupt(device, index).signal(other)
        expect.equal("signals", next_one(Edu(device), Interrupt(device, index), other), 1)
    expect.equal("signals of the old eventfd", event.count(), 0)


@checks(rules.LAST_CLOSE)
def test_the_last_close_forgets_the_mask(
    mine: Access,
    spec: BenchDevice,
    event: EventFd,
    other: EventFd,
    held_back: Callable[[], bool],
) -> None:
    """Neither a mask, nor Interrupt Disable, nor an UNMASK eventfd is there at the next open."""
    index = vfio.VFIO_PCI_INTX_IRQ_INDEX
    with mine.open(spec.bdf) as device:
        Interrupt(device, index).signal(event)
        Interrupt(device, index).unmask_by(other)
        Interrupt(device, index).mask()
        Edu(device).hold_back(disable=True)
    with mine.open(spec.bdf) as device, Edu(device).in_use():
        again = Interrupt(device, index)
        expect.equal("user's bit", Edu(device).is_held_back(), False)
        again.signal(event)
        expect.equal("device held back", held_back(), False)
        again.unmask_by(other)
        Edu(device).raise_interrupt()
        expect.equal("signals", arrived(event), 1)
        other.signal()
        expect.equal("signals by the unmask eventfd", arrived(event), 1)
