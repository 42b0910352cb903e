# SPDX-License-Identifier: MIT
"""VFIO_IOMMU_MAP_DMA: what is mapped, and what is refused."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.container import READ_WRITE, Container
from vfiospec.device.files import Memory
from vfiospec.device.ops import MemoryKind
from vfiospec.device.port import Port
from vfiospec.rules import type1 as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

READ, WRITE = iommu.VFIO_DMA_MAP_FLAG_READ, iommu.VFIO_DMA_MAP_FLAG_WRITE
VADDR = iommu.VFIO_DMA_MAP_FLAG_VADDR
WORD = 1 << 64
Promised = Callable[[Rule], int]


def nothing_mapped(container: Container, iova: int, size: int) -> None:
    """A range of which nothing is mapped."""
    expect.equal(f"bytes mapped from {iova:#x}", container.unmapped(iova, size), 0)


@checks(rules.MAP_ARGSZ)
@pytest.mark.parametrize("argsz", [0, 4, 8, iommu.DMA_MAP_MIN - 1], ids="argsz-{}".format)
def test_too_small_an_argsz_is_refused(
    v2: Container, base: int, buffer: Memory, page: int, argsz: int, promised: Promised
) -> None:
    """And nothing is mapped."""
    call = v2.try_map(buffer, base, page, argsz=argsz)
    expect.refused(call, promised(rules.MAP_ARGSZ))
    nothing_mapped(v2, base, page)


@checks(rules.MAP_ACCEPTED)
@pytest.mark.parametrize("flags", [READ, WRITE, READ_WRITE], ids="flags-{}".format)
def test_each_direction_is_accepted(
    v2: Container, base: int, buffer: Memory, page: int, flags: int
) -> None:
    """And the structure is left alone."""
    call = expect.accepted(v2.try_map(buffer, base, 3 * page, flags))
    expect.untouched(call, 0)
    expect.equal("bytes mapped", v2.unmapped(base, 3 * page), 3 * page)


@checks(rules.MAP_ACCEPTED)
@pytest.mark.parametrize("more", [1, 8, 100], ids="more-{}".format)
def test_what_lies_behind_the_structure_is_ignored(
    v2: Container, base: int, buffer: Memory, page: int, more: int
) -> None:
    """A larger argsz is a newer program's."""
    argsz = iommu.DMA_MAP_MIN + more
    expect.accepted(v2.try_map(buffer, base, page, argsz=argsz, more=b"\xff" * more))
    expect.accepted(v2.try_map(buffer, base + page, page, argsz=WORD // (1 << 32) - 1))
    expect.equal("bytes mapped", v2.unmapped(base, 2 * page), 2 * page)


@checks(rules.MAP_ACCEPTED, rules.MAP_LOCKS)
@pytest.mark.parametrize("kind", [MemoryKind.ANON, MemoryKind.MEMFD], ids=["anon", "memfd"])
def test_memory_nothing_was_written_to_is_accepted(
    v2: Container, base: int, port: Port, page: int, kind: MemoryKind, locked: Callable[[], int]
) -> None:
    """It is made as it is mapped; 700 pages are more than one batch of pins."""
    size = 700 * page
    with Memory(port, size, kind=kind) as memory:
        expect.accepted(v2.try_map(memory, base, size))
        expect.equal("bytes locked", locked(), size)
        expect.equal("bytes unmapped", v2.unmapped(base, size), size)
    expect.equal("bytes locked afterwards", locked(), 0)


@checks(rules.MAP_DIRECTION)
def test_no_direction_is_refused(
    v2: Container, base: int, buffer: Memory, page: int, promised: Promised
) -> None:
    """A device must be able to do something with it."""
    expect.refused(v2.try_map(buffer, base, page, 0), promised(rules.MAP_DIRECTION))
    nothing_mapped(v2, base, page)


@checks(rules.MAP_FLAGS)
def test_an_unknown_flag_is_refused(
    v2: Container, base: int, buffer: Memory, page: int, promised: Promised
) -> None:
    """Each bit that has no meaning."""
    for bit in range(3, 32):
        call = v2.try_map(buffer, base, page, READ_WRITE | 1 << bit)
        expect.refused(call, promised(rules.MAP_FLAGS))
    nothing_mapped(v2, base, page)


@checks(rules.MAP_EMPTY)
def test_no_bytes_are_refused(v2: Container, base: int, buffer: Memory, promised: Promised) -> None:
    """A mapping has a size."""
    expect.refused(v2.try_map(buffer, base, 0), promised(rules.MAP_EMPTY))


@checks(rules.MAP_ALIGNED)
@pytest.mark.parametrize("off", ["iova", "vaddr", "size"])
@pytest.mark.parametrize("by", ["byte", "half", "less"])
def test_an_unaligned_part_is_refused(
    v2: Container, base: int, buffer: Memory, page: int, off: str, by: str, promised: Promised
) -> None:
    """Each of the three, while the others are aligned."""
    step = {"byte": 1, "half": page // 2, "less": page - 1}[by]
    iova, vaddr, size = (step if off == part else 0 for part in ("iova", "vaddr", "size"))
    call = v2.try_map(buffer.at(vaddr), base + iova, page + size)
    expect.refused(call, promised(rules.MAP_ALIGNED))
    nothing_mapped(v2, base, 4 * page)


@checks(rules.MAP_WRAPS)
@pytest.mark.parametrize("off", ["iova", "vaddr"])
@pytest.mark.parametrize("pages", [2, 3, 1 << 40], ids="pages-{}".format)
def test_running_over_the_end_is_refused(
    v2: Container, base: int, buffer: Memory, page: int, off: str, pages: int, promised: Promised
) -> None:
    """By one page or by many."""
    end = WORD - page
    iova, vaddr = (end, buffer.at()) if off == "iova" else (base, end)
    call = v2.try_map(vaddr, iova, pages * page)
    expect.refused(call, promised(rules.MAP_WRAPS))


@checks(rules.MAP_RANGE)
def test_the_last_page_of_all_is_no_overrun_but_outside(
    v2: Container, buffer: Memory, page: int, promised: Promised
) -> None:
    """It ends with the address space, which no IOMMU here reaches to."""
    expect.refused(v2.try_map(buffer, WORD - page, page), promised(rules.MAP_RANGE))


@checks(rules.MAP_BAD_VADDR)
def test_the_last_page_of_the_process_is_no_overrun_but_not_there(
    v2: Container, base: int, page: int, promised: Promised
) -> None:
    """The address is the kernel's."""
    expect.refused(v2.try_map(WORD - page, base, page), promised(rules.MAP_BAD_VADDR))


@checks(rules.MAP_RANGE_EDGES)
def test_the_edges_of_each_range_are_accepted(
    v2: Container, buffer: Memory, page: int, promised: Promised
) -> None:
    """Its first page and its last."""
    for start, end in v2.iova_ranges():
        for iova in (start, end + 1 - page):
            expect.accepted(v2.try_map(buffer, iova, page), promised(rules.MAP_RANGE_EDGES))
            expect.equal("bytes unmapped", v2.unmapped(iova, page), page)


@checks(rules.MAP_RANGE)
def test_one_page_beyond_a_range_is_refused(
    v2: Container, buffer: Memory, page: int, promised: Promised
) -> None:
    """Alone, or as part of a mapping that begins or ends inside."""
    wanted = promised(rules.MAP_RANGE)
    for start, end in v2.iova_ranges():
        expect.refused(v2.try_map(buffer, end + 1, page), wanted)
        expect.refused(v2.try_map(buffer, end + 1 - page, 2 * page), wanted)
        if start:
            expect.refused(v2.try_map(buffer, start - page, page), wanted)
            expect.refused(v2.try_map(buffer, start - page, 2 * page), wanted)
    expect.equal("bytes mapped", v2.unmapped(0, WORD // 2), 0)


@checks(rules.MAP_RANGE)
def test_across_a_reserved_window_is_refused(v2: Container, promised: Promised) -> None:
    """From the last page of a range to the first of the next: before memory is looked at."""
    ranges = v2.iova_ranges()
    for (_, end), (start, _) in pairwise(ranges):
        page = v2.page_size()
        size = start - end - 1 + 2 * page
        expect.refused(v2.try_map(page, end + 1 - page, size), promised(rules.MAP_RANGE))


@checks(rules.MAP_RANGE)
@pytest.mark.parametrize("bit", [60, 63], ids="bit-{}".format)
def test_far_beyond_every_range_is_refused(
    v2: Container, buffer: Memory, page: int, bit: int, promised: Promised
) -> None:
    """Where no table of an IOMMU reaches."""
    expect.refused(v2.try_map(buffer, 1 << bit, page), promised(rules.MAP_RANGE))


# The mapping is of pages 4 to 7
OVERLAPS = {
    "same": (4, 4), "head": (2, 3), "one-page-of-the-head": (0, 5), "tail": (6, 4),
    "one-page-of-the-tail": (7, 1), "first-page": (4, 1), "inside": (5, 2), "around": (0, 12),
}  # fmt: skip


@checks(rules.MAP_OVERLAP)
@pytest.mark.parametrize("where", OVERLAPS)
def test_an_overlap_is_refused(
    v2: Container, base: int, buffer: Memory, page: int, where: str, promised: Promised
) -> None:
    """And what was mapped stays."""
    first, count = OVERLAPS[where]
    v2.map(buffer, base + 4 * page, 4 * page)
    call = v2.try_map(buffer, base + first * page, count * page)
    expect.refused(call, promised(rules.MAP_OVERLAP))
    expect.equal("bytes mapped", v2.unmapped(base, 16 * page), 4 * page)


@checks(rules.MAP_ADJACENT)
def test_neighbours_are_accepted(
    v2: Container, base: int, buffer: Memory, page: int, promised: Promised
) -> None:
    """Before, behind, and in a gap that is just large enough."""
    for first, count in ((4, 4), (3, 1), (8, 1), (0, 2), (2, 1)):
        call = v2.try_map(buffer, base + first * page, count * page)
        expect.accepted(call, promised(rules.MAP_ADJACENT))
    expect.equal("bytes mapped", v2.unmapped(base, 16 * page), 9 * page)


@checks(rules.MAP_OVERLAP)
def test_among_many_each_is_found(
    v2: Container, base: int, buffer: Memory, page: int, promised: Promised
) -> None:
    """Mappings made in no order, each of which is in the way of another one."""
    order = [7 * i % 16 for i in range(16)]
    for i in order:
        v2.map(buffer.at(i * page), base + 2 * i * page, page)
    for i in range(16):
        call = v2.try_map(buffer, base + 2 * i * page, page)
        expect.refused(call, promised(rules.MAP_OVERLAP))
        expect.accepted(v2.try_map(buffer, base + (2 * i + 1) * page, page))
    expect.equal("bytes mapped", v2.unmapped(base, 32 * page), 32 * page)


@checks(rules.MAP_ORDER, rules.MAP_DIRECTION, rules.MAP_ALIGNED, rules.MAP_EMPTY, rules.MAP_WRAPS)
def test_a_wrong_argument_comes_before_an_overlap(
    v2: Container, base: int, buffer: Memory, page: int, promised: Promised
) -> None:
    """Flags, alignment and overrun, where something is mapped already."""
    v2.map(buffer, base, 4 * page)
    expect.refused(v2.try_map(buffer, base, page, 0), promised(rules.MAP_DIRECTION))
    expect.refused(v2.try_map(buffer.at(1), base, page), promised(rules.MAP_ALIGNED))
    expect.refused(v2.try_map(buffer, base, 0), promised(rules.MAP_EMPTY))
    expect.refused(v2.try_map(WORD - page, base, 2 * page), promised(rules.MAP_WRAPS))


@checks(rules.MAP_ORDER)
def test_the_range_comes_before_the_memory(v2: Container, promised: Promised) -> None:
    """An IOVA that cannot be used is refused without a look at the address."""
    end = v2.iova_ranges()[-1][1]
    expect.refused(v2.try_map(0, end + 1, v2.page_size()), promised(rules.MAP_RANGE))


@checks(rules.MAP_ORDER)
def test_an_overlap_comes_before_the_memory(
    v2: Container, base: int, buffer: Memory, page: int, promised: Promised
) -> None:
    """What is in the way is told first."""
    v2.map(buffer, base, page)
    expect.refused(v2.try_map(0, base, page), promised(rules.MAP_OVERLAP))


@checks(rules.BAD_ADDRESS)
def test_a_bad_argument_is_refused(v2: Container, buffer: Memory, promised: Promised) -> None:
    """No address, and a structure that memory ends in; before argsz is looked at."""
    wanted = promised(rules.BAD_ADDRESS)
    expect.refused(v2.try_ioctl(iommu.VFIO_IOMMU_MAP_DMA), wanted)
    short = buffer.tail(iommu.DMA_MAP_MIN - 1)
    expect.refused(v2.try_ioctl(iommu.VFIO_IOMMU_MAP_DMA, short), wanted)
