# SPDX-License-Identifier: MIT
"""A group shared with a host driver, or with nobody: two devices behind one bridge."""

import errno
from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.container import Container
from vfiospec.device.group import Group
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.bind import driver_of
from vfiospec.rules import group as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, dangerous

HOST = "virtio-pci"  # takes the second of the siblings
Rebind = Callable[[str, str | None], None]
Pair = tuple[BenchDevice, BenchDevice]
pytestmark = pytest.mark.usefixtures("machine")


@pytest.fixture
def number(siblings: Pair) -> int:
    """The group of the siblings, not of the subject."""
    found = siblings[0].group
    assert found is not None
    return found


def answered(group: Group, container: Container, promised: Callable[[Rule], int]) -> None:
    """SET_CONTAINER of a group that is not viable."""
    call = group.try_set_container(container)
    expect.equal(f"errno of {call}", call.errno, promised(rules.NOT_VIABLE_SET))


@checks(rules.FD, rules.UNSET_BUSY, rules.FD_UNKNOWN_NAME)
def test_both_can_be_had(
    ready: Group, siblings: Pair, port: Port, promised: Callable[[Rule], int]
) -> None:
    """Each by its name; each holds the group."""
    first, second = (ready.get_device_fd(d.bdf) for d in siblings)
    for device, spec in zip((first, second), siblings, strict=True):
        expect.equal("identity", device.read_config(0, 4), PciDevice(port, spec.bdf).u32(0))
    for device in (first, second):
        expect.refused(ready.try_unset_container(), promised(rules.UNSET_BUSY))
        device.close()
    expect.accepted(ready.try_unset_container())


@checks(rules.STATUS_NOT_VIABLE, rules.NOT_VIABLE_SET, rules.NOT_VIABLE_FD, rules.STATUS_FREE)
def test_a_host_driver_makes_it_not_viable(
    rebind: Rebind,
    siblings: Pair,
    group: Group,
    container: Container,
    promised: Callable[[Rule], int],
) -> None:
    """No device of the group is to be had, until the host driver has let go."""
    rebind(siblings[1].bdf, HOST)
    expect.equal("status", group.get_status(), promised(rules.STATUS_NOT_VIABLE))
    answered(group, container, promised)
    container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU)
    for spec in siblings:
        call, _ = group.try_get_device_fd(spec.bdf)
        rule = rules.NOT_VIABLE_FD if spec is siblings[0] else rules.SIBLING_UNBOUND
        if spec is siblings[0]:
            expect.refused(call, promised(rule))
        else:
            expect.holds(not call.ok, "no fd of the host's device", str(call))
    group.try_unset_container()
    expect.equal("status", group.get_status(), promised(rules.STATUS_NOT_VIABLE))
    rebind(siblings[1].bdf, None)
    expect.equal("status", group.get_status(), promised(rules.STATUS_FREE))
    expect.accepted(group.try_set_container(container))
    expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
    with group.get_device_fd(siblings[0].bdf) as device:
        expect.accepted(device.try_get_info())


@checks(rules.STATUS_NOT_VIABLE, rules.STATUS_FREE)
def test_an_open_group_without_a_container_is_anybodys(
    rebind: Rebind, siblings: Pair, group: Group, promised: Callable[[Rule], int]
) -> None:
    """Its status follows what happens to the devices."""
    for driver, rule in (
        (None, rules.STATUS_FREE), (HOST, rules.STATUS_NOT_VIABLE), (None, rules.STATUS_FREE),
        ("vfio-pci", rules.STATUS_FREE),
    ):  # fmt: skip
        rebind(siblings[1].bdf, driver)
        expect.equal(f"status with {driver}", group.get_status(), promised(rule))


