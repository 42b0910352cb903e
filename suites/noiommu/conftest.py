# SPDX-License-Identifier: MIT
"""A machine without an IOMMU, one of its devices, and a process that may not touch the machine."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec.device.call import checked
from vfiospec.device.cdev import Cdev, cdev_path
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.group import Group
from vfiospec.device.iommufd import IOMMUFD_PATH, Iommufd
from vfiospec.device.mdev import Mdev, MdevType
from vfiospec.device.noiommu import NoIommu, group_path
from vfiospec.device.pci import SYSFS, PciDevice
from vfiospec.device.port import ForkedPort, Port
from vfiospec.device.privileges import CAP_SYS_RAWIO, without
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import noiommu as rules
from vfiospec.rules.model import Rule
from vfiospec.session.run import Run

MODE = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
GROUPS = "/sys/kernel/iommu_groups"
SERIAL = "6d746d74-0000-4000-8000-000000000001"


@pytest.fixture
def bare(run: Run) -> None:
    """Skip where there is an IOMMU."""
    if run.has_iommu:
        pytest.skip("needs a machine without an IOMMU: --topology no-iommu")


@pytest.fixture
def number(bare: None, port: Port, spec: BenchDevice) -> int:
    """The device's group, as sysfs says now: binding anew may change it."""
    del bare
    found = PciDevice(port, spec.bdf).group
    assert found is not None, "the bench binds every device, and that gives it a group"
    return found


@pytest.fixture
def mdev(bare: None, port: Port) -> Iterator[Mdev]:
    """A mediated device: a port of mtty's."""
    del bare
    kind = MdevType(port, "mtty", "mtty-1")
    if not kind.exists:
        pytest.skip("needs a kernel with CONFIG_SAMPLE_VFIO_MDEV_MTTY, its module loaded")
    checked(kind.try_create(SERIAL))
    made = Mdev(port, SERIAL)
    yield made
    made.try_remove()


@pytest.fixture
def group(port: Port, number: int) -> Iterator[Group]:
    """The group, open, in no container."""
    with Group.open(port, group_path(number)) as opened:
        yield opened


@pytest.fixture
def own(port: Port, number: int) -> Iterator[NoIommu]:
    """The group in a container that says NOIOMMU."""
    made = NoIommu(port, number)
    yield made
    made.close()


@pytest.fixture
def opened(own: NoIommu, spec: BenchDevice) -> Iterator[Device]:
    """The device, by its group."""
    with own.group.get_device_fd(spec.bdf) as device:
        yield device


@pytest.fixture
def unprivileged(port: Port) -> Iterator[ForkedPort]:
    """A process of root's without CAP_SYS_RAWIO; whatever was open before is open there too."""
    with without(port, CAP_SYS_RAWIO) as child:
        yield child


@pytest.fixture
def mode(sysfs: PortSysfs) -> Iterator[Callable[[bool], None]]:
    """Turn enable_unsafe_noiommu_mode on and off; it is on afterwards."""
    yield lambda on: sysfs.write(MODE, "Y" if on else "N")
    sysfs.write(MODE, "Y")


@pytest.fixture
def own_file(bare: None, port: Port, spec: BenchDevice, promised: Callable[[Rule], int]) -> str:
    """The device's own file, where the kernel gives such devices one."""
    del bare
    found = cdev_path(port, f"{SYSFS}/{spec.bdf}")
    if found is None or not promised(rules.CDEV_NAME):
        pytest.skip("needs a kernel from 7.3 on, with CONFIG_VFIO_DEVICE_CDEV")
    return found


@pytest.fixture
def iommufd(bare: None, port: Port, sysfs: PortSysfs) -> Iterator[Iommufd]:
    """An iommufd without objects."""
    del bare
    if not sysfs.exists(IOMMUFD_PATH):
        pytest.skip("needs a kernel with CONFIG_IOMMUFD")
    with Iommufd.create(port) as made:
        yield made


@pytest.fixture
def cdev(port: Port, own_file: str) -> Iterator[Cdev]:
    """The device's own file, open."""
    with Cdev.at(port, own_file) as opened:
        yield opened


@pytest.fixture
def four_pages(port: Port, page: int) -> Iterator[Memory]:
    """Memory that is there."""
    with Memory(port, 4 * page, fill=0x5A) as made:
        yield made
