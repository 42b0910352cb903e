# SPDX-License-Identifier: MIT
"""IOMMU_VFIO_IOAS: which address space stands for the container's."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd as abi
from vfiospec.abi import vfio
from vfiospec.device.iommufd import Iommufd
from vfiospec.rules import iommufd_compat as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
MANY = 32
GET, SET, CLEAR = abi.IOMMU_VFIO_IOAS_GET, abi.IOMMU_VFIO_IOAS_SET, abi.IOMMU_VFIO_IOAS_CLEAR


def standing(iommufd: Iommufd) -> int:
    """The id that GET tells; nothing else of the structure is written."""
    call = expect.accepted(iommufd.try_vfio_ioas(GET))
    expect.untouched(call, 0, abi.iommu_vfio_ioas.offset_of("ioas_id"))
    expect.untouched(call, abi.iommu_vfio_ioas.end_of("ioas_id"))
    return int(call.unpack(abi.iommu_vfio_ioas).ioas_id)


@checks(rules.IOAS, rules.IOAS_NONE)
def test_set_asked_for_and_cleared(iommufd: Iommufd, promised: Promised) -> None:
    """One after the other; cleared twice is no error."""
    spaces = [iommufd.alloc_ioas() for _ in range(3)]
    expect.refused(iommufd.try_vfio_ioas(GET), promised(rules.IOAS_NONE))
    for ioas in (*spaces, spaces[0]):
        expect.accepted(iommufd.try_vfio_ioas(SET, ioas))
        expect.equal("address space", standing(iommufd), ioas)
    for _ in range(2):
        expect.accepted(iommufd.try_vfio_ioas(CLEAR))
        expect.refused(iommufd.try_vfio_ioas(GET), promised(rules.IOAS_NONE))
    for ioas in spaces:
        expect.accepted(iommufd.try_destroy(ioas))


@checks(rules.IOAS, rules.IOAS_NONE)
def test_it_is_destroyed(iommufd: Iommufd, promised: Promised) -> None:
    """It no longer stands for anything; destroying another one changes nothing."""
    ioas, other = iommufd.alloc_ioas(), iommufd.alloc_ioas()
    expect.accepted(iommufd.try_vfio_ioas(SET, ioas))
    expect.accepted(iommufd.try_destroy(other))
    expect.equal("address space", standing(iommufd), ioas)
    expect.accepted(iommufd.try_destroy(ioas))
    expect.refused(iommufd.try_vfio_ioas(GET), promised(rules.IOAS_NONE))
    for _ in range(MANY):  # one of which has the memory of the one that is gone
        iommufd.alloc_ioas()
    expect.refused(iommufd.try_vfio_ioas(GET), promised(rules.IOAS_NONE))


@checks(rules.IOAS_UNKNOWN)
def test_an_id_that_is_none(iommufd: Iommufd, promised: Promised) -> None:
    """The one that is set stays."""
    ioas, gone = iommufd.alloc_ioas(), iommufd.alloc_ioas()
    expect.accepted(iommufd.try_destroy(gone))
    expect.accepted(iommufd.try_vfio_ioas(SET, ioas))
    for number in (0, gone, 0xFFFFFFFF):
        expect.refused(iommufd.try_vfio_ioas(SET, number), promised(rules.IOAS_UNKNOWN))
    expect.equal("address space", standing(iommufd), ioas)


@checks(rules.IOAS_OP)
@pytest.mark.parametrize("op", [3, 4, 0x100, 0xFFFF], ids="op-{}".format)
def test_an_unknown_operation(compat: Iommufd, op: int, promised: Promised) -> None:
    """With an address space of its own."""
    expect.refused(compat.try_vfio_ioas(op, standing(compat)), promised(rules.IOAS_OP))


@checks(rules.IOAS_OP)
@pytest.mark.parametrize("op", [GET, SET, CLEAR], ids="op-{}".format)
def test_the_reserved_field(compat: Iommufd, op: int, promised: Promised) -> None:
    """Any bit of it; nothing is done."""
    ioas = standing(compat)
    for bit in (0, 7, 15):
        argument = abi.iommu_vfio_ioas(ioas_id=ioas, op=op)
        setattr(argument, "__reserved", 1 << bit)
        expect.refused(compat.try_call(abi.IOMMU_VFIO_IOAS, argument), promised(rules.IOAS_OP))
    expect.equal("address space", standing(compat), ioas)


@checks(rules.IOAS_NONE)
def test_what_needs_one(iommufd: Iommufd, promised: Promised) -> None:
    """All ioctls but those that ask for nothing of it."""
    errno = promised(rules.IOAS_NONE)
    expect.refused(iommufd.try_set_iommu(vfio.VFIO_TYPE1_IOMMU), errno)
    expect.refused(iommufd.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU), errno)
    expect.refused(iommufd.try_check_extension(vfio.VFIO_DMA_CC_IOMMU), errno)
    expect.refused(iommufd.try_get_iommu_info(), errno)
    expect.refused(iommufd.try_map(0x1000, 0x1000, 0x1000), errno)
    expect.refused(iommufd.try_unmap(0, 0x1000), errno)
