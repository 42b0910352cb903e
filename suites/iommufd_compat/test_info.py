# SPDX-License-Identifier: MIT
"""VFIO_IOMMU_GET_INFO of an iommufd without devices: what it says is known to the byte."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.files import Memory
from vfiospec.device.iommufd import Iommufd
from vfiospec.rules import iommufd_compat as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
INFO = iommu.vfio_iommu_type1_info
AVAIL, RANGE = iommu.vfio_iommu_type1_info_dma_avail, iommu.vfio_iommu_type1_info_cap_iova_range
FIRST = INFO.end_of("iova_pgsizes")
WORD = 8
SECOND_AT = INFO.sizeof() + -(-AVAIL.sizeof() // WORD) * WORD
TOTAL = SECOND_AT + RANGE.sizeof() + iommu.vfio_iova_range.sizeof()
FLAGS = iommu.VFIO_IOMMU_INFO_PGSIZES | iommu.VFIO_IOMMU_INFO_CAPS
ROOM = 256
PROT_READ, PROT_BOTH = 1, 3


@checks(rules.ARGSZ)
@pytest.mark.parametrize("argsz", [0, 1, 8, FIRST - 1], ids="argsz-{}".format)
def test_too_small_an_argsz(
    compat: Iommufd, iommufd: Iommufd, argsz: int, promised: Promised
) -> None:
    """Before it is looked whether there is an address space."""
    expect.refused(compat.try_get_iommu_info(argsz), promised(rules.ARGSZ))
    expect.accepted(iommufd.try_vfio_ioas(2))
    expect.refused(iommufd.try_get_iommu_info(argsz), promised(rules.ARGSZ))


@checks(rules.INFO, rules.INFO_ROOM)
@pytest.mark.parametrize("argsz", range(FIRST, TOTAL + 4), ids="argsz-{}".format)
def test_each_argsz(compat: Iommufd, page: int, argsz: int) -> None:
    """Rewritten, whatever it was; cap_offset tells whether all has room; nothing is behind it."""
    call = expect.accepted(compat.try_get_iommu_info(argsz, size=ROOM))
    info = call.unpack(INFO)
    expect.equal("argsz", info.argsz, TOTAL)
    expect.equal("flags", info.flags, FLAGS)
    expect.equal("page sizes", info.iova_pgsizes, (1 << 64) - page)
    if argsz >= INFO.end_of("cap_offset"):
        expect.equal("cap_offset", info.cap_offset, INFO.sizeof() if argsz >= TOTAL else 0)
    if argsz >= INFO.sizeof():
        expect.equal("pad", call.data[INFO.end_of("cap_offset") : INFO.sizeof()], bytes(4))
    if argsz >= INFO.sizeof() + AVAIL.sizeof():
        first = AVAIL.unpack(call.data[INFO.sizeof() :])
        expect.equal("first capability", first.header.id, iommu.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL)
        expect.untouched(call, SECOND_AT if argsz < TOTAL else TOTAL)
    else:
        expect.untouched(call, min(argsz, INFO.sizeof()))


@checks(rules.INFO, rules.INFO_AVAIL, rules.INFO_RANGES)
@pytest.mark.parametrize("argsz", [TOTAL, TOTAL + 1, 4096, 0xFFFFFFFF], ids="argsz-{}".format)
def test_the_capabilities(compat: Iommufd, argsz: int, promised: Promised) -> None:
    """Two, one behind the other: no limit, and one range of all addresses."""
    call = expect.accepted(compat.try_get_iommu_info(argsz, size=ROOM))
    header = vfio.vfio_info_cap_header
    avail = AVAIL.unpack(call.data[INFO.sizeof() :])
    ids = (iommu.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, iommu.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
    heads = [header.unpack(call.data[at:]) for at in (INFO.sizeof(), SECOND_AT)]
    expect.equal("ids", tuple(h.id for h in heads), ids)
    expect.equal("versions", [h.version for h in heads], [1, 1])
    expect.equal("next", [h.next for h in heads], [SECOND_AT, 0])
    expect.equal("available", avail.avail, promised(rules.INFO_AVAIL))
    ranges = RANGE.unpack(call.data[SECOND_AT:])
    expect.equal("ranges", ranges.nr_iovas, 1)
    found = iommu.vfio_iova_range.unpack(call.data[SECOND_AT + RANGE.sizeof() :])
    expect.equal("range", (found.start, found.end), (0, (1 << 64) - 1))
    expect.untouched(call, TOTAL)


@checks(rules.INFO_ROOM)
def test_a_buffer_of_just_the_size(compat: Iommufd, memory: Memory) -> None:
    """At the very end of memory."""
    for argsz in (FIRST, INFO.sizeof(), SECOND_AT, TOTAL):
        expect.accepted(compat.try_get_iommu_info(argsz, size=argsz, at=memory.tail(argsz)))


@checks(rules.ADDRESS)
def test_a_bad_address(compat: Iommufd, memory: Memory, promised: Promised) -> None:
    """None, too short, only readable, and no room for what argsz claims."""
    request, errno = iommu.VFIO_IOMMU_GET_INFO, promised(rules.ADDRESS)
    expect.refused(compat.try_ioctl(request, 0), errno)
    expect.refused(compat.try_ioctl(request, memory.tail(FIRST - 1)), errno)
    short = compat.try_get_iommu_info(TOTAL, size=SECOND_AT, at=memory.tail(SECOND_AT))
    expect.equal(f"errno of {short}", short.errno, errno)
    for argsz in (FIRST, TOTAL):
        memory.write(0, argsz.to_bytes(4, "little"))
        memory.protect(PROT_READ)
        try:
            expect.refused(compat.try_ioctl(request, memory.at()), errno)
        finally:
            memory.protect(PROT_BOTH)
