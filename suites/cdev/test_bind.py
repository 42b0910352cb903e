# SPDX-License-Identifier: MIT
"""VFIO_DEVICE_BIND_IOMMUFD: its structure, what is refused, what comes back."""

from collections.abc import Callable
from errno import E2BIG

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd as objects
from vfiospec.abi import vfio_feature as abi
from vfiospec.device.call import Call
from vfiospec.device.cdev import Cdev
from vfiospec.device.container import Container
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, File, Memory
from vfiospec.device.iommufd import Iommufd
from vfiospec.device.port import Port
from vfiospec.rules import cdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
STRUCT = abi.vfio_device_bind_iommufd
KNOWN = STRUCT.sizeof()
BAD_FLAGS = [1 << bit for bit in range(32) if 1 << bit != abi.VFIO_DEVICE_BIND_FLAG_TOKEN]


@checks(rules.BIND, rules.DEVID)
def test_what_comes_back(
    cdev: Cdev, iommufd: Iommufd, enables: Callable[[], int], group_opens: Callable[[], int]
) -> None:
    """An id of its own, the rest of the structure as it was; the device is enabled and works."""
    before = enables()
    others = {iommufd.alloc_ioas() for _ in range(3)}
    call = expect.accepted(cdev.try_bind(iommufd, argsz=KNOWN))
    devid = call.unpack(STRUCT).out_devid
    expect.holds(devid > 0, "an id above 0", f"{call}: {devid}")
    expect.holds(devid not in others, "an id that is no other object's", f"{call}: {devid}")
    expect.untouched(call, 0, STRUCT.offset_of("out_devid"))
    expect.untouched(call, STRUCT.end_of("out_devid"))
    expect.equal("enables", enables(), before + 1)
    expect.accepted(cdev.try_get_info())
    expect.holds(group_opens() != 0, "a group that cannot be opened", "open")


@checks(rules.DEVID_BUSY, rules.GONE)
def test_the_id_is_an_object(cdev: Cdev, iommufd: Iommufd, promised: Promised) -> None:
    """It cannot be destroyed while the device is bound: Bound, and is gone once it is closed."""
    with cdev.dup() as last:
        devid = cdev.bind(iommufd)
        expect.refused(iommufd.try_destroy(devid), promised(rules.DEVID_BUSY))
        expect.accepted(cdev.try_get_info())
        cdev.close()
        expect.refused(iommufd.try_destroy(devid), promised(rules.DEVID_BUSY))
        expect.accepted(last.try_get_info())
    expect.refused(iommufd.try_destroy(devid), promised(rules.GONE))


@checks(rules.BIND_ARGSZ, rules.BIND_ARGSZ_ALONE, rules.BIND_REFUSED)
@pytest.mark.parametrize("argsz", [0, 1, 4, 12, abi.BIND_MIN - 1], ids="argsz-{}".format)
def test_too_small_an_argsz(
    cdev: Cdev, iommufd: Iommufd, memory: Memory, argsz: int, promised: Promised
) -> None:
    """Refused, also where there is nothing behind it; the device can be bound afterwards."""
    errno = promised(rules.BIND_ARGSZ)
    expect.refused(cdev.try_bind(iommufd, argsz=argsz), errno)
    expect.refused(cdev.try_bind(-1, 1 << 31, argsz=argsz), errno)
    memory.write(memory.size - 4, argsz.to_bytes(4, "little"))
    alone = cdev.try_ioctl(abi.VFIO_DEVICE_BIND_IOMMUFD, memory.tail(4))
    expect.refused(alone, promised(rules.BIND_ARGSZ_ALONE))
    cdev.bind(iommufd)


@checks(rules.BIND_LONG)
@pytest.mark.parametrize("argsz", [16, 17, 20, 23, 24, 25, 32, 4096], ids="argsz-{}".format)
def test_an_argsz_that_is_large_enough(cdev: Cdev, iommufd: Iommufd, argsz: int) -> None:
    """With zeros behind the structure, all of which stay as they are."""
    call = cdev.try_bind(iommufd, argsz=argsz, more=bytes(4096))
    expect.accepted(call)
    expect.untouched(call, STRUCT.end_of("out_devid"))
    expect.accepted(cdev.try_get_info())


@checks(rules.BIND_TRAILING, rules.BIND_REFUSED)
@pytest.mark.parametrize("place", [0, 7, 8, 1000], ids="byte-{}".format)
def test_trailing_bytes(cdev: Cdev, iommufd: Iommufd, place: int, promised: Promised) -> None:
    """One that is not 0 counts if argsz reaches it, and only then."""
    more = bytes(place) + b"\1" + bytes(100)
    errno = promised(rules.BIND_TRAILING)
    assert errno in (0, E2BIG)
    if errno:
        call = cdev.try_bind(iommufd, argsz=KNOWN + place + 1, more=more)
        expect.refused(call, errno)
    expect.accepted(cdev.try_bind(iommufd, argsz=KNOWN + place, more=more))


@checks(rules.BIND_ADDRESS, rules.BIND_REFUSED)
def test_memory_that_ends_too_early(
    cdev: Cdev, iommufd: Iommufd, memory: Memory, promised: Promised
) -> None:
    """No argument at all, no whole argsz, and a structure shorter than argsz says."""
    request, errno = abi.VFIO_DEVICE_BIND_IOMMUFD, promised(rules.BIND_ADDRESS)
    expect.refused(cdev.try_ioctl(request, 0), errno)
    expect.refused(cdev.try_ioctl(request, memory.at(memory.size)), errno)
    expect.refused(cdev.try_ioctl(request, memory.tail(3)), errno)
    memory.write(memory.size - 12, STRUCT(argsz=abi.BIND_MIN).pack()[:12])
    expect.refused(cdev.try_ioctl(request, memory.tail(12)), errno)
    data, at = STRUCT(argsz=abi.BIND_MIN).pack()[: abi.BIND_MIN], memory.tail(abi.BIND_MIN)
    fixups = (iommufd.fixup(STRUCT.offset_of("iommufd")),)
    expect.accepted(cdev.try_ioctl(request, data, fixups=fixups, at=at))


