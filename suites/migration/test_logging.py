# SPDX-License-Identifier: MIT
"""Logging of a device's DMA: the ranges it is started with, and reports of them."""

import mmap
from collections.abc import Callable, Iterator, Sequence

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.call import Call
from vfiospec.device.files import Memory
from vfiospec.device.mtty import Serial
from vfiospec.device.ops import Fixup  # noqa: TC001 -- as a type only here, but no cycle is broken by it
from vfiospec.device.port import ForkedPort
from vfiospec.rules import migration as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
SET, GET = feature.VFIO_DEVICE_FEATURE_SET, feature.VFIO_DEVICE_FEATURE_GET
CONTROL = feature.vfio_device_feature_dma_logging_control
RANGE = feature.vfio_device_feature_dma_logging_range
REPORT = feature.vfio_device_feature_dma_logging_report
PAGE = 4096  # bytes of what is logged at once, in most tests
TOP = 1 << 64
Range = tuple[int, int]


@pytest.fixture
def memory(process: ForkedPort, page: int) -> Iterator[Memory]:
    """Two pages of the second process, with nothing behind: for ranges, and a bitmap."""
    with Memory(process, 2 * page, guard=True) as made:
        yield made


def start(
    serial: Serial,
    memory: Memory,
    ranges: Sequence[Range],
    *,
    page: int = PAGE,
    count: int | None = None,
    address: int | None = None,
) -> Call:
    """DMA_LOGGING_START of (iova, length) pairs."""
    memory.write(0, b"".join(RANGE(iova, length).pack() for iova, length in ranges))
    many = len(ranges) if count is None else count
    fixups: tuple[Fixup, ...] = ()
    if address is None:
        fixups = (memory.fixup(feature.FEATURE_MIN + CONTROL.offset_of("ranges")),)
    data = CONTROL(page, many, 0, address or 0).pack()
    flags = feature.VFIO_DEVICE_FEATURE_DMA_LOGGING_START | SET
    return serial.device.try_feature(flags, data, fixups=fixups)


def stop(serial: Serial) -> Call:
    """DMA_LOGGING_STOP."""
    return serial.device.try_feature(feature.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP | SET)


def report(
    serial: Serial, iova: int, length: int, page: int, bitmap: Memory | int, offset: int = 0
) -> Call:
    """DMA_LOGGING_REPORT of a range into a bitmap."""
    fixups: tuple[Fixup, ...] = ()
    if isinstance(bitmap, Memory):
        at = feature.FEATURE_MIN + REPORT.offset_of("bitmap")
        fixups = (bitmap.fixup(at, offset),)
    address = bitmap if isinstance(bitmap, int) else 0
    data = REPORT(iova, length, page, address).pack()
    flags = feature.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT | GET
    return serial.device.try_feature(flags, data, fixups=fixups)


@checks(rules.LOG)
@pytest.mark.parametrize("unit", [PAGE, 1, 1 << 21, 1 << 40], ids="unit-{:x}".format)
def test_started_reported_stopped(serial: Serial, memory: Memory, unit: int) -> None:
    """Nothing is dirty, and bits that were set stay so."""
    expect.accepted(start(serial, memory, [(0, unit), (4 * unit, 2 * unit)], page=unit))
    bits = bytes(range(1, 65))
    memory.write(0, bits)
    size = max(unit, PAGE)
    expect.accepted(report(serial, 0, size * 8 * len(bits), size, memory))
    expect.equal("bitmap", memory.read(0, len(bits)).hex(), bits.hex())
    expect.accepted(stop(serial))


@checks(rules.LOG_NONE)
def test_no_range(serial: Serial, memory: Memory, promised: Promised) -> None:
    """Though an address is given."""
    expect.refused(start(serial, memory, [(0, PAGE)], count=0), promised(rules.LOG_NONE))


@checks(rules.LOG_MANY, rules.LOG)
def test_many_ranges(serial: Serial, memory: Memory, page: int, promised: Promised) -> None:
    """A page full, and one more, without looking at them."""
    most = page // RANGE.sizeof()
    ranges = [(2 * i * PAGE, PAGE) for i in range(most)]
    expect.accepted(start(serial, memory, ranges))
    stop(serial)
    for many in (most + 1, 1 << 16, 0xFFFFFFFF):
        call = start(serial, memory, ranges, count=many, address=8)
        expect.refused(call, promised(rules.LOG_MANY))


