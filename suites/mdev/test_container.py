# SPDX-License-Identifier: MIT
"""A type1 container of a device that has no IOMMU, alone and beside one that has."""

from collections.abc import Callable
from errno import EEXIST

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.call import Call, checked
from vfiospec.device.container import Container, locked_bytes
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned, Group
from vfiospec.device.mdev import Mdev
from vfiospec.device.port import Port
from vfiospec.rules import mdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
Make = Callable[[str], Mdev]
VADDR = iommu.VFIO_DMA_UNMAP_FLAG_VADDR
IOVA = 1 << 32
PAGES = 4


def update_vaddr(container: Container) -> int:
    """Whether UPDATE_VADDR is there."""
    return expect_ret(container.try_check_extension(vfio.VFIO_UPDATE_VADDR))


def expect_ret(call: Call) -> int:
    """What a call that succeeded returned."""
    return checked(call).ret


@checks(rules.NO_UPDATE, rules.UPDATE_BUSY)
def test_no_update_of_addresses(
    alone: Assigned, buffer: Memory, page: int, promised: Promised
) -> None:
    """It is not there, and marking an address is refused; so it is for all of them."""
    container = alone.container
    container.map(buffer, IOVA, PAGES * page)
    expect.equal("UPDATE_VADDR", update_vaddr(container), promised(rules.NO_UPDATE))
    every = iommu.VFIO_DMA_UNMAP_FLAG_ALL
    for iova, size, flags in ((IOVA, PAGES * page, VADDR), (0, 0, VADDR | every), (1, 1, VADDR)):
        call = container.try_unmap(iova, size, flags)
        expect.refused(call, promised(rules.UPDATE_BUSY))
    expect.equal("bytes unmapped", container.unmapped(IOVA, PAGES * page), PAGES * page)


@checks(rules.NO_UPDATE, rules.UPDATE_BUSY, rules.KEPT)
def test_beside_a_physical_one(
    alone: Assigned, physical: Group, buffer: Memory, page: int, promised: Promised
) -> None:
    """Together there is no update; once the mediated device is gone there is."""
    container = alone.container
    container.map(buffer, IOVA, PAGES * page)
    expect.equal("UPDATE_VADDR", update_vaddr(container), promised(rules.NO_UPDATE))
    call = container.try_unmap(IOVA, PAGES * page, VADDR)
    expect.refused(call, promised(rules.UPDATE_BUSY))
    expect.accepted(alone.group.try_unset_container())
    expect.equal("UPDATE_VADDR", update_vaddr(container), 1)
    expect.equal("bytes marked", container.unmapped(IOVA, PAGES * page, VADDR), PAGES * page)
    call = alone.group.try_set_container(container)
    expect.refused(call, promised(rules.UPDATE_BUSY))
    new = iommu.VFIO_DMA_MAP_FLAG_VADDR
    checked(container.try_map(buffer, IOVA, PAGES * page, new))
    expect.accepted(alone.group.try_set_container(container))
    expect.equal("bytes unmapped", container.unmapped(IOVA, PAGES * page), PAGES * page)
    del physical


@checks(rules.KEPT, rules.NOT_PINNED)
def test_what_is_left_when_the_physical_one_goes(
    port: Port, alone: Assigned, physical: Group, buffer: Memory, page: int
) -> None:
    """The mappings are kept, and are pinned no more."""
    container = alone.container
    before = locked_bytes(port)
    container.map(buffer, IOVA, PAGES * page)
    expect.equal("bytes locked", locked_bytes(port) - before, PAGES * page)
    expect.accepted(physical.try_unset_container())
    expect.equal("bytes locked without an IOMMU", locked_bytes(port), before)
    expect.equal("bytes unmapped", container.unmapped(IOVA, PAGES * page), PAGES * page)
    checked(physical.try_set_container(container))


@checks(rules.KEPT)
def test_what_is_left_when_all_go(
    alone: Assigned, physical: Group, buffer: Memory, page: int
) -> None:
    """The last group, of either kind, takes the mappings with it."""
    container = alone.container
    container.map(buffer, IOVA, PAGES * page)
    expect.accepted(physical.try_unset_container())
    expect.accepted(alone.group.try_unset_container())
    checked(alone.group.try_set_container(container))
    checked(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
    expect.equal("bytes unmapped", container.unmapped(IOVA, PAGES * page), 0)
    checked(physical.try_set_container(container))


@checks(rules.KEPT, rules.NO_UPDATE)
def test_two_of_them(
    port: Port, make: Make, alone: Assigned, buffer: Memory, page: int, promised: Promised
) -> None:
    """The mappings are there as long as one of both is, whichever; so is the ban on updates."""
    container = alone.container
    with Group.of(port, make("mdpy-vga").group) as second:
        groups = (alone.group, second)
        checked(second.try_set_container(container))
        container.map(buffer, IOVA, PAGES * page)
        for leaving in (*groups, *groups):
            expect.accepted(leaving.try_unset_container())
            call = container.try_map(buffer, IOVA, PAGES * page)
            expect.equal(f"errno of {call}", call.errno, EEXIST)
            expect.equal("UPDATE_VADDR", update_vaddr(container), promised(rules.NO_UPDATE))
            checked(leaving.try_set_container(container))
        checked(second.try_unset_container())
    expect.equal("bytes unmapped", container.unmapped(IOVA, PAGES * page), PAGES * page)
