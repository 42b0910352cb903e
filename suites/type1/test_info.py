# SPDX-License-Identifier: MIT
"""VFIO_IOMMU_GET_INFO: what a type1 container says of itself."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.call import UNTOUCHED
from vfiospec.device.container import INFO_ROOM, Container
from vfiospec.device.files import Memory
from vfiospec.device.group import Group
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import type1 as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks
from vfiospec.session.ranges import between, reserved

HEAD = iommu.vfio_iommu_type1_info.sizeof()
VERSION = 1
FLAGS = iommu.VFIO_IOMMU_INFO_PGSIZES | iommu.VFIO_IOMMU_INFO_CAPS
INTEL = "/sys/class/iommu/{}/intel-iommu/cap"
LARGE_PAGES = {1 << 34: 1 << 21, 1 << 35: 1 << 30}  # VT-d, Capability Register: SLLPS


def capabilities(container: Container) -> list[bytes]:
    """Each capability's bytes, with no header yet, put together from what they say."""
    sizes, limit = container.page_size(), rules.INFO_MIGRATION.answers[0].value
    migration = iommu.vfio_iommu_type1_info_cap_migration(
        pgsize_bitmap=sizes, max_dirty_bitmap_size=limit
    )
    avail = iommu.vfio_iommu_type1_info_dma_avail(avail=container.available())
    found = container.iova_ranges()
    ranges = iommu.vfio_iommu_type1_info_cap_iova_range(nr_iovas=len(found))
    tail = b"".join(iommu.vfio_iova_range(*r).pack() for r in found)
    for cap, number in (
        (migration, iommu.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION),
        (avail, iommu.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL),
        (ranges, iommu.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE),
    ):
        cap.header.id, cap.header.version = number, VERSION
    return [migration.pack(), avail.pack(), ranges.pack() + tail]