@checks(rules.LOG_ALIGNED)
@pytest.mark.parametrize("unit", [PAGE, 2 * PAGE, 1 << 30], ids="unit-{:x}".format)
def test_unaligned(serial: Serial, memory: Memory, unit: int, promised: Promised) -> None:
    """The start, or the length, as the first range and as the last."""
    for bad in ((1, unit), (unit // 2, unit), (0, unit - 1), (0, unit + 1), (unit * 4, unit // 2)):
        for ranges in ([bad], [(unit * 8, unit), bad]):
            call = start(serial, memory, ranges, page=unit)
            expect.refused(call, promised(rules.LOG_ALIGNED))


@checks(rules.LOG_OVERLAP, rules.LOG)
def test_overlap(serial: Serial, memory: Memory, promised: Promised) -> None:
    """By a page, or wholly, or with one that is not next to it; what touches does not overlap."""
    middle = (4 * PAGE, 4 * PAGE)
    for other in (middle, (PAGE, 4 * PAGE), (7 * PAGE, PAGE), (5 * PAGE, PAGE), (0, 16 * PAGE)):
        for ranges in ([middle, other], [middle, (1 << 30, PAGE), other]):
            call = start(serial, memory, ranges)
            expect.refused(call, promised(rules.LOG_OVERLAP))
    expect.accepted(start(serial, memory, [middle, (0, 4 * PAGE), (8 * PAGE, PAGE)]))
    stop(serial)


@checks(rules.LOG_END, rules.LOG)
def test_the_last_address(serial: Serial, memory: Memory, promised: Promised) -> None:
    """Up to the last page but one; what ends at 2^64 or beyond does not fit."""
    expect.accepted(start(serial, memory, [(TOP - 2 * PAGE, PAGE)]))
    stop(serial)
    expect.accepted(report(serial, TOP - 2 * PAGE, PAGE, PAGE, memory))
    for length in (PAGE, 2 * PAGE, TOP - PAGE):
        call = start(serial, memory, [(TOP - PAGE, length)])
        expect.refused(call, promised(rules.LOG_END))
        call = report(serial, TOP - PAGE, length, PAGE, memory)
        expect.refused(call, promised(rules.LOG_END))


@checks(rules.LOG_ADDRESS)
def test_ranges_that_are_not_there(serial: Serial, memory: Memory, promised: Promised) -> None:
    """Not at all, or not the second one."""
    last = RANGE(0, PAGE).pack()
    memory.write(memory.size - len(last), last)
    data = CONTROL(PAGE, 2, 0, 0).pack()
    at = feature.FEATURE_MIN + CONTROL.offset_of("ranges")
    flags = feature.VFIO_DEVICE_FEATURE_DMA_LOGGING_START | SET
    call = serial.device.try_feature(
        flags, data, fixups=(memory.fixup(at, memory.size - len(last)),)
    )
    expect.refused(call, promised(rules.LOG_ADDRESS))
    for address in (0, 8, 1 << 63):
        call = start(serial, memory, [(0, PAGE)], address=address)
        expect.refused(call, promised(rules.LOG_ADDRESS))


@checks(rules.BAD_ADDRESS)
def test_a_start_whose_answer_cannot_be_written(
    serial: Serial, memory: Memory, promised: Promised
) -> None:
    """Its structure lies in memory that is only readable, beside the ranges."""
    size = feature.FEATURE_MIN + CONTROL.sizeof()
    flags = feature.VFIO_DEVICE_FEATURE_DMA_LOGGING_START | SET
    head = feature.vfio_device_feature(size, flags).pack()
    memory.write(0, head + CONTROL(PAGE, 1, 0, memory.address + size).pack())
    memory.write(size, RANGE(0, PAGE).pack())
    memory.protect(mmap.PROT_READ)
    try:
        call = serial.device.try_ioctl(feature.VFIO_DEVICE_FEATURE, memory.at())
    finally:
        memory.protect(mmap.PROT_READ | mmap.PROT_WRITE)
    expect.refused(call, promised(rules.BAD_ADDRESS))
    expect.accepted(serial.device.try_ioctl(feature.VFIO_DEVICE_FEATURE, memory.at()))
    expect.accepted(stop(serial))


@checks(rules.LOG_PAGE, rules.LOG)
def test_pages_of_a_report(serial: Serial, memory: Memory, promised: Promised) -> None:
    """Too small, no power of two, and those that are right."""
    for page in (0, 1, 512, 2048, 4095, 4097, 3 * PAGE, PAGE + 2048, (1 << 63) + PAGE):
        call = report(serial, 0, 16 * PAGE, page, memory)
        expect.refused(call, promised(rules.LOG_PAGE))
    for shift in (12, 13, 16, 21, 30, 52):
        expect.accepted(report(serial, 0, 1 << 16, 1 << shift, memory))


@checks(rules.LOG_OVERLAP, rules.LOG)
def test_overlap_by_a_byte(serial: Serial, memory: Memory, promised: Promised) -> None:
    """With pages of a byte: the first, the last, or one alone."""
    for other in ((19, 5), (5, 6), (10, 1), (19, 1)):
        for ranges in ([(10, 10), other], [other, (10, 10)]):
            call = start(serial, memory, ranges, page=1)
            expect.refused(call, promised(rules.LOG_OVERLAP))
    for other in ((20, 5), (5, 5), (9, 1)):
        expect.accepted(start(serial, memory, [(10, 10), other], page=1))
        stop(serial)
