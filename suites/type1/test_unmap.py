# SPDX-License-Identifier: MIT
"""VFIO_IOMMU_UNMAP_DMA of type1 v2: what goes, what stays, what is refused."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.container import Bitmap, Container
from vfiospec.device.files import Memory
from vfiospec.device.port import Port
from vfiospec.rules import type1 as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

ALL, VADDR = iommu.VFIO_DMA_UNMAP_FLAG_ALL, iommu.VFIO_DMA_UNMAP_FLAG_VADDR
BITMAP = iommu.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP
WORD = 1 << 64
Promised = Callable[[Rule], int]


@checks(rules.UNMAP_ARGSZ)
@pytest.mark.parametrize("argsz", [0, 4, 16, iommu.DMA_UNMAP_MIN - 1], ids="argsz-{}".format)
def test_too_small_an_argsz_is_refused(
    three: Container, base: int, page: int, argsz: int, promised: Promised
) -> None:
    """And nothing is unmapped."""
    call = three.try_unmap(base, 16 * page, argsz=argsz)
    expect.refused(call, promised(rules.UNMAP_ARGSZ))
    expect.equal("bytes mapped", three.unmapped(base, 16 * page), 10 * page)


@checks(rules.UNMAP_SIZE)
@pytest.mark.parametrize("argsz", [25, 48, 4096, (1 << 32) - 1], ids="argsz-{}".format)
def test_a_larger_argsz_is_accepted(three: Container, base: int, page: int, argsz: int) -> None:
    """What is behind the structure is neither read nor written."""
    call = expect.accepted(three.try_unmap(base, 16 * page, argsz=argsz))
    got = call.unpack(iommu.vfio_iommu_type1_dma_unmap)
    wanted = iommu.vfio_iommu_type1_dma_unmap(argsz, 0, base, 10 * page)
    expect.equal("the structure", got, wanted)


@checks(rules.UNMAP_FLAGS)
def test_an_unknown_flag_is_refused(
    three: Container, base: int, page: int, promised: Promised
) -> None:
    """Each bit that has no meaning."""
    for bit in range(3, 32):
        call = three.try_unmap(base, 16 * page, 1 << bit)
        expect.refused(call, promised(rules.UNMAP_FLAGS))
    expect.equal("bytes mapped", three.unmapped(base, 16 * page), 10 * page)


@checks(rules.UNMAP_BITMAP_ALONE)
@pytest.mark.parametrize("other", [ALL, VADDR, ALL | VADDR], ids="with-{}".format)
def test_a_bitmap_goes_with_no_other_flag(
    three: Container, base: int, buffer: Memory, page: int, other: int, promised: Promised
) -> None:
    """Though logging is on."""
    expect.accepted(three.try_dirty_pages(iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_START))
    bitmap = Bitmap(buffer.at(), 8, page)
    for iova, size in ((base, 16 * page), (0, 0)):
        call = three.try_unmap(iova, size, BITMAP | other, bitmap=bitmap)
        expect.refused(call, promised(rules.UNMAP_BITMAP_ALONE))
    expect.equal("bytes mapped", three.unmapped(base, 16 * page), 10 * page)


@checks(rules.UNMAP_EMPTY)
def test_no_bytes_are_refused(three: Container, base: int, page: int, promised: Promised) -> None:
    """Where something is mapped, where nothing is, and at 0, where ALL would be meant."""
    for iova in (base, base + 4 * page, 0):
        expect.refused(three.try_unmap(iova, 0), promised(rules.UNMAP_EMPTY))
    expect.equal("bytes mapped", three.unmapped(base, 16 * page), 10 * page)


@checks(rules.UNMAP_ALIGNED)
@pytest.mark.parametrize("off", ["iova", "size"])
@pytest.mark.parametrize("by", ["byte", "half", "less"])
def test_an_unaligned_part_is_refused(
    three: Container, base: int, page: int, off: str, by: str, promised: Promised
) -> None:
    """Each of the two, while the other is aligned."""
    step = {"byte": 1, "half": page // 2, "less": page - 1}[by]
    iova, size = (step if off == part else 0 for part in ("iova", "size"))
    call = three.try_unmap(base + iova, 10 * page + size)
    expect.refused(call, promised(rules.UNMAP_ALIGNED))
    expect.equal("bytes mapped", three.unmapped(base, 16 * page), 10 * page)


@checks(rules.UNMAP_WRAPS)
@pytest.mark.parametrize("over", [1, 5], ids="pages-{}".format)
def test_running_over_the_end_is_refused(
    three: Container, base: int, page: int, over: int, promised: Promised
) -> None:
    """From the last page and from far below."""
    wanted = promised(rules.UNMAP_WRAPS)
    expect.refused(three.try_unmap(WORD - page, page + over * page), wanted)
    expect.refused(three.try_unmap(base, WORD - base + over * page), wanted)
    expect.equal("bytes mapped", three.unmapped(base, 16 * page), 10 * page)


@checks(rules.UNMAP_LAST_PAGE)
def test_the_last_page_of_all_can_be_named(
    three: Container, base: int, page: int, promised: Promised
) -> None:
    """Nothing is there."""
    call = expect.accepted(three.try_unmap(WORD - page, page), promised(rules.UNMAP_LAST_PAGE))
    expect.equal("size", call.unpack(iommu.vfio_iommu_type1_dma_unmap).size, 0)
    expect.equal("bytes mapped", three.unmapped(base, 16 * page), 10 * page)


@checks(rules.UNMAP_SIZE)
def test_a_range_up_to_the_last_page_of_all(three: Container, base: int, page: int) -> None:
    """What is mapped in it goes."""
    expect.equal("bytes unmapped", three.unmapped(base, WORD - base), 10 * page)


@checks(rules.UNMAP_SIZE)
def test_everything_but_the_last_page_of_all(
    three: Container, base: int, buffer: Memory, page: int
) -> None:
    """As many bytes as can be named, from 0 on."""
    three.map(buffer, 0, page)
    expect.equal("bytes mapped", three.unmapped(0, WORD - page), 11 * page)
    expect.equal("bytes left", three.unmapped(base, 16 * page), 0)


@checks(rules.UNMAP_SIZE)
def test_where_nothing_is_mapped_it_is_none(three: Container, base: int, page: int) -> None:
    """Before, in the hole, and behind."""
    for first, count in ((0, 4), (10, 2), (16, 100)):
        expect.equal("bytes", three.unmapped(base + first * page, count * page), 0)
    expect.equal("bytes mapped", three.unmapped(base, 16 * page), 10 * page)


# first page, pages, pages that are mapped in it
SPANS = {
    "just-one": (4, 4, 4), "with-room-before": (1, 7, 4), "two": (4, 6, 6), "the-second": (8, 2, 2),
    "with-the-hole": (8, 4, 2), "over-the-hole": (8, 8, 6), "all": (0, 100, 10),
    "all-exactly": (4, 12, 10), "the-hole-and-the-third": (10, 6, 4),
}  # fmt: skip


@checks(rules.UNMAP_SIZE)
@pytest.mark.parametrize("span", SPANS)
def test_a_range_takes_what_is_mapped_in_it(
    three: Container, base: int, page: int, span: str
) -> None:
    """The sum of the mappings, and not one more."""
    first, count, mapped = SPANS[span]
    call = expect.accepted(three.try_unmap(base + first * page, count * page))
    got = call.unpack(iommu.vfio_iommu_type1_dma_unmap)
    asked = iommu.vfio_iommu_type1_dma_unmap(
        iommu.DMA_UNMAP_MIN, 0, base + first * page, mapped * page
    )
    expect.equal("the structure", got, asked)
    expect.equal("again", three.unmapped(base + first * page, count * page), 0)
    expect.equal("what is left", three.unmapped(base, 16 * page), (10 - mapped) * page)


CUTS = {
    "head": (4, 3), "tail": (5, 3), "middle": (5, 2), "first-page": (4, 1), "last-page": (7, 1),
    "into-the-head": (0, 5), "out-of-the-tail": (7, 1), "tail-and-more": (7, 3),
    "one-and-a-head": (4, 5), "tail-and-one": (6, 4), "across-the-hole": (9, 4),
    "hole-and-head": (10, 3), "tail-and-hole": (9, 2), "last-tail-and-beyond": (13, 50),
}  # fmt: skip


@checks(rules.UNMAP_BISECT)
@pytest.mark.parametrize("cut", CUTS)
def test_a_range_that_cuts_a_mapping_is_refused(
    three: Container, base: int, page: int, cut: str, promised: Promised
) -> None:
    """At its start or at its end, and nothing is unmapped: not even what lies wholly in it."""
    first, count = CUTS[cut]
    call = three.try_unmap(base + first * page, count * page)
    expect.refused(call, promised(rules.UNMAP_BISECT))
    expect.equal("bytes mapped", three.unmapped(base, 16 * page), 10 * page)


@checks(rules.UNMAP_ALL)
def test_all_takes_everything(
    three: Container, base: int, buffer: Memory, page: int, promised: Promised
) -> None:
    """From the first page of the first range to the last page of the last."""
    ranges = three.iova_ranges()
    ends = (ranges[0][0], ranges[-1][1] + 1 - page)
    for iova in ends:
        three.map(buffer, iova, page)
    call, wanted = three.try_unmap(0, 0, ALL), promised(rules.UNMAP_ALL)
    if wanted:
        expect.refused(call, wanted)
        return
    got = expect.accepted(call).unpack(iommu.vfio_iommu_type1_dma_unmap)
    expect.equal("bytes", got.size, 12 * page)
    expect.equal("iova", got.iova, 0)
    for iova in (*ends, base + 4 * page, base + 8 * page, base + 12 * page):
        expect.accepted(three.try_map(buffer, iova, page))


@checks(rules.UNMAP_ALL)
def test_all_of_nothing_is_none(v2: Container, promised: Promised) -> None:
    """And no error."""
    call, wanted = v2.try_unmap(0, 0, ALL), promised(rules.UNMAP_ALL)
    if wanted:
        expect.refused(call, wanted)
        return
    got = expect.accepted(call).unpack(iommu.vfio_iommu_type1_dma_unmap)
    expect.equal("bytes", got.size, 0)


@checks(rules.UNMAP_ALL_RANGE)
@pytest.mark.parametrize("what", ["iova", "size", "both"])
def test_all_with_a_range_is_refused(
    three: Container, base: int, page: int, what: str, promised: Promised
) -> None:
    """Even one that holds all there is."""
    iova, size = {"iova": (base, 0), "size": (0, 1 << 32), "both": (base, 16 * page)}[what]
    expect.refused(three.try_unmap(iova, size, ALL), promised(rules.UNMAP_ALL_RANGE))
    expect.equal("bytes mapped", three.unmapped(base, 16 * page), 10 * page)


@checks(rules.BAD_ADDRESS)
def test_a_bad_argument_is_refused(
    three: Container, base: int, buffer: Memory, page: int, promised: Promised
) -> None:
    """No address, and a structure that memory ends in."""
    wanted = promised(rules.BAD_ADDRESS)
    expect.refused(three.try_ioctl(iommu.VFIO_IOMMU_UNMAP_DMA), wanted)
    short = buffer.tail(iommu.DMA_UNMAP_MIN - 1)
    expect.refused(three.try_ioctl(iommu.VFIO_IOMMU_UNMAP_DMA, short), wanted)
    expect.equal("bytes mapped", three.unmapped(base, 16 * page), 10 * page)


@checks(rules.BAD_ADDRESS)
def test_a_structure_that_cannot_be_written_back_is_refused(
    three: Container, base: int, port: Port, page: int, promised: Promised
) -> None:
    """It was read; the size cannot be told."""
    with Memory(port, page) as memory:
        request = iommu.vfio_iommu_type1_dma_unmap(iommu.DMA_UNMAP_MIN, 0, base, 16 * page)
        memory.write(0, request.pack())
        memory.protect(1)
        call = three.try_ioctl(iommu.VFIO_IOMMU_UNMAP_DMA, memory.at())
        expect.refused(call, promised(rules.BAD_ADDRESS))
