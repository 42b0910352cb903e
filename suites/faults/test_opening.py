# SPDX-License-Identifier: MIT
"""From nothing to an open device, by a group and by the device's own file: each step fails."""

import os
from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd as iommu
from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.call import Call, checked
from vfiospec.device.cdev import Cdev
from vfiospec.device.container import CONTAINER_PATH, Container
from vfiospec.device.group import Assigned, Group
from vfiospec.device.iommufd import IOMMUFD_PATH, Iommufd
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.bind import PCI, driver_of
from vfiospec.rules import faults as rules
from vfiospec.rules import iommufd_compat as compat
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, dangerous, devices
from vfiospec.session.run import Run
from vfiospec.session.sweep import Sweep

pytestmark = checks(rules.COPY)
# Enabled, a device with a line has ACPI's interpreter run: see test_device_fd_and_its_line.
NO_PIN = devices("conventional", "io-bar", without=("intx",))


def opens(sweep: Sweep, rule: Rule, path: str) -> None:
    """Sweep an open(2)."""
    handles: list[int] = []

    def attempt(port: Port) -> Call:
        handle = port.handle()
        reply = port.do(o.Open(handle, path, os.O_RDWR | os.O_CLOEXEC))
        if reply.ok:
            handles.append(handle)
        return Call("open", path, b"", reply)

    sweep(rule, attempt, lambda: sweep.port.do(o.Close(handles.pop())))


def first_fd(sweep: Sweep, own: Assigned, spec: BenchDevice) -> None:
    """Sweep the first GET_DEVICE_FD of a device."""
    made: list[int] = []

    def attempt(port: Port) -> Call:
        call, device = Group(port, own.group.handle).try_get_device_fd(spec.bdf)
        made.extend([device.handle] if device else [])
        return call

    sweep(rules.DEVICE_FD, attempt, lambda: sweep.port.do(o.Close(made.pop())))


@checks(rules.OPEN_CONTAINER)
def test_container(sweep: Sweep) -> None:
    """Its open."""
    opens(sweep, rules.OPEN_CONTAINER, CONTAINER_PATH)


@checks(rules.OPEN_GROUP)
@devices("irq-stimulus", without=("grouped",))
def test_group(sweep: Sweep, closed: int) -> None:
    """Its open, which takes the group."""
    opens(sweep, rules.OPEN_GROUP, f"/dev/vfio/{closed}")


@checks(rules.SET_CONTAINER)
@devices("irq-stimulus", without=("grouped",))
def test_set_container(sweep: Sweep, run: Run, own: Assigned, spec: BenchDevice) -> None:
    """A second group put into a container that has an IOMMU, to which it is attached."""
    others = [d for d in run.devices if d.group != spec.group]
    if not others:
        pytest.skip("one group only: judge a second device with --device BDF")
    ranges = own.container.told_ranges()
    with Group.of(sweep.port, run.give_up(others[0])) as group:

        def attempt(port: Port) -> Call:
            call = Group(port, group.handle).try_set_container(own.container)
            if not call.ok:
                expect.equal(f"ranges after {call}", own.container.told_ranges(), ranges)
            return call

        sweep(rules.SET_CONTAINER, attempt, group.try_unset_container)


@checks(rules.SET_CONTAINER)
@devices("irq-stimulus", without=("grouped",))
def test_set_iommufd(sweep: Sweep, closed: int, iommufd: Iommufd) -> None:
    """An iommufd as the container, which gets an address space."""
    with Group.of(sweep.port, closed) as group:
        sweep(
            rules.SET_CONTAINER,
            lambda port: Group(port, group.handle).try_set_container(iommufd),
            group.try_unset_container,
        )


@checks(compat.RELEASED)
@devices("irq-stimulus", without=("grouped",))
@pytest.mark.usefixtures("machine")  # elsewhere others may use iommufd
def test_an_iommufd_that_could_not_be_set(
    sweep: Sweep, closed: int, iommufd_users: Callable[[], int]
) -> None:
    """Once it and the group are closed it is gone, however often it failed."""
    before = iommufd_users()
    with Iommufd.create(sweep.port) as own, Group.of(sweep.port, closed) as group:
        sweep(
            rules.SET_CONTAINER,
            lambda port: Group(port, group.handle).try_set_container(own),
            group.try_unset_container,
        )
        expect.equal("users of iommufd while one is open", iommufd_users(), before + 1)
    expect.equal("users of iommufd", iommufd_users(), before)


