# SPDX-License-Identifier: MIT
"""Dirty pages of a container with mediated devices: those that were pinned, or all, and limits."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.call import checked
from vfiospec.device.container import Bitmap, Container
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned, Group
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import dirty as dirty_rules
from vfiospec.rules import mdev as rules
from vfiospec.rules import type1
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
IOVA = 1 << 32
PAGES = 4
START = iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_START
STOP = iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
FAR = 1 << 44
TOO_MANY = 1 << 31  # pages: a bitmap has a bit less
LARGE = 1 << 26  # pages, whose bitmap takes 8 MiB
WORD = 64


def dirty(container: Container, memory: Memory, page: int) -> int:
    """The bits of the mapping, taken while pages are tracked."""
    memory.write(0, bytes(8))
    checked(container.try_get_dirty(IOVA, PAGES * page, Bitmap(memory.at(), 8, page)))
    return int.from_bytes(memory.read(0, 8), "little")


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


@checks(rules.LEFT_DIRTY)
def test_every_mapping_is_dirty_once_more(
    alone: Assigned, physical: Group, buffer: Memory, memory: Memory, page: int
) -> None:
    """When the device goes: mappings of several sizes, each with a word of the bitmap."""
    container, sizes = alone.container, (1, PAGES, 3)
    for word, pages in enumerate(sizes):
        container.map(buffer, IOVA + word * WORD * page, pages * page)
    checked(container.try_dirty_pages(START))
    checked(physical.try_unset_container())
    length = 8 * len(sizes)
    for wanted in ([(1 << pages) - 1 for pages in sizes], [0] * len(sizes)):
        memory.write(0, bytes(length))
        bitmap = Bitmap(memory.at(), length, page)
        checked(container.try_get_dirty(IOVA, len(sizes) * WORD * page, bitmap))
        got = memory.read(0, length)
        words = [int.from_bytes(got[i : i + 8], "little") for i in range(0, length, 8)]
        expect.equal("dirty pages", words, wanted)
    expect.accepted(container.try_dirty_pages(STOP))
    checked(physical.try_set_container(container))


@checks(rules.CLEAN)
@pytest.mark.parametrize("started", ["before", "after"])
def test_what_was_mapped_before_the_device_came_is_dirty_too(
    alone: Assigned, physical: Group, buffer: Memory, memory: Memory, page: int, started: str
) -> None:
    """Each mapping, whether logging starts before the device comes or after."""
    container, half = alone.container, PAGES // 2 * page
    checked(physical.try_unset_container())
    for at in (0, half):
        container.map(buffer.at(at), IOVA + at, half)
    if started == "before":
        checked(container.try_dirty_pages(START))
        expect.equal("dirty pages before it came", dirty(container, memory, page), 0)
    checked(physical.try_set_container(container))
    if started == "after":
        checked(container.try_dirty_pages(START))
    expect.equal("dirty pages", dirty(container, memory, page), (1 << PAGES) - 1)
    expect.accepted(container.try_dirty_pages(STOP))


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


@checks(dirty_rules.REPEATED)
def test_start_again_keeps_what_was_noted(
    alone: Assigned,
    physical: Group,
    buffer: Memory,
    memory: Memory,
    page: int,
    promised: Promised,
) -> None:
    """All pages, when the device left that may have written to them."""
    container = alone.container
    container.map(buffer, IOVA, PAGES * page)
    expect.accepted(container.try_dirty_pages(START))
    checked(physical.try_unset_container())
    expect.accepted(container.try_dirty_pages(START), promised(dirty_rules.REPEATED))
    expect.equal("dirty pages", dirty(container, memory, page), (1 << PAGES) - 1)
    expect.accepted(container.try_dirty_pages(STOP))
    checked(physical.try_set_container(container))


@checks(rules.TOO_LARGE_TO_START, dirty_rules.NOT_STARTED)
def test_a_mapping_too_large_for_a_bitmap_keeps_logging_off(
    alone: Assigned, buffer: Memory, memory: Memory, page: int, promised: Promised
) -> None:
    """Until it is gone; a smaller one is there before it."""
    container, size = alone.container, TOO_MANY * page
    container.map(buffer, IOVA, PAGES * page)
    container.map(0, FAR, size)
    for _ in range(2):
        call = container.try_dirty_pages(START)
        expect.refused(call, promised(rules.TOO_LARGE_TO_START))
    expect.equal("bytes unmapped", container.unmapped(FAR, size), size)
    call = container.try_get_dirty(IOVA, PAGES * page, Bitmap(memory.at(), 8, page))
    expect.refused(call, promised(dirty_rules.NOT_STARTED))
    expect.accepted(container.try_dirty_pages(START))
    expect.equal("dirty pages", dirty(container, memory, page), 0)
    expect.accepted(container.try_dirty_pages(STOP))


def vmalloc_kib(sysfs: PortSysfs) -> int:
    """KiB of the kernel's memory of many pages: bitmaps of large mappings lie there."""
    for line in sysfs.read("/proc/meminfo").splitlines():
        if line.startswith("VmallocUsed:"):
            return int(line.split()[1])
    raise LookupError("/proc/meminfo has no VmallocUsed")


