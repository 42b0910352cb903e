# SPDX-License-Identifier: MIT
"""Who pays for a mapping whose address was updated: the process that gave the new one."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device import ops as o
from vfiospec.device.container import Container, locked_bytes
from vfiospec.device.files import Memory
from vfiospec.device.port import ForkedPort
from vfiospec.rules import type1 as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

VADDR, NEW = iommu.VFIO_DMA_UNMAP_FLAG_VADDR, iommu.VFIO_DMA_MAP_FLAG_VADDR
MEMLOCK = 8  # include/uapi/asm-generic/resource.h, RLIMIT_MEMLOCK
NOBODY = 65534
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
    child.do(o.Rlimit(MEMLOCK, 5 * page, 5 * page))
    child.do(o.Syscall("setresuid", (NOBODY,) * 3))
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
    child.do(o.Rlimit(MEMLOCK, page, page))
    call = there.try_map(buffer, base, 4 * page, NEW)
    expect.accepted(call, promised(rules.MAP_MEMLOCK_CAPABLE))
    expect.equal("bytes locked by the child", locked_bytes(child), 4 * page)
    expect.equal("bytes given back", locked(), -4 * page)


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
