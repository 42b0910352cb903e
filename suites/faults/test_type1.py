# SPDX-License-Identifier: MIT
"""What type1 is asked of a container: its information, and the pages that are dirty."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.call import Call, checked
from vfiospec.device.container import INFO_ROOM, Bitmap, Container
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned
from vfiospec.device.port import Port
from vfiospec.rules import faults as rules
from vfiospec.session.marks import checks, devices
from vfiospec.session.sweep import Sweep

pytestmark = [checks(rules.COPY), devices("dma-stimulus")]
START = iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_START
STOP = iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
UNMAP = iommu.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP
IOVA = 0x100000000
WORD = 64
# Pages of the mappings: bitmaps of several sizes, each from the start of a word
SIZES = (3, 70, 1)
WORDS = 4  # words of bits up to the end of the last
DIRTY = 0b111 | ((1 << 70) - 1) << WORD | 1 << 3 * WORD


def nothing() -> None:
    """What undoes a call that changes nothing."""


@dataclass(frozen=True)
class Logged:
    """A container with mappings, and the bitmap that is asked for."""

    container: Container
    buffer: Memory
    bits: Memory
    page: int

    def map(self) -> None:
        """Make those mappings that are not there."""
        at = IOVA
        for pages in SIZES:
            self.container.try_map(self.buffer, at, pages * self.page)
            at += -(-pages // WORD) * WORD * self.page

    @property
    def bitmap(self) -> Bitmap:
        """For the call; with no bit set."""
        self.bits.write(0, bytes(8 * WORDS))
        return Bitmap(self.bits.at(), 8 * WORDS, self.page)

    @property
    def size(self) -> int:
        """Bytes of the range that holds them all."""
        return WORDS * WORD * self.page

    def get(self, port: Port) -> Call:
        """GET_BITMAP of them all; one that succeeds tells that all are dirty."""
        call = self.container.seen_by(port).try_get_dirty(IOVA, self.size, self.bitmap)
        if call.ok:
            self.judge(DIRTY)
        return call

    def judge(self, wanted: int) -> None:
        """Just these bits are set."""
        got = int.from_bytes(self.bits.read(0, 8 * WORDS), "little")
        expect.equal("bits", f"{got:#x}", f"{wanted:#x}")


@pytest.fixture
def logged(own: Assigned, port: Port, page: int) -> Iterator[Logged]:
    """Mapped; nothing is logged yet."""
    with (
        Memory(port, max(SIZES) * page, fill=1) as buffer,
        Memory(port, page) as bits,
    ):
        made = Logged(own.container, buffer, bits, page)
        made.map()
        yield made


@checks(rules.IOMMU_INFO)
def test_info(sweep: Sweep, own: Assigned) -> None:
    """With room for its capabilities, which are gathered before they are copied."""
    wanted = checked(own.container.try_get_iommu_info(INFO_ROOM)).data

    def attempt(port: Port) -> Call:
        call = own.container.seen_by(port).try_get_iommu_info(INFO_ROOM)
        if call.ok:
            expect.equal(f"answer of {call}", call.data, wanted)
        return call

    sweep(rules.IOMMU_INFO, attempt, nothing)


@checks(rules.DIRTY_PAGES)
@pytest.mark.parametrize("start", [True, False], ids=["start", "stop"])
def test_start_and_stop(sweep: Sweep, logged: Logged, *, start: bool) -> None:
    """Pages are logged once it succeeded, of all mappings, and not before."""
    container = logged.container
    flag, other = (START, STOP) if start else (STOP, START)
    checked(container.try_dirty_pages(other))

    def attempt(port: Port) -> Call:
        call = container.seen_by(port).try_dirty_pages(flag)
        logs = logged.get(container.port).ok
        expect.equal(f"whether pages are logged after {call}", logs, call.ok == start)
        return call

    sweep(rules.DIRTY_PAGES, attempt, lambda: checked(container.try_dirty_pages(other)))
    checked(container.try_dirty_pages(STOP))


@checks(rules.DIRTY_PAGES)
def test_get_bitmap(sweep: Sweep, logged: Logged) -> None:
    """Of several mappings; whatever was copied, all are told of the next time."""
    checked(logged.container.try_dirty_pages(START))
    sweep(rules.DIRTY_PAGES, logged.get, nothing)
    checked(logged.container.try_dirty_pages(STOP))


@checks(rules.UNMAP_DMA)
def test_unmap_with_a_bitmap(sweep: Sweep, logged: Logged) -> None:
    """What is not unmapped is mapped and logged as before."""
    container = logged.container
    checked(container.try_dirty_pages(START))

    def attempt(port: Port) -> Call:
        theirs = container.seen_by(port)
        call = theirs.try_unmap(IOVA, logged.size, UNMAP, bitmap=logged.bitmap)
        if call.ok:
            logged.judge(DIRTY)
        return call

    sweep(rules.UNMAP_DMA, attempt, logged.map, unanswered=logged.map)
    checked(container.try_dirty_pages(STOP))
