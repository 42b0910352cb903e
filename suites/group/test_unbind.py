# SPDX-License-Identifier: MIT
"""A device that is unbound from vfio-pci: what its group is then, and what holds it up."""

import select
import signal
from collections.abc import Callable
from resource import RLIMIT_NOFILE

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.container import Container
from vfiospec.device.files import EventFd, Memory
from vfiospec.device.group import Assigned, Group
from vfiospec.device.port import ForkedPort, Port
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.bind import PCI, driver_of
from vfiospec.rules import container as container_rules
from vfiospec.rules import group as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

VFIO = "vfio-pci"
IOVA = 0x100000
Rebind = Callable[[str, str | None], None]
pytestmark = pytest.mark.usefixtures("machine")


@checks(rules.ORPHANED, rules.ORPHANED_UNSET, rules.ORPHANED_CONTAINER, rules.REBOUND)
@pytest.mark.parametrize("state", ["attached", "ready"])
def test_a_group_that_lost_its_last_device_is_dead(
    request: pytest.FixtureRequest,
    rebind: Rebind,
    subject: BenchDevice,
    number: int,
    container: Container,
    memory: Memory,
    page: int,
    kernel: tuple[int, int],
    state: str,
    promised: Callable[[Rule], int],
) -> None:
    """Out of its container, to be used no more; bound again, the device is in a new one."""
    if kernel < (6, 1):
        pytest.skip("before 6.1 unbinding waits for the container: another test shows it")
    group: Group = request.getfixturevalue(state)
    if state == "ready":
        expect.accepted(container.try_map(memory, IOVA, page))
    rebind(subject.bdf, None)
    for call in (
        group.try_get_status(), group.try_set_container(container),
        group.try_get_device_fd(subject.bdf)[0],
    ):  # fmt: skip
        expect.refused(call, promised(rules.ORPHANED))
    expect.refused(group.try_unset_container(), promised(rules.ORPHANED_UNSET))
    expect.refused(container.try_get_iommu_info(), promised(rules.ORPHANED_CONTAINER))
    call = container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU)
    expect.refused(call, promised(container_rules.SET_WITHOUT_GROUP))
    rebind(subject.bdf, VFIO)
    with Group.of(group.port, number) as again:
        expect.accepted(again.try_set_container(container))
        expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
        with again.get_device_fd(subject.bdf) as device:
            expect.accepted(device.try_get_info())
        expect.equal("bytes unmapped", container.unmapped(IOVA, page), 0)
        expect.refused(group.try_get_status(), promised(rules.ORPHANED))


@checks(rules.ORPHANED_UNSET)
def test_unbinding_waits_for_the_container(
    rebind: Rebind,
    subject: BenchDevice,
    ready: Group,
    port: Port,
    kernel: tuple[int, int],
    promised: Callable[[Rule], int],
) -> None:
    """Where it does: one thread unbinds, the other leaves the container a little later."""
    if kernel >= (6, 1):
        pytest.skip("since 6.1 unbinding takes the group out of its container: another test")
    unbinding = o.WriteFile(f"{PCI}/drivers/{VFIO}/unbind", subject.bdf.encode())
    with EventFd.create(port) as never:
        leaving = (
            o.Poll((never.handle,), select.POLLIN, 200),
            o.Ioctl(ready.handle, vfio.VFIO_GROUP_UNSET_CONTAINER),
        )
        values = port.do(o.Race(((unbinding,), leaving))).values
    rows = {tuple(values[i : i + 2]): values[i + 3] for i in range(0, len(values), 5)}
    expect.equal("errno of UNSET_CONTAINER", rows[1, 1], promised(rules.ORPHANED_UNSET))
    expect.equal("errno of the unbinding", rows[0, 0], 0)
    rebind(subject.bdf, VFIO)


@checks(rules.REBOUND, rules.STATUS_FREE)
@pytest.mark.parametrize("uses", [0, 1, 3], ids="used-{}-times".format)
def test_what_was_closed_holds_nothing_up(
    rebind: Rebind,
    subject: BenchDevice,
    number: int,
    port: Port,
    sysfs: PortSysfs,
    uses: int,
    promised: Callable[[Rule], int],
) -> None:
    """Opened any number of times, the device is let go of, and is there again."""
    for _ in range(uses):
        assigned = Assigned(port, number)
        with assigned.open(subject.bdf), assigned.open(subject.bdf) as device:
            expect.accepted(device.try_get_info())
        assigned.close()
    rebind(subject.bdf, None)
    expect.equal("driver", driver_of(sysfs, subject.bdf), None)
    expect.holds(not sysfs.exists(f"/dev/vfio/{number}"), "no group", "its file is there")
    rebind(subject.bdf, VFIO)
    with Group.of(port, number) as group:
        expect.equal("status", group.get_status(), promised(rules.STATUS_FREE))


@checks(rules.REBOUND, rules.FD_LIMIT, rules.FD_TOO_EARLY, rules.FD_UNKNOWN_NAME)
def test_what_was_refused_holds_nothing_up(
    rebind: Rebind,
    subject: BenchDevice,
    number: int,
    port: Port,
    sysfs: PortSysfs,
    promised: Callable[[Rule], int],
) -> None:
    """Too early, too many files, a wrong name: none of them counts as an open device."""

    def refused(group: Group, name: str, rule: Rule) -> None:
        call, _ = group.try_get_device_fd(name)
        expect.refused(call, promised(rule))

    with Group.of(port, number) as group, Container.create(port) as container:
        refused(group, subject.bdf, rules.FD_TOO_EARLY)
        expect.accepted(group.try_set_container(container))
        refused(group, subject.bdf, rules.FD_TOO_EARLY)
        expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
        refused(group, subject.bdf[:-1], rules.FD_UNKNOWN_NAME)
        refused(group, f"{subject.bdf} x", rules.FD_OPTION)
        process = port.handle()
        port.do(o.Fork(process))
        child = ForkedPort(port, process)
        try:
            assert child.do(o.Rlimit(RLIMIT_NOFILE, 0, 4096)).ok
            refused(Group(child, group.handle), subject.bdf, rules.FD_LIMIT)
        finally:
            port.do(o.Wait(process, signal.SIGKILL))
    rebind(subject.bdf, None)
    expect.equal("driver", driver_of(sysfs, subject.bdf), None)
    rebind(subject.bdf, VFIO)
    assigned = Assigned(port, number)
    with assigned.open(subject.bdf) as device:
        expect.accepted(device.try_get_info())
    assigned.close()
