# SPDX-License-Identifier: MIT
"""The bits of a dirty bitmap, one by one."""

from collections.abc import Callable, Sequence

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.container import Bitmap, Container
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned, Group
from vfiospec.rules import dirty as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

START = iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_START
STOP = iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
UNMAP = iommu.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP
CANARY = b"\xa5" * 64
WORD = 64
# Mappings as (first page, pages)
LAYOUTS: dict[str, Sequence[tuple[int, int]]] = {
    "one-page": [(0, 1)],
    "three-and-five": [(0, 3), (3, 5)],
    "five-and-three": [(3, 5), (8, 3)],
    "whole-word": [(0, 64)],
    "word-and-one": [(0, 65)],
    "over-a-word": [(63, 2)],
    "last-of-a-word": [(60, 4), (64, 60)],
    "off-by-one": [(1, 64)],
    "many": [(1, 3), (4, 60), (64, 5), (69, 1)],
    "far-apart": [(5, 1), (70, 3), (130, 64)],
    "three-words": [(7, 150)],
    "none": [],
}

WITHIN_A_WORD = (
    "three-and-five", "five-and-three", "over-a-word", "off-by-one", "many", "far-apart",
    "three-words",
)  # fmt: skip


def put(container: Container, base: int, buffer: Memory, layout: Sequence[tuple[int, int]]) -> int:
    """Make the mappings; the number of pages a range needs to hold them."""
    page = container.page_size()
    for first, count in layout:
        container.map(buffer, base + first * page, count * page)
    return max((first + count for first, count in layout), default=10)


def bits(layout: Sequence[tuple[int, int]]) -> int:
    """A bit for each page that is mapped."""
    return sum(((1 << count) - 1) << first for first, count in layout)


