# SPDX-License-Identifier: MIT
"""Which memory can be mapped, what that locks, and what is left when it fails."""

import mmap
from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device import ops as o
from vfiospec.device.container import READ_WRITE, Container
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned
from vfiospec.device.ops import MemoryKind
from vfiospec.device.port import Port
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import type1 as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

READ, WRITE = iommu.VFIO_DMA_MAP_FLAG_READ, iommu.VFIO_DMA_MAP_FLAG_WRITE
HUGE = 2 << 20
HUGE_POOL = "/proc/sys/vm/nr_hugepages"
NO_HUGE = "/sys/module/vfio_iommu_type1/parameters/disable_hugepages"
KERNEL = 0xFFFF888000000000  # within the kernel's half
Promised = Callable[[Rule], int]
Counter = Callable[[], int]


def protect(memory: Memory, offset: int, size: int, prot: int) -> None:
    """mprotect(2) of a part."""
    where = memory.fixup(0, offset)
    reply = memory.port.do(o.Syscall("mprotect", (where, size, prot)))
    expect.equal("mprotect", reply.ret, 0)


@checks(rules.MAP_BAD_VADDR, rules.MAP_UNWOUND)
@pytest.mark.parametrize("where", ["null", "first-page", "guard", "kernel", "noncanonical"])
def test_memory_that_is_not_there_is_refused(
    v2: Container, base: int, buffer: Memory, page: int, where: str, promised: Promised
) -> None:
    """And nothing is left mapped."""
    places: dict[str, o.Ref | int] = {
        "null": 0, "first-page": page, "guard": buffer.at(buffer.size), "kernel": KERNEL,
        "noncanonical": 1 << 47,
    }  # fmt: skip
    before = v2.available()
    expect.refused(v2.try_map(places[where], base, page), promised(rules.MAP_BAD_VADDR))
    expect.equal("bytes mapped", v2.unmapped(base, page), 0)
    expect.equal("avail", v2.available(), before)


@checks(rules.MAP_BAD_VADDR)
def test_read_only_memory_is_only_for_reading(
    v2: Container, base: int, buffer: Memory, page: int, promised: Promised
) -> None:
    """A device may not write where we may not."""
    buffer.protect(mmap.PROT_READ)
    for flags in (WRITE, READ_WRITE):
        expect.refused(v2.try_map(buffer, base, page, flags), promised(rules.MAP_BAD_VADDR))
    expect.accepted(v2.try_map(buffer, base, page, READ))


@checks(rules.MAP_BAD_VADDR)
def test_memory_nobody_may_touch_is_refused(
    v2: Container, base: int, buffer: Memory, page: int, promised: Promised
) -> None:
    """In neither direction."""
    buffer.protect(0)
    for flags in (READ, WRITE):
        expect.refused(v2.try_map(buffer, base, page, flags), promised(rules.MAP_BAD_VADDR))


@checks(rules.MAP_UNWOUND, rules.MAP_PINS)
@pytest.mark.parametrize("hole", [1, 3, 511, 512, 513, 767], ids="page-{}".format)
def test_a_hole_unwinds_the_whole_mapping(
    v2: Container,
    base: int,
    port: Port,
    page: int,
    hole: int,
    locked: Counter,
    pinned: Counter,
    promised: Promised,
) -> None:
    """Wherever it is: what was mapped, pinned and counted before it is given back."""
    before = v2.available()
    with Memory(port, 768 * page, fill=1) as memory:
        protect(memory, hole * page, page, 0)
        call = v2.try_map(memory, base, memory.size)
        expect.refused(call, promised(rules.MAP_BAD_VADDR))
        expect.equal("bytes locked", locked(), 0)
        expect.equal("pages pinned", pinned(), 0)
        expect.equal("avail", v2.available(), before)
        expect.equal("bytes mapped", v2.unmapped(base, memory.size), 0)
        protect(memory, hole * page, page, mmap.PROT_READ | mmap.PROT_WRITE)
        expect.accepted(v2.try_map(memory, base, memory.size))
        expect.equal("bytes locked at last", locked(), memory.size)
        v2.unmapped(base, memory.size)


