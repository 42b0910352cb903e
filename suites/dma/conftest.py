# SPDX-License-Identifier: MIT
"""A device that does DMA at our word, alone in a container of the test's own."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from vfiospec.device.container import Container
from vfiospec.device.device import Device
from vfiospec.device.edu import Edu
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice


@dataclass
class Stage:
    """The device, its files, and its container."""

    assigned: Assigned
    device: Device
    edu: Edu

    @property
    def container(self) -> Container:
        """With type1 v2 set, and no mapping."""
        return self.assigned.container

    def close(self) -> None:
        """As the end of the process would: the device first."""
        self.device.close()
        self.assigned.close()


@pytest.fixture
def stage(port: Port, closed: int, spec: BenchDevice) -> Iterator[Stage]:
    """The device opened, decoding memory, and bus master."""
    assigned = Assigned(port, closed)
    device = assigned.open(spec.bdf)
    edu = Edu(device)
    edu.enable()
    made = Stage(assigned, device, edu)
    yield made
    made.close()


@pytest.fixture
def memory(port: Port, page: int) -> Iterator[Memory]:
    """Eight pages, each filled with its number, the whole distinct from what tests put there."""
    with Memory(port, 8 * page) as made:
        made.write(0, b"".join(bytes([0x10 + i]) * page for i in range(8)))
        yield made
