# SPDX-License-Identifier: MIT
"""SET_CONTAINER and UNSET_CONTAINER: what is a container, and when a group may come and go."""

import os
from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.container import CONTAINER_PATH, Container
from vfiospec.device.files import EventFd, File, Memory
from vfiospec.device.group import Group
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import group as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

FD_SIZE = 4
UNUSED = [999, 4095, 1 << 20, (1 << 31) - 1]
NEGATIVE = [-1, -2, -(1 << 31)]


@checks(rules.SET_CONTAINER)
def test_four_bytes_are_read(
    group: Group, container: Container, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """At the end of a page with nothing behind them."""
    call = group.try_ioctl(
        vfio.VFIO_GROUP_SET_CONTAINER,
        bytes(FD_SIZE),
        fixups=(container.fixup(),),
        at=memory.tail(FD_SIZE),
    )
    expect.accepted(call)
    expect.equal("status", group.get_status(), promised(rules.STATUS_SET))


@checks(rules.SET_ADDRESS)
@pytest.mark.parametrize("size", range(1, FD_SIZE), ids="bytes-{}".format)
def test_fewer_than_four_bytes_are_refused(
    group: Group, memory: Memory, size: int, promised: Callable[[Rule], int]
) -> None:
    """Its last bytes are behind the end of the memory."""
    call = group.try_ioctl(vfio.VFIO_GROUP_SET_CONTAINER, memory.tail(size))
    expect.refused(call, promised(rules.SET_ADDRESS))
    expect.equal("status", group.get_status(), promised(rules.STATUS_FREE))


@checks(rules.SET_ADDRESS)
@pytest.mark.parametrize("address", [0, 1, 1 << 47, (1 << 64) - 4], ids="address-{:x}".format)
def test_a_bad_address_is_refused(
    group: Group, address: int, promised: Callable[[Rule], int]
) -> None:
    """Where no memory of the process is."""
    call = group.try_ioctl(vfio.VFIO_GROUP_SET_CONTAINER, address)
    expect.refused(call, promised(rules.SET_ADDRESS))


@checks(rules.SET_CLOSED)
@pytest.mark.parametrize("fd", UNUSED, ids="fd-{}".format)
def test_the_number_of_no_file_is_refused(
    group: Group, fd: int, promised: Callable[[Rule], int]
) -> None:
    """The group is as before, and a container is accepted."""
    expect.refused(group.try_set_container(fd), promised(rules.SET_CLOSED))
    expect.equal("status", group.get_status(), promised(rules.STATUS_FREE))


@checks(rules.SET_CLOSED)
def test_a_container_opened_as_a_path_is_refused(
    group: Group, port: Port, promised: Callable[[Rule], int]
) -> None:
    """O_PATH gives no file to work on."""
    with File.open(port, CONTAINER_PATH, os.O_PATH) as path:
        expect.refused(group.try_set_container(path), promised(rules.SET_CLOSED))


@checks(rules.SET_NEGATIVE)
@pytest.mark.parametrize("fd", NEGATIVE, ids="fd-{}".format)
def test_a_negative_number_is_refused(
    group: Group, fd: int, promised: Callable[[Rule], int]
) -> None:
    """-1 is no way to take a group out of its container."""
    expect.refused(group.try_set_container(fd), promised(rules.SET_NEGATIVE))
    expect.equal("status", group.get_status(), promised(rules.STATUS_FREE))


@checks(rules.SET_WRONG_FILE)
@pytest.mark.parametrize("path", ["/dev/null", "/dev", "/proc/self/status"])
def test_a_file_that_is_no_container_is_refused(
    group: Group, port: Port, path: str, promised: Callable[[Rule], int]
) -> None:
    """A device, a folder, a file; the group is as before."""
    with File.open(port, path, os.O_RDONLY) as wrong:
        expect.refused(group.try_set_container(wrong), promised(rules.SET_WRONG_FILE))
    expect.equal("status", group.get_status(), promised(rules.STATUS_FREE))


@checks(rules.SET_WRONG_FILE, rules.SET_CONTAINER)
def test_files_of_this_kind_are_refused(
    group: Group, container: Container, port: Port, promised: Callable[[Rule], int]
) -> None:
    """The group itself, an eventfd; then a container is accepted."""
    with EventFd.create(port) as event:
        for wrong in (group, event):
            expect.refused(group.try_set_container(wrong), promised(rules.SET_WRONG_FILE))
    expect.accepted(group.try_set_container(container))


@checks(rules.SET_TWICE)
@pytest.mark.parametrize("state", ["attached", "ready"])
def test_a_second_time_it_is_refused(
    request: pytest.FixtureRequest,
    container: Container,
    state: str,
    promised: Callable[[Rule], int],
) -> None:
    """With the same container, another, or none; the group stays where it is."""
    group: Group = request.getfixturevalue(state)
    with Container.create(group.port) as another:
        for file in (container, another, group):
            expect.refused(group.try_set_container(file), promised(rules.SET_TWICE))
        expect.refused(another.try_set_iommu(vfio.VFIO_TYPE1_IOMMU), promised(rules.SET_TWICE))
    expect.equal("status", group.get_status(), promised(rules.STATUS_SET))
    if state == "attached":
        expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1_IOMMU))
    expect.accepted(container.try_get_iommu_info())


