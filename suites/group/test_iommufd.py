# SPDX-License-Identifier: MIT
"""A group beside iommufd: in place of a container, and against a device bound by itself."""

import os
from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_feature as cdev
from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.container import Container
from vfiospec.device.device import Device
from vfiospec.device.files import File
from vfiospec.device.group import Group
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.bind import PCI
from vfiospec.rules import group as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

IOMMUFD = "/dev/iommu"


@pytest.fixture
def iommufd(port: Port, sysfs: PortSysfs, interrupt_remapping: bool) -> Iterator[File]:  # noqa: FBT001 -- a fixture
    """An iommufd, just opened."""
    if not sysfs.exists(IOMMUFD):
        pytest.skip("needs a kernel with CONFIG_IOMMUFD")
    if not interrupt_remapping:
        pytest.skip("iommufd asks for interrupt remapping: judge a machine that has it")
    with File.open(port, IOMMUFD) as opened:
        yield opened


@pytest.fixture
def path(subject: BenchDevice, sysfs: PortSysfs) -> str:
    """The device's own file."""
    folder = f"{PCI}/devices/{subject.bdf}/vfio-dev"
    names = sysfs.listdir(folder) if sysfs.exists(folder) else []
    found = f"/dev/vfio/devices/{names[0]}" if names else ""
    if not found or not sysfs.exists(found):
        pytest.skip("needs a kernel with CONFIG_VFIO_DEVICE_CDEV")
    return found


def bind(device: File, iommufd: File) -> Call:
    """VFIO_DEVICE_BIND_IOMMUFD."""
    number = iommufd.fixup(cdev.vfio_device_bind_iommufd.offset_of("iommufd"))
    request = cdev.vfio_device_bind_iommufd(cdev.BIND_MIN, 0).pack()[: cdev.BIND_MIN]
    return device.try_ioctl(cdev.VFIO_DEVICE_BIND_IOMMUFD, request, fixups=(number,))


@checks(rules.IOMMUFD, rules.STATUS_SET, rules.STATUS_FREE)
def test_it_does_as_a_container(
    group: Group,
    iommufd: File,
    container: Container,
    subject: BenchDevice,
    promised: Callable[[Rule], int],
) -> None:
    """Set, devices can be had; unset, the group is free for a container."""
    for _ in range(2):
        expect.accepted(group.try_set_container(iommufd))
        expect.equal("status", group.get_status(), promised(rules.STATUS_SET))
        for _ in range(2):
            with group.get_device_fd(subject.bdf) as first, group.get_device_fd(subject.bdf):
                expect.accepted(first.try_get_info())
        expect.accepted(group.try_unset_container())
        expect.equal("status", group.get_status(), promised(rules.STATUS_FREE))
        expect.refused(group.try_unset_container(), promised(rules.UNSET_NONE))
        call, _device = group.try_get_device_fd(subject.bdf)
        expect.refused(call, promised(rules.FD_TOO_EARLY))
    expect.accepted(group.try_set_container(container))
    expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
    with group.get_device_fd(subject.bdf) as device:
        expect.accepted(device.try_get_info())


@checks(rules.IOMMUFD, rules.SET_TWICE)
def test_a_group_has_one_of_either(
    group: Group, iommufd: File, container: Container, promised: Callable[[Rule], int]
) -> None:
    """A container or an iommufd, not both, and neither twice."""
    for first in (iommufd, container):
        expect.accepted(group.try_set_container(first))
        for file in (iommufd, container):
            expect.refused(group.try_set_container(file), promised(rules.SET_TWICE))
        expect.accepted(group.try_unset_container())


@checks(rules.IOMMUFD, rules.OPEN_AGAIN)
def test_a_closed_group_has_none(
    number: int, iommufd: File, port: Port, promised: Callable[[Rule], int]
) -> None:
    """It does not come back with the next open."""
    for _ in range(2):
        with Group.of(port, number) as group:
            expect.equal("status", group.get_status(), promised(rules.STATUS_FREE))
            expect.accepted(group.try_set_container(iommufd))


@checks(rules.OPEN_CDEV)
def test_a_bound_device_keeps_its_group_from_being_opened(
    number: int, iommufd: File, path: str, port: Port, promised: Callable[[Rule], int]
) -> None:
    """From BIND_IOMMUFD until the device's file is closed; just opened it does not."""

    def opening() -> Call:
        handle, name = port.handle(), f"/dev/vfio/{number}"
        reply = port.do(o.Open(handle, name, os.O_RDWR | os.O_CLOEXEC))
        if reply.ok:
            port.do(o.Close(handle))
        return Call("open", name, 0, reply)

    for _ in range(2):
        with Device.open(port, path) as device:
            call = opening()
            expect.holds(call.ok, "a group that can be opened", str(call))
            expect.accepted(bind(device, iommufd))
            expect.refused(opening(), promised(rules.OPEN_CDEV))
            expect.accepted(device.try_get_info())
        call = opening()
        expect.holds(call.ok, "a group that can be opened", str(call))


@checks(rules.OPEN_CDEV)
def test_an_open_group_keeps_its_device_from_being_bound(
    number: int, iommufd: File, path: str, port: Port, promised: Callable[[Rule], int]
) -> None:
    """Until it is closed."""
    with Device.open(port, path) as device:
        with Group.of(port, number) as group:
            for _ in range(2):
                expect.refused(bind(device, iommufd), promised(rules.OPEN_CDEV))
            expect.equal("status", group.get_status(), promised(rules.STATUS_FREE))
        expect.accepted(bind(device, iommufd))
