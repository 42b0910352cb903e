# SPDX-License-Identifier: MIT
"""MAP_DMA and UNMAP_DMA of an iommufd without devices: what is refused, what is left."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.call import Call
from vfiospec.device.container import READ_WRITE
from vfiospec.device.files import Memory
from vfiospec.device.iommufd import Iommufd
from vfiospec.rules import iommufd_compat as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
IOVA, TOP = 0x100000, (1 << 64)
ALL = iommu.VFIO_DMA_UNMAP_FLAG_ALL
UNMAP = iommu.vfio_iommu_type1_dma_unmap
PROT_READ, PROT_BOTH = 1, 3


def unmapped(call: Call) -> int:
    """Bytes an UNMAP_DMA says it unmapped; the rest of its structure is as it was."""
    expect.untouched(call, 0, UNMAP.offset_of("size"))
    expect.untouched(call, UNMAP.end_of("size"))
    return int(call.unpack(UNMAP).size)


@checks(rules.ARGSZ)
def test_too_small_an_argsz(compat: Iommufd, memory: Memory, promised: Promised) -> None:
    """Nothing is mapped, nothing unmapped."""
    errno = promised(rules.ARGSZ)
    for argsz in (0, 1, 24, iommu.DMA_MAP_MIN - 1):
        expect.refused(compat.try_map(memory, IOVA, memory.size, argsz=argsz), errno)
    compat.map(memory, IOVA, memory.size)
    for argsz in (0, 1, 16, iommu.DMA_UNMAP_MIN - 1):
        expect.refused(compat.try_unmap(IOVA, memory.size, argsz=argsz), errno)
    expect.equal("unmapped", compat.unmapped(IOVA, memory.size), memory.size)


@checks(rules.MAP, rules.UNMAP)
@pytest.mark.parametrize("more", [1, 8, 4096, 0xFFFF0000], ids="more-{}".format)
def test_a_large_argsz(compat: Iommufd, memory: Memory, more: int) -> None:
    """What is behind the structure is not looked at."""
    call = compat.try_map(
        memory, IOVA, memory.size, argsz=iommu.DMA_MAP_MIN + more, more=b"\xff" * 64
    )
    expect.accepted(call)
    call = compat.try_unmap(IOVA, memory.size, argsz=iommu.DMA_UNMAP_MIN + more)
    expect.equal("unmapped", unmapped(expect.accepted(call)), memory.size)


@checks(rules.MAP_FLAGS)
def test_unknown_map_flags(compat: Iommufd, memory: Memory, promised: Promised) -> None:
    """VADDR among them."""
    for bit in range(2, 32):
        call = compat.try_map(memory, IOVA, memory.size, READ_WRITE | 1 << bit)
        expect.refused(call, promised(rules.MAP_FLAGS))
    expect.equal("unmapped", compat.unmapped(0, 0, ALL), 0)


@checks(rules.UNMAP_FLAGS)
def test_unknown_unmap_flags(compat: Iommufd, memory: Memory, promised: Promised) -> None:
    """GET_DIRTY_BITMAP and VADDR among them; ALL with an address or a size."""
    compat.map(memory, IOVA, memory.size)
    errno = promised(rules.UNMAP_FLAGS)
    for bit in range(32):
        if 1 << bit != ALL:
            expect.refused(compat.try_unmap(IOVA, memory.size, 1 << bit), errno)
            expect.refused(compat.try_unmap(0, 0, ALL | 1 << bit), errno)
    for iova, size in ((IOVA, 0), (0, memory.size), (IOVA, memory.size), (1, 0), (0, 1)):
        expect.refused(compat.try_unmap(iova, size, ALL), errno)
    expect.equal("unmapped", compat.unmapped(IOVA, memory.size), memory.size)


@checks(rules.MAP_OVERLAP)
def test_what_is_mapped(compat: Iommufd, memory: Memory, page: int, promised: Promised) -> None:
    """Any overlap; what touches only is no overlap."""
    compat.map(memory, IOVA, 2 * page)
    for iova, size in (
        (IOVA, 2 * page),
        (IOVA, page),
        (IOVA + page, page),
        (IOVA - page, 3 * page),
    ):
        expect.refused(compat.try_map(memory, iova, size), promised(rules.MAP_OVERLAP))
    compat.map(memory, IOVA - page, page)
    compat.map(memory, IOVA + 2 * page, page)
    expect.equal("unmapped", compat.unmapped(IOVA - page, 4 * page), 4 * page)


@checks(rules.MAP_EMPTY, rules.MAP_WRAP)
def test_no_range(compat: Iommufd, memory: Memory, page: int, promised: Promised) -> None:
    """Nothing, and what wraps around."""
    expect.refused(compat.try_map(memory, IOVA, 0), promised(rules.MAP_EMPTY))
    wraps = promised(rules.MAP_WRAP)
    expect.refused(compat.try_map(memory, TOP - page, 2 * page), wraps)
    expect.refused(compat.try_map(TOP - page, IOVA, 2 * page), wraps)
    expect.accepted(compat.try_map(memory, TOP - page, page))
    expect.equal("unmapped", compat.unmapped(0, 0, ALL), page)


@checks(rules.UNMAP)
def test_whole_mappings(compat: Iommufd, memory: Memory, page: int) -> None:
    """One, two with a hole between them, none at all."""
    for start in (0, 2, 5):
        compat.map(memory.at(start * page), IOVA + start * page, page)
    expect.equal("none", compat.unmapped(IOVA + page, page), 0)
    expect.equal("beyond", compat.unmapped(IOVA + 6 * page, 8 * page), 0)
    expect.equal("two", compat.unmapped(IOVA - page, 5 * page), 2 * page)
    expect.equal("again", compat.unmapped(IOVA - page, 5 * page), 0)
    call = expect.accepted(compat.try_unmap(IOVA + 5 * page, page))
    expect.equal("one", unmapped(call), page)


@checks(rules.UNMAP_ALL)
def test_all(compat: Iommufd, memory: Memory, page: int) -> None:
    """Everything; then there is nothing."""
    for start in (0, 3, 6):
        compat.map(memory.at(start * page), IOVA + start * page, 2 * page)
    for size in (6 * page, 0):
        call = expect.accepted(compat.try_unmap(0, 0, ALL))
        expect.equal("unmapped", unmapped(call), size)
    compat.map(memory, IOVA, memory.size)


@checks(rules.UNMAP_PART)
@pytest.mark.parametrize("model", [None, vfio.VFIO_TYPE1v2_IOMMU], ids="model-{}".format)
def test_a_part(
    compat: Iommufd, memory: Memory, page: int, model: int | None, promised: Promised
) -> None:
    """Start, middle or end of a mapping; with a whole one before it, that is gone."""
    if model is not None:
        expect.accepted(compat.try_set_iommu(model))
    compat.map(memory, IOVA, 4 * page)
    for start, size in ((0, 1), (1, 2), (3, 1), (-1, 3), (2, 4)):
        call = compat.try_unmap(IOVA + start * page, size * page)
        expect.equal(f"errno of {call}", call.errno, promised(rules.UNMAP_PART))
        expect.equal(f"unmapped by {call}", unmapped(call), 0)
    compat.map(memory, IOVA - page, page)
    call = compat.try_unmap(IOVA - page, 2 * page)
    expect.equal(f"errno of {call}", call.errno, promised(rules.UNMAP_PART))
    expect.equal(f"unmapped by {call}", unmapped(call), page)
    expect.equal("the rest", compat.unmapped(0, 0, ALL), 4 * page)


@checks(rules.UNMAP_CUT)
def test_a_part_with_type1(compat: Iommufd, memory: Memory, page: int) -> None:
    """Middle, start and end; also a mapping at address 0."""
    for iova in (IOVA, 0):
        expect.accepted(compat.try_set_iommu(vfio.VFIO_TYPE1_IOMMU))
        compat.map(memory, iova, 8 * page)
        for start, size in ((2, 2), (0, 1), (7, 1)):
            expect.equal("unmapped", compat.unmapped(iova + start * page, size * page), size * page)
            expect.equal("again", compat.unmapped(iova + start * page, size * page), 0)
        expect.equal("the rest", compat.unmapped(0, 0, ALL), 4 * page)


@checks(rules.ADDRESS)
def test_a_bad_address(compat: Iommufd, memory: Memory, page: int, promised: Promised) -> None:
    """None, and too short; an answer that cannot be written."""
    errno = promised(rules.ADDRESS)
    for request, size in (
        (iommu.VFIO_IOMMU_MAP_DMA, iommu.DMA_MAP_MIN),
        (iommu.VFIO_IOMMU_UNMAP_DMA, iommu.DMA_UNMAP_MIN),
    ):
        expect.refused(compat.try_ioctl(request, 0), errno)
        expect.refused(compat.try_ioctl(request, memory.tail(size - 1)), errno)
    compat.map(memory.at(page), IOVA, page)
    memory.write(0, UNMAP(iommu.DMA_UNMAP_MIN, 0, IOVA, page).pack())
    memory.protect(PROT_READ)
    try:
        expect.refused(compat.try_ioctl(iommu.VFIO_IOMMU_UNMAP_DMA, memory.at()), errno)
    finally:
        memory.protect(PROT_BOTH)