@checks(rules.MAP_LOCKS, rules.MAP_PINS)
def test_each_page_counts_once_for_each_mapping(
    v2: Container, base: int, buffer: Memory, page: int, locked: Counter, pinned: Counter
) -> None:
    """Also of the same memory; and until just that mapping is gone."""
    sizes = (1, 3, 16)
    for i, count in enumerate(sizes):
        v2.map(buffer, base + i * 16 * page, count * page)
        expect.equal("pages locked", locked() // page, sum(sizes[: i + 1]))
        expect.equal("pages pinned", pinned(), sum(sizes[: i + 1]))
    for i, count in enumerate(sizes):
        v2.unmapped(base + i * 16 * page, count * page)
        expect.equal("pages locked", locked() // page, sum(sizes[i + 1 :]))
        expect.equal("pages pinned", pinned(), sum(sizes[i + 1 :]))


@checks(rules.MAP_LOCKS, rules.MAP_PINS)
@pytest.mark.parametrize("direction", [READ, WRITE], ids=["read", "write"])
def test_scattered_pages_count_too(
    v2: Container,
    base: int,
    port: Port,
    page: int,
    locked: Counter,
    pinned: Counter,
    direction: int,
) -> None:
    """Memory that lies nowhere in one piece, and more than two batches of it."""
    with Memory(port, 2600 * page, fill=7) as memory:
        half = memory.size // 2
        where = memory.fixup(0)
        # What is left of every other page's neighbours is given out anew, in no order
        port.run([o.Syscall("madvise", (where, half, mmap.MADV_DONTNEED))])
        port.run([o.Poke(memory.at(i * page), b"x") for i in range(0, 1300, 7)])
        port.run([o.Poke(memory.at(i * page), b"x") for i in range(1300)])
        v2.map(memory, base, half, direction)
        expect.equal("bytes locked", locked(), half)
        expect.equal("pages pinned", pinned(), 1300)
        expect.equal("bytes unmapped", v2.unmapped(base, half), half)
    expect.equal("bytes locked", locked(), 0)
    expect.equal("pages pinned", pinned(), 0)


@checks(rules.MAP_UNTOUCHED)
def test_untouched_memory_mapped_for_reading(
    v2: Container, base: int, port: Port, page: int, locked: Counter, promised: Promised
) -> None:
    """Pages of zeros, until someone writes to them."""
    with Memory(port, 40 * page) as memory:
        port.run([o.Poke(memory.at(i * page), b"x") for i in range(0, 40, 2)])
        port.run([o.Peek(memory.at(i * page), 1) for i in range(40)])
        v2.map(memory, base, memory.size, READ)
        wanted = 20 + 20 * promised(rules.MAP_UNTOUCHED)
        expect.equal("pages locked", locked() // page, wanted)
        expect.equal("bytes unmapped", v2.unmapped(base, memory.size), memory.size)
    expect.equal("bytes locked afterwards", locked(), 0)


@checks(rules.MAP_LOCKS, rules.MAP_PINS, rules.LAST_GROUP)
def test_closing_gives_everything_back(
    port: Port, group: int, buffer: Memory, locked: Counter, pinned: Counter
) -> None:
    """Without a single unmap."""
    assigned = Assigned(port, group)
    start = assigned.container.iova_ranges()[-1][0]
    for i in range(4):
        assigned.container.map(buffer, start + i * buffer.size, buffer.size)
    expect.equal("bytes locked", locked(), 4 * buffer.size)
    assigned.close()
    expect.equal("bytes locked afterwards", locked(), 0)
    expect.equal("pages pinned afterwards", pinned(), 0)


@pytest.fixture
def huge_pages(port: Port, sysfs: PortSysfs) -> Iterator[Memory]:
    """Two pages of 2 MiB."""
    if not sysfs.exists(HUGE_POOL):
        pytest.skip("no huge pages: the kernel needs CONFIG_HUGETLBFS")
    before = sysfs.read(HUGE_POOL)
    sysfs.write(HUGE_POOL, str(int(before) + 2))
    try:
        with Memory(port, 2 * HUGE, kind=MemoryKind.HUGE, fill=3) as memory:
            yield memory
    finally:
        sysfs.write(HUGE_POOL, before)


@checks(rules.MAP_ACCEPTED, rules.MAP_LOCKS, rules.MAP_PINS)
@pytest.mark.parametrize("offset", [0, 1, 5], ids="page-{}".format)
def test_huge_pages_can_be_mapped(
    v2: Container,
    base: int,
    huge_pages: Memory,
    page: int,
    offset: int,
    locked: Counter,
    pinned: Counter,
) -> None:
    """Wholly or from within; they count as what is mapped of them."""
    size = huge_pages.size - offset * page
    v2.map(huge_pages.at(offset * page), base + offset * page, size)
    expect.equal("bytes locked", locked(), size)
    expect.equal("pages pinned", pinned(), size // page)
    expect.equal("bytes unmapped", v2.unmapped(base, huge_pages.size), size)
    expect.equal("bytes locked afterwards", locked(), 0)
    expect.equal("pages pinned afterwards", pinned(), 0)


@checks(rules.UNMAP_BISECT)
def test_a_huge_page_is_not_split(
    v2: Container, base: int, huge_pages: Memory, page: int, promised: Promised
) -> None:
    """Though the IOMMU holds it as one entry, the mapping is the unit."""
    v2.map(huge_pages, base, huge_pages.size)
    expect.refused(v2.try_unmap(base, HUGE), promised(rules.UNMAP_BISECT))
    expect.refused(v2.try_unmap(base + page, HUGE), promised(rules.UNMAP_BISECT))
    expect.equal("bytes unmapped", v2.unmapped(base, 2 * HUGE), 2 * HUGE)


@checks(rules.MAP_ACCEPTED, rules.MAP_LOCKS, rules.MAP_PINS)
def test_without_huge_mappings_it_is_the_same(
    v2: Container,
    base: int,
    port: Port,
    page: int,
    sysfs: PortSysfs,
    locked: Counter,
    pinned: Counter,
) -> None:
    """With the module's disable_hugepages pages are pinned one by one."""
    before = sysfs.read(NO_HUGE)
    sysfs.write(NO_HUGE, "Y")
    try:
        with Memory(port, 64 * page, fill=2) as memory:
            v2.map(memory, base, memory.size)
            expect.equal("bytes locked", locked(), memory.size)
            expect.equal("pages pinned", pinned(), 64)
            expect.equal("bytes unmapped", v2.unmapped(base, memory.size), memory.size)
    finally:
        sysfs.write(NO_HUGE, before)
    expect.equal("bytes locked afterwards", locked(), 0)
    expect.equal("pages pinned afterwards", pinned(), 0)
