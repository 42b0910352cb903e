# SPDX-License-Identifier: MIT
"""A device that is taken away while it is open: the REQ interrupt, and what it waits for."""

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd
from vfiospec.device.group import Assigned
from vfiospec.device.interrupt import NONE, TRIGGER, Interrupt, arrived
from vfiospec.device.ops import Fork, Wait
from vfiospec.device.port import ForkedPort, Port
from vfiospec.device.unbind import Unbinder
from vfiospec.lab.bench import BenchDevice
from vfiospec.lab.qemu import Vm
from vfiospec.rules import interrupts as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

pytestmark = devices("unplug")
REQ = vfio.VFIO_PCI_REQ_IRQ_INDEX
AT_ONCE_MS, A_MOMENT_MS = 10_000, 20


@pytest.fixture
def unbinder(machine: Vm, port: Port, closed: int, spec: BenchDevice) -> Iterator[Unbinder]:
    """Somebody who can take the device from vfio-pci; it is given back at the end."""
    del machine, closed
    made = Unbinder(port, spec.bdf)
    try:
        yield made
    finally:
        made.give_back()


class Mine(Assigned):
    """A group that can be given up before the end of the test."""

    is_open = True

    def close(self) -> None:
        """Close group and container, if they are open."""
        if self.is_open:
            self.is_open = False
            super().close()


@pytest.fixture
def mine(unbinder: Unbinder, port: Port, closed: int) -> Iterator[Mine]:
    """The device's group, opened by the test alone."""
    del unbinder
    made = Mine(port, closed)
    try:
        yield made
    finally:
        made.close()