class Board:
    """Memory with a bitmap in its middle."""

    def __init__(self, buffer: Memory, pages: int, fill: bytes = b"\0") -> None:
        """As many whole words as so many pages take."""
        self.size = -(-pages // WORD) * 8
        # The last page is mapped by no layout: to write the bitmap changes no page in use
        self.at = buffer.size - 1024
        self.buffer = buffer
        self.fill = fill * self.size
        self.clear()

    def clear(self) -> None:
        """As it was at first."""
        self.buffer.write(self.at - len(CANARY), CANARY + self.fill + CANARY)

    def bitmap(self, page: int) -> Bitmap:
        """For the call."""
        return Bitmap(self.buffer.at(self.at), self.size, page)

    def judge(self, wanted: int) -> None:
        """Just these bits are set, and nothing around has changed."""
        raw = self.buffer.read(self.at - len(CANARY), self.size + 2 * len(CANARY))
        got = int.from_bytes(raw[len(CANARY) :][: self.size], "little")
        expect.equal("bits", f"{got:#x}", f"{wanted:#x}")
        expect.equal("before the bitmap", raw[: len(CANARY)], CANARY)
        expect.equal("behind the bitmap", raw[-len(CANARY) :], CANARY)


@checks(rules.ALL_DIRTY, rules.OTHERS)
@pytest.mark.parametrize("started", ["before", "after"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_mapped_page_is_dirty_and_no_other(
    v2: Container, base: int, buffer: Memory, page: int, layout: str, started: str
) -> None:
    """Whether logging starts before the mappings are made or after."""
    if started == "before":
        expect.accepted(v2.try_dirty_pages(START))
    pages = put(v2, base, buffer, LAYOUTS[layout])
    if started == "after":
        expect.accepted(v2.try_dirty_pages(START))
    board = Board(buffer, pages)
    expect.accepted(v2.try_get_dirty(base, pages * page, board.bitmap(page)))
    board.judge(bits(LAYOUTS[layout]))


@checks(rules.ALL_DIRTY, rules.OTHERS)
@pytest.mark.parametrize("start", [0, 1, 4, 64, 69])
def test_bits_count_from_the_start_of_the_range(
    v2: Container, base: int, buffer: Memory, page: int, start: int
) -> None:
    """Mappings before it and behind it are not told of."""
    layout = LAYOUTS["many"]
    put(v2, base, buffer, layout)
    expect.accepted(v2.try_dirty_pages(START))
    pages = 69 - start if start < 69 else 1
    board = Board(buffer, pages)
    call = v2.try_get_dirty(base + start * page, pages * page, board.bitmap(page))
    expect.accepted(call)
    inside = [(f, n) for f, n in layout if start <= f < start + pages]
    board.judge(bits(inside) >> start)


@checks(rules.OTHERS)
def test_a_bitmap_larger_than_needed_is_written_where_it_is_needed(
    v2: Container, base: int, buffer: Memory, page: int
) -> None:
    """The rest is left alone."""
    put(v2, base, buffer, [(0, 3)])
    expect.accepted(v2.try_dirty_pages(START))
    board = Board(buffer, 1)
    bitmap = Bitmap(board.bitmap(page).data, board.size + len(CANARY), page)
    expect.accepted(v2.try_get_dirty(base, 3 * page, bitmap))
    board.judge(0b111)


@checks(rules.BEFORE)
def test_what_is_before_a_mapping_keeps_its_bits(
    v2: Container, base: int, buffer: Memory, page: int
) -> None:
    """And so do words of which no page is mapped."""
    put(v2, base, buffer, [(5, 3), (130, 1)])
    expect.accepted(v2.try_dirty_pages(START))
    board = Board(buffer, 131, fill=b"\x55")
    expect.accepted(v2.try_get_dirty(base, 131 * page, board.bitmap(page)))
    raw = buffer.read(board.at, board.size)
    low, middle, high = (int.from_bytes(raw[i : i + 8], "little") for i in (0, 8, 16))
    expect.equal("the first 8 bits", f"{low & 0xFF:#x}", f"{0x15 | 0xE0:#x}")
    expect.equal("the second word", f"{middle:#x}", f"{0x5555555555555555:#x}")
    expect.equal("the first 3 bits of the third", high & 7, 0b101)


def ask_again(container: Container, base: int, board: Board, pages: int, mapped: int) -> None:
    """Ask three times: mapped pages are dirty each time, then no others are."""
    page = container.page_size()
    others = 0
    for _ in range(3):
        board.clear()
        expect.accepted(container.try_get_dirty(base, pages * page, board.bitmap(page)))
        got = int.from_bytes(board.buffer.read(board.at, board.size), "little")
        expect.equal("bits of mapped pages", f"{got & mapped:#x}", f"{mapped:#x}")
        others |= got & ~mapped
        board.judge(got)
    expect.equal("bits of pages that are not mapped", f"{others:#x}", "0x0")


@checks(rules.ALL_DIRTY, rules.OTHERS)
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in WITHIN_A_WORD])
def test_asked_again_it_says_the_same(
    v2: Container, base: int, buffer: Memory, layout: str
) -> None:
    """The device can write at any time to what is mapped, and to nothing else."""
    pages = put(v2, base, buffer, LAYOUTS[layout])
    expect.accepted(v2.try_dirty_pages(START))
    ask_again(v2, base, Board(buffer, pages), pages, bits(LAYOUTS[layout]))


@checks(rules.ALL_DIRTY, rules.OTHERS)
@pytest.mark.parametrize("layout", WITHIN_A_WORD)
def test_asked_again_of_a_mapping_within_a_word_it_says_the_same(
    v2: Container, base: int, buffer: Memory, layout: str
) -> None:
    """Mappings whose bits begin within a word, and have none of another mapping behind them."""
    pages = put(v2, base, buffer, LAYOUTS[layout])
    expect.accepted(v2.try_dirty_pages(START))
    ask_again(v2, base, Board(buffer, pages), pages, bits(LAYOUTS[layout]))


@checks(rules.ALL_DIRTY, rules.OTHERS)
def test_stopped_and_started_it_says_the_same(
    v2: Container, base: int, buffer: Memory, page: int
) -> None:
    """Also of what was mapped and unmapped meanwhile."""
    put(v2, base, buffer, [(0, 3), (3, 5)])
    for layout in ([(0, 3), (3, 5)], [(0, 3), (3, 5), (8, 1)], [(0, 3), (8, 1)]):
        expect.accepted(v2.try_dirty_pages(START))
        board = Board(buffer, 9)
        expect.accepted(v2.try_get_dirty(base, 9 * page, board.bitmap(page)))
        board.judge(bits(layout))
        expect.accepted(v2.try_dirty_pages(STOP))
        if (8, 1) not in layout:
            v2.map(buffer, base + 8 * page, page)
        else:
            v2.unmapped(base + 3 * page, 5 * page)


@checks(rules.ALL_DIRTY)
@pytest.mark.parametrize("leaving", ["first", "second"])
def test_with_one_of_two_groups_gone_pages_are_dirty(
    assigned2: Assigned, second_group: int, base: int, buffer: Memory, page: int, leaving: str
) -> None:
    """The other one's devices can still write."""
    container = assigned2.container
    with Group.of(container.port, second_group) as other:
        expect.accepted(other.try_set_container(container))
        container.map(buffer, base, 3 * page)
        expect.accepted(container.try_dirty_pages(START))
        gone = assigned2.group if leaving == "first" else other
        board = Board(buffer, 3)
        for step in range(3):
            board.clear()
            expect.accepted(container.try_get_dirty(base, 3 * page, board.bitmap(page)))
            board.judge(0b111)
            if step == 0:
                expect.accepted(gone.try_unset_container())


@checks(rules.UNMAPPED, rules.ALL_DIRTY, rules.OTHERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_unmapping_tells_the_bits(
    v2: Container, base: int, buffer: Memory, page: int, layout: str
) -> None:
    """Of all mappings in the range, before they go; and how many bytes they were."""
    pages = put(v2, base, buffer, LAYOUTS[layout])
    expect.accepted(v2.try_dirty_pages(START))
    board = Board(buffer, pages)
    call = v2.try_unmap(base, pages * page, UNMAP, bitmap=board.bitmap(page))
    got = expect.accepted(call).unpack(iommu.vfio_iommu_type1_dma_unmap)
    size = sum(n for _, n in LAYOUTS[layout]) * page
    expect.equal("bytes unmapped", got.size, size)
    expect.untouched(call, iommu.DMA_UNMAP_MIN)
    board.judge(bits(LAYOUTS[layout]))
    expect.equal("bytes left", v2.unmapped(base, pages * page), 0)


@checks(rules.UNMAP_NOT_STARTED)
@pytest.mark.parametrize("stopped", ["never-started", "stopped"])
def test_without_logging_unmapping_tells_nothing(
    v2: Container,
    base: int,
    buffer: Memory,
    page: int,
    stopped: str,
    promised: Callable[[Rule], int],
) -> None:
    """And unmaps nothing."""
    put(v2, base, buffer, [(0, 3)])
    if stopped == "stopped":
        expect.accepted(v2.try_dirty_pages(START))
        expect.accepted(v2.try_dirty_pages(STOP))
    board = Board(buffer, 3)
    call = v2.try_unmap(base, 3 * page, UNMAP, bitmap=board.bitmap(page))
    expect.refused(call, promised(rules.UNMAP_NOT_STARTED))
    board.judge(0)
    expect.equal("bytes mapped", v2.unmapped(base, 3 * page), 3 * page)
