# SPDX-License-Identifier: MIT
"""Containers of a test's own: a group that nothing else holds, with either model of type1."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.container import Container, locked_bytes, pinned_pages
from vfiospec.device.files import Memory
from vfiospec.device.port import ForkedPort, Port
from vfiospec.session.type1 import ROOM, assigned2, group, second_group, v1, v2

__all__ = ["assigned2", "group", "second_group", "v1", "v2"]  # fixtures of this chapter too


@pytest.fixture
def base(request: pytest.FixtureRequest) -> int:
    """An IOVA from which on there is room, and below too."""
    container = request.getfixturevalue("v1" if "v1" in request.fixturenames else "v2")
    start, end = max(container.iova_ranges(), key=lambda r: r[1] - r[0])
    return int(min(start + ROOM, (start + end) // 2) // ROOM * ROOM)


@pytest.fixture
def buffer(port: Port, page: int) -> Iterator[Memory]:
    """Sixteen pages, between pages nobody may touch."""
    with Memory(port, 16 * page, fill=0x5A, guard=True) as made:
        yield made


@pytest.fixture
def three(v2: Container, base: int, buffer: Memory, page: int) -> Container:
    """Mappings of pages 4 to 7, 8 to 9 and 12 to 15: two neighbours, a hole, and a third."""
    for first, count in ((4, 4), (8, 2), (12, 4)):
        v2.map(buffer, base + first * page, count * page)
    return v2


@pytest.fixture
def two(v2: Container, base: int, buffer: Memory, page: int) -> Container:
    """Mappings of pages 0 to 3 and 6 to 8."""
    v2.map(buffer, base, 4 * page)
    v2.map(buffer.at(4 * page), base + 6 * page, 3 * page)
    return v2


@pytest.fixture
def update_vaddr(v2: Container) -> None:
    """Skips where addresses cannot be updated."""
    if v2.try_check_extension(vfio.VFIO_UPDATE_VADDR).ret != 1:
        pytest.skip("no VFIO_UPDATE_VADDR: judge a kernel from 5.12 on")


@pytest.fixture
def fork(port: Port) -> Iterator[Callable[[], ForkedPort]]:
    """Makes second processes, which end with the test."""
    made: list[ForkedPort] = []

    def second() -> ForkedPort:
        process = port.handle()
        port.do(o.Fork(process))
        made.append(ForkedPort(port, process))
        return made[-1]

    yield second
    for child in made:
        child.close()


@pytest.fixture
def locked(port: Port) -> Callable[[], int]:
    """Bytes locked since the test began."""
    before = locked_bytes(port)
    return lambda: locked_bytes(port) - before


@pytest.fixture
def pinned(port: Port) -> Callable[[], int]:
    """Pages that are pinned in the whole machine beyond those when the test began."""
    before = pinned_pages(port)
    if before is None:
        pytest.skip("/proc/vmstat does not count pinned pages: judge a kernel from 5.7 on")
    return lambda: (pinned_pages(port) or 0) - before
