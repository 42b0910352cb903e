# SPDX-License-Identifier: MIT
"""An iommufd that stands for a container: without devices, and with one in it."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd as abi
from vfiospec.device.compat import InGroup
from vfiospec.device.files import Memory
from vfiospec.device.group import Group
from vfiospec.device.iommufd import IOMMUFD_PATH, Iommufd
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice, PortSysfs


@pytest.fixture
def iommufd(port: Port, sysfs: PortSysfs) -> Iterator[Iommufd]:
    """An iommufd without objects."""
    if not sysfs.exists(IOMMUFD_PATH):
        pytest.skip("needs a kernel with CONFIG_IOMMUFD")
    with Iommufd.create(port) as made:
        yield made


@pytest.fixture
def compat(iommufd: Iommufd) -> Iommufd:
    """With an address space that stands for a container's."""
    expect.accepted(iommufd.try_vfio_ioas(abi.IOMMU_VFIO_IOAS_SET, iommufd.alloc_ioas()))
    return iommufd


@pytest.fixture
def memory(port: Port, page: int) -> Iterator[Memory]:
    """Eight pages, between pages nobody may touch."""
    with Memory(port, 8 * page, guard=True) as made:
        yield made


@pytest.fixture
def number(
    iommufd: Iommufd,
    interrupt_remapping: bool,  # noqa: FBT001 -- a fixture
    closed: int,
) -> int:
    """The number of the device's group, of which nothing is open."""
    del iommufd
    if not interrupt_remapping:
        pytest.skip("iommufd asks for interrupt remapping: judge a machine that has it")
    return closed


@pytest.fixture
def group(number: int, port: Port) -> Iterator[Group]:
    """The group, of which nothing else is open."""
    with Group.of(port, number) as opened:
        yield opened


@pytest.fixture
def inside(group: Group, iommufd: Iommufd, spec: BenchDevice) -> InGroup:
    """The group set, no device open."""
    expect.accepted(group.try_set_container(iommufd))
    return InGroup(group, iommufd, spec.bdf)


@pytest.fixture
def enables(sysfs: PortSysfs, spec: BenchDevice) -> Callable[[], int]:
    """How often the device is enabled in the kernel's count."""
    return lambda: int(sysfs.read(f"{SYSFS}/{spec.bdf}/enable"))
