# SPDX-License-Identifier: MIT
"""A mediated device bound to an iommufd by its own file: where it is attached, what it has not."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from uuid import UUID

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_feature as abi
from vfiospec.device.apart import AddressSpace
from vfiospec.device.cdev import Bound, Cdev, OwnCdev, cdev_path
from vfiospec.device.files import Memory
from vfiospec.device.iommufd import EVERYTHING, IOMMUFD_PATH, Iommufd
from vfiospec.device.mdev import Mdev
from vfiospec.device.port import Port
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import cdev as rules
from vfiospec.rules import cdev_ranges as ranges
from vfiospec.rules import iommufd as objects
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
ATTACH, DETACH = abi.vfio_device_attach_iommufd_pt, abi.vfio_device_detach_iommufd_pt
BIND = abi.vfio_device_bind_iommufd
IOVA = 0x100000
PASID, TOKEN = abi.VFIO_DEVICE_ATTACH_PASID, abi.VFIO_DEVICE_BIND_FLAG_TOKEN


@pytest.fixture(params=["mtty-1", "mdpy-vga", "mbochs-small"])
def path(
    request: pytest.FixtureRequest, make: Callable[[str], Mdev], port: Port, sysfs: PortSysfs
) -> str:
    """Where the device's own file is."""
    found = cdev_path(port, make(request.param).folder)
    if found is None or not sysfs.exists(found) or not sysfs.exists(IOMMUFD_PATH):
        pytest.skip("needs a kernel with CONFIG_VFIO_DEVICE_CDEV and CONFIG_IOMMUFD")
    return found


@pytest.fixture
def own_file(path: str, port: Port) -> Iterator[Cdev]:
    """The device's own file, not bound."""
    with OwnCdev.at(port, path) as opened:
        yield opened


@pytest.fixture
def iommufd(own_file: Cdev, port: Port) -> Iterator[Iommufd]:
    """An iommufd without objects."""
    del own_file
    with Iommufd.create(port) as made:
        yield made


@pytest.fixture
def bound(own_file: Cdev, iommufd: Iommufd) -> Bound:
    """Bound, not attached."""
    return Bound(own_file, iommufd, own_file.bind(iommufd), iommufd.alloc_ioas())


@checks(rules.REPLACE, rules.ATTACHED_BUSY, rules.DETACH)
def test_it_moves(bound: Bound, promised: Promised) -> None:
    """What it came from can be destroyed, what it went to cannot until it is detached."""
    cdev, iommufd = bound.cdev, bound.iommufd
    spaces = [bound.ioas, iommufd.alloc_ioas(), iommufd.alloc_ioas()]
    cdev.attach(spaces[0])
    for old, new in pairwise(spaces):
        expect.refused(iommufd.try_destroy(old), promised(rules.ATTACHED_BUSY))
        cdev.attach(new)
        expect.accepted(iommufd.try_destroy(old))
        expect.refused(iommufd.try_destroy(new), promised(rules.ATTACHED_BUSY))
    cdev.detach()
    expect.accepted(iommufd.try_destroy(spaces[-1]))


@checks(rules.DETACH, rules.CLOSE, rules.ATTACHED_BUSY)
def test_it_is_attached_anew(bound: Bound, path: str, promised: Promised) -> None:
    """Once it was detached, and by its next user if its last one left it attached."""
    cdev, iommufd, ioas = bound.cdev, bound.iommufd, bound.ioas
    for _ in range(2):
        cdev.attach(ioas)
        cdev.detach()
    cdev.attach(ioas)
    cdev.close()
    with Cdev.at(cdev.port, path) as again:
        again.bind(iommufd)
        again.attach(ioas)
        expect.refused(iommufd.try_destroy(ioas), promised(rules.ATTACHED_BUSY))
    expect.accepted(iommufd.try_destroy(ioas))


@checks(ranges.ALIGNED, ranges.LEFT)
def test_it_asks_for_whole_pages(bound: Bound, page: int) -> None:
    """While it is attached; any of them may be mapped."""
    spaces = [AddressSpace(bound.iommufd, n) for n in (bound.ioas, bound.iommufd.alloc_ioas())]
    for here, there in (spaces, reversed(spaces)):
        bound.cdev.attach(here.ioas)
        expect.equal("alignment", (here.page_size(), there.page_size()), (page, 1))
        for space in spaces:
            expect.equal("ranges", space.iova_ranges(), [(0, EVERYTHING)])
    bound.cdev.detach()
    expect.equal("alignment without it", [space.page_size() for space in spaces], [1, 1])


