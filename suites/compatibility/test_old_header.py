# SPDX-License-Identifier: MIT
"""Programs built with the headers of older kernels, whose structures end earlier."""

from collections.abc import Callable
from operator import attrgetter

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.device import Device
from vfiospec.device.group import Assigned
from vfiospec.device.info import INFO_CALLS, InfoCall
from vfiospec.rules import compatibility, conventions
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

HEADERS = [(5, 10), (6, 1), (6, 12), (7, 2)]
each_header = pytest.mark.parametrize(
    "header", HEADERS, ids=lambda version: f"header-{version[0]}-{version[1]}"
)
ARGSZ = vfio.vfio_device_info.offset_of("flags")  # what is before it differs, as it was asked


@checks(compatibility.OLD_HEADER)
@each_header
@pytest.mark.parametrize("info", INFO_CALLS, ids=attrgetter("name"))
def test_shorter_structures_get_the_same_answers(
    device: Device, info: InfoCall, header: tuple[int, int], promised: Callable[[Rule], int]
) -> None:
    """Each index is answered as to a program that knows all of the structure."""
    size = conventions.SIZES[info.name].answer(header)
    known = min(size, promised(conventions.SIZES[info.name]))
    for index in range(info.count(device)):
        at = None if info.index is None else index
        now, then = info.ask(device, index=at), info.ask(device, size, size=size, index=at)
        expect.equal(f"answer to {then.what}", then.answer(), now.answer())
        expect.inside(then)
        expect.untouched(then, known)
        if now.ok and info.struct.unpack(now.data).argsz == info.struct.sizeof():
            got, wanted = then.data[ARGSZ:known], now.data[ARGSZ:known]
            expect.equal(f"fields of {then}", got.hex(" "), wanted.hex(" "))


@checks(compatibility.OLD_HEADER)
def test_the_status_of_a_group_needs_no_more_than_ever(assigned: Assigned) -> None:
    """Two fields, in a buffer of just that size."""
    size = vfio.GROUP_STATUS_MIN
    expect.accepted(assigned.group.try_get_status(size, size=size))


@checks(compatibility.OLD_HEADER)
def test_the_info_of_type1_needs_no_more_than_ever(assigned: Assigned) -> None:
    """The fields before capabilities came: the same as to a program that knows of those."""
    size = iommu.TYPE1_INFO_MIN
    then = expect.accepted(assigned.container.try_get_iommu_info(size, size=size))
    now = assigned.container.get_iommu_info().struct
    then_info = iommu.vfio_iommu_type1_info.unpack(then.data)
    expect.equal("iova_pgsizes", then_info.iova_pgsizes, now.iova_pgsizes)
    expect.equal("flags", then_info.flags, now.flags)
