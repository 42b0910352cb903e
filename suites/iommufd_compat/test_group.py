# SPDX-License-Identifier: MIT
"""A group in an iommufd: its devices, their address space, and what they reach."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd as abi
from vfiospec.abi import iommufd_hwpt as hwpt
from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.compat import InGroup
from vfiospec.device.edu import Edu
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned, Group
from vfiospec.device.iommufd import Iommufd, pinned_bytes
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import iommufd_compat as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Promised = Callable[[Rule], int]
IOVA, SIZE = 0x100000, 64
READ, WRITE = iommu.VFIO_DMA_MAP_FLAG_READ, iommu.VFIO_DMA_MAP_FLAG_WRITE
SET, CLEAR = abi.IOMMU_VFIO_IOAS_SET, abi.IOMMU_VFIO_IOAS_CLEAR


@dataclass(frozen=True)
class AsType1:
    """What a container with type1 v2 says of a device."""

    ranges: list[tuple[int, int]]
    page_sizes: int
    coherent: int


@pytest.fixture
def as_type1(iommufd: Iommufd, closed: int, port: Port, spec: BenchDevice) -> AsType1:
    """Asked of a container of its own, which is closed again."""
    del iommufd
    theirs = Assigned(port, closed)
    try:
        with theirs.open(spec.bdf):
            return AsType1(
                theirs.container.iova_ranges(),
                theirs.container.get_iommu_info().struct.iova_pgsizes,
                theirs.container.try_check_extension(vfio.VFIO_DMA_CC_IOMMU).ret,
            )
    finally:
        theirs.close()


@checks(rules.IOAS_GROUP)
def test_a_group_makes_an_address_space(group: Group, iommufd: Iommufd, spec: BenchDevice) -> None:
    """If there is none; it stays when the group leaves, and serves when it comes again."""
    inside = InGroup(group, iommufd, spec.bdf)
    expect.accepted(group.try_set_container(iommufd))
    made = inside.ioas()
    for _ in range(2):
        expect.accepted(group.try_unset_container())
        expect.equal("address space", inside.ioas(), made)
        expect.accepted(group.try_set_container(iommufd))
        expect.equal("address space", inside.ioas(), made)
    expect.accepted(iommufd.try_destroy(made))


@checks(rules.IOAS_GROUP)
def test_a_group_takes_the_one_there_is(group: Group, compat: Iommufd, spec: BenchDevice) -> None:
    """It is busy from the first fd of a device."""
    inside = InGroup(group, compat, spec.bdf)
    before = inside.ioas()
    expect.accepted(group.try_set_container(compat))
    expect.equal("address space", inside.ioas(), before)
    for number in range(before + 1, before + 4):
        expect.holds(not compat.try_destroy(number).ok, "no other object", f"{number}")


@checks(rules.IOAS_BUSY, rules.NO_MODEL, rules.DETACHED)
def test_it_is_busy_while_a_device_is_open(inside: InGroup, promised: Promised) -> None:
    """Without any SET_IOMMU; the last of several fds makes it free."""
    ioas = inside.ioas()
    with inside.open() as first:
        with inside.open() as second:
            expect.accepted(second.try_get_info())
            expect.refused(inside.iommufd.try_destroy(ioas), promised(rules.IOAS_BUSY))
        expect.refused(inside.iommufd.try_destroy(ioas), promised(rules.IOAS_BUSY))
        expect.accepted(first.try_get_info())
    expect.accepted(inside.iommufd.try_destroy(ioas))


@checks(rules.NO_IOAS)
def test_no_address_space(inside: InGroup, enables: Callable[[], int], promised: Promised) -> None:
    """The first fd is refused, a further one of a device that is open is not."""
    ioas, before = inside.ioas(), enables()
    expect.accepted(inside.iommufd.try_vfio_ioas(CLEAR))
    for _ in range(2):
        call, _device = inside.group.try_get_device_fd(inside.bdf)
        expect.refused(call, promised(rules.NO_IOAS))
        expect.equal("enables", enables(), before)
    expect.accepted(inside.iommufd.try_vfio_ioas(SET, ioas))
    with inside.open():
        expect.equal("enables", enables(), before + 1)
        expect.accepted(inside.iommufd.try_vfio_ioas(CLEAR))
        with inside.open() as second:
            expect.accepted(second.try_get_info())
    expect.equal("enables", enables(), before)


@checks(rules.UNSET, rules.DETACHED)
def test_a_group_is_taken_out(
    inside: InGroup, enables: Callable[[], int], promised: Promised
) -> None:
    """The device serves on, and is closed as ever; no further fd is had."""
    ioas, before = inside.ioas(), enables()
    with inside.open() as device:
        expect.accepted(inside.group.try_unset_container())
        expect.accepted(device.try_get_info())
        call, _device = inside.group.try_get_device_fd(inside.bdf)
        expect.refused(call, promised(rules.UNSET))
        expect.refused(inside.iommufd.try_destroy(ioas), promised(rules.IOAS_BUSY))
    expect.equal("enables", enables(), before)
    expect.accepted(inside.iommufd.try_destroy(ioas))


@checks(rules.INFO_RANGES, rules.COHERENT, rules.INFO, rules.MAP_RESERVED)
def test_it_says_what_type1_says(
    as_type1: AsType1, inside: InGroup, memory: Memory, page: int, promised: Promised
) -> None:
    """Of one device: ranges, page sizes and coherence; what is outside cannot be mapped."""
    iommufd, ranges = inside.iommufd, as_type1.ranges
    with inside.open():
        expect.equal("ranges", iommufd.iova_ranges(), ranges)
        sizes = iommufd.get_iommu_info().struct.iova_pgsizes
        expect.equal("page sizes", sizes, as_type1.page_sizes)
        expect.accepted(iommufd.try_check_extension(vfio.VFIO_DMA_CC_IOMMU), as_type1.coherent)
        for (_, last), (first, _) in pairwise(ranges):
            for iova in (last + 1, first - page):
                call = iommufd.try_map(memory, iova, page)
                expect.refused(call, promised(rules.MAP_RESERVED))
        expect.accepted(iommufd.try_map(memory, ranges[0][1] + 1 - page, page))
    expect.equal("ranges", iommufd.iova_ranges(), [(0, (1 << 64) - 1)])


@checks(rules.MAP, rules.UNMAP)
@devices("dma-stimulus")
@pytest.mark.parametrize("flags", [READ | WRITE, READ, WRITE], ids="flags-{}".format)
def test_what_is_reached(inside: InGroup, memory: Memory, page: int, flags: int) -> None:
    """Read and written as it was mapped, and not at all once it is unmapped."""
    memory.write(0, bytes(range(SIZE)))
    with inside.open() as device:
        edu = Edu(device)
        edu.enable()
        for mapped in (True, False):
            if mapped:
                inside.iommufd.map(memory, IOVA, page, flags)
                inside.iommufd.map(memory.at(page), IOVA + page, page)
            else:
                expect.equal("unmapped", inside.iommufd.unmapped(IOVA, page), page)
            memory.write(SIZE, bytes(SIZE))
            memory.write(page, bytes(SIZE))
            expect.equal("DMA ended", edu.read_memory(IOVA + page, SIZE), True)  # zeros
            expect.equal("DMA ended", edu.read_memory(IOVA, SIZE), True)
            expect.equal("DMA ended", edu.write_memory(IOVA + SIZE, SIZE), True)
            expect.equal("DMA ended", edu.write_memory(IOVA + page, SIZE), True)
            wrote = mapped and bool(flags & WRITE)
            read = mapped and bool(flags & READ)
            if read:
                expect.equal("read", memory.read(page, SIZE), bytes(range(SIZE)))
            else:
                expect.holds(memory.read(page, SIZE) != bytes(range(SIZE)), "not read", "read")
            if read:
                copied = bytes(range(SIZE)) if wrote else bytes(SIZE)
                expect.equal("written", memory.read(SIZE, SIZE), copied)
            if not mapped or not wrote:
                expect.equal("written", memory.read(SIZE, SIZE), bytes(SIZE))


def page_table(inside: InGroup) -> int:
    """One for the device, whose id nobody tells here: it is among the first."""
    for number in range(1, 16):
        call = inside.iommufd.try_alloc_page_table(number, inside.ioas())
        if call.ok:
            return int(call.unpack(hwpt.iommu_hwpt_alloc).out_hwpt_id)
    raise LookupError("no device among the first objects of the iommufd")


@checks(rules.RELEASED, rules.DETACHED)
@pytest.mark.parametrize("how", ["unset", "closed", "twice"])
def test_nothing_is_left(
    group: Group, port: Port, spec: BenchDevice, iommufd: Iommufd, page: int, how: str
) -> None:
    """Pages in a page table that only the end of the iommufd destroys."""
    del iommufd
    with Memory(port, 4 * page) as pinned:
        before = pinned_bytes(port)
        with Iommufd.create(port) as own:
            inside = InGroup(group, own, spec.bdf)
            expect.accepted(group.try_set_container(own))
            if how == "twice":
                expect.holds(not group.try_set_container(own).ok, "set once", "set twice")
            with inside.open():
                page_table(inside)
                own.map(pinned, IOVA, pinned.size)
            expect.equal("pinned", pinned_bytes(port), before + pinned.size)
            if how != "closed":
                expect.accepted(group.try_unset_container())
        if how == "closed":
            expect.equal("pinned by the group's", pinned_bytes(port), before + pinned.size)
            expect.accepted(group.try_unset_container())
        expect.equal("pinned at the end", pinned_bytes(port), before)


@checks(rules.RELEASED)
@pytest.mark.parametrize("last", ["group", "iommufd"])
def test_nothing_is_left_of_a_closed_group(
    number: int, port: Port, spec: BenchDevice, page: int, last: str
) -> None:
    """Closed as it is, without UNSET_CONTAINER, before the iommufd's last file and after it."""
    with Memory(port, 4 * page) as pinned:
        before = pinned_bytes(port)
        own, group = Iommufd.create(port), Group.of(port, number)
        inside = InGroup(group, own, spec.bdf)
        expect.accepted(group.try_set_container(own))
        with inside.open():
            page_table(inside)
            own.map(pinned, IOVA, pinned.size)
        files = (own, group) if last == "group" else (group, own)
        for file in files:
            expect.equal("pinned", pinned_bytes(port), before + pinned.size)
            file.close()
        expect.equal("pinned at the end", pinned_bytes(port), before)


@checks(rules.SET_LATE, rules.UNMAP_PART, rules.UNMAP_CUT)
def test_type1_while_pages_are_mapped(
    inside: InGroup, memory: Memory, page: int, promised: Promised
) -> None:
    """Refused, and a part is not unmapped; it can be once type 1 was set in time."""
    iommufd = inside.iommufd
    with inside.open():
        iommufd.map(memory, IOVA, 4 * page)
        expect.refused(iommufd.try_set_iommu(vfio.VFIO_TYPE1_IOMMU), promised(rules.SET_LATE))
        expect.accepted(iommufd.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
        call = iommufd.try_unmap(IOVA, page)
        expect.equal(f"errno of {call}", call.errno, promised(rules.UNMAP_PART))
        expect.equal("unmapped", iommufd.unmapped(IOVA, 4 * page), 4 * page)
        expect.accepted(iommufd.try_set_iommu(vfio.VFIO_TYPE1_IOMMU))
        iommufd.map(memory, IOVA, 4 * page)
        expect.accepted(iommufd.try_set_iommu(vfio.VFIO_TYPE1_IOMMU))
        expect.equal("a part", iommufd.unmapped(IOVA, page), page)
