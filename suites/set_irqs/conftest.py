# SPDX-License-Identifier: MIT
"""A device's interrupts, all off before and after each test."""

from collections.abc import Iterator

import pytest

from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, Memory
from vfiospec.device.irq_model import Promised, Shape
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.session.eventfds import Ids
from vfiospec.session.irqs import Irqs, shape_of


@pytest.fixture(scope="session")
def shapes() -> dict[str, Shape]:
    """What was asked before, by device: it does not change (chapter irq_info)."""
    return {}


@pytest.fixture
def shape(
    device: Device, spec: BenchDevice, shapes: dict[str, Shape], request: pytest.FixtureRequest
) -> Shape:
    """How many interrupts of each index the device says it has."""
    if spec.name not in shapes:
        isolated = request.getfixturevalue("interrupt_remapping")
        shapes[spec.name] = shape_of(device, isolated=isolated)
    return shapes[spec.name]


@pytest.fixture
def irqs(
    device: Device, pci: PciDevice, shape: Shape, promised: Promised, memory: Memory
) -> Iterator[Irqs]:
    """The device's interrupts, all off."""
    made = Irqs(device, pci, shape, promised, memory)
    yield made
    made.silence()


@pytest.fixture
def port_event(port: Port) -> Iterator[EventFd]:
    """An eventfd of the test's own, assigned to nothing."""
    with EventFd.create(port) as event:
        yield event


@pytest.fixture
def ids(port: Port, memory: Memory) -> Ids:
    """Who holds eventfds."""
    return Ids(port, memory)
