# SPDX-License-Identifier: MIT
"""ATTACH_IOMMUFD_PT and DETACH_IOMMUFD_PT: structure, objects, and what a refusal leaves."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd as objects
from vfiospec.abi import vfio_feature as abi
from vfiospec.device.cdev import Bound, Cdev
from vfiospec.device.files import Memory
from vfiospec.rules import cdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Promised = Callable[[Rule], int]
ATTACH, DETACH = abi.vfio_device_attach_iommufd_pt, abi.vfio_device_detach_iommufd_pt
ATTACH_PASID, DETACH_PASID = abi.VFIO_DEVICE_ATTACH_PASID, abi.VFIO_DEVICE_DETACH_PASID
BAD_FLAGS = [1 << bit for bit in range(1, 32)]
PROT_READ, PROT_BOTH = 1, 3


@checks(rules.ATTACH, rules.ATTACHED_BUSY, rules.GONE, rules.DETACH)
def test_a_page_table_is_made(bound: Bound, promised: Promised) -> None:
    """For an address space; both are busy until it is detached, when the page table is gone."""
    cdev, iommufd, ioas = bound.cdev, bound.iommufd, bound.ioas
    for _ in range(2):
        call = expect.accepted(cdev.try_attach(ioas))
        made = call.unpack(ATTACH).pt_id
        expect.untouched(call, 0, ATTACH.offset_of("pt_id"))
        expect.untouched(call, ATTACH.end_of("pt_id"))
        expect.holds(made not in (0, ioas, bound.devid), "an id of its own", f"{call}: {made}")
        for number in (ioas, made, bound.devid):
            expect.refused(iommufd.try_destroy(number), promised(rules.ATTACHED_BUSY))
        expect.accepted(cdev.try_detach())
        expect.refused(iommufd.try_destroy(made), promised(rules.GONE))
    expect.accepted(iommufd.try_destroy(ioas))


@checks(rules.REPLACE)
def test_the_same_again(bound: Bound, promised: Promised) -> None:
    """The page table it has already serves; one detach is enough."""
    first = bound.cdev.attach(bound.ioas)
    for target in (bound.ioas, first, bound.ioas):
        expect.equal("page table", bound.cdev.attach(target), first)
    bound.cdev.detach()
    expect.refused(bound.iommufd.try_destroy(first), promised(rules.GONE))
    expect.accepted(bound.iommufd.try_destroy(bound.ioas))


@checks(rules.REPLACE, rules.ATTACHED_BUSY, rules.GONE)
def test_it_moves(bound: Bound, promised: Promised) -> None:
    """What it came from can be destroyed, what it went to cannot."""
    cdev, iommufd = bound.cdev, bound.iommufd
    spaces = [bound.ioas, iommufd.alloc_ioas(), iommufd.alloc_ioas()]
    before = cdev.attach(spaces[0])
    for old, new in pairwise(spaces):
        made = cdev.attach(new)
        expect.holds(made != before, "another page table", f"{made} again")
        expect.refused(iommufd.try_destroy(before), promised(rules.GONE))
        expect.accepted(iommufd.try_destroy(old))
        expect.refused(iommufd.try_destroy(new), promised(rules.ATTACHED_BUSY))
        before = made
    cdev.close()
    expect.accepted(iommufd.try_destroy(spaces[-1]))


@checks(rules.ATTACH_UNKNOWN, rules.ATTACH_WRONG, rules.REPLACE)
@pytest.mark.parametrize("attached", [False, True], ids=["detached", "attached"])
def test_what_is_no_page_table(bound: Bound, attached: bool, promised: Promised) -> None:  # noqa: FBT001
    """Unknown ids and the device's own; the device stays where it is."""
    cdev, iommufd = bound.cdev, bound.iommufd
    made = cdev.attach(bound.ioas) if attached else 0
    gone = iommufd.alloc_ioas()
    expect.accepted(iommufd.try_destroy(gone))
    for number in (0, gone, 1 << 20, 0xFFFFFFFF):
        expect.refused(cdev.try_attach(number), promised(rules.ATTACH_UNKNOWN))
    expect.refused(cdev.try_attach(bound.devid), promised(rules.ATTACH_WRONG))
    if attached:
        expect.equal("page table", cdev.attach(bound.ioas), made)
        cdev.detach()
    expect.accepted(iommufd.try_destroy(bound.ioas))


