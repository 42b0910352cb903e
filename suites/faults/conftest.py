# SPDX-License-Identifier: MIT
"""A kernel whose calls can be made to fail, and a device nothing else holds."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec.device.cdev import Cdev, cdev_path
from vfiospec.device.device import Device
from vfiospec.device.faults import DEBUGFS, EVERYTHING, FAIL_NTH, Injector
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned
from vfiospec.device.iommufd import IOMMUFD_PATH, Iommufd
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.session.eventfds import Ids
from vfiospec.session.run import Run
from vfiospec.session.sweep import Sweep

NEEDED = {
    FAIL_NTH: "CONFIG_FAULT_INJECTION",
    f"{DEBUGFS}/{Injector.SLAB}": "CONFIG_FAILSLAB and CONFIG_FAULT_INJECTION_DEBUG_FS",
    f"{DEBUGFS}/{Injector.PAGES}": "CONFIG_FAIL_PAGE_ALLOC",
    f"{DEBUGFS}/{Injector.COPY}": "CONFIG_FAULT_INJECTION_USERCOPY",
}


@pytest.fixture
def injectors(sysfs: PortSysfs) -> Iterator[None]:
    """All of them set to fail whatever can fail, once a call asks for it; put back afterwards."""
    for path, option in NEEDED.items():
        if not sysfs.exists(path):
            pytest.skip(f"needs a kernel with {option}: vfiospec kernels build")
    paths = {f"{DEBUGFS}/{name}": value for name, value in EVERYTHING.items()}
    before = {path: sysfs.read(path) for path in paths}
    for path, value in paths.items():
        sysfs.write(path, value)
    yield
    for path, value in before.items():
        sysfs.write(path, value)


@pytest.fixture
def sweep(injectors: None, run: Run, memory: Memory) -> Sweep:
    """Makes a call fail at each of its points of failure, and judges it."""
    del injectors
    return Sweep(run, Ids(run.port, memory))


@pytest.fixture
def own(port: Port, closed: int) -> Iterator[Assigned]:
    """The device's group in a container; the device is not open."""
    made = Assigned(port, closed)
    yield made
    made.close()


@pytest.fixture
def opened(own: Assigned, spec: BenchDevice) -> Iterator[Device]:
    """The device, by its group."""
    with own.open(spec.bdf) as made:
        yield made


@pytest.fixture
def iommufd(port: Port, sysfs: PortSysfs) -> Iterator[Iommufd]:
    """An iommufd without objects."""
    if not sysfs.exists(IOMMUFD_PATH):
        pytest.skip("needs a kernel with CONFIG_IOMMUFD")
    with Iommufd.create(port) as made:
        yield made


@pytest.fixture
def iommufd_users(sysfs: PortSysfs) -> Callable[[], int]:
    """How many files and modules use iommufd."""
    count = "/sys/module/iommufd/refcnt"
    if not sysfs.exists(count):
        pytest.skip("needs a kernel with CONFIG_IOMMUFD=m and CONFIG_MODULE_UNLOAD")
    return lambda: int(sysfs.read(count))


@pytest.fixture
def cdev_name(port: Port, sysfs: PortSysfs, spec: BenchDevice, closed: int) -> str:
    """The device's own file; nothing of its group is open."""
    del closed
    found = cdev_path(port, f"{SYSFS}/{spec.bdf}")
    if found is None or not sysfs.exists(found):  # 6.1 to 6.5 name it, and have it not
        pytest.skip("needs a kernel with CONFIG_VFIO_DEVICE_CDEV")
    return found


@pytest.fixture
def cdev(port: Port, cdev_name: str) -> Iterator[Cdev]:
    """The device's own file, open and not bound."""
    with Cdev.at(port, cdev_name) as made:
        yield made
