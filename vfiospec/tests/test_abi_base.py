# SPDX-License-Identifier: MIT
"""AbiStruct: offsets, packing, printing, comparing; and the header's function-like macros."""

import pytest

from vfiospec.abi import vfio, vfio_feature, vfio_iommu
from vfiospec.abi.ioctl import IOCTLS


def test_offsets_and_ends() -> None:
    """A u64 is aligned as in C, and a field may be called size or offset."""
    region = vfio.vfio_region_info
    assert (region.offset_of("size"), region.end_of("size"), region.sizeof()) == (16, 24, 32)
    assert vfio_iommu.vfio_eeh_pe_op.offset_of("err") == 16


def test_an_unnamed_union_is_transparent() -> None:
    """Both names of the id of a dependent device are the same four bytes."""
    device = vfio.vfio_pci_dependent_device(devid=7, bus=3)
    assert device.group_id == 7
    assert device.offset_of("devid") == device.offset_of("group_id") == 0
    assert device.pack() == b"\7\0\0\0\0\0\3\0"


def test_an_unknown_field_is_named() -> None:
    """A wrong field name says which structure, and which names there are."""
    with pytest.raises(AttributeError, match="vfio_irq_set has no field data: it has argsz, flags"):
        vfio.vfio_irq_set.offset_of("data")


@pytest.mark.parametrize("length", [0, 3, 16, 23, 24, 40], ids="{} bytes".format)
def test_unpack_fills_with_zeros_and_ignores_the_rest(length: int) -> None:
    """Short data is filled up, data behind the structure stays out."""
    data = bytes(range(1, length + 1))
    assert vfio.vfio_device_info.unpack(data).pack() == data[:24].ljust(24, b"\0")


def test_equality_is_by_bytes_and_type() -> None:
    """The same bytes as another structure are not equal, and nothing mutable is hashable."""
    info = vfio.vfio_device_info(argsz=24)
    assert info == vfio.vfio_device_info.unpack(b"\x18")
    assert info != vfio.vfio_device_info(argsz=20)
    assert info != vfio_iommu.vfio_iommu_type1_info(argsz=24)
    with pytest.raises(TypeError, match="unhashable"):
        hash(info)


def test_repr_shows_flags_and_wide_fields_in_hex() -> None:
    """A transcript is read by its flags, addresses and numbers."""
    mapping = vfio_iommu.vfio_iommu_type1_dma_map(argsz=32, flags=3, vaddr=0x1000, size=4096)
    assert repr(mapping) == (
        "vfio_iommu_type1_dma_map(argsz=32, flags=0x3, vaddr=0x1000, iova=0x0, size=0x1000)"
    )


def test_repr_shows_nested_structures() -> None:
    """A capability prints its header."""
    shown = repr(vfio_iommu.vfio_iommu_type1_info_dma_avail(avail=65535))
    assert shown == (
        "vfio_iommu_type1_info_dma_avail("
        "header=vfio_info_cap_header(id=0, version=0, next=0), avail=65535)"
    )


def test_one_number_means_different_things_on_different_fds() -> None:
    """0x3b70 is an ioctl of a device and another one of a container."""
    assert IOCTLS["device", 0x3B70] == (
        "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO",
        vfio.vfio_pci_hot_reset_info,
    )
    assert IOCTLS["container", 0x3B70] == ("VFIO_IOMMU_GET_INFO", vfio_iommu.vfio_iommu_type1_info)
    assert ("group", 0x3B70) not in IOCTLS


@pytest.mark.parametrize(
    ("state", "valid", "error"),
    [(0, True, False), (3, True, False), (4, True, False), (5, False, False), (6, False, True)],
)
def test_migration_v1_states(state: int, *, valid: bool, error: bool) -> None:
    """RESUMING goes with no other bit, and RESUMING with SAVING is how a failure looks."""
    assert vfio_feature.VFIO_DEVICE_STATE_VALID(state) is valid
    assert vfio_feature.VFIO_DEVICE_STATE_IS_ERROR(state) is error
    assert vfio_feature.VFIO_DEVICE_STATE_SET_ERROR(state | 8) == 14
