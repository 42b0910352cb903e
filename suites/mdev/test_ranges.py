# SPDX-License-Identifier: MIT
"""Which addresses can be mapped: all, until a device behind an IOMMU comes, and once it left."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.call import checked
from vfiospec.device.container import Container, locked_bytes, pinned_pages
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned, Group
from vfiospec.device.port import Port
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import mdev as rules
from vfiospec.rules import type1
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices
from vfiospec.session.ranges import reserved

Promised = Callable[[Rule], int]
IOVA = 1 << 32
BEYOND = 1 << 60  # more than page tables of IOMMUs reach
PAGES = 4
END = 1 << 64
FREE = vfio.VFIO_GROUP_FLAGS_VIABLE
ALL = iommu.VFIO_DMA_UNMAP_FLAG_ALL

on_one = devices("dma-stimulus", without=("grouped",))


@pytest.fixture
def beyond(port: Port, joining: Group) -> int:
    """An address that the IOMMU of the device has not."""
    with Container.create(port) as own:
        checked(joining.try_set_container(own))
        checked(own.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
        end = own.iova_ranges()[-1][1]
        checked(joining.try_unset_container())
    if end >= BEYOND:
        pytest.skip("the IOMMU has that address too: judge one with a smaller aperture")
    return BEYOND


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


@checks(rules.PAGE_SIZES)
def test_any_page_size(alone: Assigned, page: int) -> None:
    """From the smallest on."""
    sizes = alone.container.get_iommu_info().struct.iova_pgsizes
    expect.equal("page sizes", sizes, END - page)


@checks(type1.MAP_OVERLAP, type1.UNMAP_BISECT, rules.NO_RANGES)
def test_what_is_mapped_at_the_end_is_known(
    alone: Assigned, buffer: Memory, page: int, promised: Promised
) -> None:
    """It cannot be mapped a second time, nor be cut."""
    container, size = alone.container, PAGES * page
    container.map(buffer, END - size, size)
    try:
        for pages in (PAGES, 1):
            call = container.try_map(buffer, END - pages * page, pages * page)
            expect.refused(call, promised(type1.MAP_OVERLAP))
        call = container.try_unmap(END - page, page)
        expect.refused(call, promised(type1.UNMAP_BISECT))
        expect.equal("bytes unmapped", container.unmapped(END - size, size), size)
    finally:
        container.try_unmap(0, 0, ALL)


@checks(rules.RANGES_GO, rules.PAGE_SIZES, type1.MAP_RANGE)
@on_one
def test_a_device_behind_an_iommu_takes_its_limits_with_it(
    alone: Assigned, joining: Group, buffer: Memory, beyond: int, page: int, promised: Promised
) -> None:
    """Its aperture and what is reserved for it; also the second time."""
    container, size = alone.container, PAGES * page
    for _ in range(2):
        checked(joining.try_set_container(container))
        ranges = container.iova_ranges()
        holes = [end + 1 for _, end in ranges]
        expect.holds(holes[-1] <= beyond, f"an end before {beyond:#x}", f"{ranges}")
        for iova in (*holes, beyond):
            call = container.try_map(buffer, iova, size)
            expect.refused(call, promised(type1.MAP_RANGE))
        checked(joining.try_unset_container())
        for iova in (*holes, beyond):
            expect.accepted(container.try_map(buffer, iova, size), promised(rules.RANGES_GO))
            expect.equal("bytes unmapped", container.unmapped(iova, size), size)
        told = container.told_ranges()
        expect.one_of("ranges", told, (None, [(0, END - 1)]))
        expect.equal("page sizes", container.get_iommu_info().struct.iova_pgsizes, END - page)


@checks(rules.JOIN_BEYOND)
@on_one
def test_a_mapping_beyond_the_iommu_keeps_a_device_out(
    port: Port,
    alone: Assigned,
    joining: Group,
    buffer: Memory,
    beyond: int,
    page: int,
    promised: Promised,
) -> None:
    """Nothing is pinned for it, and the container goes on; without that mapping it may join."""
    container, before = alone.container, (locked_bytes(port), pinned_pages(port))
    with Memory(port, 40 * page, fill=5) as far:
        container.map(buffer, IOVA, buffer.size)
        container.map(far, beyond, far.size)
        for _ in range(2):
            call = joining.try_set_container(container)
            expect.refused(call, promised(rules.JOIN_BEYOND))
            expect.equal("locked, pinned", (locked_bytes(port), pinned_pages(port)), before)
            expect.equal("status of its group", joining.get_status(), FREE)
            expect.equal("ranges", container.told_ranges(), None)
        expect.accepted(container.try_map(buffer, 2 * beyond, buffer.size))
        expect.equal("bytes unmapped", container.unmapped(2 * beyond, buffer.size), buffer.size)
        expect.equal("bytes unmapped", container.unmapped(beyond, far.size), far.size)
        expect.accepted(joining.try_set_container(container))
        expect.equal("bytes locked", locked_bytes(port) - before[0], buffer.size)
        checked(joining.try_unset_container())
        expect.equal("locked, pinned", (locked_bytes(port), pinned_pages(port)), before)


@checks(rules.JOIN_SMALLER)
@on_one
def test_a_mapping_beyond_keeps_out_a_device_that_was_there_before(
    port: Port,
    alone: Assigned,
    joining: Group,
    buffer: Memory,
    beyond: int,
    page: int,
    promised: Promised,
) -> None:
    """All addresses are the container's since it left."""
    container, before = alone.container, (locked_bytes(port), pinned_pages(port))
    checked(joining.try_set_container(container))
    checked(joining.try_unset_container())
    ranges = container.told_ranges()
    container.map(buffer, beyond, PAGES * page)
    for _ in range(2):
        expect.refused(joining.try_set_container(container), promised(rules.JOIN_SMALLER))
        expect.equal("locked, pinned", (locked_bytes(port), pinned_pages(port)), before)
        expect.equal("status of its group", joining.get_status(), FREE)
        expect.equal("ranges", container.told_ranges(), ranges)
    expect.equal("bytes unmapped", container.unmapped(beyond, PAGES * page), PAGES * page)
    expect.accepted(joining.try_set_container(container))


@checks(rules.JOIN_RESERVED)
@on_one
@pytest.mark.parametrize("where", ["start", "end"])
def test_a_mapping_in_a_reserved_region_keeps_a_device_out(
    port: Port,
    alone: Assigned,
    joining: Group,
    closed: int,
    buffer: Memory,
    page: int,
    sysfs: PortSysfs,
    where: str,
    promised: Promised,
) -> None:
    """By one page; beside the region it may lie."""
    container, before = alone.container, locked_bytes(port)
    regions = reserved(sysfs, closed)
    if not regions:
        pytest.skip("nothing is reserved for the device: judge one behind an Intel or AMD IOMMU")
    low, high = regions[-1]
    within, beside = {
        "start": (low + page - buffer.size, low - buffer.size), "end": (high + 1 - page, high + 1)
    }[where]  # fmt: skip
    container.map(buffer, within, buffer.size)
    for _ in range(2):
        expect.refused(joining.try_set_container(container), promised(rules.JOIN_RESERVED))
        expect.equal("bytes locked", locked_bytes(port), before)
        expect.equal("status of its group", joining.get_status(), FREE)
        expect.equal("ranges", container.told_ranges(), None)
    expect.equal("bytes unmapped", container.unmapped(within, buffer.size), buffer.size)
    container.map(buffer, beside, buffer.size)
    expect.accepted(joining.try_set_container(container))
    expect.equal("bytes unmapped", container.unmapped(beside, buffer.size), buffer.size)
