# SPDX-License-Identifier: MIT
"""A BAR as a dma-buf in an address space of iommufd: usable while the device's memory is."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.call import Call
from vfiospec.device.cdev import Bound
from vfiospec.device.files import File
from vfiospec.device.pci import ROM, PciDevice
from vfiospec.device.scratch import decode_memory
from vfiospec.rules import cdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

DMA_BUF = feature.VFIO_DEVICE_FEATURE_DMA_BUF
PROBE, GET = feature.VFIO_DEVICE_FEATURE_PROBE, feature.VFIO_DEVICE_FEATURE_GET
CLOEXEC_READ_WRITE = 0o2000002  # O_RDWR | O_CLOEXEC
IOVA = 0x100000


@pytest.fixture
def bar(bound: Bound, pci: PciDevice, page: int) -> Iterator[int]:
    """A memory BAR that can be a dma-buf; memory decoding is on, and put back afterwards."""
    if not bound.cdev.try_feature(DMA_BUF | PROBE).ok:
        pytest.skip("the kernel has no DMA_BUF: needs 7.2 or newer with CONFIG_VFIO_PCI_DMABUF")
    found = [i for i, b in enumerate(pci.bars[:ROM]) if b.is_memory and b.size >= page]
    if not found:
        pytest.skip("the device has no memory BAR of a page or more")
    before = decode_memory(bound.cdev)
    yield found[0]
    bound.cdev.write_config(4, 2, before)


def dma_buf(bound: Bound, bar: int, size: int) -> File:
    """The first bytes of a BAR as a dma-buf."""
    request = feature.vfio_device_feature_dma_buf(bar, CLOEXEC_READ_WRITE, 0, 1).pack()
    request += feature.vfio_region_dma_range(0, size).pack()
    head = feature.vfio_device_feature(feature.FEATURE_MIN + len(request), DMA_BUF | GET)
    handle = bound.cdev.port.handle()
    call = bound.cdev.try_ioctl(feature.VFIO_DEVICE_FEATURE, head.pack() + request, out=handle)
    expect.holds(call.ok, "a dma-buf", str(call))
    return File(bound.cdev.port, handle)


def map_file(bound: Bound, file: File, size: int) -> Call:
    """IOMMU_IOAS_MAP_FILE of it; what is mapped is unmapped again."""
    call = bound.iommufd.try_map_file(bound.ioas, file, IOVA, size)
    if call.ok:
        expect.accepted(bound.iommufd.try_unmap_ioas(bound.ioas, IOVA, size))
    return call


@checks(rules.DMA_BUF)
def test_it_can_be_mapped(bound: Bound, bar: int, page: int) -> None:
    """As memory can."""
    with dma_buf(bound, bar, page) as file:
        expect.accepted(map_file(bound, file, page))


@checks(rules.DMA_BUF_MEMORY_OFF)
def test_while_memory_is_off_it_cannot(
    bound: Bound, bar: int, page: int, promised: Callable[[Rule], int]
) -> None:
    """Made before it was turned off, or after; once it is on again both can."""
    with dma_buf(bound, bar, page) as before:
        decode_memory(bound.cdev, on=False)
        with dma_buf(bound, bar, page) as after:
            for file in (before, after):
                expect.refused(map_file(bound, file, page), promised(rules.DMA_BUF_MEMORY_OFF))
            decode_memory(bound.cdev)
            for file in (before, after):
                expect.accepted(map_file(bound, file, page))


@checks(rules.DMA_BUF)
@devices("flr")
def test_after_a_reset_it_can_again(bound: Bound, bar: int, page: int) -> None:
    """Its memory is where it was, and on as it was."""
    with dma_buf(bound, bar, page) as file:
        expect.accepted(bound.cdev.try_reset())
        expect.accepted(map_file(bound, file, page))
