# SPDX-License-Identifier: MIT
"""A group nobody has open, by itself and in a container, and a second one."""

from collections.abc import Iterator

import pytest

from vfiospec.device.call import checked
from vfiospec.device.container import Container
from vfiospec.device.files import Memory
from vfiospec.device.group import Group
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.session.run import Run


def alone(run: Run) -> list[BenchDevice]:
    """The devices that are the only one of their group, those that make DMA first."""
    groups = [d.group for d in run.devices]
    found = [d for d in run.devices if d.group is not None and groups.count(d.group) == 1]
    return sorted(found, key=lambda d: "dma-stimulus" not in d.roles)


@pytest.fixture
def subject(run: Run) -> BenchDevice:
    """A device that is alone in its group, of which nothing is open."""
    found = alone(run)
    if not found:
        pytest.skip("no device is alone in its group: judge one that is with --device BDF")
    run.give_up(found[0])
    return found[0]


@pytest.fixture
def other(run: Run) -> BenchDevice:
    """Another such device."""
    found = alone(run)[1:]
    if not found:
        pytest.skip("a second group is needed: judge a device of another one with --device BDF")
    run.give_up(found[0])
    return found[0]


@pytest.fixture
def group(subject: BenchDevice, port: Port) -> Iterator[Group]:
    """The subject's group, just opened."""
    assert subject.group is not None
    with Group.of(port, subject.group) as opened:
        yield opened


@pytest.fixture
def second(other: BenchDevice, port: Port) -> Iterator[Group]:
    """The other device's group, just opened."""
    assert other.group is not None
    with Group.of(port, other.group) as opened:
        yield opened


@pytest.fixture
def attached(group: Group, container: Container) -> Container:
    """A container with the subject's group in it, and no model set."""
    checked(group.try_set_container(container))
    return container


@pytest.fixture
def anon(port: Port, page: int) -> Iterator[Memory]:
    """Two pages to map."""
    with Memory(port, 2 * page, fill=0x5A) as made:
        yield made
