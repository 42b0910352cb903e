# SPDX-License-Identifier: MIT
"""Whose interrupts are, how long they last, and how long the kernel holds an eventfd."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.device.access import Access, Attach
from vfiospec.device.call import checked
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, Memory
from vfiospec.device.irq_model import (
    BOOL,
    ERR,
    EVENTFD,
    INTX,
    MSI,
    MSIX,
    NONE,
    REQ,
    TRIGGER,
    UNMASK,
    Promised,
)
from vfiospec.device.pci import PciDevice
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import set_irqs as rules
from vfiospec.session.eventfds import Ids
from vfiospec.session.irqs import NOT_OPEN, Irqs, shape_of
from vfiospec.session.marks import checks, devices


def assign(
    irqs: Irqs, index: int, *fds: EventFd | int, start: int = 0, action: int = TRIGGER
) -> int:
    """EVENTFD for interrupts of an index: 0 or the errno."""
    flags = EVENTFD | action
    return irqs.device.try_set_irqs(index, flags, start, len(fds), eventfds=fds).errno


def turn_off(irqs: Irqs, index: int) -> None:
    checked(irqs.device.try_set_irqs(index, NONE | TRIGGER))


def replace(irqs: Irqs, index: int) -> None:
    with EventFd.create(irqs.port) as other:
        expect.equal("replaced", assign(irqs, index, other), 0)


def take_away(irqs: Irqs, index: int) -> None:
    expect.equal("taken away", assign(irqs, index, -1), 0)


WAYS = [turn_off, replace, take_away]


def indexes(irqs: Irqs) -> list[int]:
    return [index for index, count in enumerate(irqs.shape.counts) if count]


@checks(rules.RELEASED, rules.DISABLE, rules.REPLACE, rules.MINUS_ONE)
@pytest.mark.parametrize("way", WAYS, ids=["off", "replaced", "taken-away"])
def test_an_eventfd_is_held_until_it_is_not_used(
    irqs: Irqs, ids: Ids, way: Callable[[Irqs, int], None]
) -> None:
    """On each index: closed by us it stays, and it goes with its assignment."""
    for index in indexes(irqs):
        with EventFd.create(irqs.port) as event:
            (mine,) = ids.of(event)
            expect.equal("assigned", assign(irqs, index, event), 0)
        ids.must_be_held(mine, f"index {index}, closed by us")
        checked(irqs.device.try_set_irqs(index, NONE | TRIGGER, 0, 1))
        checked(irqs.device.try_set_irqs(index, BOOL | TRIGGER, 0, 1, b"\x01"))
        way(irqs, index)
        ids.must_go(mine, f"index {index}, {way.__name__}")
        if index in {ERR, REQ} and way is take_away:
            continue
        if way is not turn_off:
            turn_off(irqs, index)


def bad_block(irqs: Irqs, index: int) -> tuple[EventFd, ...]:
    """A block of two of which the second is bad; the first is returned."""
    good = EventFd.create(irqs.port)
    assign(irqs, index, good, NOT_OPEN)
    return (good,)


@checks(rules.RELEASED, rules.BAD_BLOCK)
@devices("msix")
def test_a_bad_block_holds_nothing(irqs: Irqs, ids: Ids, promised: Promised) -> None:
    """Neither its good eventfd nor the ones that were there, whether the index was on or not."""
    for on in (False, True):
        with EventFd.create(irqs.port) as old, EventFd.create(irqs.port) as good:
            before, mine = ids.of(old, good)
            if on:
                expect.equal("assigned", assign(irqs, MSIX, old, old), 0)
            refused = assign(irqs, MSIX, good, NOT_OPEN)
            expect.equal("errno of a bad block", refused, promised(rules.FD_CLOSED))
        ids.must_go(mine, "block refused")
        ids.must_go(before, "replaced by a bad block")
        if on:
            turn_off(irqs, MSIX)


@checks(rules.RELEASED, rules.DISABLE)
@devices("msix")
def test_all_of_a_set_are_released(irqs: Irqs, ids: Ids) -> None:
    """One eventfd may serve several vectors; it is held until the last one lets go."""
    with EventFd.create(irqs.port) as shared:
        (mine,) = ids.of(shared)
        expect.equal("assigned", assign(irqs, MSIX, shared, shared), 0)
        checked(irqs.device.try_set_irqs(MSIX, NONE | TRIGGER, 0, 2))
        expect.equal("signals of an eventfd for two vectors", shared.count(), 2)
    for vector in (0, 1):
        ids.must_be_held(mine, f"vector {vector} uses it")
        expect.equal("taken away", assign(irqs, MSIX, -1, start=vector), 0)
    ids.must_go(mine, "taken away from both")


@checks(rules.RELEASED, rules.UNMASK_EVENTFD_GONE)
@pytest.mark.parametrize("way", ["taken-away", "off", "closed", "busy"])
@devices("intx")
def test_an_unmask_eventfd_is_released(irqs: Irqs, ids: Ids, way: str, promised: Promised) -> None:
    """Taken away, with its interrupt, by closing it, and when it is refused."""
    with EventFd.create(irqs.port) as trigger, EventFd.create(irqs.port) as first:
        expect.equal("assigned", assign(irqs, INTX, trigger), 0)
        with EventFd.create(irqs.port) as event:
            (mine,) = ids.of(event)
            if way == "busy":
                expect.equal("bound", assign(irqs, INTX, first, action=UNMASK), 0)
                refused = assign(irqs, INTX, event, action=UNMASK)
                expect.equal("refused", refused, promised(rules.UNMASK_EVENTFD_BUSY))
            else:
                expect.equal("bound", assign(irqs, INTX, event, action=UNMASK), 0)
            if way == "taken-away":
                expect.equal("taken away", assign(irqs, INTX, -1, action=UNMASK), 0)
            if way == "off":
                turn_off(irqs, INTX)
        ids.must_go(mine, way)


@checks(rules.SHARED_STATE)
def test_another_fd_has_the_same_interrupts(
    irqs: Irqs, assigned: Access, spec: BenchDevice, promised: Promised
) -> None:
    """It signals them, it keeps them when it is closed, and it turns them off."""
    off = promised(rules.NOT_ON)
    for index in indexes(irqs):
        irqs.on(index)
        event = irqs.events[index, 0]
        with assigned.open(spec.bdf) as other:
            expect.accepted(other.try_set_irqs(index, NONE | TRIGGER, 0, 1))
            expect.equal("signals", event.count(), 1)
        irqs.prove()
        with assigned.open(spec.bdf) as other, EventFd.create(irqs.port) as another:
            checked(other.try_set_irqs(index, EVENTFD | TRIGGER, 0, 1, eventfds=(another,)))
            checked(irqs.device.try_set_irqs(index, NONE | TRIGGER, 0, 1))
            expect.equal("signals of the one in its place", another.count(), 1)
            expect.equal("signals of the one before", event.count(), 0)
            irqs.on(index)
            expect.accepted(other.try_set_irqs(index, NONE | TRIGGER))
        expect.refused(irqs.device.try_set_irqs(index, NONE | TRIGGER), off)
        irqs.events.pop((index, 0)).close()
        irqs.state = type(irqs.state)()
        irqs.prove()


@pytest.fixture
def alone(attach: Attach) -> Iterator[Access]:
    """The device's group, in which the test opens the device for the first time."""
    made = attach()
    yield made
    made.close()


