# SPDX-License-Identifier: MIT
"""What all ioctls of an iommufd have in common: size, trailing bytes, addresses, numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd as abi
from vfiospec.abi import iommufd_hwpt as hwpt
from vfiospec.abi.base import AbiStruct
from vfiospec.device.files import Memory
from vfiospec.device.iommufd import Iommufd
from vfiospec.rules import iommufd as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]


@dataclass(frozen=True)
class Shape:
    """An ioctl with an argument that is refused for its id, and its first version's size."""

    request: int
    argument: AbiStruct
    last: str

    @property
    def least(self) -> int:
        """Bytes of the first version."""
        return type(self.argument).end_of(self.last)


FLAGS = abi.IOMMU_IOAS_MAP_READABLE
SHAPES = {
    "destroy": Shape(abi.IOMMU_DESTROY, abi.iommu_destroy(), "id"),
    "allow-iovas": Shape(abi.IOMMU_IOAS_ALLOW_IOVAS, abi.iommu_ioas_allow_iovas(), "allowed_iovas"),
    "copy": Shape(abi.IOMMU_IOAS_COPY, abi.iommu_ioas_copy(flags=FLAGS), "src_iova"),
    "iova-ranges": Shape(
        abi.IOMMU_IOAS_IOVA_RANGES, abi.iommu_ioas_iova_ranges(), "out_iova_alignment"
    ),
    "map": Shape(abi.IOMMU_IOAS_MAP, abi.iommu_ioas_map(flags=FLAGS), "iova"),
    "unmap": Shape(abi.IOMMU_IOAS_UNMAP, abi.iommu_ioas_unmap(), "length"),
    "option": Shape(
        abi.IOMMU_OPTION, abi.iommu_option(option_id=abi.IOMMU_OPTION_HUGE_PAGES), "val64"
    ),
    "vfio-ioas": Shape(
        abi.IOMMU_VFIO_IOAS, abi.iommu_vfio_ioas(op=abi.IOMMU_VFIO_IOAS_SET), "__reserved"
    ),
    "hwpt-alloc": Shape(hwpt.IOMMU_HWPT_ALLOC, hwpt.iommu_hwpt_alloc(), "__reserved"),
    "set-dirty-tracking": Shape(
        hwpt.IOMMU_HWPT_SET_DIRTY_TRACKING, hwpt.iommu_hwpt_set_dirty_tracking(), "__reserved"
    ),
    "get-dirty-bitmap": Shape(
        hwpt.IOMMU_HWPT_GET_DIRTY_BITMAP, hwpt.iommu_hwpt_get_dirty_bitmap(), "data"
    ),
    "invalidate": Shape(hwpt.IOMMU_HWPT_INVALIDATE, hwpt.iommu_hwpt_invalidate(), "__reserved"),
    "get-hw-info": Shape(hwpt.IOMMU_GET_HW_INFO, hwpt.iommu_hw_info(), "__reserved"),
}
NAMES = pytest.mark.parametrize("name", SHAPES)


@checks(rules.NO_OBJECT, rules.SHORT, rules.LONG, rules.TRAILING)
@NAMES
def test_each_size(iommufd: Iommufd, name: str, promised: Promised) -> None:
    """Too short, as long as the first version, as long as now, longer with zeros and without."""
    shape = SHAPES[name]
    whole, none = shape.argument.sizeof(), promised(rules.NO_OBJECT)
    for size in (0, 1, 4, shape.least - 1):
        call = iommufd.try_call(shape.request, shape.argument, size=size)
        expect.refused(call, promised(rules.SHORT))
    for size in (shape.least, whole, whole + 1, whole + 8, 4096):
        call = iommufd.try_call(shape.request, shape.argument, size=size, more=bytes(4096))
        expect.refused(call, none)
    for place in (0, 1, 9, 100):
        more = bytes(place) + b"\1"
        call = iommufd.try_call(shape.request, shape.argument, more=more)
        expect.refused(call, promised(rules.TRAILING))
        call = iommufd.try_call(shape.request, shape.argument, size=whole + place, more=more)
        expect.refused(call, none)