@checks(rules.ATTACH_ARGSZ, rules.DETACH_ARGSZ)
def test_too_small_an_argsz(bound: Bound, memory: Memory, promised: Promised) -> None:
    """Also if the flags are unknown; with PASID the whole structure is needed."""
    cdev, short = bound.cdev, promised(rules.ATTACH_ARGSZ)
    for argsz in (0, 1, 8, abi.ATTACH_MIN - 1):
        expect.refused(cdev.try_attach(bound.ioas, argsz=argsz), short)
    for argsz in (0, 1, 4, abi.DETACH_MIN - 1):
        expect.refused(cdev.try_detach(argsz=argsz), promised(rules.DETACH_ARGSZ))
    for argsz in (abi.ATTACH_MIN, ATTACH.sizeof() - 1):
        expect.refused(cdev.try_attach(bound.ioas, ATTACH_PASID, argsz=argsz, pasid=1), short)
        call = cdev.try_ioctl(
            abi.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
            ATTACH(argsz, ATTACH_PASID, bound.ioas).pack()[: abi.ATTACH_MIN],
            at=memory.tail(abi.ATTACH_MIN),
        )
        expect.refused(call, short)
    for argsz in (abi.DETACH_MIN, DETACH.sizeof() - 1):
        expect.refused(
            cdev.try_detach(DETACH_PASID, argsz=argsz, pasid=1), promised(rules.DETACH_ARGSZ)
        )
    expect.accepted(bound.iommufd.try_destroy(bound.ioas))


@checks(rules.ATTACH, rules.DETACH)
def test_an_argsz_that_is_large_enough(bound: Bound) -> None:
    """Up to the largest number."""
    for argsz in (12, 13, 16, 17, 4096, 0xFFFFFFFF):
        expect.accepted(bound.cdev.try_attach(bound.ioas, argsz=argsz))
        expect.accepted(bound.cdev.try_detach(argsz=argsz - 4))


@checks(rules.ATTACH_FLAGS, rules.DETACH_FLAGS)
def test_unknown_flags(bound: Bound, promised: Promised) -> None:
    """Each alone and with PASID; what is attached stays so."""
    cdev = bound.cdev
    for flags in (*BAD_FLAGS, 0xFFFFFFFF, 0xFFFFFFFE):
        call = cdev.try_attach(bound.ioas, flags, argsz=ATTACH.sizeof())
        expect.refused(call, promised(rules.ATTACH_FLAGS))
    made = cdev.attach(bound.ioas)
    for flags in (*BAD_FLAGS, 0xFFFFFFFF, 0xFFFFFFFE):
        call = cdev.try_detach(flags, argsz=DETACH.sizeof())
        expect.refused(call, promised(rules.DETACH_FLAGS))
    expect.refused(bound.iommufd.try_destroy(made), promised(rules.ATTACHED_BUSY))


@checks(rules.ATTACH_ADDRESS, rules.DETACH_ADDRESS, rules.PASID_ADDRESS)
def test_memory_that_ends_too_early(bound: Bound, memory: Memory, promised: Promised) -> None:
    """Nothing, a part, and with PASID all but the PASID."""
    cdev, iommufd = bound.cdev, bound.iommufd
    cases = (
        (abi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, abi.ATTACH_MIN, rules.ATTACH_ADDRESS),
        (abi.VFIO_DEVICE_DETACH_IOMMUFD_PT, abi.DETACH_MIN, rules.DETACH_ADDRESS),
    )
    for request, size, rule in cases:
        errno = promised(rule)
        expect.refused(cdev.try_ioctl(request, 0), errno)
        expect.refused(cdev.try_ioctl(request, memory.tail(size - 1)), errno)
        data = ATTACH(4096, ATTACH_PASID, bound.ioas).pack()[:size]
        call = cdev.try_ioctl(request, data, at=memory.tail(size))
        expect.refused(call, promised(rules.PASID_ADDRESS))
        data = ATTACH(size, 0, bound.ioas).pack()[:size]
        expect.accepted(cdev.try_ioctl(request, data, at=memory.tail(size)))
    expect.accepted(iommufd.try_destroy(bound.ioas))


@checks(rules.ATTACH_OUT)
@pytest.mark.parametrize("attached", [False, True], ids=["detached", "attached"])
def test_memory_that_cannot_be_written(
    bound: Bound,
    memory: Memory,
    attached: bool,  # noqa: FBT001 -- a parameter
    promised: Promised,
) -> None:
    """The device ends up detached and can be attached."""
    cdev, iommufd = bound.cdev, bound.iommufd
    if attached:
        cdev.attach(iommufd.alloc_ioas())
    memory.write(0, ATTACH(abi.ATTACH_MIN, 0, bound.ioas).pack())
    memory.protect(PROT_READ)
    try:
        call = cdev.try_ioctl(abi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, memory.at())
    finally:
        memory.protect(PROT_BOTH)
    expect.refused(call, promised(rules.ATTACH_OUT))
    expect.accepted(iommufd.try_destroy(bound.ioas))
    cdev.attach(iommufd.alloc_ioas())