def turn_on_all(device: Device, counts: tuple[int, ...], mode: int, event: EventFd) -> None:
    """Turn on a mode and all that can be on beside it, by one eventfd."""
    for index in {mode, ERR, REQ}:
        if counts[index]:
            checked(device.try_set_irqs(index, EVENTFD | TRIGGER, 0, 1, eventfds=(event,)))
    if mode == INTX:
        checked(device.try_set_irqs(INTX, EVENTFD | UNMASK, 0, 1, eventfds=(event,)))


@checks(rules.LAST_CLOSE, rules.RELEASED)
def test_the_last_close_turns_all_off(
    alone: Access, spec: BenchDevice, pci: PciDevice, ids: Ids, promised: Promised, memory: Memory
) -> None:
    """Its eventfd is released; opened again nothing is on, and all can be turned on."""
    port, off = alone.port, promised(rules.NOT_ON)
    device = alone.open(spec.bdf)
    shape = shape_of(device, isolated=False)
    for mode in [i for i in (INTX, MSI, MSIX) if shape.counts[i]] or [REQ]:
        with EventFd.create(port) as event:
            (mine,) = ids.of(event)
            turn_on_all(device, shape.counts, mode, event)
        second = alone.open(spec.bdf)
        device.close()
        ids.must_be_held(mine, f"index {mode}, another fd is open")
        second.close()
        ids.must_go(mine, f"index {mode}, device closed")
        device = alone.open(spec.bdf)
        again = Irqs(device, pci, shape, promised, memory)
        again.check()
        for index in [i for i, count in enumerate(shape.counts) if count]:
            expect.refused(device.try_set_irqs(index, NONE | TRIGGER, 0, 1), off)
            expect.refused(device.try_set_irqs(index, NONE | TRIGGER), off)
        again.on(mode)
        again.prove()
        again.silence()
    device.close()
