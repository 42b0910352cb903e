# SPDX-License-Identifier: MIT
"""Mappings for DMA: memory that is locked for one is free again if it cannot be made."""

from collections.abc import Callable
from errno import ENOENT

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd as abi
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.call import checked
from vfiospec.device.cdev import Cdev
from vfiospec.device.container import Container
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned
from vfiospec.device.iommufd import WRITE_READ_FIXED, Iommufd
from vfiospec.device.ops import MemoryKind
from vfiospec.rules import faults as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices
from vfiospec.session.sweep import Sweep

pytestmark = checks(rules.COPY)
IOVA = 0x100000000  # page tables of its own on every level
PAGES = 3
READ_ONLY, READ_WRITE = 1, 3  # PROT_READ, with PROT_WRITE


@checks(rules.MAP_DMA)
@devices("dma-stimulus")
@pytest.mark.parametrize("kind", [MemoryKind.ANON, MemoryKind.MEMFD], ids=["anonymous", "shared"])
def test_map_dma(sweep: Sweep, own: Assigned, page: int, kind: MemoryKind) -> None:
    """Type1: the memory is there before, so that only the mapping can fail."""
    container = own.container
    with Memory(sweep.port, PAGES * page, kind=kind, fill=1) as memory:
        sweep(
            rules.MAP_DMA,
            lambda port: Container(port, container.handle).try_map(memory, IOVA, memory.size),
            lambda: container.unmapped(IOVA, memory.size),
        )


@checks(rules.MAP_DMA)
@devices("dma-stimulus")
def test_map_dma_while_pages_are_logged(sweep: Sweep, own: Assigned, page: int) -> None:
    """Type1: the mapping has a bitmap of its dirty pages, which is made last."""
    container = own.container
    checked(container.try_dirty_pages(iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_START))
    with Memory(sweep.port, PAGES * page, fill=1) as memory:
        sweep(
            rules.MAP_DMA,
            lambda port: Container(port, container.handle).try_map(memory, IOVA, memory.size),
            lambda: container.unmapped(IOVA, memory.size),
        )


@checks(rules.IOAS_MAP)
@devices("dma-stimulus")
@pytest.mark.parametrize("attached", [True, False], ids=["attached", "alone"])
def test_ioas_map(sweep: Sweep, cdev: Cdev, iommufd: Iommufd, page: int, *, attached: bool) -> None:
    """An address space with a device's page table, into which it is written, and without."""
    cdev.bind(iommufd)
    ioas = iommufd.alloc_ioas()
    if attached:
        cdev.attach(ioas)
    with Memory(sweep.port, PAGES * page, fill=1) as memory:

        def unmap() -> None:
            iommufd.try_unmap_ioas(ioas, IOVA, memory.size)

        sweep(
            rules.IOAS_MAP,
            lambda port: Iommufd(port, iommufd.handle).try_map_ioas(
                ioas, memory, IOVA, memory.size
            ),
            unmap,
            unanswered=unmap,
        )


@checks(rules.UNMAP_DMA)
@devices("dma-stimulus")
@pytest.mark.parametrize("kind", [MemoryKind.ANON, MemoryKind.MEMFD], ids=["anonymous", "shared"])
def test_unmap_dma(sweep: Sweep, own: Assigned, page: int, kind: MemoryKind) -> None:
    """Type1: what is not unmapped stays mapped and locked, and can be unmapped later."""
    container = own.container
    with Memory(sweep.port, PAGES * page, kind=kind, fill=1) as memory:
        container.map(memory, IOVA, memory.size)
        sweep(
            rules.UNMAP_DMA,
            lambda port: Container(port, container.handle).try_unmap(IOVA, memory.size),
            lambda: container.map(memory, IOVA, memory.size),
            unanswered=lambda: container.try_map(memory, IOVA, memory.size),
        )
        container.unmapped(IOVA, memory.size)


@checks(rules.IOAS_UNMAP)
@devices("dma-stimulus")
@pytest.mark.parametrize("attached", [True, False], ids=["attached", "alone"])
def test_ioas_unmap(
    sweep: Sweep, cdev: Cdev, iommufd: Iommufd, page: int, *, attached: bool
) -> None:
    """The same of an address space, with a device's page table and without."""
    cdev.bind(iommufd)
    ioas = iommufd.alloc_ioas()
    if attached:
        cdev.attach(ioas)
    with Memory(sweep.port, PAGES * page, fill=1) as memory:

        def map_again() -> None:
            iommufd.try_map_ioas(ioas, memory, IOVA, memory.size)

        map_again()
        sweep(
            rules.IOAS_UNMAP,
            lambda port: Iommufd(port, iommufd.handle).try_unmap_ioas(ioas, IOVA, memory.size),
            map_again,
            unanswered=map_again,
        )


@checks(rules.IOAS_MAP_ANSWER)
def test_an_answer_that_cannot_be_written(
    iommufd: Iommufd, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """The structure lies in memory that is only readable; nothing is mapped."""
    ioas = iommufd.alloc_ioas()
    struct = abi.iommu_ioas_map
    wanted = struct(struct.sizeof(), WRITE_READ_FIXED, ioas, 0, memory.address, 4096, IOVA)
    memory.write(0, wanted.pack())
    memory.protect(READ_ONLY)
    try:
        call = iommufd.try_ioctl(abi.IOMMU_IOAS_MAP, memory.at(), what="only readable")
        left = iommufd.try_unmap_ioas(ioas, IOVA, 4096)
    finally:
        memory.protect(READ_WRITE)
    expect.equal(f"errno of {call}", call.errno, promised(rules.IOAS_MAP_ANSWER))
    expect.equal(f"what there was to unmap after {call}", left.errno, ENOENT)
