# SPDX-License-Identifier: MIT
"""IOEVENTFD: the set of a device's writes: no two alike, one taken away, all gone at last."""

from collections.abc import Callable, Iterator
from itertools import product

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device import edu
from vfiospec.device import ops as o
from vfiospec.device.access import Access, Attach
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd
from vfiospec.device.ioeventfd import Binder
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.device.scratch import decode_memory
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import ioeventfd as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Promised = Callable[[Rule], int]
BYTE, WORD, LONG = list(rules.WIDTHS)[:3]


@pytest.fixture
def at(binder: Binder, free: tuple[int, int]) -> int:
    """Where a write may be bound."""
    return binder.at(*free)


@checks(rules.DUPLICATE, rules.DEASSIGN)
def test_no_two_alike(binder: Binder, at: int, port: Port, promised: Promised) -> None:
    """Not even for another eventfd; taken away, it may be bound again."""
    with EventFd.create(port) as other:
        for _ in range(2):
            expect.accepted(binder.bind(LONG, at, 7))
            expect.refused(binder.bind(LONG, at, 7), promised(rules.DUPLICATE))
            expect.refused(binder.bind(LONG, at, 7, other), promised(rules.DUPLICATE))
            expect.accepted(binder.unbind(LONG, at, 7))
            expect.refused(binder.unbind(LONG, at, 7), promised(rules.ABSENT))


@checks(rules.DISTINCT, rules.DEASSIGN, rules.ABSENT, rules.DUPLICATE)
def test_only_the_one_that_is_named(
    binder: Binder, pci: PciDevice, free: tuple[int, int], promised: Promised
) -> None:
    """Some that differ in one thing each: each taken away leaves all others.

    The last word of a BAR is as far in it as that of another BAR of its size.
    """
    bar, offset = free
    places = [binder.at(bar, offset + further) for further in (0, 4, 12)]
    every = list(product((WORD, LONG), places, (5, 5 | 1 << 40)))
    others = [
        i for i, b in enumerate(pci.bars[:6]) if i != bar and b.size and i not in pci.msix_bars
    ]
    every += [(LONG, binder.at(i, pci.bars[i].size - 4), 5) for i in others]
    for one in every:
        expect.refused(binder.unbind(*one), promised(rules.ABSENT))
        expect.accepted(binder.bind(*one))
    while every:
        gone = every.pop(len(every) // 2)
        expect.accepted(binder.unbind(*gone))
        expect.refused(binder.unbind(*gone), promised(rules.ABSENT))
        for one in every:
            expect.refused(binder.bind(*one), promised(rules.DUPLICATE))


@checks(rules.OTHER_FD)
def test_they_are_the_device_s(
    binder: Binder, at: int, assigned: Access, spec: BenchDevice, promised: Promised
) -> None:
    """Another fd finds a write bound already, leaves it at its close, and can take it away."""
    expect.accepted(binder.bind(LONG, at, 1))
    with assigned.open(spec.bdf) as other:
        call = other.try_ioeventfd(LONG, at, 1, binder.event)
        expect.refused(call, promised(rules.DUPLICATE))
    expect.refused(binder.bind(LONG, at, 1), promised(rules.DUPLICATE))
    with assigned.open(spec.bdf) as other:
        expect.accepted(other.try_ioeventfd(LONG, at, 1, -1))
    expect.refused(binder.unbind(LONG, at, 1), promised(rules.ABSENT))


@checks(rules.EVENTFD_CLOSED)
def test_a_closed_eventfd(binder: Binder, at: int, port: Port, promised: Promised) -> None:
    """The write stays known, and can be taken away."""
    with EventFd.create(port) as event:
        expect.accepted(binder.bind(LONG, at, 1, event))
    expect.refused(binder.bind(LONG, at, 1), promised(rules.DUPLICATE))
    expect.accepted(binder.unbind(LONG, at, 1))
    expect.accepted(binder.bind(LONG, at, 1))


@pytest.fixture
def group(attach: Attach) -> Iterator[Access]:
    """The group in a container, none of its devices open."""
    made = attach()
    yield made
    made.close()


def many(device: Device, event: EventFd, numbers: range, *, bind: bool) -> list[o.Reply]:
    """Bind or take away one write for each number, in one message: the data tells them apart."""
    at = int(device.get_region_info(0).struct.offset)
    request = vfio.vfio_device_ioeventfd
    size, place = request.sizeof(), request.offset_of("fd")
    ops = [
        o.Ioctl(
            device.handle,
            vfio.VFIO_DEVICE_IOEVENTFD,
            data=request(size, LONG, at, number, -1).pack(),
            fixups=(event.fixup(place),) if bind else (),
        )
        for number in numbers
    ]
    return list(device.port.run(ops))


@checks(rules.MAXIMUM, rules.NO_SPACE, rules.ABSENT, rules.CLOSE)
@devices("irq-stimulus", "dma-stimulus")
def test_the_maximum(group: Access, spec: BenchDevice, event: EventFd, promised: Promised) -> None:
    """So many and no more; one less makes room for one; after a close there is room for all."""
    most = promised(rules.MAXIMUM)
    for _ in range(2):
        with group.open(spec.bdf) as device:
            full = many(device, event, range(most), bind=True)
            refusals = [n for n, reply in enumerate(full) if not reply.ok]
            expect.equal("numbers of writes that were refused", refusals, [])
            more = many(device, event, range(most, most + 2), bind=True)
            errors = [promised(rules.NO_SPACE)] * 2
            expect.equal("errnos of two more", [r.errno for r in more], errors)
            again = many(device, event, range(1), bind=True)
            expect.equal("errno of one again", again[0].errno, promised(rules.DUPLICATE))
            absent = many(device, event, range(most, most + 2), bind=False)
            errors = [promised(rules.ABSENT)] * 2
            expect.equal("errnos of two that are not there", [r.errno for r in absent], errors)
            gone = many(device, event, range(10, 12), bind=False)
            expect.equal("errnos of two taken away", [r.errno for r in gone], [0, 0])
            last = many(device, event, range(most, most + 3), bind=True)
            errors = [0, 0, promised(rules.NO_SPACE)]
            expect.equal("errnos of three more", [r.errno for r in last], errors)


@checks(rules.CLOSE)
@devices("irq-stimulus")
def test_a_close_ends_them(group: Access, spec: BenchDevice, event: EventFd) -> None:
    """Then a signal writes nothing and stays in the eventfd, which may be bound anew."""
    with group.open(spec.bdf) as device:
        at = int(device.get_region_info(0).struct.offset) + edu.LIVENESS
        expect.accepted(device.try_ioeventfd(LONG, at, 0x1234, event))
    with group.open(spec.bdf) as device:
        decode_memory(device)
        bar = device.region(0)
        bar.write(edu.LIVENESS, 4, 0x5678)
        event.signal()
        expect.equal("liveness", bar.read(edu.LIVENESS, 4) ^ 0xFFFFFFFF, 0x5678)
        expect.equal("count of the eventfd", event.count(), 1)
        expect.accepted(device.try_ioeventfd(LONG, at, 0x1234, event))
        event.signal()
        expect.equal("liveness", bar.read(edu.LIVENESS, 4) ^ 0xFFFFFFFF, 0x1234)
