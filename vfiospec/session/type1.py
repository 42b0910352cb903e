# SPDX-License-Identifier: MIT
"""Fixtures of the chapters on type1: a group nothing else holds, in a container of its own.

A chapter imports those it uses into its conftest.py.
"""

from collections.abc import Iterator
from resource import RLIMIT_MEMLOCK

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.container import Container
from vfiospec.device.group import Assigned
from vfiospec.device.port import ForkedPort, Port
from vfiospec.device.privileges import NOBODY, become
from vfiospec.lab.bench import BenchDevice
from vfiospec.session.run import Run

ROOM = 1 << 30  # bytes of IOVA space a test may use


def by_group(run: Run) -> list[BenchDevice]:
    """One device of each group; first the one that other chapters need least."""
    devices = sorted(run.devices, key=lambda d: "dma-stimulus" not in d.roles)
    return list({d.group: d for d in reversed(devices)}.values())[::-1]


def limit(child: ForkedPort, size: int, user: int | None = NOBODY) -> None:
    """Let a process lock so many bytes, and take what would exempt it."""
    expect.equal("setrlimit", child.do(o.Rlimit(RLIMIT_MEMLOCK, size, size)).ret, 0)
    if user is not None:
        become(child, user)


@pytest.fixture
def group(run: Run) -> int:
    """A group of which nothing is open."""
    return run.give_up(by_group(run)[0])


@pytest.fixture
def second_group(run: Run, group: int) -> int:
    """Another one."""
    others = [d for d in by_group(run) if d.group != group]
    if not others:
        pytest.skip("one group only: judge a second device with --device BDF")
    return run.give_up(others[-1])


@pytest.fixture
def assigned2(port: Port, group: int) -> Iterator[Assigned]:
    """The group in a container with type1 v2."""
    made = Assigned(port, group, vfio.VFIO_TYPE1v2_IOMMU)
    yield made
    made.close()


@pytest.fixture
def v2(assigned2: Assigned) -> Container:
    """A container with type1 v2 and no mapping."""
    return assigned2.container


@pytest.fixture
def v1(port: Port, group: int) -> Iterator[Container]:
    """A container with type1 v1 and no mapping."""
    made = Assigned(port, group, vfio.VFIO_TYPE1_IOMMU)
    yield made.container
    made.close()