@checks(rules.BIND_OUT)
def test_memory_that_cannot_be_written(
    cdev: Cdev,
    iommufd: Iommufd,
    bind_at: Callable[[Cdev, Iommufd], Call],
    enables: Callable[[], int],
    group_opens: Callable[[], int],
    promised: Promised,
) -> None:
    """The device is given up again, and the iommufd has no object of it."""
    before = enables()
    for _ in range(2):
        expect.refused(bind_at(cdev, iommufd), promised(rules.BIND_OUT))
        expect.refused(cdev.try_get_info(), promised(rules.GATE))
        expect.equal("enables", enables(), before)
        expect.equal("open of the group", group_opens(), 0)
    option = objects.iommu_option(op=objects.IOMMU_OPTION_OP_SET, val64=1)
    expect.accepted(iommufd.try_call(objects.IOMMU_OPTION, option))  # EBUSY if it has objects
    expect.accepted(cdev.try_bind(iommufd))
    expect.accepted(cdev.try_get_info())


@checks(rules.BIND_FLAGS, rules.BIND_REFUSED)
def test_unknown_flags(
    cdev: Cdev, iommufd: Iommufd, group_opens: Callable[[], int], promised: Promised
) -> None:
    """Each alone, and all."""
    for flags in (*BAD_FLAGS, 0xFFFFFFFF):
        expect.refused(cdev.try_bind(iommufd, flags, argsz=KNOWN), promised(rules.BIND_FLAGS))
    expect.equal("open of the group", group_opens(), 0)
    cdev.bind(iommufd)


@checks(rules.BIND_NEGATIVE, rules.BIND_NO_FILE, rules.BIND_REFUSED)
def test_numbers_that_are_no_file(
    cdev: Cdev,
    iommufd: Iommufd,
    enables: Callable[[], int],
    group_opens: Callable[[], int],
    promised: Promised,
) -> None:
    """Negative, or beyond all open files."""
    before = enables()
    for number in (-1, -2, -(1 << 31)):
        expect.refused(cdev.try_bind(number), promised(rules.BIND_NEGATIVE))
    for number in (1 << 20, (1 << 31) - 1):
        expect.refused(cdev.try_bind(number), promised(rules.BIND_NO_FILE))
    expect.equal("enables", enables(), before)
    expect.equal("open of the group", group_opens(), 0)
    cdev.bind(iommufd)


@checks(rules.BIND_WRONG_FILE, rules.BIND_REFUSED)
def test_files_that_are_no_iommufd(
    cdev: Cdev,
    container: Container,
    iommufd: Iommufd,
    port: Port,
    group_opens: Callable[[], int],
    promised: Promised,
) -> None:
    """A container, the device itself, an eventfd, /dev/null."""
    with File.open(port, "/dev/null") as null, EventFd.create(port) as event:
        for file in (container, cdev, event, null):
            expect.refused(cdev.try_bind(file), promised(rules.BIND_WRONG_FILE))
    expect.equal("open of the group", group_opens(), 0)
    cdev.bind(iommufd)


@checks(rules.BIND_TWICE)
def test_a_device_is_bound_once(
    cdev: Cdev,
    iommufd: Iommufd,
    path: str,
    port: Port,
    group_opens: Callable[[], int],
    promised: Promised,
) -> None:
    """Not again by this file or another, to this iommufd or another; the first bind stays."""
    twice, busy = promised(rules.BIND_TWICE), promised(rules.GROUP_BUSY)
    with Cdev.at(port, path) as second, Iommufd.create(port) as another, cdev.dup() as last:
        devid = cdev.bind(iommufd)
        for target in (iommufd, another, iommufd):
            for file in (cdev, last, second):
                expect.refused(file.try_bind(target), twice)
        expect.equal("open of the group", group_opens(), busy)
        expect.refused(iommufd.try_destroy(devid), promised(rules.DEVID_BUSY))
        expect.accepted(cdev.try_attach(iommufd.alloc_ioas()))
        cdev.close()
        last.close()
        expect.equal("open of the group", group_opens(), 0)
        expect.accepted(second.try_bind(another))
        expect.accepted(second.try_get_info())


@checks(rules.GROUP_BUSY, rules.BIND_REFUSED)
def test_beside_an_open_group(
    cdev: Cdev, iommufd: Iommufd, closed: int, port: Port, promised: Promised
) -> None:
    """Refused however often; once the group is closed, possible."""
    with File.open(port, f"/dev/vfio/{closed}"):
        for _ in range(3):
            expect.refused(cdev.try_bind(iommufd), promised(rules.GROUP_BUSY))
            expect.refused(cdev.try_get_info(), promised(rules.GATE))
    expect.accepted(cdev.try_bind(iommufd))


@checks(rules.BIND_GROUP_FD, rules.GROUP_FD)
def test_the_fd_of_a_group(iommufd: Iommufd, device: Device, promised: Promised) -> None:
    """It has its container already, and knows nothing of page tables."""
    as_cdev = Cdev(device.port, device.handle)
    expect.refused(as_cdev.try_bind(iommufd), promised(rules.BIND_GROUP_FD))
    expect.refused(as_cdev.try_attach(iommufd.alloc_ioas()), promised(rules.GROUP_FD))
    expect.refused(as_cdev.try_detach(), promised(rules.GROUP_FD))
    expect.accepted(device.try_get_info())
