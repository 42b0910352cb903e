# SPDX-License-Identifier: MIT
"""Hot reset of a device that is bound: whose devices they are is the iommufd's to say."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.cdev import Bound, Cdev
from vfiospec.device.group import Assigned
from vfiospec.device.iommufd import Iommufd
from vfiospec.device.port import Port
from vfiospec.device.scratch import decode_memory, scratch_of
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.bind import PCI
from vfiospec.lab.qemu import Vm
from vfiospec.rules import cdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Promised = Callable[[Rule], int]
DEV_ID = vfio.VFIO_PCI_HOT_RESET_FLAG_DEV_ID
OWNED = vfio.VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED
HEAD, ENTRY = vfio.HOT_RESET_INFO_MIN, vfio.vfio_pci_dependent_device
ROOM = 1024


def place(bdf: str) -> tuple[int, int, int]:
    """Segment, bus and function number of an address such as 0000:01:02.0."""
    segment, bus, rest = bdf.split(":")
    slot, function = rest.split(".")
    return int(segment, 16), int(bus, 16), int(slot, 16) << 3 | int(function, 16)


def told(cdev: Cdev) -> tuple[int, dict[tuple[int, int, int], int]]:
    """Flags, and the id of each device, from a buffer of just the size and from a larger one."""
    call = expect.accepted(cdev.try_get_hot_reset_info(ROOM, size=ROOM))
    head = call.unpack(vfio.vfio_pci_hot_reset_info)
    end = HEAD + ENTRY.sizeof() * head.count
    expect.untouched(call, end)
    expect.equal("argsz", head.argsz, ROOM)
    again = expect.accepted(cdev.try_get_hot_reset_info(end))
    expect.equal("a buffer of just the size", again.data[4:end], call.data[4:end])
    entries = [ENTRY.unpack(call.data[at:]) for at in range(HEAD, end, ENTRY.sizeof())]
    found = {(e.segment, e.bus, e.devfn): e.devid for e in entries}
    expect.equal("devices told twice", head.count - len(found), 0)
    return head.flags, found


def known_bus(bus: tuple[str, ...]) -> tuple[str, ...]:
    """Skip for a device on a root bus."""
    if not bus:
        pytest.skip("the device is on a root bus, which cannot be reset: needs one behind a bridge")
    return bus


@checks(rules.HOT_RESET_NONE)
def test_on_a_root_bus(bound: Bound, bus: tuple[str, ...], promised: Promised) -> None:
    """Neither told nor done."""
    if bus:
        pytest.skip("the device is behind a bridge")
    errno = promised(rules.HOT_RESET_NONE)
    expect.refused(bound.cdev.try_get_hot_reset_info(ROOM), errno)
    expect.refused(bound.cdev.try_hot_reset(), errno)


@checks(rules.HOT_RESET_GROUPS)
def test_no_group_fds(bound: Bound, promised: Promised) -> None:
    """Whatever they are, and on any bus: before anything else but argsz and flags is looked at."""
    errno = promised(rules.HOT_RESET_GROUPS)
    expect.refused(bound.cdev.try_hot_reset((-1,)), errno)
    expect.refused(bound.cdev.try_hot_reset((bound.cdev,)), errno)
    expect.refused(bound.cdev.try_hot_reset((), count=1), errno)
    expect.refused(bound.cdev.try_hot_reset((bound.iommufd, bound.iommufd)), errno)


@checks(rules.HOT_RESET_INFO)
def test_what_is_told(bound: Bound, bus: tuple[str, ...]) -> None:
    """Its own id, and 0 for those that come with its group."""
    places = {place(bdf) for bdf in known_bus(bus)}
    flags, found = told(bound.cdev)
    expect.equal("devices", set(found), places)
    expect.flags("flags", flags, needed=DEV_ID)
    expect.equal("ids", sorted(set(found.values()) - {0}), [bound.devid])
    expect.equal("devices with its id", list(found.values()).count(bound.devid), 1)


@checks(rules.HOT_RESET_INFO)
@devices("grouped")
def test_a_group_of_two(bound: Bound, other: Cdev, spec: BenchDevice, sibling: BenchDevice) -> None:
    """The sibling is owned as soon as one of the group is bound; bound too, it has an id."""
    mine, theirs = place(spec.bdf), place(sibling.bdf)
    flags, found = told(bound.cdev)
    expect.equal("flags", flags, DEV_ID | OWNED)
    expect.equal("own id", found[mine], bound.devid)
    expect.equal("sibling's id", found[theirs], vfio.VFIO_PCI_DEVID_OWNED)
    devid = other.bind(bound.iommufd)
    for cdev in (bound.cdev, other):
        flags, found = told(cdev)
        expect.equal("flags", flags, DEV_ID | OWNED)
        expect.equal("own id", found[mine], bound.devid)
        expect.equal("sibling's id", found[theirs], devid)
    other.close()
    expect.equal("sibling's id", told(bound.cdev)[1][theirs], vfio.VFIO_PCI_DEVID_OWNED)


@checks(rules.HOT_RESET_INFO)
def test_too_little_room(bound: Bound, bus: tuple[str, ...]) -> None:
    """The count alone, and no flags."""
    many = len(known_bus(bus))
    call = bound.cdev.try_get_hot_reset_info(HEAD + ENTRY.sizeof() * many - 1)
    head = call.unpack(vfio.vfio_pci_hot_reset_info)
    expect.equal("count", head.count, many)
    expect.equal("flags", head.flags, 0)
    expect.untouched(call, HEAD)


@checks(rules.HOT_RESET)
def test_the_bus_is_reset(bound: Bound, bus: tuple[str, ...]) -> None:
    """What was written to the device is forgotten; its command register is not."""
    known_bus(bus)
    cdev = bound.cdev
    ids = cdev.read_config(0, 2), cdev.read_config(2, 2)
    scratch = scratch_of(ids)
    before = decode_memory(cdev)
    command = cdev.read_config(4, 2)
    if scratch:
        scratch.write(cdev, scratch.value)
        expect.equal("register", scratch.read(cdev), scratch.value)
    expect.accepted(cdev.try_hot_reset())
    expect.equal("command", cdev.read_config(4, 2), command)
    if scratch:
        expect.equal("register after the reset", scratch.read(cdev), 0)
    cdev.write_config(4, 2, before)
    expect.accepted(cdev.try_get_info())


@checks(rules.HOT_RESET)
@devices("grouped")
def test_with_both_bound(bound: Bound, other: Cdev) -> None:
    """From either; both work afterwards."""
    other.bind(bound.iommufd)
    for cdev in (bound.cdev, other):
        expect.accepted(cdev.try_hot_reset())
        expect.accepted(bound.cdev.try_get_info())
        expect.accepted(other.try_get_info())


@pytest.fixture
def foreign(
    machine: Vm, path: str, sibling: BenchDevice, closed: int, sysfs: PortSysfs
) -> Iterator[BenchDevice]:
    """The sibling, without a driver."""
    del machine, closed, path
    sysfs.write(f"{PCI}/drivers/vfio-pci/unbind", sibling.bdf)
    yield sibling
    sysfs.write(f"{PCI}/drivers_probe", sibling.bdf)


@checks(rules.HOT_RESET_INFO, rules.HOT_RESET_FOREIGN)
@devices("grouped")
def test_a_device_without_a_driver(
    foreign: BenchDevice, bound: Bound, spec: BenchDevice, promised: Promised
) -> None:
    """It is not owned, and keeps the bus from being reset."""
    flags, found = told(bound.cdev)
    expect.equal("flags", flags, DEV_ID)
    expect.equal("own id", found[place(spec.bdf)], bound.devid)
    expect.equal("the other's id", found[place(foreign.bdf)], vfio.VFIO_PCI_DEVID_NOT_OWNED)
    expect.refused(bound.cdev.try_hot_reset(), promised(rules.HOT_RESET_FOREIGN))
    expect.accepted(bound.cdev.try_get_info())


@checks(rules.CLOSE)
@devices("below-bridge")
def test_once_closed_groups_own_it_again(
    cdev: Cdev, iommufd: Iommufd, spec: BenchDevice, port: Port
) -> None:
    """By its group, the device is told of by groups and reset by who shows them."""
    cdev.bind(iommufd)
    cdev.close()
    assert spec.group is not None
    assigned = Assigned(port, spec.group)
    try:
        with assigned.open(spec.bdf) as device:
            call = expect.accepted(device.try_get_hot_reset_info(ROOM, size=ROOM))
            flags = call.unpack(vfio.vfio_pci_hot_reset_info).flags
            expect.flags("flags", flags, forbidden=DEV_ID | OWNED)
            expect.accepted(device.try_hot_reset((assigned.group,)))
    finally:
        assigned.close()
