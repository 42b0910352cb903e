# SPDX-License-Identifier: MIT
"""Address spaces: made and destroyed, their ranges, mappings and options."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd as abi
from vfiospec.device.call import Call
from vfiospec.device.files import Memory
from vfiospec.device.iommufd import ANYWHERE, EVERYTHING, WRITE_READ_FIXED, Iommufd
from vfiospec.device.port import Port
from vfiospec.device.privileges import CAP_SYS_RESOURCE, without
from vfiospec.rules import iommufd as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
IOVA, TOP = 0x100000, (1 << 64) - 1
HUGE, LIMIT = abi.IOMMU_OPTION_HUGE_PAGES, abi.IOMMU_OPTION_RLIMIT_MODE
GET, SET = abi.IOMMU_OPTION_OP_GET, abi.IOMMU_OPTION_OP_SET
PROT_READ, PROT_BOTH = 1, 3


def option(iommufd: Iommufd, number: int, op: int, value: int = 7, target: int = 0) -> Call:
    """IOMMU_OPTION."""
    argument = abi.iommu_option(option_id=number, op=op, object_id=target, val64=value)
    return iommufd.try_call(abi.IOMMU_OPTION, argument)


def value(call: Call) -> int:
    """What an option is."""
    return int(expect.accepted(call).unpack(abi.iommu_option).val64)


def unmapped(iommufd: Iommufd, ioas: int, iova: int = 0, length: int = EVERYTHING) -> int:
    """Bytes that were unmapped, by default of everything."""
    call = expect.accepted(iommufd.try_unmap_ioas(ioas, iova, length))
    return int(call.unpack(abi.iommu_ioas_unmap).length)


def ranges(iommufd: Iommufd, ioas: int, memory: Memory, room: int) -> Call:
    """IOMMU_IOAS_IOVA_RANGES into memory."""
    at = abi.iommu_ioas_iova_ranges.offset_of("allowed_iovas")
    argument = abi.iommu_ioas_iova_ranges(ioas_id=ioas, num_iovas=room)
    return iommufd.try_call(abi.IOMMU_IOAS_IOVA_RANGES, argument, fixups=(memory.fixup(at),))


@checks(rules.ALLOC, rules.NO_OBJECT, rules.RESERVED, rules.ADDRESS)
def test_made_and_destroyed(iommufd: Iommufd, memory: Memory, promised: Promised) -> None:
    """Ids of their own; flags, and an answer that cannot be written, make none."""
    made = [iommufd.alloc_ioas() for _ in range(5)]
    expect.equal("ids", len(set(made) - {0}), 5)
    for ioas in made:
        expect.accepted(iommufd.try_destroy(ioas))
        expect.refused(iommufd.try_destroy(ioas), promised(rules.NO_OBJECT))
    for bit in range(32):
        expect.refused(iommufd.try_alloc_ioas(1 << bit), promised(rules.RESERVED))
    memory.write(0, abi.iommu_ioas_alloc(size=abi.iommu_ioas_alloc.sizeof()).pack())
    memory.protect(PROT_READ)
    try:
        call = iommufd.try_ioctl(abi.IOMMU_IOAS_ALLOC, memory.at())
    finally:
        memory.protect(PROT_BOTH)
    expect.refused(call, promised(rules.ADDRESS))
    expect.accepted(option(iommufd, LIMIT, SET, 1))  # EBUSY if there were an object


@checks(rules.RANGES, rules.RANGES_ROOM)
def test_ranges(iommufd: Iommufd, memory: Memory, promised: Promised) -> None:
    """One range of everything, told if there is room."""
    ioas = iommufd.alloc_ioas()
    call = ranges(iommufd, ioas, memory, 0)
    expect.equal(f"errno of {call}", call.errno, promised(rules.RANGES_ROOM))
    expect.equal("ranges", call.unpack(abi.iommu_ioas_iova_ranges).num_iovas, 1)
    expect.equal("memory", memory.read(0, 16), b"\xa5" * 16)
    for room in (1, 2):
        got = expect.accepted(ranges(iommufd, ioas, memory, room))
        head = got.unpack(abi.iommu_ioas_iova_ranges)
        expect.equal("ranges", head.num_iovas, 1)
        expect.equal("alignment", head.out_iova_alignment, 1)
        span = abi.iommu_iova_range.unpack(memory.read(0, 16))
        expect.equal("range", (span.start, span.last), (0, TOP))
        expect.equal("memory behind", memory.read(16, 16), b"\xa5" * 16)


@checks(rules.ADDRESS, rules.MAP)
def test_ranges_with_nowhere_to_go(
    iommufd: Iommufd, memory: Memory, page: int, quiet: Callable[[], None], promised: Promised
) -> None:
    """A fault, and the address space can be changed as before."""
    ioas, errno = iommufd.alloc_ioas(), promised(rules.ADDRESS)
    argument = abi.iommu_ioas_iova_ranges(ioas_id=ioas, num_iovas=1)
    for _ in range(2):
        expect.refused(iommufd.try_call(abi.IOMMU_IOAS_IOVA_RANGES, argument), errno)
        quiet()  # the call below would wait for ever
        expect.accepted(iommufd.try_map_ioas(ioas, memory, IOVA, page))
        expect.equal("unmapped", unmapped(iommufd, ioas), page)


@checks(rules.ALLOW, rules.ALLOW_FULL, rules.MAP)
def test_allowed_addresses(iommufd: Iommufd, memory: Memory, page: int, promised: Promised) -> None:
    """The kernel chooses among them until there are no more."""
    ioas = iommufd.alloc_ioas()
    spans = ((IOVA, IOVA + page - 1), (2 * IOVA, 2 * IOVA + page - 1))
    expect.accepted(iommufd.try_allow(ioas, memory, *spans))
    found = set()
    for _ in spans:
        call = expect.accepted(iommufd.try_map_ioas(ioas, memory, 0, page, ANYWHERE))
        found.add(call.unpack(abi.iommu_ioas_map).iova)
    expect.equal("addresses", found, {start for start, _ in spans})
    call = iommufd.try_map_ioas(ioas, memory, 0, page, ANYWHERE)
    expect.refused(call, promised(rules.ALLOW_FULL))
    expect.equal("unmapped", unmapped(iommufd, ioas), 2 * page)


@checks(rules.ALLOW_WRONG)
@pytest.mark.parametrize(
    "spans",
    [((5, 5),), ((9, 5),), ((0, 9), (9, 20)), ((0, 99), (10, 20)), ((10, 20), (0, 99))],
    ids=["empty", "backwards", "touching", "inside", "around"],
)
def test_wrong_ranges(
    iommufd: Iommufd, memory: Memory, spans: tuple[tuple[int, int], ...], promised: Promised
) -> None:
    """Refused; what was allowed before still is."""
    ioas = iommufd.alloc_ioas()
    expect.refused(iommufd.try_allow(ioas, memory, *spans), promised(rules.ALLOW_WRONG))
    expect.accepted(iommufd.try_allow(ioas, memory, (0, 9), (10, 20)))


@checks(rules.MAP, rules.MAP_OVERLAP, rules.MAP_WRAP, rules.MAP_ACCESS, rules.RESERVED)
def test_mappings(iommufd: Iommufd, memory: Memory, page: int, promised: Promised) -> None:
    """Where they may be, and with what access."""
    ioas = iommufd.alloc_ioas()
    for bit in range(3, 32):
        call = iommufd.try_map_ioas(ioas, memory, IOVA, page, WRITE_READ_FIXED | 1 << bit)
        expect.refused(call, promised(rules.RESERVED))
    fixed = abi.IOMMU_IOAS_MAP_FIXED_IOVA
    expect.refused(
        iommufd.try_map_ioas(ioas, memory, IOVA, page, fixed), promised(rules.MAP_ACCESS)
    )
    expect.refused(iommufd.try_map_ioas(ioas, memory, IOVA, 0), promised(rules.MAP_ACCESS))
    for iova, length in ((TOP, page), (IOVA, TOP), (TOP - page + 1, 2 * page)):
        call = iommufd.try_map_ioas(ioas, memory, iova, length)
        expect.refused(call, promised(rules.MAP_WRAP))
    call = expect.accepted(iommufd.try_map_ioas(ioas, memory, IOVA, 2 * page))
    expect.equal("iova", call.unpack(abi.iommu_ioas_map).iova, IOVA)
    for start, length in ((0, 2), (0, 1), (1, 1), (-1, 3)):
        call = iommufd.try_map_ioas(ioas, memory, IOVA + start * page, length * page)
        expect.refused(call, promised(rules.MAP_OVERLAP))
    expect.equal("unmapped", unmapped(iommufd, ioas), 2 * page)


@checks(rules.UNMAP, rules.UNMAP_NONE, rules.MAP_WRAP)
def test_unmapping(iommufd: Iommufd, memory: Memory, page: int, promised: Promised) -> None:
    """Whole mappings only."""
    ioas = iommufd.alloc_ioas()
    none = promised(rules.UNMAP_NONE)
    expect.refused(iommufd.try_unmap_ioas(ioas, IOVA, page), none)
    for start in (0, 2):
        call = iommufd.try_map_ioas(ioas, memory, IOVA + start * page, 2 * page)
        expect.accepted(call)
    for start, length in ((0, 1), (1, 1), (1, 2), (3, 5), (9, 1)):
        call = iommufd.try_unmap_ioas(ioas, IOVA + start * page, length * page)
        expect.refused(call, none)
    for iova, length in ((TOP, page), (1, TOP)):
        expect.refused(iommufd.try_unmap_ioas(ioas, iova, length), promised(rules.MAP_WRAP))
    expect.equal("unmapped", unmapped(iommufd, ioas, IOVA - page, 3 * page), 2 * page)
    expect.equal("unmapped", unmapped(iommufd, ioas), 2 * page)
    expect.equal("unmapped", unmapped(iommufd, ioas), 0)


@checks(rules.COPY, rules.NO_OBJECT, rules.MAP_ACCESS, rules.RESERVED)
def test_copies(iommufd: Iommufd, memory: Memory, page: int, promised: Promised) -> None:
    """Of all or a part; what is not mapped is not copied."""
    source, target = iommufd.alloc_ioas(), iommufd.alloc_ioas()
    expect.accepted(iommufd.try_map_ioas(source, memory, IOVA, 2 * page))

    def copy(flags: int, start: int, length: int, target: int = target) -> Call:
        request = abi.iommu_ioas_copy(
            flags=flags, dst_ioas_id=target, src_ioas_id=source, length=length
        )
        request.dst_iova, request.src_iova = 2 * IOVA, start
        return iommufd.try_call(abi.IOMMU_IOAS_COPY, request)

    expect.refused(copy(8, IOVA, page), promised(rules.RESERVED))
    fixed = abi.IOMMU_IOAS_MAP_FIXED_IOVA
    expect.refused(copy(fixed, IOVA, page), promised(rules.MAP_ACCESS))
    expect.refused(copy(WRITE_READ_FIXED, IOVA, 0), promised(rules.MAP_ACCESS))
    expect.refused(copy(WRITE_READ_FIXED, IOVA, 3 * page), promised(rules.NO_OBJECT))
    expect.refused(copy(WRITE_READ_FIXED, IOVA - page, page), promised(rules.NO_OBJECT))
    expect.refused(copy(WRITE_READ_FIXED, IOVA, page, 1 << 20), promised(rules.NO_OBJECT))
    expect.accepted(copy(WRITE_READ_FIXED, IOVA + page, page))
    expect.accepted(iommufd.try_destroy(source))
    expect.equal("unmapped", unmapped(iommufd, target, 2 * IOVA, page), page)


@checks(rules.OPTION, rules.OPTION_VALUE, rules.RESERVED, rules.NO_OBJECT)
def test_large_pages(iommufd: Iommufd, promised: Promised) -> None:
    """On unless they are turned off."""
    ioas = iommufd.alloc_ioas()
    for wanted in (1, 0, 1):
        expect.accepted(option(iommufd, HUGE, SET, wanted, ioas))
        expect.equal("large pages", value(option(iommufd, HUGE, GET, 7, ioas)), wanted)
    for wrong in (2, TOP):
        expect.refused(option(iommufd, HUGE, SET, wrong, ioas), promised(rules.OPTION_VALUE))
    expect.refused(option(iommufd, HUGE, 2, 1, ioas), promised(rules.RESERVED))
    expect.refused(option(iommufd, HUGE, GET, 1, 1 << 20), promised(rules.NO_OBJECT))
    expect.refused(option(iommufd, 2, GET, 1, ioas), promised(rules.RESERVED))


@checks(rules.OPTION, rules.OPTION_VALUE, rules.OPTION_BUSY, rules.RESERVED)
def test_the_limit(iommufd: Iommufd, promised: Promised) -> None:
    """The user's unless the process's is asked for, before there are objects."""
    expect.equal("limit", value(option(iommufd, LIMIT, GET)), 0)
    for wanted in (1, 0, 1):
        expect.accepted(option(iommufd, LIMIT, SET, wanted))
        expect.equal("limit", value(option(iommufd, LIMIT, GET)), wanted)
    expect.refused(option(iommufd, LIMIT, SET, 2), promised(rules.OPTION_VALUE))
    expect.refused(option(iommufd, LIMIT, 2, 1), promised(rules.RESERVED))
    expect.refused(option(iommufd, LIMIT, GET, 1, 1), promised(rules.RESERVED))
    iommufd.alloc_ioas()
    expect.refused(option(iommufd, LIMIT, SET, 0), promised(rules.OPTION_BUSY))
    expect.equal("limit", value(option(iommufd, LIMIT, GET)), 1)


@checks(rules.OPTION_PRIVILEGE, rules.OPTION)
def test_who_may_change_the_limit(iommufd: Iommufd, port: Port, promised: Promised) -> None:
    """Not a process without the capability, whatever it asks for; it is told the limit."""
    errno = promised(rules.OPTION_PRIVILEGE)
    with without(port, CAP_SYS_RESOURCE) as child:
        theirs = Iommufd(child, iommufd.handle)
        for limit in (0, 1):
            expect.accepted(option(iommufd, LIMIT, SET, limit))
            for wanted in (0, 1, 2):
                expect.refused(option(theirs, LIMIT, SET, wanted), errno)
                expect.equal("limit", value(option(theirs, LIMIT, GET)), limit)


@checks(rules.CHANGE_PROCESS)
def test_another_process(
    iommufd: Iommufd, memory: Memory, page: int, kernel: tuple[int, int], promised: Promised
) -> None:
    """Nothing to charge, and memory that stays with its process."""
    if kernel < (6, 14):
        pytest.skip("needs a kernel with IOMMU_IOAS_CHANGE_PROCESS, 6.14 or later")
    request = abi.IOMMU_IOAS_CHANGE_PROCESS
    ioas = iommufd.alloc_ioas()
    expect.accepted(iommufd.try_call(request, abi.iommu_ioas_change_process()))
    expect.accepted(iommufd.try_map_ioas(ioas, memory, IOVA, page))
    call = iommufd.try_call(request, abi.iommu_ioas_change_process())
    expect.refused(call, promised(rules.CHANGE_PROCESS))
