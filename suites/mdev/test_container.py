# SPDX-License-Identifier: MIT
"""A type1 container of a device that has no IOMMU, alone and beside one that has."""

from collections.abc import Callable, Iterator
from errno import EEXIST

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.call import Call, checked
from vfiospec.device.container import Bitmap, Container, locked_bytes
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned, Group
from vfiospec.device.mdev import Mdev
from vfiospec.device.port import Port
from vfiospec.rules import mdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks
from vfiospec.session.run import Run

Promised = Callable[[Rule], int]
Make = Callable[[str], Mdev]
VADDR = iommu.VFIO_DMA_UNMAP_FLAG_VADDR
IOVA = 1 << 32
PAGES = 4
START = iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_START
STOP = iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP


@pytest.fixture
def physical(port: Port, run: Run, alone: Assigned) -> Iterator[Group]:
    """The group of a device behind an IOMMU, in the same container."""
    if not run.devices:
        pytest.skip("no device beside it: judge one with --device BDF")
    with Group.of(port, run.give_up(run.devices[0])) as group:
        checked(group.try_set_container(alone.container))
        yield group


@pytest.fixture
def buffer(port: Port, page: int) -> Iterator[Memory]:
    """Memory to map."""
    with Memory(port, PAGES * page) as made:
        yield made


def update_vaddr(container: Container) -> int:
    """Whether UPDATE_VADDR is there."""
    return expect_ret(container.try_check_extension(vfio.VFIO_UPDATE_VADDR))


def expect_ret(call: Call) -> int:
    """What a call that succeeded returned."""
    return checked(call).ret


def dirty(container: Container, memory: Memory, page: int) -> int:
    """The bits of the mapping, taken while pages are tracked."""
    memory.write(0, bytes(8))
    checked(container.try_get_dirty(IOVA, PAGES * page, Bitmap(memory.at(), 8, page)))
    return int.from_bytes(memory.read(0, 8), "little")


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


@checks(rules.NO_RANGES, rules.NOT_PINNED)
def test_alone(port: Port, alone: Assigned, buffer: Memory, page: int) -> None:
    """No ranges in the info; any address will do, and no page is pinned for it."""
    container = alone.container
    info = container.get_iommu_info()
    found = info.capability(iommu.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
    expect.holds(found is None, "no capability with ranges", repr(found))
    for cap in (
        iommu.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, iommu.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
    ):  # fmt: skip
        expect.holds(info.capability(cap) is not None, f"capability {cap}", "it is missing")
    before, left = locked_bytes(port), container.available()
    addresses = (0, 0xFEE00000, IOVA, 1 << 60, (1 << 64) - 2 * PAGES * page)
    for iova in addresses:
        container.map(buffer, iova, PAGES * page)
    expect.equal("mappings left", container.available(), left - len(addresses))
    expect.equal("bytes locked", locked_bytes(port), before)
    for iova in addresses:
        expect.equal(f"bytes at {iova:#x}", container.unmapped(iova, PAGES * page), PAGES * page)
    expect.equal("mappings left", container.available(), left)


@checks(rules.NO_RANGES)
def test_the_end_of_the_address_space(alone: Assigned, buffer: Memory, page: int) -> None:
    """The last pages there are can be mapped too, and unmapped."""
    container, iova = alone.container, (1 << 64) - PAGES * page
    container.map(buffer, iova, PAGES * page)
    try:
        unmapped = container.unmapped(iova, PAGES * page)
        expect.equal("bytes unmapped at the end", unmapped, PAGES * page)
    finally:
        container.try_unmap(0, 0, iommu.VFIO_DMA_UNMAP_FLAG_ALL)


@checks(rules.CLEAN)
def test_nothing_is_dirty(alone: Assigned, buffer: Memory, memory: Memory, page: int) -> None:
    """Nothing pinned, nothing dirty: mapped before, and since."""
    container = alone.container
    container.map(buffer, IOVA, PAGES * page)
    expect.accepted(container.try_dirty_pages(START))
    expect.equal("dirty pages", dirty(container, memory, page), 0)
    container.unmapped(IOVA, PAGES * page)
    container.map(buffer, IOVA, PAGES * page)
    expect.equal("dirty pages of a new mapping", dirty(container, memory, page), 0)
    expect.accepted(container.try_dirty_pages(STOP))


@checks(rules.CLEAN)
def test_everything_is_dirty(
    alone: Assigned, physical: Group, buffer: Memory, memory: Memory, page: int
) -> None:
    """With a device that writes as it likes; and once more when it goes, but not again."""
    container = alone.container
    container.map(buffer, IOVA, PAGES * page)
    expect.accepted(container.try_dirty_pages(START))
    every = (1 << PAGES) - 1
    for _ in range(2):
        expect.equal("dirty pages", dirty(container, memory, page), every)
    expect.accepted(physical.try_unset_container())
    expect.equal("dirty pages after it left", dirty(container, memory, page), every)
    expect.equal("dirty pages since", dirty(container, memory, page), 0)
    expect.accepted(container.try_dirty_pages(STOP))
    checked(physical.try_set_container(container))


@checks(rules.CLEAN)
def test_everything_is_dirty_without_the_mediated_one(
    alone: Assigned, physical: Group, buffer: Memory, memory: Memory, page: int
) -> None:
    """That it leaves says nothing of what the other device writes."""
    container = alone.container
    container.map(buffer, IOVA, PAGES * page)
    expect.accepted(alone.group.try_unset_container())
    expect.accepted(container.try_dirty_pages(START))
    for _ in range(2):
        expect.equal("dirty pages", dirty(container, memory, page), (1 << PAGES) - 1)
    expect.accepted(container.try_dirty_pages(STOP))
    checked(alone.group.try_set_container(container))
    del physical
