# SPDX-License-Identifier: MIT
"""UNMAP_DMA and the processes, the memory and the threads there are around it."""

from collections.abc import Callable

from vfiospec import expect
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device import ops as o
from vfiospec.device.container import Container, locked_bytes
from vfiospec.device.files import Memory
from vfiospec.device.port import ForkedPort, Port
from vfiospec.rules import type1 as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]


@checks(rules.UNMAP_OTHER_MM)
def test_another_process_can_unmap(
    three: Container,
    base: int,
    page: int,
    fork: Callable[[], ForkedPort],
    locked: Callable[[], int],
    promised: Promised,
) -> None:
    """What is counted for the one that mapped is given back to it."""
    child, before = fork(), locked()
    done = 10 * page * promised(rules.UNMAP_OTHER_MM)
    there = Container(child, three.handle)
    expect.equal("bytes unmapped by the child", there.unmapped(base, 16 * page), done)
    expect.equal("bytes given back", before - locked(), done)
    expect.equal("bytes left", three.unmapped(base, 16 * page), 10 * page - done)


@checks(rules.UNMAP_GONE_MEMORY)
def test_memory_that_is_gone_is_unmapped_as_any(
    v2: Container,
    base: int,
    port: Port,
    page: int,
    locked: Callable[[], int],
    pinned: Callable[[], int],
) -> None:
    """It was pinned: munmap(2) takes it from the process only."""
    memory = Memory(port, 8 * page, fill=1)
    v2.map(memory, base, memory.size)
    memory.free()
    expect.equal("bytes locked", locked(), 8 * page)
    expect.equal("bytes unmapped", v2.unmapped(base, 8 * page), 8 * page)
    expect.equal("bytes locked afterwards", locked(), 0)
    expect.equal("pages pinned", pinned(), 0)


@checks(rules.UNMAP_GONE_MEMORY)
def test_the_mapping_of_a_process_that_is_gone_goes_with_the_container(
    v2: Container,
    base: int,
    buffer: Memory,
    page: int,
    port: Port,
    locked: Callable[[], int],
    pinned: Callable[[], int],
) -> None:
    """It stays as long as someone has the container; whose memory it was does not matter."""
    process = port.handle()
    port.do(o.Fork(process))
    child = ForkedPort(port, process)
    there = Container(child, v2.handle)
    there.map(buffer, base, 4 * page)
    expect.equal("bytes locked in the child", locked_bytes(child), 4 * page)
    expect.equal("bytes locked here", locked(), 0)
    child.close()
    expect.equal("pages pinned", pinned(), 4)
    call = v2.try_map(buffer, base, page)
    expect.holds(not call.ok, "the range is still mapped", str(call))
    v2.map(buffer, base + 4 * page, page)
    expect.equal("bytes locked here", locked(), page)


@checks(rules.UNMAP_SIZE, rules.INFO_AVAIL, rules.MAP_LOCKS)
def test_threads_that_map_and_unmap_keep_the_books(
    v2: Container,
    base: int,
    buffer: Memory,
    page: int,
    port: Port,
    locked: Callable[[], int],
    pinned: Callable[[], int],
) -> None:
    """Whoever wins: what is counted is what is mapped."""
    before = v2.available()

    def mapping(first: int) -> o.AnyOp:
        at = iommu.vfio_iommu_type1_dma_map.offset_of("vaddr")
        request = iommu.vfio_iommu_type1_dma_map(
            iommu.DMA_MAP_MIN, 3, 0, base + first * page, 2 * page
        )
        return o.Ioctl(v2.handle, iommu.VFIO_IOMMU_MAP_DMA, 0, request.pack(), (buffer.fixup(at),))

    everything = iommu.vfio_iommu_type1_dma_unmap(iommu.DMA_UNMAP_MIN, 0, base, 16 * page)
    unmap = o.Ioctl(v2.handle, iommu.VFIO_IOMMU_UNMAP_DMA, 0, everything.pack())
    port.do(o.Race(((mapping(0), mapping(2)), (mapping(1), mapping(4)), (unmap, unmap)), 60))
    left = before - v2.available()
    expect.equal("bytes locked", locked(), 2 * left * page)
    expect.equal("bytes mapped", v2.unmapped(base, 16 * page), 2 * left * page)
    expect.equal("bytes locked afterwards", locked(), 0)
    expect.equal("pages pinned afterwards", pinned(), 0)
    expect.equal("avail", v2.available(), before)
