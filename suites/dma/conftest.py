# SPDX-License-Identifier: MIT
"""A device that does DMA at our word, reached by the test alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from vfiospec.device.access import Access, Attach, Mappings
from vfiospec.device.container import Container
from vfiospec.device.device import Device
from vfiospec.device.edu import Edu
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned
from vfiospec.device.port import Port
from vfiospec.device.ways import Way
from vfiospec.lab.bench import BenchDevice


@dataclass
class Stage:
    """The device, its files, and what its DMA goes through."""

    assigned: Access
    device: Device
    edu: Edu

    @property
    def mappings(self) -> Mappings:
        """None at first."""
        return self.assigned.mappings

    def close(self) -> None:
        """As the end of the process would: the device first."""
        self.device.close()
        self.assigned.close()


@pytest.fixture
def stage(attach: Attach, spec: BenchDevice) -> Iterator[Stage]:
    """The device opened, decoding memory, and bus master."""
    assigned = attach()
    device = assigned.open(spec.bdf)
    edu = Edu(device)
    edu.enable()
    made = Stage(assigned, device, edu)
    yield made
    made.close()


@dataclass
class GroupStage(Stage):
    """The same, with the container of the device's group."""

    container: Container


@pytest.fixture
def group_stage(stage: Stage, by_group: Way) -> GroupStage:
    """The device through its group."""
    del by_group
    opened = stage.assigned
    assert isinstance(opened, Assigned)
    return GroupStage(opened, stage.device, stage.edu, opened.container)


@pytest.fixture
def memory(port: Port, page: int) -> Iterator[Memory]:
    """Eight pages, each filled with its number, the whole distinct from what tests put there."""
    with Memory(port, 8 * page) as made:
        made.write(0, b"".join(bytes([0x10 + i]) * page for i in range(8)))
        yield made
