# SPDX-License-Identifier: MIT
"""Who pays for a mapping whose address was updated: the process that gave the new one."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device import ops as o
from vfiospec.device.container import Container, locked_bytes
from vfiospec.device.files import Memory
from vfiospec.device.ops import MemoryKind
from vfiospec.device.port import ForkedPort, Port
from vfiospec.rules import type1 as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks
from vfiospec.session.type1 import limit

VADDR, NEW = iommu.VFIO_DMA_UNMAP_FLAG_VADDR, iommu.VFIO_DMA_MAP_FLAG_VADDR
MAYMOVE, FIXED = 1, 2  # of mremap(2)
Promised = Callable[[Rule], int]

pytestmark = pytest.mark.usefixtures("update_vaddr")


@checks(rules.VADDR_OWNER)
def test_the_new_owner_is_charged(
    two: Container,
    base: int,
    buffer: Memory,
    page: int,
    fork: Callable[[], ForkedPort],
    locked: Callable[[], int],
) -> None:
    """And the old one no more; each mapping by itself, until it is unmapped."""
    child = fork()
    there = Container(child, two.handle)
    there.unmapped(base, 16 * page, VADDR)
    expect.equal("bytes locked by the child", locked_bytes(child), 0)
    there.map(buffer, base, 4 * page, NEW)
    expect.equal("bytes locked by the child", locked_bytes(child), 4 * page)
    expect.equal("bytes given back", locked(), -4 * page)
    there.map(buffer, base + 6 * page, 3 * page, NEW)
    expect.equal("bytes locked by the child", locked_bytes(child), 7 * page)
    expect.equal("bytes given back", locked(), -7 * page)
    expect.equal("bytes unmapped", two.unmapped(base, 4 * page), 4 * page)
    expect.equal("bytes locked by the child", locked_bytes(child), 3 * page)
    expect.equal("bytes given back", locked(), -7 * page)


@checks(rules.VADDR_OWNER)
def test_the_new_owners_limit_holds(
    two: Container,
    base: int,
    buffer: Memory,
    page: int,
    fork: Callable[[], ForkedPort],
    locked: Callable[[], int],
    promised: Promised,
) -> None:
    """Refused, the mapping is still the old one's, and still without an address."""
    child = fork()
    there = Container(child, two.handle)
    there.unmapped(base, 16 * page, VADDR)
    limit(child, 5 * page)
    there.map(buffer, base, 4 * page, NEW)
    call = there.try_map(buffer, base + 6 * page, 3 * page, NEW)
    expect.refused(call, promised(rules.VADDR_OWNER))
    expect.equal("bytes locked by the child", locked_bytes(child), 4 * page)
    expect.equal("bytes given back", locked(), -4 * page)
    expect.accepted(two.try_map(buffer.at(4 * page), base + 6 * page, 3 * page, NEW))
    expect.equal("bytes given back at last", locked(), -4 * page)


@checks(rules.VADDR_OWNER, rules.MAP_MEMLOCK_CAPABLE)
def test_a_new_owner_who_may_lock_memory_has_no_limit(
    two: Container,
    base: int,
    buffer: Memory,
    page: int,
    fork: Callable[[], ForkedPort],
    locked: Callable[[], int],
    promised: Promised,
) -> None:
    """As with what it maps itself; and it is charged."""
    child = fork()
    there = Container(child, two.handle)
    there.unmapped(base, 16 * page, VADDR)
    limit(child, page, user=None)
    call = there.try_map(buffer, base, 4 * page, NEW)
    expect.accepted(call, promised(rules.MAP_MEMLOCK_CAPABLE))
    expect.equal("bytes locked by the child", locked_bytes(child), 4 * page)
    expect.equal("bytes given back", locked(), -4 * page)


@checks(rules.VADDR_RESTORED, rules.VADDR_OWNER)
def test_who_is_at_the_limit_may_move_what_is_locked_already(
    v2: Container,
    base: int,
    buffer: Memory,
    page: int,
    fork: Callable[[], ForkedPort],
    promised: Promised,
) -> None:
    """A new address from the owner itself charges nobody anew."""
    child = fork()
    mine = Container(child, v2.handle)
    limit(child, 4 * page)
    mine.map(buffer, base, 4 * page)
    for _ in range(2):
        expect.equal("bytes", mine.unmapped(base, 4 * page, VADDR), 4 * page)
        call = mine.try_map(buffer.at(4 * page), base, 4 * page, NEW)
        expect.accepted(call, promised(rules.VADDR_RESTORED))
        expect.equal("bytes locked", locked_bytes(child), 4 * page)
    expect.equal("bytes unmapped", mine.unmapped(base, 4 * page), 4 * page)
    expect.equal("bytes locked at last", locked_bytes(child), 0)


@pytest.fixture
def scattered(port: Port, page: int) -> Iterator[Memory]:
    """Four pages of addresses with the same page of memory behind each: no two follow another."""
    with Memory(port, 4 * page, kind=MemoryKind.MEMFD, fill=4) as made:
        for n in range(1, 4):
            to = made.address + n * page
            # With no old size the old place of shared memory stays as it is
            reply = port.do(o.Syscall("mremap", (made.address, 0, page, MAYMOVE | FIXED, to)))
            expect.equal("address of the copy", reply.ret, to)
        yield made


@checks(rules.VADDR_OWNER, rules.MAP_LOCKS)
def test_the_new_owner_pays_for_scattered_memory_too(
    v2: Container,
    base: int,
    scattered: Memory,
    page: int,
    fork: Callable[[], ForkedPort],
    locked: Callable[[], int],
) -> None:
    """All of a mapping whose pages follow no others in memory."""
    v2.map(scattered, base, scattered.size)
    expect.equal("bytes locked", locked(), 4 * page)
    child = fork()
    there = Container(child, v2.handle)
    there.unmapped(base, scattered.size, VADDR)
    there.map(scattered, base, scattered.size, NEW)
    expect.equal("bytes locked by the child", locked_bytes(child), 4 * page)
    expect.equal("bytes locked here", locked(), 0)
    expect.equal("bytes unmapped", there.unmapped(base, scattered.size), scattered.size)
    expect.equal("bytes locked by the child at last", locked_bytes(child), 0)


@checks(rules.VADDR_OWNER)
def test_the_old_owner_may_be_gone(
    v2: Container, base: int, buffer: Memory, page: int, locked: Callable[[], int]
) -> None:
    """As after an exec: the process that mapped it is no more."""
    process = v2.port.handle()
    v2.port.do(o.Fork(process))
    child = ForkedPort(v2.port, process)
    Container(child, v2.handle).map(buffer, base, 4 * page)
    v2.unmapped(base, 4 * page, VADDR)
    child.close()
    expect.accepted(v2.try_map(buffer, base, 4 * page, NEW))
    expect.equal("bytes locked", locked(), 4 * page)
    expect.equal("bytes unmapped", v2.unmapped(base, 4 * page), 4 * page)
    expect.equal("bytes locked at last", locked(), 0)
