# SPDX-License-Identifier: MIT
"""A device reads and writes what is mapped, and not a byte beside it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device import ops as o
from vfiospec.device.access import Mappings
from vfiospec.device.edu import Edu
from vfiospec.device.files import Memory
from vfiospec.device.ops import MemoryKind
from vfiospec.device.port import ForkedPort, Port
from vfiospec.device.ways import Way
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import dma as rules
from vfiospec.session.marks import checks, devices

if TYPE_CHECKING:
    from suites.dma.conftest import GroupStage, Stage

BASE = 1 << 20  # the device has 28 bits of address
HUGE = 2 << 20
HUGE_POOL = "/proc/sys/vm/nr_hugepages"
PATTERN = bytes(range(1, 241))


def load(edu: Edu, mappings: Mappings, pattern: bytes = PATTERN) -> None:
    """Fill the device's buffer with a pattern, from memory that is gone afterwards."""
    page, iova = mappings.page_size(), BASE >> 1
    with Memory(mappings.port, page) as source:
        source.write(0, pattern)
        mappings.map(source, iova, page, iommu.VFIO_DMA_MAP_FLAG_READ)
        expect.holds(edu.read_memory(iova, len(pattern)), "the transfer ends", "it does not")
        mappings.unmapped(iova, page)


def transfer(edu: Edu, iova: int, size: int) -> None:
    """Have the device write its buffer to memory."""
    expect.holds(edu.write_memory(iova, size), "the transfer ends", "it does not")


@checks(rules.MAPPED)
@devices("dma-stimulus")
@pytest.mark.parametrize("offset", ["start", "middle", "end", "across"])
def test_just_the_bytes_that_are_meant(
    stage: "Stage", memory: Memory, page: int, offset: str
) -> None:
    """Read from one page and written to another, at any offset, and over the edge of a page."""
    size = len(PATTERN)
    at = {"start": 0, "middle": 1000, "end": page - size, "across": page - 100}[offset]
    stage.mappings.map(memory, BASE, memory.size)
    load(stage.edu, stage.mappings)
    before = memory.read(0, memory.size)
    transfer(stage.edu, BASE + 2 * page + at, size)
    where = 2 * page + at
    wanted = before[:where] + PATTERN + before[where + size :]
    expect.holds(
        memory.read(0, memory.size) == wanted,
        "just the bytes that are meant are written", "other memory changed, or they did not",
    )  # fmt: skip


@checks(rules.MAPPED)
@devices("dma-stimulus")
def test_neighbouring_mappings_of_scattered_memory(
    stage: "Stage", memory: Memory, page: int
) -> None:
    """Pages 5 and 2 of the memory, side by side for the device."""
    stage.mappings.map(memory.at(5 * page), BASE, page)
    stage.mappings.map(memory.at(2 * page), BASE + page, page)
    load(stage.edu, stage.mappings)
    transfer(stage.edu, BASE + page - 100, len(PATTERN))
    expect.equal("end of page 5", memory.read(6 * page - 100, 100), PATTERN[:100])
    rest = len(PATTERN) - 100
    expect.equal("start of page 2", memory.read(2 * page, rest), PATTERN[100:])
    for untouched in (0, 1, 3, 4, 6, 7):
        data = memory.read(untouched * page, page)
        expect.equal(f"page {untouched} is untouched", set(data), {0x10 + untouched})


@pytest.fixture
def large(port: Port, sysfs: PortSysfs, request: pytest.FixtureRequest) -> Iterator[Memory]:
    """More than one entry of an IOMMU's table, of small pages or of large ones."""
    if request.param == "small":
        with Memory(port, 2 * HUGE, fill=9) as memory:
            yield memory
        return
    if not sysfs.exists(HUGE_POOL):
        pytest.skip("no huge pages: the kernel needs CONFIG_HUGETLBFS")
    before = sysfs.read(HUGE_POOL)
    sysfs.write(HUGE_POOL, str(int(before) + 2))
    try:
        with Memory(port, 2 * HUGE, kind=MemoryKind.HUGE, fill=9) as memory:
            yield memory
    finally:
        sysfs.write(HUGE_POOL, before)


@checks(rules.MAPPED, rules.UNMAPPED)
@devices("dma-stimulus")
@pytest.mark.parametrize("large", ["small", "huge"], indirect=True)
def test_large_mappings(stage: "Stage", large: Memory, page: int) -> None:
    """Each of several places goes to where it is in memory; and nowhere once unmapped."""
    base = 2 * HUGE
    stage.mappings.map(large, base, large.size)
    load(stage.edu, stage.mappings)
    size = len(PATTERN)
    places = (page - 100, HUGE - 100, large.size - size)
    for at in places:
        transfer(stage.edu, base + at, size)
        expect.equal(f"bytes at {at:#x}", large.read(at, size), PATTERN)
        large.write(at, b"\x09" * size)
    expect.equal("bytes unmapped", stage.mappings.unmapped(base, large.size), large.size)
    for at in (0, places[1]):
        transfer(stage.edu, base + at, size)
        expect.equal(f"bytes at {at:#x} afterwards", set(large.read(at, size)), {9})


@checks(rules.INVALID_VADDR)
@devices("dma-stimulus")
def test_dma_goes_on_while_the_address_is_invalid(
    group_stage: "GroupStage", by_type1: Way, memory: Memory, page: int
) -> None:
    """And once it is restored."""
    del by_type1  # compatibility has no such flag: iommufd-compat.map-flags
    stage, container = group_stage, group_stage.container
    container.map(memory, BASE, 2 * page)
    call = container.try_unmap(BASE, 2 * page, iommu.VFIO_DMA_UNMAP_FLAG_VADDR)
    if not call.ok:
        pytest.skip("no VFIO_UPDATE_VADDR: judge a kernel from 5.12 on")
    load(stage.edu, container)
    for i in range(2):
        memory.write(0, bytes(2 * page))
        transfer(stage.edu, BASE + page - 100, len(PATTERN))
        expect.equal(f"bytes, time {i}", memory.read(page - 100, len(PATTERN)), PATTERN)
        if i == 0:
            container.map(memory, BASE, 2 * page, iommu.VFIO_DMA_MAP_FLAG_VADDR)


@checks(rules.OTHER_PROCESS)
@devices("dma-stimulus")
def test_the_mapping_of_another_process_is_of_its_memory(
    stage: "Stage", memory: Memory, page: int, port: Port
) -> None:
    """At the same address as ours, which stays as it was."""
    load(stage.edu, stage.mappings)
    process = port.handle()
    port.do(o.Fork(process))
    child = ForkedPort(port, process)
    try:
        child.do(o.Poke(memory.at(), bytes(page)))
        stage.mappings.seen_by(child).map(memory, BASE, page)
        transfer(stage.edu, BASE, len(PATTERN))
        there = child.do(o.Peek(memory.at(), len(PATTERN))).bytes
        expect.equal("the other's memory", there, PATTERN)
        expect.equal("our memory", set(memory.read(0, page)), {0x10})
    finally:
        child.close()
