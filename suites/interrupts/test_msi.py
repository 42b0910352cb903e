# SPDX-License-Identifier: MIT
"""MSI: messages the device sends."""

from vfiospec import expect
from vfiospec.device.edu import Edu
from vfiospec.device.files import EventFd
from vfiospec.device.interrupt import Interrupt, arrived
from vfiospec.rules import interrupts as rules
from vfiospec.session.marks import checks, devices

pytestmark = devices("irq-stimulus")


@checks(rules.MSI_DELIVERED)
def test_each_message_is_signalled_once(edu: Edu, msi: Interrupt, event: EventFd) -> None:
    """With nothing masked in between: an edge, not a level."""
    msi.signal(event)
    for turn in range(8):
        edu.raise_interrupt(1 << turn)
        expect.equal(f"signals of message {turn}", arrived(event), 1)
    edu.acknowledge()
    expect.equal("signals left", event.count(), 0)


@checks(rules.MSI_BUS_MASTER)
def test_without_bus_master_nothing_comes(edu: Edu, msi: Interrupt, event: EventFd) -> None:
    """What could not be sent is lost; the next message comes alone."""
    edu.enable(bus_master=False)
    msi.signal(event)
    edu.raise_interrupt(1)
    expect.equal("signals", event.count(), 0)
    edu.enable()
    expect.equal("signals once it is bus master", event.count(), 0)
    edu.raise_interrupt(2)
    expect.equal("signals of the next", arrived(event), 1)


@checks(rules.MSI_LEAVES_DISINTX)
def test_the_interrupt_disable_bit_stays_as_it_is(edu: Edu, msi: Interrupt, event: EventFd) -> None:
    """Clear, whether MSI is on or off."""
    seen = [edu.is_held_back()]
    msi.signal(event)
    seen.append(edu.is_held_back())
    msi.off()
    seen.append(edu.is_held_back())
    expect.equal("user's bit", seen, [False, False, False])


@checks(rules.MSI_LEAVES_DISINTX)
def test_interrupt_disable_does_not_stop_messages(edu: Edu, msi: Interrupt, event: EventFd) -> None:
    """The bit is about INTx alone."""
    msi.signal(event)
    edu.hold_back(disable=True)
    edu.raise_interrupt()
    expect.equal("signals", arrived(event), 1)
    edu.hold_back(disable=False)
    edu.raise_interrupt()
    expect.equal("signals once cleared", arrived(event), 1)
