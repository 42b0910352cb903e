# SPDX-License-Identifier: MIT
"""A device's own file, just opened, and an iommufd; nothing of its group is open."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec.abi import vfio_feature as abi
from vfiospec.device.call import Call
from vfiospec.device.cdev import Bound, Cdev, OwnCdev, cdev_path
from vfiospec.device.edu import Edu
from vfiospec.device.files import ClosedOnce, File, Memory
from vfiospec.device.iommufd import IOMMUFD_PATH, Iommufd
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.bus import devices_of_bus
from vfiospec.session.run import Run

READ_ONLY, READ_WRITE = 1, 3  # PROT_READ, with PROT_WRITE


@pytest.fixture
def own_file(port: Port, sysfs: PortSysfs, spec: BenchDevice) -> str:
    """The device's own file, on a kernel where it can be bound."""
    found = cdev_path(port, f"{SYSFS}/{spec.bdf}")
    if found is None or not sysfs.exists(found):
        pytest.skip("needs a kernel with CONFIG_VFIO_DEVICE_CDEV")
    if not sysfs.exists(IOMMUFD_PATH):
        pytest.skip("needs a kernel with CONFIG_IOMMUFD")
    return found


@pytest.fixture
def path(own_file: str, interrupt_remapping: bool) -> str:  # noqa: FBT001 -- a fixture
    """The same, on a machine where it can be bound."""
    if not interrupt_remapping:
        pytest.skip("iommufd asks for interrupt remapping: judge a machine that has it")
    return own_file


class OwnIommufd(ClosedOnce, Iommufd):
    """One that a test may close before its end."""


@pytest.fixture
def iommufd(path: str, port: Port) -> Iterator[Iommufd]:
    """An iommufd without objects."""
    del path
    with OwnIommufd.create(port) as made:
        yield made


@pytest.fixture
def cdev(path: str, closed: int, port: Port) -> Iterator[Cdev]:
    """The device's file, not bound; nothing else of its group is open."""
    del closed
    with OwnCdev.at(port, path) as opened:
        yield opened


@pytest.fixture
def bound(cdev: Cdev, iommufd: Iommufd) -> Bound:
    """Bound, not attached."""
    return Bound(cdev, iommufd, cdev.bind(iommufd), iommufd.alloc_ioas())


@pytest.fixture
def edu(bound: Bound) -> Edu:
    """A device that does DMA at our word, bus master, not attached."""
    made = Edu(bound.cdev)
    made.enable()
    return made


@pytest.fixture
def enables(sysfs: PortSysfs, spec: BenchDevice) -> Callable[[], int]:
    """How often the device is enabled in the kernel's count."""
    return lambda: int(sysfs.read(f"{SYSFS}/{spec.bdf}/enable"))


@pytest.fixture
def group_opens(port: Port, spec: BenchDevice) -> Callable[[], int]:
    """Try to open the device's group, and close it: 0 or an errno."""

    def attempt() -> int:
        try:
            File.open(port, f"/dev/vfio/{spec.group}").close()
        except OSError as e:
            return e.errno or 0
        return 0

    return attempt


@pytest.fixture
def bind_at(memory: Memory) -> Callable[[Cdev, Iommufd], Call]:
    """BIND with its structure in memory that may be read but not written."""

    def attempt(cdev: Cdev, iommufd: Iommufd) -> Call:
        struct = abi.vfio_device_bind_iommufd
        # A flag nobody knows has the number of the iommufd put there and nothing else done.
        wrong = struct(argsz=abi.BIND_MIN, flags=1 << 31).pack()
        number = (iommufd.fixup(struct.offset_of("iommufd")),)
        request = abi.VFIO_DEVICE_BIND_IOMMUFD
        cdev.try_ioctl(request, wrong, fixups=number, at=memory.at())
        memory.write(struct.offset_of("flags"), bytes(4))
        memory.protect(READ_ONLY)
        try:
            return cdev.try_ioctl(request, memory.at(), what="in memory that is only readable")
        finally:
            memory.protect(READ_WRITE)

    return attempt


@pytest.fixture
def bus(path: str, sysfs: PortSysfs, spec: BenchDevice) -> tuple[str, ...]:
    """The devices that are reset with it, itself among them; empty if it is on a root bus."""
    del path
    return devices_of_bus(sysfs, spec.bdf)


@pytest.fixture
def sibling(run: Run, spec: BenchDevice, bus: tuple[str, ...]) -> BenchDevice:
    """Another device of its bus and its group."""
    for other in run.devices:
        if other.bdf in bus and other.bdf != spec.bdf and other.group == spec.group:
            return other
    pytest.skip("no other device on its bus that is judged")


@pytest.fixture
def other(sibling: BenchDevice, cdev: Cdev, port: Port) -> Iterator[Cdev]:
    """The sibling's file, not bound."""
    del cdev
    found = cdev_path(port, f"{SYSFS}/{sibling.bdf}")
    assert found
    with OwnCdev.at(port, found) as opened:
        yield opened
