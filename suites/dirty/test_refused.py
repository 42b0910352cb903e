# SPDX-License-Identifier: MIT
"""What VFIO_IOMMU_DIRTY_PAGES, and UNMAP_DMA with a bitmap, refuse."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.call import Call
from vfiospec.device.container import Bitmap, Container
from vfiospec.device.files import Memory
from vfiospec.device.ops import Ref
from vfiospec.device.port import Port
from vfiospec.rules import dirty as rules
from vfiospec.rules import type1
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

START = iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_START
STOP = iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
GET = iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP
UNMAP = iommu.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP
RANGE = iommu.vfio_iommu_type1_dirty_bitmap_get.sizeof()
HEAD = iommu.DIRTY_BITMAP_MIN
MAPPED = 70  # pages: two words of bits
BITMAP = 16  # bytes for them
KERNEL = 0xFFFF888000000000
WORD = 1 << 64
Promised = Callable[[Rule], int]
Ask = Callable[[int, int, Bitmap], Call]


@pytest.fixture
def logging(v2: Container, base: int, buffer: Memory, page: int) -> Container:
    """A container that logs, with a mapping."""
    v2.map(buffer, base, MAPPED * page)
    expect.accepted(v2.try_dirty_pages(START))
    return v2


@pytest.fixture(params=["get", "unmap"])
def ask(request: pytest.FixtureRequest, logging: Container) -> Ask:
    """The two calls that fill a bitmap."""
    if request.param == "get":
        return logging.try_get_dirty
    return lambda iova, size, bitmap: logging.try_unmap(iova, size, UNMAP, bitmap=bitmap)


def where(buffer: Memory) -> Ref:
    """A place for a bitmap."""
    return buffer.at(buffer.size - 64)


@checks(rules.V1)
@pytest.mark.parametrize("flags", [0, START, STOP, GET, 7, 1 << 31], ids="flags-{}".format)
def test_v1_logs_nothing(v1: Container, page: int, flags: int, promised: Promised) -> None:
    """Whatever is asked, and with a bad address too."""
    expect.refused(v1.try_dirty_pages(flags), promised(rules.V1))
    expect.refused(v1.try_ioctl(iommu.VFIO_IOMMU_DIRTY_PAGES), promised(rules.V1))
    call = v1.try_get_dirty(0, page, Bitmap(0, 8, page))
    expect.refused(call, promised(rules.V1))


@checks(rules.ARGSZ)
@pytest.mark.parametrize("flags", [START, STOP, GET], ids=["start", "stop", "get"])
@pytest.mark.parametrize("argsz", [0, 4, HEAD - 1], ids="argsz-{}".format)
def test_too_small_an_argsz_is_refused(
    v2: Container, argsz: int, flags: int, promised: Promised
) -> None:
    """For each of the three."""
    expect.refused(v2.try_dirty_pages(flags, argsz=argsz), promised(rules.ARGSZ))


@checks(rules.ARGSZ)
@pytest.mark.parametrize("argsz", [HEAD, HEAD + 1, HEAD + RANGE - 1], ids="argsz-{}".format)
def test_a_bitmap_without_a_range_is_refused(
    logging: Container, base: int, buffer: Memory, page: int, argsz: int, promised: Promised
) -> None:
    """All of it must be there."""
    bitmap = Bitmap(where(buffer), BITMAP, page)
    call = logging.try_get_dirty(base, MAPPED * page, bitmap, argsz=argsz)
    expect.refused(call, promised(rules.ARGSZ))
    larger = logging.try_get_dirty(base, MAPPED * page, bitmap, argsz=HEAD + RANGE + 1)
    expect.accepted(larger)


@checks(rules.REPEATED)
@pytest.mark.parametrize("argsz", [HEAD, HEAD + 1, 4096], ids="argsz-{}".format)
def test_start_and_stop_need_no_more_than_the_header(v2: Container, argsz: int) -> None:
    """What lies behind is a newer program's."""
    expect.accepted(v2.try_dirty_pages(START, argsz=argsz))
    expect.accepted(v2.try_dirty_pages(STOP, argsz=argsz))


@checks(rules.ONE_FLAG)
@pytest.mark.parametrize(
    "flags", [0, START | STOP, START | GET, STOP | GET, 7], ids="flags-{}".format
)
def test_one_flag_it_must_be(
    logging: Container, base: int, buffer: Memory, page: int, flags: int, promised: Promised
) -> None:
    """With an argument that each of them would be content with."""
    bitmap = Bitmap(where(buffer), BITMAP, page)
    call = logging.try_get_dirty(base, MAPPED * page, bitmap, flags=flags)
    expect.refused(call, promised(rules.ONE_FLAG))
    expect.accepted(logging.try_get_dirty(base, MAPPED * page, bitmap))


@checks(rules.ONE_FLAG)
def test_an_unknown_flag_is_refused(v2: Container, promised: Promised) -> None:
    """Each bit, alone and with a known one."""
    for bit in range(3, 32):
        expect.refused(v2.try_dirty_pages(1 << bit), promised(rules.ONE_FLAG))
        expect.refused(v2.try_dirty_pages(START | 1 << bit), promised(rules.ONE_FLAG))