@checks(ranges.IN_USE)
@pytest.mark.parametrize("aligned", ["iova", "length", "address"])
def test_it_does_not_fit(
    bound: Bound, memory: Memory, page: int, aligned: str, promised: Promised
) -> None:
    """Where a part of a page is mapped, until it no longer is."""
    space, part = AddressSpace(bound.iommufd, bound.ioas), page // 8
    iova, size, at = {
        "iova": (IOVA + part, page, 0), "length": (IOVA, part, 0), "address": (IOVA, page, part),
    }[aligned]  # fmt: skip
    space.map(memory.at(at), iova, size)
    for _ in range(2):
        expect.refused(bound.cdev.try_attach(bound.ioas), promised(ranges.IN_USE))
        expect.equal("alignment", space.page_size(), 1)
    expect.equal("bytes unmapped", space.unmapped(iova, size), size)
    bound.cdev.attach(bound.ioas)


@checks(rules.ATTACH_UNKNOWN, rules.REPLACE, rules.ATTACHED_BUSY)
def test_it_stays_where_it_was(bound: Bound, promised: Promised) -> None:
    """An id that is no object moves it nowhere."""
    cdev, iommufd = bound.cdev, bound.iommufd
    cdev.attach(bound.ioas)
    for number in (0, 1 << 20, 0xFFFFFFFF):
        expect.refused(cdev.try_attach(number), promised(rules.ATTACH_UNKNOWN))
        expect.refused(iommufd.try_destroy(bound.ioas), promised(rules.ATTACHED_BUSY))


@checks(rules.BIND, rules.DEVID_BUSY, rules.GONE, objects.NO_OBJECT)
def test_its_id(bound: Bound, promised: Promised) -> None:
    """An object that goes with the file, neither a device behind an IOMMU nor an address space."""
    cdev, iommufd, devid = bound.cdev, bound.iommufd, bound.devid
    expect.holds(devid not in (0, bound.ioas), "an id of its own", str(devid))
    expect.refused(iommufd.try_destroy(devid), promised(rules.DEVID_BUSY))
    expect.refused(iommufd.try_get_hw_info(devid), promised(objects.NO_OBJECT))
    expect.refused(cdev.try_attach(devid), promised(objects.NO_OBJECT))
    cdev.attach(bound.ioas)
    expect.refused(iommufd.try_destroy(devid), promised(rules.DEVID_BUSY))
    cdev.close()
    expect.refused(iommufd.try_destroy(devid), promised(rules.GONE))


@checks(rules.TOKEN_UNUSED)
def test_a_token(own_file: Cdev, iommufd: Iommufd, memory: Memory, promised: Promised) -> None:
    """Refused, be there one or not; without the flag the pointer is not looked at."""
    errno, whole = promised(rules.TOKEN_UNUSED), BIND.sizeof()
    where = (memory.fixup(BIND.offset_of("token_uuid_ptr")),)
    for token in (UUID(int=0), UUID(int=1 << 64 | 2)):
        memory.write(0, token.bytes)
        expect.refused(own_file.try_bind(iommufd, TOKEN, argsz=whole, fixups=where), errno)
    for nowhere in (0, 1):
        expect.refused(own_file.try_bind(iommufd, TOKEN, argsz=whole, token=nowhere), errno)
    expect.accepted(own_file.try_bind(iommufd, argsz=whole, token=1))


@checks(rules.NO_PASIDS, rules.ATTACHED_BUSY)
@pytest.mark.parametrize("pasid", [0, 1, 0xFFFFF], ids="pasid-{}".format)
def test_a_pasid(bound: Bound, pasid: int, promised: Promised) -> None:
    """Neither attached nor detached, however large argsz is; the device stays where it is."""
    cdev, errno = bound.cdev, promised(rules.NO_PASIDS)
    other = bound.iommufd.alloc_ioas()
    cdev.attach(bound.ioas)
    for argsz in (abi.ATTACH_MIN, ATTACH.sizeof()):
        expect.refused(cdev.try_attach(other, PASID, argsz=argsz, pasid=pasid), errno)
    for argsz in (abi.DETACH_MIN, DETACH.sizeof()):
        call = cdev.try_detach(abi.VFIO_DEVICE_DETACH_PASID, argsz=argsz, pasid=pasid)
        expect.refused(call, errno)
    expect.accepted(bound.iommufd.try_destroy(other))
    expect.refused(bound.iommufd.try_destroy(bound.ioas), promised(rules.ATTACHED_BUSY))