@checks(rules.DETACH)
def test_detach_what_is_not_attached(bound: Bound) -> None:
    """However often, before, between and after."""
    for _ in range(2):
        for _ in range(3):
            expect.accepted(bound.cdev.try_detach())
        bound.cdev.attach(bound.ioas)
    bound.cdev.detach()
    expect.accepted(bound.iommufd.try_destroy(bound.ioas))


@checks(rules.ATTACH_PASID, rules.PASID_DETACH)
@pytest.mark.parametrize("pasid", [1, 2, 0xFFFFF], ids="pasid-{}".format)
def test_a_pasid(bound: Bound, pasid: int, promised: Promised) -> None:
    """Refused each time; detaching one that was never attached is nothing."""
    cdev, iommufd = bound.cdev, bound.iommufd
    made = cdev.attach(bound.ioas)
    another = iommufd.alloc_ioas()
    for target in (bound.ioas, another, another, made):
        call = cdev.try_attach(target, ATTACH_PASID, argsz=ATTACH.sizeof(), pasid=pasid)
        expect.refused(call, promised(rules.ATTACH_PASID))
    call = cdev.try_detach(DETACH_PASID, argsz=DETACH.sizeof(), pasid=pasid)
    expect.equal(f"errno of {call}", call.errno, promised(rules.PASID_DETACH))
    expect.accepted(iommufd.try_destroy(another))
    expect.refused(iommufd.try_destroy(made), promised(rules.ATTACHED_BUSY))
    expect.equal("page table", cdev.attach(bound.ioas), made)


@checks(rules.ATTACH_UNKNOWN)
@devices("dma-stimulus")
def test_ids_of_another_iommufd(bound: Bound, promised: Promised) -> None:
    """An id means something in one iommufd only."""
    with type(bound.iommufd).create(bound.cdev.port) as another:
        ids = [another.alloc_ioas() for _ in range(8)]
        expect.refused(bound.cdev.try_attach(ids[-1]), promised(rules.ATTACH_UNKNOWN))


@checks(rules.GROUP_BUSY)
@devices("grouped")
def test_a_group_beside_two_that_are_bound(
    bound: Bound, other: Cdev, group_opens: Callable[[], int], promised: Promised
) -> None:
    """It cannot be opened before both are closed."""
    busy = promised(rules.GROUP_BUSY)
    expect.equal("open of the group", group_opens(), busy)
    other.bind(bound.iommufd)
    expect.equal("open beside both", group_opens(), busy)
    bound.cdev.close()
    expect.equal("open beside the other", group_opens(), busy)
    other.close()
    expect.equal("open beside none", group_opens(), 0)


@checks(rules.ATTACH, rules.ATTACHED_BUSY, rules.OWNED_GROUP)
@devices("grouped")
def test_two_devices_of_a_group(bound: Bound, other: Cdev, promised: Promised) -> None:
    """One iommufd and one page table for both; ids of their own."""
    cdev, iommufd = bound.cdev, bound.iommufd
    with type(iommufd).create(cdev.port) as another:
        expect.refused(other.try_bind(another), promised(rules.OWNED_GROUP))
    devid = other.bind(iommufd)
    expect.holds(devid not in (0, bound.devid), "an id of its own", str(devid))
    made = cdev.attach(bound.ioas)
    expect.equal("page table", other.attach(bound.ioas), made)
    cdev.detach()
    expect.refused(iommufd.try_destroy(made), promised(rules.ATTACHED_BUSY))
    expect.refused(iommufd.try_destroy(bound.ioas), promised(rules.ATTACHED_BUSY))
    other.close()
    expect.refused(iommufd.try_destroy(made), promised(rules.GONE))
    expect.refused(iommufd.try_destroy(devid), promised(rules.GONE))
    expect.refused(iommufd.try_destroy(bound.devid), promised(rules.DEVID_BUSY))
    option = objects.iommu_option(option_id=objects.IOMMU_OPTION_HUGE_PAGES, op=1)
    option.object_id = bound.ioas
    expect.accepted(iommufd.try_call(objects.IOMMU_OPTION, option))
