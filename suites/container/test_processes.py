# SPDX-License-Identifier: MIT
"""A container in the hands of a process that did not open it."""

import signal
from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.container import Container
from vfiospec.device.edu import Edu
from vfiospec.device.files import Memory
from vfiospec.device.group import Group
from vfiospec.device.port import ForkedPort, Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import container as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

IOVA = 0x100000


@pytest.fixture
def typed(attached: Container) -> Container:
    """A container with a group and a model."""
    expect.accepted(attached.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
    return attached


@pytest.fixture
def child(typed: Container, port: Port) -> Iterator[ForkedPort]:
    """A second process that inherited the container."""
    del typed
    process = port.handle()
    port.do(o.Fork(process))
    yield ForkedPort(port, process)
    port.do(o.Wait(process, signal.SIGKILL))


@checks(rules.OTHER_PROCESS)
def test_another_process_may_ask_and_map(
    typed: Container, child: ForkedPort, page: int, promised: Callable[[Rule], int]
) -> None:
    """What one maps is taken for the other, too."""
    theirs = Container(child, typed.handle)
    expect.accepted(theirs.try_get_api_version(), promised(rules.API_VERSION))
    expect.accepted(theirs.try_get_iommu_info())
    memory = Memory(child, page)
    expect.accepted(theirs.try_map(memory, IOVA, page))
    expect.equal("bytes unmapped by its owner", theirs.unmapped(IOVA, page), page)


@checks(rules.OTHER_PROCESS_UNMAPS)
def test_another_process_unmaps(
    typed: Container,
    child: ForkedPort,
    anon: Memory,
    page: int,
    promised: Callable[[Rule], int],
) -> None:
    """It takes away what it did not map, where that is allowed; the rest is ours to unmap."""
    theirs = Container(child, typed.handle)
    expect.accepted(typed.try_map(anon, IOVA, page))
    taken = promised(rules.OTHER_PROCESS_UNMAPS) * page
    expect.equal("bytes unmapped by another", theirs.unmapped(IOVA, page), taken)
    expect.equal("bytes left to unmap", typed.unmapped(IOVA, page), page - taken)


@checks(rules.OTHER_PROCESS)
def test_a_mapping_is_of_its_makers_memory(
    typed: Container,
    child: ForkedPort,
    group: Group,
    subject: BenchDevice,
    anon: Memory,
    page: int,
) -> None:
    """The device reads the child's memory and writes it to ours, one beside the other."""
    if "dma-stimulus" not in subject.roles:
        pytest.skip(
            "no device alone in its group makes DMA: `vfiospec topologies` shows which does"
        )
    theirs = Container(child, typed.handle)
    memory = Memory(child, page, fill=0x77)
    expect.accepted(theirs.try_map(memory, IOVA, page))
    expect.accepted(typed.try_map(anon, IOVA + page, page))
    with group.get_device_fd(subject.bdf) as device:
        edu = Edu(device)
        edu.enable()
        expect.holds(edu.read_memory(IOVA, 64), "DMA that ends", "it did not")
        expect.holds(edu.write_memory(IOVA + page, 64), "DMA that ends", "it did not")
    expect.equal("memory of ours", anon.read(0, 64).hex(), "77" * 64)
