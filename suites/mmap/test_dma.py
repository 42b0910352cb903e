# SPDX-License-Identifier: MIT
"""A mapping of a region, mapped for DMA: all of it, parts of it, and when it cannot be reached."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.container import Container
from vfiospec.device.files import Mapping, Memory
from vfiospec.device.group import Assigned
from vfiospec.device.ops import Munmap, Ref, Syscall
from vfiospec.device.port import Port
from vfiospec.device.region import Region
from vfiospec.rules import mmap as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Mapped = list[tuple[Region, Mapping]]
HUGE = 2 << 20
IOVA = 0x40000000
MAYMOVE, FIXED = 1, 2  # of mremap(2)


def mapped_for_dma(container: Container, where: Ref, size: int) -> None:
    """It is, all of it and no more, and is unmapped again."""
    expect.accepted(container.try_map(where, IOVA, size))
    call = expect.accepted(container.try_unmap(IOVA, size))
    unmapped = call.unpack(iommu.vfio_iommu_type1_dma_unmap).size
    expect.equal("bytes unmapped", unmapped, size)


@checks(rules.DMA)
def test_a_mapping_can_be_mapped_for_dma(mapped: Mapped, contained: Assigned, page: int) -> None:
    """All of its pages, up to 16, though none was touched; and unmapped again."""
    for _, mapping in mapped:
        size = min(mapping.size, 16 * page)
        mapped_for_dma(contained.container, mapping.at(), size)
        expect.equal("signal", mapping.load(mapping.size - 4, 4).signal, 0)


@checks(rules.DMA)
def test_a_mapping_that_faults_cannot_be_mapped_for_dma(
    mapped: Mapped,
    contained: Assigned,
    page: int,
    memory: Callable[[bool], None],
    promised: Callable[[Rule], int],
) -> None:
    """Memory decoding is off; the pages had been touched before."""
    for _, mapping in mapped:
        mapping.load(0, 4)
    memory(False)
    for _, mapping in mapped:
        call = contained.container.try_map(mapping.at(), IOVA, page)
        if call.ok:
            contained.container.try_unmap(IOVA, page)
        expect.refused(call, promised(rules.DMA))


@checks(rules.DMA)
@devices("vga")
@pytest.mark.parametrize(
    ("first", "count"), [(0, 16), (5, 16), (496, 16), (500, 16), (511, 1), (0, 513)]
)
def test_a_part_of_a_huge_page_can_be_mapped_for_dma(
    framebuffer: Region, contained: Assigned, port: Port, page: int, first: int, count: int
) -> None:
    """Where the mapping lies so that the kernel can use huge pages: at its start, within, over."""
    size = int(framebuffer.info.size) // 2
    mapping = framebuffer.map(size)
    with Memory(port, size + 2 * HUGE) as room:
        start = -room.address % HUGE
        to = (mapping.address, size, size, MAYMOVE | FIXED, room.address + start)
        moved, _ = port.run([Syscall("mremap", to), Munmap(mapping.handle)])
        expect.equal("address of the moved mapping", moved.ret, room.address + start)
        where = room.at(start + first * page)
        # Before a page of it was touched, and since
        for _ in range(2):
            mapped_for_dma(contained.container, where, count * page)