@checks(rules.SET_IOMMU)
@devices("irq-stimulus", without=("grouped",))
def test_set_iommu(sweep: Sweep, container: Container, closed: int) -> None:
    """Type1 for a container with a group; taking the group out takes it away."""
    with Group.of(sweep.port, closed) as group:
        checked(group.try_set_container(container))

        def undo() -> None:
            checked(group.try_unset_container())
            checked(group.try_set_container(container))

        sweep(
            rules.SET_IOMMU,
            lambda port: Container(port, container.handle).try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU),
            undo,
        )


@checks(rules.DEVICE_FD)
@NO_PIN
def test_device_fd(sweep: Sweep, own: Assigned, spec: BenchDevice) -> None:
    """The first fd of a device, for which it is enabled and its configuration read."""
    first_fd(sweep, own, spec)


@dangerous
@checks(rules.DEVICE_FD)
@devices("irq-stimulus", without=("grouped",))
def test_device_fd_and_its_line(sweep: Sweep, own: Assigned, spec: BenchDevice) -> None:
    """The same of a device with a line, whose way is asked of the firmware's tables."""
    first_fd(sweep, own, spec)


@pytest.fixture
def enabled(injectors: None, sysfs: PortSysfs, spec: BenchDevice, closed: int) -> Iterator[None]:
    """The device is enabled as vfio-pci takes it: no open asks ACPI for the way of its line."""
    del injectors, closed

    def turn(on: str) -> None:
        driver = f"{PCI}/drivers/{driver_of(sysfs, spec.bdf)}"
        sysfs.write(f"{driver}/unbind", spec.bdf)
        sysfs.write(f"{SYSFS}/{spec.bdf}/enable", on)
        sysfs.write(f"{driver}/bind", spec.bdf)

    turn("1")
    yield
    turn("0")


@checks(rules.DEVICE_FD)
@devices("msi", "irq-stimulus", without=("grouped",))
def test_device_fd_with_msi(enabled: None, sweep: Sweep, own: Assigned, spec: BenchDevice) -> None:
    """The same of a device with MSI, for which a table of what may be written is made."""
    del enabled
    first_fd(sweep, own, spec)


@checks(rules.OPEN_IOMMUFD)
def test_iommufd(sweep: Sweep, iommufd: Iommufd) -> None:
    """Its open."""
    del iommufd
    opens(sweep, rules.OPEN_IOMMUFD, IOMMUFD_PATH)


@checks(rules.IOAS_ALLOC)
def test_ioas(sweep: Sweep, iommufd: Iommufd) -> None:
    """An address space."""
    made: list[int] = []

    def attempt(port: Port) -> Call:
        call = Iommufd(port, iommufd.handle).try_alloc_ioas()
        if call.ok:
            made.append(call.unpack(iommu.iommu_ioas_alloc).out_ioas_id)
        return call

    sweep(rules.IOAS_ALLOC, attempt, lambda: checked(iommufd.try_destroy(made.pop())))


@checks(rules.BIND)
@NO_PIN
def test_bind(sweep: Sweep, cdev_name: str, iommufd: Iommufd) -> None:
    """The first bind, for which the device is enabled; the fd is good for another try."""
    files = [Cdev.at(sweep.port, cdev_name)]

    def undo() -> None:
        files.pop().close()
        files.append(Cdev.at(sweep.port, cdev_name))

    sweep(rules.BIND, lambda port: Cdev(port, files[0].handle).try_bind(iommufd), undo)
    files.pop().close()


@checks(rules.ATTACH)
@devices("irq-stimulus", without=("grouped",))
def test_attach(sweep: Sweep, cdev: Cdev, iommufd: Iommufd) -> None:
    """To an address space, for which a page table is made."""
    cdev.bind(iommufd)
    ioas = iommufd.alloc_ioas()
    sweep(rules.ATTACH, lambda port: Cdev(port, cdev.handle).try_attach(ioas), cdev.detach)


@checks(rules.DETACH)
@devices("irq-stimulus", without=("grouped",))
def test_detach(sweep: Sweep, cdev: Cdev, iommufd: Iommufd) -> None:
    """From an address space, which is left as it was."""
    cdev.bind(iommufd)
    ioas = iommufd.alloc_ioas()
    cdev.attach(ioas)
    sweep(
        rules.DETACH,
        lambda port: Cdev(port, cdev.handle).try_detach(),
        lambda: cdev.attach(ioas),
    )