def chained(capabilities: list[bytes], alignment: int) -> bytes:
    """The capabilities as they follow the structure."""
    sizes = [-(-len(c) // alignment) * alignment for c in capabilities]
    at = vfio.vfio_info_cap_header.offset_of("next")
    made = b""
    for i, (cap, size) in enumerate(zip(capabilities, sizes, strict=True)):
        after = 0 if i == len(sizes) - 1 else HEAD + len(made) + size
        made += (cap[:at] + after.to_bytes(4, "little") + cap[at + 4 :]).ljust(size, b"\0")
    return made


@checks(rules.INFO_ARGSZ)
@pytest.mark.parametrize("argsz", [0, 4, iommu.TYPE1_INFO_MIN - 1], ids="argsz-{}".format)
def test_too_small_an_argsz_is_refused(
    v2: Container, argsz: int, promised: Callable[[Rule], int]
) -> None:
    """It cannot hold the page sizes."""
    expect.refused(v2.try_get_iommu_info(argsz), promised(rules.INFO_ARGSZ))


@checks(rules.INFO_WRITTEN, rules.INFO_STEP)
@pytest.mark.parametrize("argsz", range(iommu.TYPE1_INFO_MIN, HEAD + 5), ids="argsz-{}".format)
def test_without_room_only_the_structure_is_written(
    v2: Container, argsz: int, promised: Callable[[Rule], int]
) -> None:
    """No more of it than argsz says there is room for."""
    whole = v2.get_iommu_info().struct
    call = expect.accepted(v2.try_get_iommu_info(argsz))
    wanted = HEAD + len(chained(capabilities(v2), promised(rules.INFO_STRUCTURE)))
    head = iommu.vfio_iommu_type1_info(wanted, FLAGS, whole.iova_pgsizes, 0, 0)
    step, least = promised(rules.INFO_STEP), iommu.TYPE1_INFO_MIN
    room = least + (min(argsz, promised(rules.INFO_WRITTEN)) - least) // step * step
    expect.equal(f"bytes of {call}", call.data[:room].hex(" "), head.pack()[:room].hex(" "))
    expect.untouched(call, room)


@checks(rules.INFO_STRUCTURE)
@pytest.mark.parametrize("spare", [0, 1, 100], ids="spare-{}".format)
def test_each_byte_of_the_reply(v2: Container, spare: int, promised: Callable[[Rule], int]) -> None:
    """With just the room it asks for, and with more."""
    info = v2.get_iommu_info().struct
    tail = chained(capabilities(v2), promised(rules.INFO_STRUCTURE))
    argsz = HEAD + len(tail) + spare
    call = expect.accepted(v2.try_get_iommu_info(argsz))
    known = promised(rules.INFO_WRITTEN)
    head = iommu.vfio_iommu_type1_info(argsz, FLAGS, info.iova_pgsizes, HEAD, 0).pack()
    head = head[:known].ljust(HEAD, bytes([UNTOUCHED]))
    expect.equal("the reply", call.data[: argsz - spare].hex(" "), (head + tail).hex(" "))
    expect.untouched(call, argsz - spare)


@checks(rules.INFO_WRITTEN)
def test_one_byte_short_of_the_capabilities_has_none(
    v2: Container, promised: Callable[[Rule], int]
) -> None:
    """The chain is there or not; half of it never."""
    wanted = HEAD + len(chained(capabilities(v2), promised(rules.INFO_STRUCTURE)))
    call = expect.accepted(v2.try_get_iommu_info(wanted - 1))
    info = call.unpack(iommu.vfio_iommu_type1_info)
    expect.equal("argsz", info.argsz, wanted)
    expect.equal("flags", info.flags, FLAGS)
    expect.equal("cap_offset", info.cap_offset, 0)
    expect.untouched(call, HEAD)


@checks(rules.INFO_STRUCTURE)
def test_a_huge_argsz_is_no_room_to_write_in(v2: Container) -> None:
    """The claim is kept, and nothing is written behind the last capability."""
    usual = v2.try_get_iommu_info(INFO_ROOM)
    call = expect.accepted(v2.try_get_iommu_info((1 << 32) - 1))
    expect.equal("all but argsz", call.data[4:].hex(), usual.data[4:].hex())
    expect.equal("argsz", call.data[:4].hex(), "ff" * 4)


@checks(rules.INFO_STRUCTURE)
def test_v1_says_the_same(v1: Container, promised: Callable[[Rule], int]) -> None:
    """The models differ in how they unmap only."""
    tail = chained(capabilities(v1), promised(rules.INFO_STRUCTURE))
    call = expect.accepted(v1.try_get_iommu_info(HEAD + len(tail)))
    expect.equal("capabilities", call.data[HEAD:][: len(tail)].hex(" "), tail.hex(" "))


@checks(rules.INFO_PGSIZES)
def test_the_smallest_page_is_the_processors(v2: Container, page: int) -> None:
    """So that whatever memory is ours can be mapped."""
    expect.equal("smallest size", v2.page_size(), page)


@checks(rules.INFO_PGSIZES_INTEL)
def test_large_pages_are_those_of_the_iommu(
    v2: Container, sysfs: PortSysfs, page: int, promised: Callable[[Rule], int]
) -> None:
    """What each of the machine's units can do."""
    units = sysfs.listdir("/sys/class/iommu")
    caps = [int(sysfs.read(INTEL.format(u)), 16) for u in units if sysfs.exists(INTEL.format(u))]
    if not caps:
        pytest.skip("no Intel IOMMU whose registers could be asked")
    large = sum(n for bit, n in LARGE_PAGES.items() if all(c & bit for c in caps))
    small = -page % (1 << 64)
    wanted = page | large if promised(rules.INFO_PGSIZES_INTEL) else small
    expect.equal("iova_pgsizes", v2.get_iommu_info().struct.iova_pgsizes, wanted)


@checks(rules.INFO_MIGRATION)
def test_the_migration_capability(
    v2: Container, page: int, promised: Callable[[Rule], int]
) -> None:
    """One page size, and the limit of the driver."""
    raw = v2.get_iommu_info().capability(iommu.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION)
    cap = iommu.vfio_iommu_type1_info_cap_migration.unpack(raw or b"")
    expect.equal("flags", cap.flags, 0)
    expect.equal("pgsize_bitmap", cap.pgsize_bitmap, page)
    expect.equal("max_dirty_bitmap_size", cap.max_dirty_bitmap_size, promised(rules.INFO_MIGRATION))


@checks(rules.INFO_RANGES)
def test_the_ranges_leave_out_what_is_reserved(v2: Container, group: int, sysfs: PortSysfs) -> None:
    """Just that, up to the end of what the IOMMU can address: a power of two."""
    ranges = v2.iova_ranges()
    end = ranges[-1][1]
    expect.equal("ranges", ranges, between(reserved(sysfs, group), end))
    expect.equal(f"bits of {end + 1:#x}", (end + 1).bit_count(), 1)


@checks(rules.INFO_RANGES, rules.GROUPS_SHARE)
def test_a_second_groups_regions_are_left_out_too(
    v2: Container, group: int, second_group: int, sysfs: PortSysfs
) -> None:
    """As long as it is there."""
    before = v2.iova_ranges()
    with Group.of(v2.port, second_group) as other:
        expect.accepted(other.try_set_container(v2))
        both = sorted(reserved(sysfs, group) + reserved(sysfs, second_group))
        ranges = v2.iova_ranges()
        expect.equal("ranges", ranges, between(both, ranges[-1][1]))
        expect.accepted(other.try_unset_container())
        expect.equal("ranges afterwards", v2.iova_ranges(), before)


@checks(rules.INFO_AVAIL)
def test_each_mapping_takes_one(
    v2: Container, base: int, buffer: Memory, page: int, sysfs: PortSysfs
) -> None:
    """Whatever its size; and gives it back."""
    limit = int(sysfs.read("/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"))
    expect.equal("avail", v2.available(), limit)
    for i in range(3):
        v2.map(buffer, base + 16 * i * page, (i + 1) * page)
        expect.equal(f"avail with {i + 1}", v2.available(), limit - i - 1)
    v2.unmapped(base, 32 * page)
    expect.equal("avail with one left", v2.available(), limit - 1)
    v2.unmapped(base + 32 * page, 3 * page)
    expect.equal("avail with none", v2.available(), limit)


@checks(rules.BAD_ADDRESS)
def test_a_bad_address_is_refused(
    v2: Container, buffer: Memory, promised: Callable[[Rule], int]
) -> None:
    """None, one byte short, and capabilities that run over the end of memory."""
    wanted = promised(rules.BAD_ADDRESS)
    request = iommu.VFIO_IOMMU_GET_INFO
    expect.refused(v2.try_ioctl(request), wanted)
    expect.refused(v2.try_ioctl(request, buffer.tail(iommu.TYPE1_INFO_MIN - 1)), wanted)
    head = iommu.vfio_iommu_type1_info(INFO_ROOM)
    short = v2.try_ioctl(request, head.pack(), at=buffer.tail(HEAD))
    expect.equal("errno", short.errno, wanted)
    expect.accepted(v2.try_get_iommu_info(INFO_ROOM, at=buffer.at()))


@checks(rules.BAD_ADDRESS)
def test_the_first_structure_may_end_with_memory(v2: Container, buffer: Memory) -> None:
    """Nothing is read or written behind argsz."""
    least = iommu.TYPE1_INFO_MIN
    expect.accepted(v2.try_get_iommu_info(least, size=least, at=buffer.tail(least)))
    expect.accepted(v2.try_get_iommu_info(HEAD, size=HEAD, at=buffer.tail(HEAD)))