@checks(rules.REPEATED, rules.NOT_STARTED)
def test_start_and_stop_again_change_nothing(
    v2: Container, base: int, buffer: Memory, page: int, promised: Promised
) -> None:
    """Two STARTs are undone by one STOP."""
    v2.map(buffer, base, MAPPED * page)
    bitmap = Bitmap(where(buffer), BITMAP, page)
    again = promised(rules.REPEATED)
    expect.accepted(v2.try_dirty_pages(STOP), again)
    not_started = promised(rules.NOT_STARTED)
    expect.refused(v2.try_get_dirty(base, MAPPED * page, bitmap), not_started)
    expect.accepted(v2.try_dirty_pages(START))
    expect.accepted(v2.try_dirty_pages(START), again)
    expect.accepted(v2.try_get_dirty(base, MAPPED * page, bitmap))
    expect.accepted(v2.try_dirty_pages(STOP))
    expect.refused(v2.try_get_dirty(base, MAPPED * page, bitmap), not_started)
    expect.accepted(v2.try_dirty_pages(STOP), again)


@checks(rules.PGSIZE)
@pytest.mark.parametrize("size", ["one", "half", "double", "large", "three"])
def test_another_page_size_is_refused(
    ask: Ask,
    logging: Container,
    base: int,
    buffer: Memory,
    page: int,
    size: str,
    promised: Promised,
) -> None:
    """Smaller, larger, and what is no size of a page."""
    wrong = {"one": 1, "half": page // 2, "double": 2 * page, "large": 2 << 20,
             "three": 3 * page}[size]  # fmt: skip
    call = ask(base, MAPPED * page, Bitmap(buffer.at(100 * page), 64 * page, wrong))
    expect.refused(call, promised(rules.PGSIZE))
    expect.equal("bytes mapped", logging.unmapped(base, MAPPED * page), MAPPED * page)


@checks(rules.RANGE)
@pytest.mark.parametrize(
    "what", ["empty", "iova", "iova-half", "size", "size-half", "head", "tail", "both"]
)
def test_a_wrong_range_is_refused(
    ask: Ask,
    logging: Container,
    base: int,
    buffer: Memory,
    page: int,
    what: str,
    promised: Promised,
) -> None:
    """Empty, not of whole pages, or through a mapping."""
    whole, half = MAPPED * page, page // 2
    iova, size = {
        "empty": (0, 0), "iova": (1, whole), "iova-half": (half, whole), "size": (0, whole + 1),
        "size-half": (0, whole + half), "head": (0, whole - page), "tail": (page, whole),
        "both": (page, page),
    }[what]  # fmt: skip
    call = ask(base + iova, size, Bitmap(where(buffer), BITMAP + 8, page))
    expect.refused(call, promised(rules.RANGE))
    expect.equal("bytes mapped", logging.unmapped(base, whole), whole)


@checks(rules.WRAPS)
@pytest.mark.parametrize("pages", [2, 70], ids="pages-{}".format)
def test_running_over_the_end_is_refused(
    ask: Ask, buffer: Memory, page: int, pages: int, promised: Promised
) -> None:
    """By one page and by many."""
    call = ask(WORD - page, pages * page, Bitmap(where(buffer), BITMAP, page))
    expect.refused(call, promised(rules.WRAPS))


@checks(rules.LAST_PAGE)
def test_the_last_page_of_all(
    logging: Container, buffer: Memory, page: int, promised: Promised
) -> None:
    """Nothing is mapped there."""
    bitmap = Bitmap(where(buffer), BITMAP, page)
    call, wanted = logging.try_get_dirty(WORD - page, page, bitmap), promised(rules.LAST_PAGE)
    if wanted:
        expect.refused(call, wanted)
    else:
        expect.accepted(call)
    expect.accepted(logging.try_unmap(WORD - page, page, UNMAP, bitmap=bitmap))


@checks(rules.BITMAP_SIZE)
@pytest.mark.parametrize("size", [0, 1, 8, 9, BITMAP - 1], ids="bytes-{}".format)
def test_too_small_a_bitmap_is_refused(
    ask: Ask,
    logging: Container,
    base: int,
    buffer: Memory,
    page: int,
    size: int,
    promised: Promised,
) -> None:
    """It takes a bit for each page of the range, in whole words."""
    call = ask(base, MAPPED * page, Bitmap(where(buffer), size, page))
    expect.refused(call, promised(rules.BITMAP_SIZE))
    expect.equal("bytes mapped", logging.unmapped(base, MAPPED * page), MAPPED * page)


