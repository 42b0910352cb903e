# SPDX-License-Identifier: MIT
"""The MSI-X table within its BAR: hidden from reads and writes, to the byte."""

from collections.abc import Callable
from typing import Protocol, Self

import pytest

from vfiospec import expect
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.ops import Peek
from vfiospec.device.pci import PciDevice
from vfiospec.device.region import Region, table_window
from vfiospec.rules import region_access as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

AROUND = 9  # bytes on each side of a boundary
ENTRY = 16


class Bus(Protocol):
    """The fixture."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def within(self, start: int, size: int) -> list[tuple[str, int, int, int]]: ...


@pytest.fixture
def table(decoding: Device, pci: PciDevice) -> tuple[Region, range]:
    """The BAR with the table, and the table's offsets in it."""
    (index,) = pci.msix_bars
    return decoding.region(index), table_window(pci, index)


def near(edge: int, end: int) -> list[tuple[int, int]]:
    """Starts and counts of accesses near an edge, none of which leaves the BAR."""
    starts = range(max(edge - AROUND, 0), min(edge + AROUND, end))
    return [(s, n) for s in starts for n in range(1, 2 * AROUND) if s + n <= end]


def around(window: range, start: int, count: int) -> tuple[int, int]:
    """How many bytes of an access lie before the table, and how many behind it."""
    before = min(max(window.start - start, 0), count)
    behind = min(max(start + count - window.stop, 0), count - before)
    return before, behind


@checks(rules.TABLE_READ)
@devices("msix")
@pytest.mark.parametrize("edge", ["start", "stop"])
def test_it_reads_as_ones_and_nothing_else_does_for_it(
    table: tuple[Region, range], edge: str, promised: Callable[[Rule], int]
) -> None:
    """At either edge: ones within, and around it what is read without it."""
    region, window = table
    spans = near(int(getattr(window, edge)), int(region.info.size))
    ones = bytes([promised(rules.TABLE_READ)])
    ops = []
    for start, count in spans:
        before, behind = around(window, start, count)
        ops += [
            region.read_op(start, before),
            region.read_op(start, count),
            region.read_op(start + count - behind, behind),
        ]
    replies = region.device.port.run(ops)
    for i, (start, count) in enumerate(spans):
        first, whole, last = replies[3 * i : 3 * i + 3]
        expect.equal(f"{count} bytes at {start:#x}", whole.ret, count)
        hidden = ones * (count - first.ret - last.ret)
        wanted = first.bytes[: first.ret] + hidden + last.bytes[: last.ret]
        expect.equal(f"{count} bytes at {start:#x}", whole.bytes.hex(), wanted.hex())


@checks(rules.TABLE_READ)
@devices("msix")
def test_all_of_it_reads_as_ones(
    table: tuple[Region, range], promised: Callable[[Rule], int]
) -> None:
    """In one read."""
    region, window = table
    call = expect.accepted(region.try_read(window.start, len(window)), len(window))
    wanted = bytes([promised(rules.TABLE_READ)]) * len(window)
    expect.equal("the table", call.data.hex(), wanted.hex())


@checks(rules.TABLE_READ)
@devices("msix", without=("sriov",))
@pytest.mark.parametrize("count", [1, 2, 4, 8], ids="count-{}".format)
def test_what_follows_it_is_not_hidden(table: tuple[Region, range], bus: Bus, count: int) -> None:
    """In QEMU nobody answers there: that reads as zeros, not as the ones of a table."""
    region, window = table
    with bus:
        got = region.read(window.stop, count)
    expect.equal(f"{count} bytes behind the table", got, 0)


@checks(rules.TABLE_READ, rules.TABLE_WRITE)
@devices("msix")
def test_the_device_sees_no_access_to_it(
    table: tuple[Region, range], pci: PciDevice, bus: Bus
) -> None:
    """Only to what lies around it."""
    region, window = table
    spans = near(window.start, int(region.info.size)) + near(window.stop, int(region.info.size))
    zeros = bytes(2 * AROUND)
    with bus:
        region.device.port.run(
            [op for s, n in spans for op in (region.read_op(s, n), region.write_op(s, zeros[:n]))]
        )
    start = pci.bars[region.index].start
    expect.equal("accesses", bus.within(start + window.start, len(window)), [])


@checks(rules.TABLE_WRITE)
@devices("pcie", "bar64", "msix", "pm")
def test_what_lies_before_it_is_accessed(
    table: tuple[Region, range], pci: PciDevice, bus: Bus
) -> None:
    """Up to its first byte: an access that crosses it is made as far as there."""
    region, window = table
    if window.start < AROUND:
        pytest.skip("the table starts its BAR")
    with bus:
        expect.accepted(region.try_write(window.start - 8, bytes(16)), 16)
        expect.accepted(region.try_read(window.start - 8, 16), 16)
    seen = bus.within(pci.bars[region.index].start + window.start - 8, 16)
    for kind in ("read", "write"):
        bytes_seen = sum(width for k, _, width, _ in seen if k == kind)
        expect.equal(f"bytes of {kind}s before the table", bytes_seen, 8)


@checks(rules.TABLE_WRITE)
@devices("msix")
@pytest.mark.parametrize("count", [1, 2, 4, 8, 16, 24, 32], ids="count-{}".format)
def test_writes_to_it_are_counted_and_dropped(
    table: tuple[Region, range], page: int, count: int
) -> None:
    """The mapping of the BAR shows the table as it was."""
    region, window = table
    length = -(-int(region.info.size) // page) * page
    with region.map(length) as mapping:
        look = Peek(mapping.at(window.start), len(window))
        before = region.device.port.do(look).bytes
        expect.accepted(region.try_write(window.start, b"\xaa" * count), count)
        expect.accepted(region.try_write(window.stop - count, b"\xaa" * count), count)
        expect.accepted(region.try_write(window.start + 1, b"\x55" * count), count)
        after = region.device.port.do(look).bytes
    expect.equal("the table", after.hex(), before.hex())
    expect.holds(any(b != 0xFF for b in before), "a mapping that shows the table", "ones")


@checks(rules.BAD_BUFFER)
@devices("msix")
def test_ones_need_a_buffer(
    table: tuple[Region, range], memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """Byte by byte."""
    region, window = table
    for left in range(4):
        call = region.try_read(window.start, 4, at=memory.tail(left))
        expect.refused(call, promised(rules.BAD_BUFFER))


@checks(rules.TABLE_BAD_BUFFER)
@devices("msix")
def test_what_is_dropped_is_not_fetched(table: tuple[Region, range], memory: Memory) -> None:
    """A write to the table needs no buffer, unless it reaches beyond."""
    region, window = table
    expect.accepted(region.try_write(window.start, at=memory.tail(0), size=ENTRY), ENTRY)


@checks(rules.MEMORY_OFF_REST, rules.TABLE_READ)
@devices("msix")
def test_it_answers_with_memory_off(
    memory_off: Device, pci: PciDevice, promised: Callable[[Rule], int]
) -> None:
    """It is the kernel that answers."""
    for index in pci.msix_bars:
        region, window = memory_off.region(index), table_window(pci, index)
        call = expect.accepted(region.try_read(window.start, ENTRY), ENTRY)
        wanted = bytes([promised(rules.TABLE_READ)]) * ENTRY
        expect.equal("first entry", call.data.hex(), wanted.hex())
        expect.accepted(region.try_write(window.start, bytes(ENTRY)), ENTRY)
        # An access that begins before the table is refused for what lies there.
        if window.start:
            across = region.try_read(window.start - 4, 8)
            expect.refused(across, promised(rules.MEMORY_OFF))
