# SPDX-License-Identifier: MIT
"""Containers of a test's own, and a bitmap to be filled, with what lies around it."""

from collections.abc import Iterator

import pytest

from vfiospec.device.container import Container
from vfiospec.device.files import Memory
from vfiospec.device.port import Port
from vfiospec.session.type1 import ROOM, assigned2, group, second_group, v1, v2

__all__ = ["assigned2", "group", "second_group", "v1", "v2"]  # fixtures of this chapter too

PAGES = 200  # pages of memory to map


@pytest.fixture
def base(v2: Container) -> int:
    """An IOVA from which on there is room."""
    start, end = max(v2.iova_ranges(), key=lambda r: r[1] - r[0])
    return int(min(start + ROOM, (start + end) // 2) // ROOM * ROOM)


@pytest.fixture
def buffer(port: Port, page: int) -> Iterator[Memory]:
    """Memory to map."""
    with Memory(port, PAGES * page, fill=0x5A) as made:
        yield made
