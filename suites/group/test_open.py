# SPDX-License-Identifier: MIT
"""Opening a group: by one at a time, by those who may."""

import os
import signal
from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.container import Container
from vfiospec.device.files import EventFd
from vfiospec.device.group import Group
from vfiospec.device.port import ForkedPort, Port
from vfiospec.device.privileges import become
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import group as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks


def opening(port: Port, number: int, flags: int = os.O_RDWR) -> Call:
    """Open a group, and close it again should that succeed."""
    path, handle = f"/dev/vfio/{number}", port.handle()
    reply = port.do(o.Open(handle, path, flags | os.O_CLOEXEC))
    if reply.ok:
        port.do(o.Close(handle))
    return Call("open", path, 0, reply)


@checks(rules.OPEN_EXCLUSIVE)
@pytest.mark.parametrize(
    "flags",
    [os.O_RDWR, os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_NONBLOCK],
    ids="flags-{:x}".format,
)
@pytest.mark.parametrize("state", ["group", "attached", "ready"])
def test_a_second_open_is_refused(
    request: pytest.FixtureRequest,
    port: Port,
    number: int,
    state: str,
    flags: int,
    promised: Callable[[Rule], int],
) -> None:
    """In a container or not; the first one goes on as before, and after it the next can come."""
    opened: Group = request.getfixturevalue(state)
    before = opened.get_status()
    for _ in range(2):
        expect.refused(opening(port, number, flags), promised(rules.OPEN_EXCLUSIVE))
    expect.equal("status", opened.get_status(), before)


@checks(rules.OPEN_AGAIN, rules.STATUS_FREE)
@pytest.mark.parametrize("flags", [os.O_RDWR, os.O_RDONLY, os.O_WRONLY], ids="flags-{:x}".format)
def test_a_closed_one_can_be_opened(
    port: Port, number: int, flags: int, promised: Callable[[Rule], int]
) -> None:
    """Again and again, and it is in no container."""
    for _ in range(3):
        with Group.open(port, f"/dev/vfio/{number}", flags | os.O_CLOEXEC) as group:
            expect.equal("status", group.get_status(), promised(rules.STATUS_FREE))
            with Container.create(port) as container:
                expect.accepted(group.try_set_container(container))


@checks(rules.OPEN_HELD, rules.OPEN_AGAIN)
def test_a_second_descriptor_holds_it(
    port: Port, number: int, promised: Callable[[Rule], int]
) -> None:
    """The file counts, not its numbers."""
    group = Group.of(port, number)
    copy = group.dup()
    group.close()
    expect.refused(opening(port, number), promised(rules.OPEN_EXCLUSIVE))
    expect.equal("status", copy.get_status(), promised(rules.STATUS_FREE))
    copy.close()
    call = opening(port, number)
    expect.holds(call.ok, "a group that can be opened", str(call))


@checks(rules.OPEN_EXCLUSIVE, rules.OPEN_AGAIN)
def test_another_process_is_refused_too(
    port: Port, number: int, promised: Callable[[Rule], int]
) -> None:
    """Until it is the only one that has the file; when it ends, the group is free."""
    process = port.handle()
    with Group.of(port, number):
        port.do(o.Fork(process))
        child = ForkedPort(port, process)
        expect.refused(opening(child, number), promised(rules.OPEN_EXCLUSIVE))
    expect.refused(opening(port, number), promised(rules.OPEN_HELD))
    port.do(o.Wait(process, signal.SIGKILL))
    call = opening(port, number)
    expect.holds(call.ok, "a group that can be opened", str(call))


@checks(rules.OPEN_UNPRIVILEGED)
@pytest.mark.usefixtures("machine")
def test_it_is_for_its_owner(port: Port, number: int, promised: Callable[[Rule], int]) -> None:
    """As the kernel makes the file; an administrator may give it away."""
    process = port.handle()
    port.do(o.Fork(process))
    child = ForkedPort(port, process)
    try:
        become(child)
        expect.refused(opening(child, number), promised(rules.OPEN_UNPRIVILEGED))
    finally:
        port.do(o.Wait(process, signal.SIGKILL))


@checks(rules.USE_UNPRIVILEGED, rules.FD_PASSED)
def test_whoever_has_it_may_use_it(group: Group, subject: BenchDevice, port: Port) -> None:
    """A process that gave up root, with a group that was opened for it."""
    process = port.handle()
    port.do(o.Fork(process))
    child = ForkedPort(port, process)
    try:
        become(child)
        theirs = Group(child, group.handle)
        container = Container.create(child)
        expect.accepted(theirs.try_set_container(container))
        expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
        with theirs.get_device_fd(subject.bdf) as device:
            expect.accepted(device.try_get_info())
        expect.accepted(theirs.try_unset_container())
    finally:
        port.do(o.Wait(process, signal.SIGKILL))


@checks(rules.HOLDS_MODULES)
@pytest.mark.usefixtures("machine")  # elsewhere others may use the modules
def test_what_is_closed_holds_no_module(
    port: Port, number: int, subject: BenchDevice, sysfs: PortSysfs
) -> None:
    """The modules' reference counts before, with a device open, and after it all."""
    counts = {m: f"/sys/module/{m}/refcnt" for m in ("vfio", "vfio_pci", "vfio_iommu_type1")}
    counts = {module: path for module, path in counts.items() if sysfs.exists(path)}
    if not counts:
        pytest.skip("VFIO is built in: needs a kernel with CONFIG_VFIO=m")

    def held() -> dict[str, int]:
        return {module: int(sysfs.read(path)) for module, path in counts.items()}

    before = held()
    for _ in range(2):
        with Container.create(port) as container, Group.of(port, number) as group:
            group.try_get_device_fd(subject.bdf)
            expect.accepted(group.try_set_container(container))
            group.try_get_device_fd(subject.bdf)
            expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
            group.try_get_device_fd("none")
            closed = held()
            with group.get_device_fd(subject.bdf), group.get_device_fd(subject.bdf):
                opened = held()
                if "vfio_pci" in counts:
                    expect.holds(
                        opened["vfio_pci"] > closed["vfio_pci"], "vfio_pci held", "it is not"
                    )
            expect.equal("references after the device", held(), closed)
        opening(port, number)
    expect.equal("references afterwards", held(), before)


@checks(rules.OPEN_HELD, rules.FD_SEVERAL)
def test_each_of_several_fds_holds_it(
    ready: Group, container: Container, subject: BenchDevice, promised: Callable[[Rule], int]
) -> None:
    """A device opened three times: the last one closed lets the group's container go."""
    del container
    fds = [ready.get_device_fd(subject.bdf) for _ in range(3)]
    for device in fds:
        expect.refused(ready.try_unset_container(), promised(rules.UNSET_BUSY))
        device.close()
    expect.accepted(ready.try_unset_container())
    with EventFd.create(ready.port) as event:
        expect.refused(ready.try_set_container(event), promised(rules.SET_WRONG_FILE))
