# SPDX-License-Identifier: MIT
"""Reserved fields, each of whose bits must be 0, and mmap of an iommufd."""

import mmap as m
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd as abi
from vfiospec.abi.base import AbiStruct
from vfiospec.device.files import Mapping, Memory
from vfiospec.device.iommufd import WRITE_READ_FIXED, Iommufd
from vfiospec.rules import iommufd as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
IOVA = 0x100000
FIELD = "__reserved"
GET = abi.IOMMU_OPTION_OP_GET


@dataclass(frozen=True)
class Asked:
    """An ioctl, its argument for an address space, and which field of it is the memory's."""

    request: int
    argument: Callable[[int], AbiStruct]
    address: str = ""
    since: tuple[int, int] = (6, 2)


ASKED = {
    "map": Asked(
        abi.IOMMU_IOAS_MAP,
        lambda ioas: abi.iommu_ioas_map(
            flags=WRITE_READ_FIXED, ioas_id=ioas, length=4096, iova=IOVA
        ),
        "user_va",
    ),
    "ranges": Asked(
        abi.IOMMU_IOAS_IOVA_RANGES,
        lambda ioas: abi.iommu_ioas_iova_ranges(ioas_id=ioas, num_iovas=1),
        "allowed_iovas",
    ),
    "allow": Asked(
        abi.IOMMU_IOAS_ALLOW_IOVAS,
        lambda ioas: abi.iommu_ioas_allow_iovas(ioas_id=ioas),
        "allowed_iovas",
    ),
    "large-pages": Asked(
        abi.IOMMU_OPTION,
        lambda ioas: abi.iommu_option(
            option_id=abi.IOMMU_OPTION_HUGE_PAGES, op=GET, object_id=ioas
        ),
    ),
    "limit": Asked(
        abi.IOMMU_OPTION,
        lambda _: abi.iommu_option(option_id=abi.IOMMU_OPTION_RLIMIT_MODE, op=GET),
    ),
    "change-process": Asked(
        abi.IOMMU_IOAS_CHANGE_PROCESS, lambda _: abi.iommu_ioas_change_process(), since=(6, 14)
    ),
}


@checks(rules.RESERVED)
@pytest.mark.parametrize("name", ASKED)
def test_a_reserved_field(
    iommufd: Iommufd, memory: Memory, name: str, kernel: tuple[int, int], promised: Promised
) -> None:
    """Refused, whichever bit is set; with none the same is accepted."""
    asked = ASKED[name]
    if kernel < asked.since:
        pytest.skip("the kernel has no such ioctl: needs {}.{}".format(*asked.since))
    argument = asked.argument(iommufd.alloc_ioas())
    at = type(argument).offset_of(asked.address) if asked.address else 0
    fixups = (memory.fixup(at),) if asked.address else ()
    width = type(argument).end_of(FIELD) - type(argument).offset_of(FIELD)
    for bit in range(8 * width):
        setattr(argument, FIELD, 1 << bit)
        call = iommufd.try_call(asked.request, argument, fixups=fixups)
        expect.refused(call, promised(rules.RESERVED))
    setattr(argument, FIELD, 0)
    expect.accepted(iommufd.try_call(asked.request, argument, fixups=fixups))


@checks(rules.MMAP)
@pytest.mark.parametrize("prot", [0, m.PROT_READ, m.PROT_READ | m.PROT_WRITE], ids="prot-{}".format)
def test_there_is_nothing_to_map(
    iommufd: Iommufd, page: int, prot: int, promised: Promised
) -> None:
    """At any offset, and with an address space there too."""
    for _ in range(2):
        for offset in (0, page, 1 << 32, 1 << 43):
            reply, mapping = Mapping.of(iommufd, page, prot=prot, flags=m.MAP_SHARED, offset=offset)
            if mapping is not None:
                mapping.unmap()
            expect.equal(f"errno of mmap at {offset:#x}", reply.errno, promised(rules.MMAP))
        iommufd.alloc_ioas()
