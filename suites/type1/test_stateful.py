# SPDX-License-Identifier: MIT
"""Sequences of MAP_DMA and UNMAP_DMA, with addresses that are taken back and given again."""

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.container import Container, locked_bytes
from vfiospec.device.files import Memory
from vfiospec.rules import type1 as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks
from vfiospec.session.stateful import search

WINDOW = 12  # pages of IOVA space
MOST = 4  # pages of a mapping
FIRST, COUNT = st.integers(0, WINDOW - 1), st.integers(1, MOST)
ALL = iommu.VFIO_DMA_UNMAP_FLAG_ALL
UNMAP_VADDR = iommu.VFIO_DMA_UNMAP_FLAG_VADDR
MAP_VADDR = iommu.VFIO_DMA_MAP_FLAG_VADDR


@dataclass
class Mapped:
    """A mapping: how many pages, and whether its address is valid."""

    count: int
    valid: bool = True


class Mappings(RuleBasedStateMachine):
    """A container; its mappings by their first pages."""

    def __init__(
        self,
        container: Container,
        base: int,
        buffer: Memory,
        promised: Callable[[Rule], int],
    ) -> None:
        super().__init__()
        self.container, self.base, self.buffer = container, base, buffer
        self.promised = promised
        self.page = container.port.hello.page_size
        self.maps: dict[int, Mapped] = {}
        self.can_update = container.try_check_extension(vfio.VFIO_UPDATE_VADDR).ret == 1
        self.can_unmap_all = container.try_check_extension(vfio.VFIO_UNMAP_ALL).ret == 1
        self.left = container.available()
        self.locked = locked_bytes(container.port)

    def teardown(self) -> None:
        """Unmap everything, whatever was found."""
        self.container.try_unmap(self.base, (WINDOW + MOST) * self.page)

    def _pages(self, first: int, count: int) -> tuple[int, int]:
        return self.base + first * self.page, count * self.page

    def _within(self, first: int, count: int) -> list[Mapped]:
        return [m for f, m in self.maps.items() if f < first + count and first < f + m.count]

    def _cut(self, first: int, count: int) -> bool:
        return any(
            f < end < f + m.count for f, m in self.maps.items() for end in (first, first + count)
        )

    @rule(first=FIRST, count=COUNT)
    def map(self, first: int, count: int) -> None:
        """Where nothing is mapped it is; else it is refused."""
        call = self.container.try_map(self.buffer.at(count * self.page), *self._pages(first, count))
        if self._within(first, count):
            expect.refused(call, self.promised(rules.MAP_OVERLAP))
        else:
            expect.accepted(call)
            self.maps[first] = Mapped(count)

    @rule(first=FIRST, count=COUNT)
    def unmap(self, first: int, count: int) -> None:
        """Whole mappings within the range, and their sizes."""
        self._unmap(first, count)

    @precondition(lambda self: self.maps)
    @rule(data=st.data())
    def unmap_one(self, data: st.DataObject) -> None:
        """Just one mapping."""
        first = data.draw(st.sampled_from(sorted(self.maps)))
        self._unmap(first, self.maps[first].count)

    def _unmap(self, first: int, count: int) -> None:
        call = self.container.try_unmap(*self._pages(first, count))
        if self._cut(first, count):
            expect.refused(call, self.promised(rules.UNMAP_BISECT))
            return
        gone = [f for f in self.maps if first <= f < first + count]
        size = sum(self.maps.pop(f).count for f in gone) * self.page
        read = expect.accepted(call).unpack(iommu.vfio_iommu_type1_dma_unmap)
        expect.equal(f"{call}: size", read.size, size)

    @precondition(lambda self: self.can_unmap_all)
    @rule()
    def unmap_all(self) -> None:
        """Whatever there is."""
        size = sum(m.count for m in self.maps.values()) * self.page
        call = expect.accepted(self.container.try_unmap(0, 0, ALL))
        expect.equal(f"{call}: size", call.unpack(iommu.vfio_iommu_type1_dma_unmap).size, size)
        self.maps.clear()

    @precondition(lambda self: self.can_update and self.maps)
    @rule(data=st.data())
    def take_the_address_back(self, data: st.DataObject) -> None:
        """Of one mapping; twice is refused."""
        first = data.draw(st.sampled_from(sorted(self.maps)))
        mapped = self.maps[first]
        call = self.container.try_unmap(*self._pages(first, mapped.count), UNMAP_VADDR)
        if mapped.valid:
            expect.accepted(call)
            mapped.valid = False
        else:
            expect.refused(call, self.promised(rules.VADDR_TWICE))

    @precondition(lambda self: self.can_update and self.maps)
    @rule(data=st.data())
    def give_an_address(self, data: st.DataObject) -> None:
        """To one mapping; refused where its address is valid."""
        first = data.draw(st.sampled_from(sorted(self.maps)))
        mapped = self.maps[first]
        place = self.buffer.at(mapped.count * self.page)
        call = self.container.try_map(place, *self._pages(first, mapped.count), MAP_VADDR)
        if mapped.valid:
            expect.refused(call, self.promised(rules.VADDR_MISMATCH))
        else:
            expect.accepted(call)
            mapped.valid = True

    @invariant()
    def as_many_are_left_as_the_model_says(self) -> None:
        """Of the number of mappings that is allowed."""
        left = self.left - len(self.maps)
        expect.equal("mappings that are left", self.container.available(), left)

    @invariant()
    def as_much_is_locked_as_is_mapped(self) -> None:
        """By the process that mapped it."""
        size = sum(m.count for m in self.maps.values()) * self.page
        locked = locked_bytes(self.container.port) - self.locked
        expect.equal("bytes locked", locked, size)


@checks(
    rules.INTERVALS, rules.UNMAP_SIZE, rules.INFO_AVAIL, rules.MAP_OVERLAP, rules.UNMAP_BISECT,
    rules.VADDR_TWICE, rules.VADDR_MISMATCH,
)  # fmt: skip
def test_any_sequence_does_what_the_model_says(
    v2: Container, base: int, buffer: Memory, promised: Callable[[Rule], int]
) -> None:
    """Call by call: the answer, the size, the number that is left, the memory that is locked."""
    search(lambda: Mappings(v2, base, buffer, promised))
