# SPDX-License-Identifier: MIT
"""VFIO_IOMMU_UNMAP_DMA of type1 v1: a mapping goes with its first page."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.container import Container
from vfiospec.device.files import Memory
from vfiospec.rules import type1 as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

# Mappings of pages 4 to 7, 8 to 9 and 12 to 15: first page, pages, pages that go
RANGES = {
    "middle": (5, 2, 0), "tail": (5, 3, 0), "last-page": (7, 1, 0), "first-page": (4, 1, 4),
    "head": (4, 3, 4), "exactly": (4, 4, 4), "into-the-head": (0, 5, 4),
    "one-and-a-head": (4, 5, 6),
    "all": (0, 16, 10), "hole": (10, 2, 0), "hole-and-head": (10, 3, 4), "before": (0, 4, 0),
    "tail-of-the-last": (13, 50, 0),
}  # fmt: skip


@pytest.fixture
def three(v1: Container, base: int, buffer: Memory, page: int) -> Container:
    """Two neighbours, a hole, and a third."""
    for first, count in ((4, 4), (8, 2), (12, 4)):
        v1.map(buffer, base + first * page, count * page)
    return v1


@checks(rules.UNMAP_V1)
@pytest.mark.parametrize("name", RANGES)
def test_the_first_page_decides(three: Container, base: int, page: int, name: str) -> None:
    """The whole mapping, or nothing of it."""
    first, count, gone = RANGES[name]
    size = three.unmapped(base + first * page, count * page)
    expect.equal("bytes unmapped", size, gone * page)
    expect.equal("bytes left", three.unmapped(base, 16 * page), (10 - gone) * page)


@checks(rules.UNMAP_V1_WITHIN)
def test_a_range_that_starts_within_a_mapping_stops_there(
    three: Container, base: int, page: int, promised: Callable[[Rule], int]
) -> None:
    """Though it holds two others wholly."""
    gone = promised(rules.UNMAP_V1_WITHIN)
    expect.equal("bytes unmapped", three.unmapped(base + 5 * page, 11 * page), gone * page)
    expect.equal("bytes left", three.unmapped(base, 16 * page), (10 - gone) * page)


@checks(rules.UNMAP_ALL)
def test_all_takes_everything(three: Container, page: int, promised: Callable[[Rule], int]) -> None:
    """As with v2."""
    call = three.try_unmap(0, 0, iommu.VFIO_DMA_UNMAP_FLAG_ALL)
    wanted = promised(rules.UNMAP_ALL)
    if wanted:
        expect.refused(call, wanted)
        return
    got = expect.accepted(call).unpack(iommu.vfio_iommu_type1_dma_unmap)
    expect.equal("bytes", got.size, 10 * page)


@checks(rules.UNMAP_EMPTY, rules.UNMAP_ALIGNED)
def test_wrong_arguments_are_refused_as_with_v2(
    three: Container, base: int, page: int, promised: Callable[[Rule], int]
) -> None:
    """Only the cut through a mapping is not."""
    expect.refused(three.try_unmap(base, 0), promised(rules.UNMAP_EMPTY))
    expect.refused(three.try_unmap(base + 1, page), promised(rules.UNMAP_ALIGNED))
    expect.refused(three.try_unmap(base, page + 1), promised(rules.UNMAP_ALIGNED))
    expect.refused(three.try_map(0, base + 4 * page, page), promised(rules.MAP_OVERLAP))
    expect.equal("bytes left", three.unmapped(base, 16 * page), 10 * page)
