# SPDX-License-Identifier: MIT
"""How much can be mapped: RLIMIT_MEMLOCK, and the number of mappings of a container."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.device.container import Container, locked_bytes
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned
from vfiospec.device.port import ForkedPort, Port
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import type1 as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks
from vfiospec.session.type1 import limit

LIMIT = "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"
FEW = 5
Promised = Callable[[Rule], int]


@checks(rules.MAP_MEMLOCK, rules.MAP_UNWOUND)
def test_the_limit_is_kept_to_the_page(
    v2: Container,
    base: int,
    buffer: Memory,
    page: int,
    fork: Callable[[], ForkedPort],
    pinned: Callable[[], int],
    promised: Promised,
) -> None:
    """By one mapping and by the sum of them; what was refused counts for nothing."""
    child, wanted = fork(), promised(rules.MAP_MEMLOCK)
    limit(child, 4 * page)
    mine = Container(child, v2.handle)
    expect.refused(mine.try_map(buffer, base, 5 * page), wanted)
    expect.refused(mine.try_map(buffer, base, 16 * page), wanted)
    expect.equal("bytes locked", locked_bytes(child), 0)
    expect.equal("pages pinned", pinned(), 0)
    expect.equal("bytes mapped", mine.unmapped(base, 16 * page), 0)
    expect.accepted(mine.try_map(buffer, base, 4 * page))
    expect.refused(mine.try_map(buffer, base + 4 * page, page), wanted)
    expect.equal("bytes unmapped", mine.unmapped(base, 4 * page), 4 * page)
    expect.accepted(mine.try_map(buffer, base, 3 * page))
    expect.refused(mine.try_map(buffer, base + 3 * page, 2 * page), wanted)
    expect.accepted(mine.try_map(buffer, base + 3 * page, page))
    expect.equal("bytes locked", locked_bytes(child), 4 * page)
    expect.equal("bytes unmapped", mine.unmapped(base, 16 * page), 4 * page)


@checks(rules.MAP_MEMLOCK, rules.MAP_UNWOUND)
def test_the_limit_holds_for_what_needs_several_batches(
    v2: Container,
    base: int,
    port: Port,
    page: int,
    fork: Callable[[], ForkedPort],
    pinned: Callable[[], int],
    promised: Promised,
) -> None:
    """Pages pinned before the limit is met are released."""
    with Memory(port, 1200 * page) as memory:
        child = fork()
        limit(child, 1100 * page)
        mine = Container(child, v2.handle)
        call = mine.try_map(memory, base, memory.size)
        expect.refused(call, promised(rules.MAP_MEMLOCK))
        expect.equal("bytes locked", locked_bytes(child), 0)
        expect.equal("pages pinned", pinned(), 0)
        expect.accepted(mine.try_map(memory, base, 1100 * page))
        expect.equal("bytes unmapped", mine.unmapped(base, memory.size), 1100 * page)


@checks(rules.MAP_MEMLOCK_CAPABLE)
def test_who_may_lock_memory_has_no_limit(
    v2: Container,
    base: int,
    buffer: Memory,
    page: int,
    fork: Callable[[], ForkedPort],
    promised: Promised,
) -> None:
    """The capability that the executor has, being root."""
    child = fork()
    limit(child, page, user=None)
    mine = Container(child, v2.handle)
    call = mine.try_map(buffer, base, buffer.size)
    expect.accepted(call, promised(rules.MAP_MEMLOCK_CAPABLE))
    expect.equal("bytes locked", locked_bytes(child), buffer.size)


@pytest.fixture
def few(group: int, port: Port, sysfs: PortSysfs) -> Iterator[Container]:
    """A container that takes few mappings."""
    before = sysfs.read(LIMIT)
    sysfs.write(LIMIT, str(FEW))
    try:
        made = Assigned(port, group)
    finally:
        sysfs.write(LIMIT, before)
    yield made.container
    made.close()


@checks(rules.MAP_LIMIT, rules.INFO_AVAIL)
def test_one_mapping_too_many_is_refused(
    few: Container, buffer: Memory, page: int, promised: Promised
) -> None:
    """Until another one is gone."""
    base, wanted = few.iova_ranges()[-1][0], promised(rules.MAP_LIMIT)
    for i in range(FEW):
        expect.equal("avail", few.available(), FEW - i)
        few.map(buffer, base + i * page, page)
    expect.equal("avail", few.available(), 0)
    expect.refused(few.try_map(buffer, base + FEW * page, page), wanted)
    expect.equal("bytes unmapped", few.unmapped(base + page, page), page)
    expect.accepted(few.try_map(buffer, base + FEW * page, page))
    expect.refused(few.try_map(buffer, base + page, page), wanted)
    expect.equal("bytes unmapped", few.unmapped(base, 16 * page), FEW * page)
    expect.equal("avail", few.available(), FEW)


@checks(rules.MAP_ORDER)
def test_the_limit_comes_between_overlap_and_range(
    few: Container, buffer: Memory, page: int, promised: Promised
) -> None:
    """With all mappings used up."""
    base = few.iova_ranges()[-1][0]
    for i in range(FEW):
        few.map(buffer, base + i * page, page)
    expect.refused(few.try_map(buffer, base, page), promised(rules.MAP_OVERLAP))
    expect.refused(few.try_map(buffer, base - page, page), promised(rules.MAP_LIMIT))
    expect.refused(few.try_map(0, base + FEW * page, page), promised(rules.MAP_LIMIT))
    expect.refused(few.try_map(buffer, base + 1, page), promised(rules.MAP_ALIGNED))