@checks(rules.SET_TWICE_CLOSED, rules.SET_ADDRESS)
@pytest.mark.parametrize("fd", [*UNUSED, *NEGATIVE], ids="fd-{}".format)
def test_a_second_time_without_a_file_it_is_refused(
    attached: Group, fd: int, promised: Callable[[Rule], int]
) -> None:
    """The address counts before the file, the file before the group."""
    expect.refused(attached.try_set_container(fd), promised(rules.SET_TWICE_CLOSED))
    call = attached.try_ioctl(vfio.VFIO_GROUP_SET_CONTAINER, 0)
    expect.refused(call, promised(rules.SET_ADDRESS))
    expect.equal("status", attached.get_status(), promised(rules.STATUS_SET))


@checks(rules.UNSET_NONE, rules.UNSET)
def test_there_must_be_a_container_to_leave(
    group: Group, container: Container, promised: Callable[[Rule], int]
) -> None:
    """Neither before the first nor after the last, and the argument is not looked at."""
    for _ in range(2):
        expect.refused(group.try_unset_container(), promised(rules.UNSET_NONE))
        expect.accepted(group.try_set_container(container))
        call = group.try_ioctl(vfio.VFIO_GROUP_UNSET_CONTAINER, (1 << 64) - 1)
        expect.accepted(call)
    expect.refused(group.try_unset_container(), promised(rules.UNSET_NONE))


@checks(rules.UNSET, rules.SET_CONTAINER)
def test_it_can_move_to_another_container(
    ready: Group, container: Container, subject: BenchDevice, promised: Callable[[Rule], int]
) -> None:
    """Back and forth, each time to a device."""
    with Container.create(ready.port) as another:
        for target in (another, container, another):
            with ready.get_device_fd(subject.bdf) as device:
                expect.accepted(device.try_get_info())
            expect.accepted(ready.try_unset_container())
            expect.equal("status", ready.get_status(), promised(rules.STATUS_FREE))
            expect.accepted(ready.try_set_container(target))
            expect.accepted(target.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))


@checks(rules.UNSET_BUSY, rules.UNSET)
def test_an_open_device_keeps_it(
    ready: Group, container: Container, subject: BenchDevice, promised: Callable[[Rule], int]
) -> None:
    """A first fd, a second, a copy: the last of them."""
    first, second = ready.get_device_fd(subject.bdf), ready.get_device_fd(subject.bdf)
    copy = second.dup()
    for file in (first, second, copy):
        for _ in range(2):
            expect.refused(ready.try_unset_container(), promised(rules.UNSET_BUSY))
        expect.equal("status", ready.get_status(), promised(rules.STATUS_SET))
        expect.accepted(container.try_get_iommu_info())
        expect.accepted(copy.try_get_info())
        file.close()
    expect.accepted(ready.try_unset_container())


@checks(rules.UNSET_BUSY, rules.OPEN_HELD)
@devices("irq-stimulus")
def test_a_mapping_of_a_closed_device_keeps_it(
    closed: int, spec: BenchDevice, port: Port, promised: Callable[[Rule], int]
) -> None:
    """Until it is unmapped."""
    with Container.create(port) as container, Group.of(port, closed) as group:
        expect.accepted(group.try_set_container(container))
        expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
        with group.get_device_fd(spec.bdf) as device:
            mapping = device.region(0).map()
        try:
            expect.refused(group.try_unset_container(), promised(rules.UNSET_BUSY))
        finally:
            mapping.unmap()
        expect.accepted(group.try_unset_container())


@checks(rules.FD_TOO_EARLY, rules.UNSET)
def test_a_device_is_to_be_had_with_a_model_only(
    group: Group, container: Container, subject: BenchDevice, promised: Callable[[Rule], int]
) -> None:
    """Not before SET_CONTAINER, not before SET_IOMMU, not after UNSET_CONTAINER."""

    def refused() -> None:
        for _ in range(2):
            call, _device = group.try_get_device_fd(subject.bdf)
            expect.refused(call, promised(rules.FD_TOO_EARLY))

    refused()
    expect.accepted(group.try_set_container(container))
    refused()
    expect.accepted(group.try_unset_container())
    expect.accepted(group.try_set_container(container))
    expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
    with group.get_device_fd(subject.bdf) as device:
        expect.accepted(device.try_get_info())
    expect.accepted(group.try_unset_container())
    refused()


@checks(rules.FD_TOO_EARLY_NAME)
@pytest.mark.parametrize("state", ["group", "attached"])
@pytest.mark.parametrize("name", ["", "none"], ids="name-{}".format)
def test_an_unknown_device_is_not_to_be_had(
    request: pytest.FixtureRequest, state: str, name: str, promised: Callable[[Rule], int]
) -> None:
    """The error says whether the name or the container was looked at first."""
    group: Group = request.getfixturevalue(state)
    call, _ = group.try_get_device_fd(name)
    expect.refused(call, promised(rules.FD_TOO_EARLY_NAME))