@checks(rules.BITMAP_SIZE)
@pytest.mark.parametrize("pages", [1, 63, 64, 65, 128, 129], ids="pages-{}".format)
def test_as_many_words_as_it_takes_are_enough(
    ask: Ask, base: int, buffer: Memory, page: int, pages: int, promised: Promised
) -> None:
    """And a byte less is not."""
    need = -(-pages // 64) * 8
    iova = base + (MAPPED + 2) * page
    short = ask(iova, pages * page, Bitmap(where(buffer), need - 1, page))
    expect.refused(short, promised(rules.BITMAP_SIZE))
    expect.accepted(ask(iova, pages * page, Bitmap(where(buffer), need, page)))


@checks(rules.BITMAP_SIZE)
def test_too_large_a_bitmap_is_refused(
    ask: Ask, base: int, buffer: Memory, page: int, promised: Promised
) -> None:
    """More than the migration capability says; just as much is accepted."""
    most = promised(type1.INFO_MIGRATION)
    call = ask(base, MAPPED * page, Bitmap(where(buffer), most + 1, page))
    expect.refused(call, promised(rules.BITMAP_SIZE))
    expect.accepted(ask(base, MAPPED * page, Bitmap(where(buffer), most, page)))


@checks(rules.BITMAP_ADDRESS)
@pytest.mark.parametrize("place", ["null", "nobody", "read-only"])
def test_a_bitmap_that_cannot_be_written_is_refused(
    ask: Ask, logging: Container, base: int, port: Port, page: int, place: str, promised: Promised
) -> None:
    """And nothing is unmapped."""
    with Memory(port, page) as memory:
        memory.protect(1 if place == "read-only" else 0)
        data = 0 if place == "null" else memory.at()
        call = ask(base, MAPPED * page, Bitmap(data, BITMAP, page))
        expect.refused(call, promised(rules.BITMAP_ADDRESS))
    expect.equal("bytes mapped", logging.unmapped(base, MAPPED * page), MAPPED * page)


@checks(rules.BITMAP_ADDRESS)
def test_a_word_that_cannot_be_read_first_is_refused(
    v2: Container, base: int, buffer: Memory, port: Port, page: int, promised: Promised
) -> None:
    """The bits of a mapping that begin within a word are put beside those before."""
    v2.map(buffer, base + 3 * page, page)
    expect.accepted(v2.try_dirty_pages(START))
    with Memory(port, page) as memory:
        memory.protect(0)
        call = v2.try_get_dirty(base, 4 * page, Bitmap(memory.at(), 8, page))
        expect.refused(call, promised(rules.BITMAP_ADDRESS))


@checks(rules.KERNEL_ADDRESS)
def test_a_bitmap_in_the_kernel_is_refused(
    ask: Ask, logging: Container, base: int, page: int, promised: Promised
) -> None:
    """Before anything is done."""
    call = ask(base, MAPPED * page, Bitmap(KERNEL, BITMAP, page))
    expect.refused(call, promised(rules.KERNEL_ADDRESS))
    expect.equal("bytes mapped", logging.unmapped(base, MAPPED * page), MAPPED * page)


@checks(rules.UNMAP_ARGSZ)
@pytest.mark.parametrize("more", [0, 1, iommu.vfio_bitmap.sizeof() - 1], ids="more-{}".format)
def test_unmapping_with_a_bitmap_needs_one(
    logging: Container, base: int, buffer: Memory, page: int, more: int, promised: Promised
) -> None:
    """All of the structure that says where."""
    bitmap, argsz = Bitmap(where(buffer), BITMAP, page), iommu.DMA_UNMAP_MIN + more
    call = logging.try_unmap(base, MAPPED * page, UNMAP, bitmap=bitmap, argsz=argsz)
    expect.refused(call, promised(rules.UNMAP_ARGSZ))
    expect.equal("bytes mapped", logging.unmapped(base, MAPPED * page), MAPPED * page)


@checks(rules.BAD_ADDRESS)
def test_a_bad_argument_is_refused(
    logging: Container, base: int, port: Port, page: int, promised: Promised
) -> None:
    """No address, and a structure that memory ends in: the header, the range, the bitmap."""
    wanted, request = promised(rules.BAD_ADDRESS), iommu.VFIO_IOMMU_DIRTY_PAGES
    expect.refused(logging.try_ioctl(request), wanted)
    with Memory(port, page, guard=True) as memory:
        expect.refused(logging.try_ioctl(request, memory.tail(HEAD - 1)), wanted)
        head = iommu.vfio_iommu_type1_dirty_bitmap(HEAD + RANGE, GET)
        call = logging.try_ioctl(request, head.pack(), at=memory.tail(HEAD))
        expect.equal("errno", call.errno, wanted)
        unmap = iommu.vfio_iommu_type1_dma_unmap(
            iommu.DMA_UNMAP_MIN + iommu.vfio_bitmap.sizeof(), UNMAP, base, MAPPED * page
        )
        at = memory.tail(iommu.DMA_UNMAP_MIN)
        call = logging.try_ioctl(iommu.VFIO_IOMMU_UNMAP_DMA, unmap.pack(), at=at)
        expect.equal("errno", call.errno, wanted)
    expect.equal("bytes mapped", logging.unmapped(base, MAPPED * page), MAPPED * page)
