# SPDX-License-Identifier: MIT
"""What a device reaches by DMA: the mappings of the container its group is in, and no others."""

from collections.abc import Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.container import Container
from vfiospec.device.device import Device
from vfiospec.device.edu import Edu
from vfiospec.device.files import Memory
from vfiospec.device.group import Group
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import container as rules
from vfiospec.session.marks import checks

IOVA = 0x100000
PATTERN = bytes(range(16, 48))


@pytest.fixture
def master(subject: BenchDevice) -> BenchDevice:
    """The subject, if it makes DMA at our word."""
    if "dma-stimulus" not in subject.roles:
        pytest.skip(
            "no device alone in its group makes DMA: `vfiospec topologies` shows which does"
        )
    return subject


@pytest.fixture
def elsewhere(port: Port, page: int) -> Iterator[Memory]:
    """Two more pages to map."""
    with Memory(port, 2 * page, fill=0x33) as made:
        yield made


def copies(device: Device, memory: Memory, page: int) -> None:
    """The device reads the first page mapped at IOVA and writes what it read to the second."""
    edu = Edu(device)
    edu.enable()
    memory.write(0, PATTERN)
    memory.write(page, bytes(len(PATTERN)))
    expect.holds(edu.read_memory(IOVA, len(PATTERN)), "DMA that ends", "it did not")
    expect.holds(edu.write_memory(IOVA + page, len(PATTERN)), "DMA that ends", "it did not")
    copied = memory.read(page, len(PATTERN))
    expect.equal("memory behind the second page", copied.hex(), PATTERN.hex())


@checks(rules.SHARED)
@pytest.mark.parametrize("joins", ["before-the-model", "before-the-mapping", "last"])
def test_a_group_sees_what_another_ones_container_maps(
    container: Container,
    group: Group,
    second: Group,
    master: BenchDevice,
    anon: Memory,
    page: int,
    joins: str,
) -> None:
    """Whenever it joins."""
    expect.accepted(second.try_set_container(container))
    if joins == "before-the-model":
        expect.accepted(group.try_set_container(container))
    expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
    if joins == "before-the-mapping":
        expect.accepted(group.try_set_container(container))
    expect.accepted(container.try_map(anon, IOVA, 2 * page))
    if joins == "last":
        expect.accepted(group.try_set_container(container))
    with group.get_device_fd(master.bdf) as device:
        copies(device, anon, page)


@checks(rules.SHARED, rules.STAYS)
def test_it_still_does_when_the_other_left(
    container: Container,
    group: Group,
    second: Group,
    master: BenchDevice,
    anon: Memory,
    page: int,
) -> None:
    """The group that was there when the mapping was made is not its owner."""
    expect.accepted(second.try_set_container(container))
    expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
    expect.accepted(container.try_map(anon, IOVA, 2 * page))
    expect.accepted(group.try_set_container(container))
    with group.get_device_fd(master.bdf) as device:
        expect.accepted(second.try_unset_container())
        copies(device, anon, page)


@checks(rules.LEFT)
def test_in_another_container_it_sees_that_ones(
    container: Container,
    group: Group,
    second: Group,
    master: BenchDevice,
    anon: Memory,
    elsewhere: Memory,
    page: int,
) -> None:
    """The first container goes on with its other group; its memory stays as it is."""
    expect.accepted(second.try_set_container(container))
    expect.accepted(group.try_set_container(container))
    expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
    expect.accepted(container.try_map(anon, IOVA, 2 * page))
    expect.accepted(group.try_unset_container())
    before = anon.read(0, 2 * page)
    with Container.create(group.port) as another:
        expect.accepted(group.try_set_container(another))
        expect.accepted(another.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
        expect.accepted(another.try_map(elsewhere, IOVA, 2 * page))
        with group.get_device_fd(master.bdf) as device:
            copies(device, elsewhere, page)
    expect.holds(anon.read(0, 2 * page) == before, "the first container's memory", "it changed")
    expect.equal("bytes unmapped", container.unmapped(IOVA, 2 * page), 2 * page)