@checks(rules.START_UNWOUND)
def test_a_mapping_too_large_for_a_bitmap_costs_none_for_the_others(
    alone: Assigned, sysfs: PortSysfs, page: int, promised: Promised
) -> None:
    """Refused four times, it would keep 64 MiB for the two before it."""
    container = alone.container
    for at in (IOVA, IOVA + LARGE * page):
        container.map(0, at, LARGE * page)
    container.map(0, FAR, TOO_MANY * page)
    before = vmalloc_kib(sysfs)
    for _ in range(4):
        call = container.try_dirty_pages(START)
        expect.refused(call, promised(rules.TOO_LARGE_TO_START))
    kept = vmalloc_kib(sysfs) - before
    expect.holds(kept < LARGE // 8 // 1024, "no bitmap is kept", f"{kept} KiB")


@checks(rules.BITMAPS_FREED)
@pytest.mark.parametrize("ends", ["logging", "mapping"])
def test_a_bitmap_costs_nothing_once_it_is_of_no_use(
    alone: Assigned, sysfs: PortSysfs, page: int, ends: str
) -> None:
    """Four of them, each of 8 MiB, are gone when logging stops, or their mapping does."""
    container, size = alone.container, LARGE * page
    if ends == "logging":
        container.map(0, FAR, size)
    else:
        checked(container.try_dirty_pages(START))
    before = vmalloc_kib(sysfs)
    for _ in range(4):
        if ends == "logging":
            expect.accepted(container.try_dirty_pages(START))
            expect.accepted(container.try_dirty_pages(STOP))
        else:
            expect.accepted(container.try_map(0, FAR, size))
            expect.equal("bytes unmapped", container.unmapped(FAR, size), size)
    kept = vmalloc_kib(sysfs) - before
    expect.holds(kept < LARGE // 8 // 1024, "no bitmap is kept", f"{kept} KiB")
    expect.accepted(container.try_dirty_pages(STOP))


@checks(rules.TOO_LARGE_TO_MAP, type1.MAP_UNWOUND)
def test_what_is_too_large_for_a_bitmap_is_not_mapped_while_pages_are_logged(
    alone: Assigned, page: int, promised: Promised
) -> None:
    """And nothing is left of it."""
    container, size = alone.container, TOO_MANY * page
    expect.accepted(container.try_dirty_pages(START))
    before = container.available()
    for _ in range(2):
        call = container.try_map(0, FAR, size)
        expect.refused(call, promised(rules.TOO_LARGE_TO_MAP))
        expect.equal("mappings left", container.available(), before)
    expect.equal("bytes unmapped", container.unmapped(FAR, size), 0)
    expect.accepted(container.try_dirty_pages(STOP))
    expect.accepted(container.try_map(0, FAR, size))
    expect.equal("bytes unmapped", container.unmapped(FAR, size), size)