class Held:
    """An fd of the device that is closed once."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._open = True

    def let_go(self) -> None:
        """Close it, if it is open."""
        if self._open:
            self._open = False
            self.device.close()

    def hear(self, event: EventFd | int) -> None:
        """Have requests signal this eventfd; -1 for none."""
        Interrupt(self.device, REQ).signal(event)


@pytest.fixture
def held(mine: Mine, spec: BenchDevice) -> Iterator[Held]:
    """The only fd of the device."""
    made = Held(mine.open(spec.bdf))
    try:
        yield made
    finally:
        made.let_go()


@checks(rules.REQUEST_SIGNALLED, rules.UNBIND_BLOCKS)
def test_the_user_is_asked_once_and_at_once(
    held: Held, mine: Mine, unbinder: Unbinder, event: EventFd
) -> None:
    """Not before, and not again when the device is let go."""
    held.hear(event)
    expect.equal("signals before", event.count(), 0)
    unbinder.start()
    expect.equal("signals", arrived(event), 1)
    expect.equal("gone while open", unbinder.done(A_MOMENT_MS), False)
    held.let_go()
    mine.close()
    expect.equal("gone once closed", unbinder.done(AT_ONCE_MS), True)
    expect.equal("signals since", event.count(), 0)


@checks(rules.REQUEST_REMOVED)
@pytest.mark.parametrize("how", ["never-set", "minus-1", "count-0"])
def test_without_an_eventfd_it_waits_all_the_same(
    held: Held, unbinder: Unbinder, event: EventFd, how: str
) -> None:
    """Nobody is asked."""
    if how != "never-set":
        held.hear(event)
    if how == "minus-1":
        held.hear(-1)
    if how == "count-0":
        Interrupt(held.device, REQ).off()
    unbinder.start()
    expect.equal("gone while open", unbinder.done(A_MOMENT_MS), False)
    expect.equal("signals", event.count(), 0)
    held.hear(event)
    expect.equal("signals of an eventfd that comes late", event.count(), 0)


@checks(rules.REQUEST_SIGNALLED, rules.REPLACED)
def test_only_the_last_eventfd_is_asked(
    held: Held, unbinder: Unbinder, event: EventFd, other: EventFd
) -> None:
    """The one before was replaced."""
    held.hear(event)
    held.hear(other)
    unbinder.start()
    expect.equal("signals of the second", arrived(other), 1)
    expect.equal("signals of the first", event.count(), 0)


@checks(rules.REQUEST_SIGNALLED, rules.CLOSED)
def test_an_eventfd_the_user_closed_does_no_harm(
    held: Held, unbinder: Unbinder, port: Port
) -> None:
    """The kernel has its own hold on it."""
    with EventFd.create(port) as short_lived:
        held.hear(short_lived)
    unbinder.start()
    expect.equal("gone while open", unbinder.done(A_MOMENT_MS), False)


@checks(rules.REQUEST_REPEATED)
def test_the_user_is_asked_again(
    held: Held,
    unbinder: Unbinder,
    event: EventFd,
    other: EventFd,
    promised: Callable[[Rule], int],
) -> None:
    """By the eventfd that is set by then. A slow test: there is no way to hurry the kernel."""
    held.hear(event)
    unbinder.start()
    expect.equal("signals", arrived(event), 1)
    began = time.monotonic()
    held.hear(other)
    seconds = promised(rules.REQUEST_REPEATED)
    for _ in range(2 * seconds):
        if other.wait(1000):
            break
    expect.equal("signals of the second request", other.count(), 1)
    waited = time.monotonic() - began
    expect.holds(waited > seconds - 1.5, f"{seconds} s between requests", f"{waited:.1f} s")
    expect.equal("signals of the eventfd replaced", event.count(), 0)


@checks(rules.REQUEST_REPEATED)
def test_who_asks_is_not_let_off(held: Held, unbinder: Unbinder, event: EventFd) -> None:
    """A signal to the process that asks makes it ask again at once, and wait on."""
    held.hear(event)
    unbinder.start()
    expect.equal("signals", arrived(event), 1)
    unbinder.kill()
    expect.equal("signals once it was killed", arrived(event), 1)
    expect.equal("gone while open", unbinder.done(A_MOMENT_MS), False)


@checks(rules.UNBIND_STILL_WORKS)
def test_the_device_can_be_used_meanwhile(
    held: Held, unbinder: Unbinder, event: EventFd, other: EventFd
) -> None:
    """Info, registers and interrupts are answered as before."""
    device = held.device
    held.hear(event)
    ids = device.read_config(0, 4)
    info = device.get_info().raw
    unbinder.start()
    expect.equal("signals", arrived(event), 1)
    expect.equal("info", device.get_info().raw, info)
    expect.equal("ids", device.read_config(0, 4), ids)
    msix = Interrupt(device, vfio.VFIO_PCI_MSIX_IRQ_INDEX)
    msix.signal(other)
    msix.loop_back()
    expect.equal("signals of a vector", other.count(), 1)
    msix.off()
    Interrupt(device, REQ).loop_back()
    expect.equal("signals of a loopback", event.count(), 1)


@checks(rules.UNBIND_NO_NEW)
def test_whether_a_new_fd_is_given(
    held: Held,
    mine: Mine,
    unbinder: Unbinder,
    event: EventFd,
    spec: BenchDevice,
    promised: Callable[[Rule], int],
) -> None:
    """Through the group that has one open."""
    held.hear(event)
    unbinder.start()
    expect.equal("signals", arrived(event), 1)
    call, second = mine.group.try_get_device_fd(spec.bdf)
    if second is not None:
        second.close()
    expect.equal(f"{call}: errno", call.errno, promised(rules.UNBIND_NO_NEW))


@checks(rules.UNBIND_BLOCKS)
def test_the_last_of_two_fds_counts(
    held: Held, mine: Mine, unbinder: Unbinder, event: EventFd, spec: BenchDevice
) -> None:
    """Whichever they are: opened, or duplicated."""
    second = Held(mine.open(spec.bdf))
    third = Held(held.device.dup())
    try:
        held.hear(event)
        unbinder.start()
        expect.equal("signals", arrived(event), 1)
        held.let_go()
        expect.equal("gone with two open", unbinder.done(A_MOMENT_MS), False)
        second.let_go()
        expect.equal("gone with one open", unbinder.done(A_MOMENT_MS), False)
    finally:
        second.let_go()
        third.let_go()
    mine.close()
    expect.equal("gone once closed", unbinder.done(AT_ONCE_MS), True)


@checks(rules.UNBIND_BLOCKS)
def test_a_mapping_counts_like_an_fd(
    held: Held, mine: Mine, unbinder: Unbinder, event: EventFd
) -> None:
    """The fd was closed, what was mapped through it is still there."""
    held.hear(event)
    with held.device.region(vfio.VFIO_PCI_BAR0_REGION_INDEX).map():
        unbinder.start()
        expect.equal("signals", arrived(event), 1)
        held.let_go()
        expect.equal("gone while mapped", unbinder.done(A_MOMENT_MS), False)
    mine.close()
    expect.equal("gone once unmapped", unbinder.done(AT_ONCE_MS), True)


@checks(rules.LAST_CLOSE)
@pytest.mark.parametrize("index", [vfio.VFIO_PCI_ERR_IRQ_INDEX, REQ], ids=["err", "req"])
def test_the_last_close_removes_the_eventfd(
    mine: Mine, spec: BenchDevice, event: EventFd, index: int, promised: Callable[[Rule], int]
) -> None:
    """At the next open there is none to loop back to."""
    with mine.open(spec.bdf) as device:
        Interrupt(device, index).signal(event)
        Interrupt(device, index).loop_back()
        expect.equal("signals of a loopback", event.count(), 1)
    with mine.open(spec.bdf) as device:
        call = device.try_set_irqs(index, NONE | TRIGGER, 0, 1)
        expect.refused(call, promised(rules.LAST_CLOSE))
    expect.equal("signals since", event.count(), 0)


@checks(rules.UNBIND_KILL)
def test_the_end_of_the_owner_gives_it_back(
    unbinder: Unbinder, port: Port, closed: int, spec: BenchDevice, event: EventFd
) -> None:
    """Killed, it cannot close anything itself."""
    process = port.handle()
    port.do(Fork(process))
    owner = ForkedPort(port, process)
    theirs = Assigned(owner, closed)
    Interrupt(theirs.open(spec.bdf), REQ).signal(EventFd(owner, event.handle))
    unbinder.start()
    expect.equal("signals", arrived(event), 1)
    expect.equal("gone while it lives", unbinder.done(A_MOMENT_MS), False)
    port.do(Wait(process, signal.SIGKILL))
    expect.equal("gone once it was killed", unbinder.done(AT_ONCE_MS), True)


@checks(rules.UNBIND_REBIND)
def test_given_back_it_works_as_before(
    unbinder: Unbinder, port: Port, closed: int, spec: BenchDevice, event: EventFd
) -> None:
    """Nobody had it open: it goes at once, and comes back."""
    unbinder.start()
    expect.equal("gone", unbinder.done(AT_ONCE_MS), True)
    expect.equal("bound", unbinder.is_bound(), False)
    unbinder.give_back()
    assigned = Assigned(port, closed)
    try:
        with assigned.open(spec.bdf) as device:
            request = Interrupt(device, REQ)
            request.signal(event)
            request.loop_back()
            expect.equal("signals", event.count(), 1)
            command = device.read_config(regs.PCI_COMMAND, 2)
            expect.flags("command", command, forbidden=regs.PCI_COMMAND_MASTER)
    finally:
        assigned.close()