@checks(rules.SIBLING_UNBOUND, rules.STATUS_FREE)
def test_a_sibling_without_a_driver_does_no_harm(
    rebind: Rebind,
    siblings: Pair,
    group: Group,
    container: Container,
    promised: Callable[[Rule], int],
) -> None:
    """The group is viable; the device that is left can be had, the other one cannot."""
    rebind(siblings[1].bdf, None)
    expect.equal("status", group.get_status(), promised(rules.STATUS_FREE))
    expect.accepted(group.try_set_container(container))
    expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
    with group.get_device_fd(siblings[0].bdf) as device:
        expect.accepted(device.try_get_info())
        call, _ = group.try_get_device_fd(siblings[1].bdf)
        expect.refused(call, promised(rules.SIBLING_UNBOUND))


@checks(rules.SIBLING_UNBOUND, rules.REBOUND)
def test_a_sibling_that_comes_back_can_be_had(
    rebind: Rebind, siblings: Pair, ready: Group, promised: Callable[[Rule], int]
) -> None:
    """Unbound and bound again while the group is in use, in a container with a device open."""
    with ready.get_device_fd(siblings[0].bdf) as device:
        rebind(siblings[1].bdf, None)
        call, _ = ready.try_get_device_fd(siblings[1].bdf)
        expect.refused(call, promised(rules.SIBLING_UNBOUND))
        rebind(siblings[1].bdf, "vfio-pci")
        with ready.get_device_fd(siblings[1].bdf) as back:
            expect.accepted(back.try_get_info())
        expect.accepted(device.try_get_info())


def bound(rebind: Rebind, bdf: str) -> str:
    """What came of giving the device to a host driver: "bound", or the name of an errno."""
    try:
        rebind(bdf, HOST)
    except OSError as e:
        return errno.errorcode.get(e.errno or 0, str(e))
    return "bound"


@checks(rules.BIND_AFTERWARDS, rules.STATUS_NOT_VIABLE)
def test_a_group_that_left_its_container_is_anybodys(
    rebind: Rebind,
    siblings: Pair,
    sysfs: PortSysfs,
    ready: Group,
    promised: Callable[[Rule], int],
) -> None:
    """A host driver takes the sibling, and the group is not viable then."""
    with ready.get_device_fd(siblings[0].bdf):
        rebind(siblings[1].bdf, None)
    expect.accepted(ready.try_unset_container())
    expect.equal(f"bind to {HOST}", bound(rebind, siblings[1].bdf), "bound")
    expect.equal("driver", driver_of(sysfs, siblings[1].bdf), HOST)
    expect.equal("status", ready.get_status(), promised(rules.STATUS_NOT_VIABLE))


def refuses(rebind: Rebind, bdf: str, expected: int) -> None:
    """A host driver is not given the device."""
    expect.equal(f"bind to {HOST}", bound(rebind, bdf), errno.errorcode[expected])


@checks(rules.BIND_WHILE_OWNED)
@pytest.mark.parametrize("state", ["attached", "ready"])
def test_no_host_driver_takes_a_device_of_an_owned_group(
    request: pytest.FixtureRequest,
    rebind: Rebind,
    siblings: Pair,
    sysfs: PortSysfs,
    kernel: tuple[int, int],
    state: str,
    promised: Callable[[Rule], int],
) -> None:
    """Neither with a model nor without: it would share the device's address space."""
    if kernel < (5, 19):
        pytest.skip("dangerous before 5.19, which did not refuse: --dangerous tries it")
    owner: Group = request.getfixturevalue(state)
    refuses(rebind, siblings[1].bdf, promised(rules.BIND_WHILE_OWNED))
    expect.equal("driver", driver_of(sysfs, siblings[1].bdf), None)
    expect.equal("status", owner.get_status(), promised(rules.STATUS_SET))
    expect.accepted(owner.try_unset_container())
    rebind(siblings[1].bdf, HOST)
    expect.equal("driver", driver_of(sysfs, siblings[1].bdf), HOST)


@dangerous
@checks(rules.BIND_WHILE_OWNED)
def test_no_host_driver_breaks_into_an_owned_group(
    rebind: Rebind, siblings: Pair, ready: Group, promised: Callable[[Rule], int]
) -> None:
    """Where that was not refused, the kernel went down instead."""
    refuses(rebind, siblings[1].bdf, promised(rules.BIND_WHILE_OWNED))
    expect.equal("status", ready.get_status(), promised(rules.STATUS_SET))