@checks(rules.NO_OBJECT, rules.INVALIDATE_KIND)
def test_an_object_of_another_kind(iommufd: Iommufd, promised: Promised) -> None:
    """An address space where a page table or a device is asked for; it can still be destroyed."""
    ioas = iommufd.alloc_ioas()
    calls: tuple[tuple[int, AbiStruct], ...] = (
        (hwpt.IOMMU_GET_HW_INFO, hwpt.iommu_hw_info(dev_id=ioas)),
        (hwpt.IOMMU_HWPT_ALLOC, hwpt.iommu_hwpt_alloc(dev_id=ioas, pt_id=ioas)),
        (hwpt.IOMMU_HWPT_SET_DIRTY_TRACKING, hwpt.iommu_hwpt_set_dirty_tracking(hwpt_id=ioas)),
        (hwpt.IOMMU_HWPT_GET_DIRTY_BITMAP, hwpt.iommu_hwpt_get_dirty_bitmap(hwpt_id=ioas)),
    )
    for request, argument in calls:
        expect.refused(iommufd.try_call(request, argument), promised(rules.NO_OBJECT))
    call = iommufd.try_call(hwpt.IOMMU_HWPT_INVALIDATE, hwpt.iommu_hwpt_invalidate(hwpt_id=ioas))
    expect.refused(call, promised(rules.INVALIDATE_KIND))
    expect.accepted(iommufd.try_destroy(ioas))


@checks(rules.ALLOC, rules.SHORT, rules.LONG, rules.TRAILING)
def test_each_size_of_what_makes_an_address_space(iommufd: Iommufd, promised: Promised) -> None:
    """Too short to be told its id, none is made."""
    request, argument = abi.IOMMU_IOAS_ALLOC, abi.iommu_ioas_alloc()
    whole = argument.sizeof()
    for size in (0, 1, 4, 8, whole - 1):
        call = iommufd.try_call(request, argument, size=size)
        expect.refused(call, promised(rules.SHORT))
    call = iommufd.try_call(request, argument, more=b"\1")
    expect.refused(call, promised(rules.TRAILING))
    for size in (whole, whole + 1, 4096):
        call = iommufd.try_call(request, argument, size=size, more=bytes(4096))
        made = expect.accepted(call).unpack(abi.iommu_ioas_alloc).out_ioas_id
        expect.accepted(iommufd.try_destroy(made))


@checks(rules.ADDRESS)
@NAMES
def test_memory_that_ends_too_early(
    iommufd: Iommufd, memory: Memory, name: str, promised: Promised
) -> None:
    """No argument, no size, and less than the size says."""
    shape, errno = SHAPES[name], promised(rules.ADDRESS)
    expect.refused(iommufd.try_ioctl(shape.request, 0), errno)
    expect.refused(iommufd.try_ioctl(shape.request, memory.tail(3)), errno)
    memory.write(memory.size - 4, shape.least.to_bytes(4, "little"))
    expect.refused(iommufd.try_ioctl(shape.request, memory.tail(4)), errno)


@checks(rules.UNKNOWN)
@pytest.mark.parametrize("number", [0x0, 0x63, 0x7F, 0xA0, 0xFE, 0xFF], ids="number-{}".format)
def test_unknown_numbers(iommufd: Iommufd, memory: Memory, number: int, promised: Promised) -> None:
    """With and without an argument."""
    for argument in (0, memory.at()):
        call = iommufd.try_ioctl(abi.IOMMUFD_TYPE << 8 | number, argument)
        expect.refused(call, promised(rules.UNKNOWN))


@checks(rules.UNKNOWN)
def test_a_number_with_more(iommufd: Iommufd, promised: Promised) -> None:
    """A direction, a size, another type."""
    data = abi.iommu_ioas_alloc(size=abi.iommu_ioas_alloc.sizeof()).pack()
    for extra in (1 << 30, 2 << 30, 3 << 30, 12 << 16, 1 << 8):
        call = iommufd.try_ioctl(abi.IOMMU_IOAS_ALLOC ^ extra, data)
        expect.refused(call, promised(rules.UNKNOWN))
