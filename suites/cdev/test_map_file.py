# SPDX-License-Identifier: MIT
"""A memfd in an address space of iommufd: what of it a device reaches, and who pays for it."""

from collections.abc import Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd as abi
from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.cdev import Bound
from vfiospec.device.edu import Edu
from vfiospec.device.files import File, Memory
from vfiospec.device.iommufd import Iommufd, pinned_bytes
from vfiospec.device.port import Port
from vfiospec.device.privileges import CAP_IPC_LOCK, CAP_SYS_RAWIO, without
from vfiospec.rules import iommufd as rules
from vfiospec.session.marks import checks, devices

IOVA, SIZE = 0x100000, 64
MAP_FILE, CHANGE_PROCESS = (6, 13), (6, 14)
pytestmark = devices("dma-stimulus")


@pytest.fixture
def shared(port: Port, page: int, kernel: tuple[int, int]) -> Iterator[Memory]:
    """Four pages of a memfd."""
    if kernel < MAP_FILE:
        pytest.skip("needs a kernel with IOMMU_IOAS_MAP_FILE, 6.13 or later")
    with Memory(port, 4 * page, kind=o.MemoryKind.MEMFD) as made:
        yield made


@pytest.fixture
def memfd(shared: Memory) -> Iterator[File]:
    """Its file, by the mapping there is of it."""
    start, end = shared.address, shared.address + shared.size
    with File.open(shared.port, f"/proc/self/map_files/{start:x}-{end:x}") as opened:
        yield opened


@checks(rules.MAP_FILE)
@pytest.mark.parametrize("first", range(4), ids="page-{}".format)
def test_where_it_starts(
    bound: Bound, edu: Edu, memfd: File, shared: Memory, page: int, first: int
) -> None:
    """The page that is asked for is read and written, and no other."""
    pages = [bytes([n + 1]) * page for n in range(4)]
    shared.write(0, b"".join(pages))
    expect.accepted(bound.iommufd.try_map_file(bound.ioas, memfd, IOVA, page, first * page))
    bound.cdev.attach(bound.ioas)
    expect.equal("DMA ended", edu.read_memory(IOVA, SIZE), True)
    shared.write(first * page, bytes(SIZE))
    expect.equal("DMA ended", edu.write_memory(IOVA, SIZE), True)
    for number, content in enumerate(pages):
        expect.equal(f"page {number}", shared.read(number * page, page), content)


def change_process(iommufd: Iommufd) -> Call:
    """IOMMU_IOAS_CHANGE_PROCESS."""
    return iommufd.try_call(abi.IOMMU_IOAS_CHANGE_PROCESS, abi.iommu_ioas_change_process())


@checks(rules.CHANGE_CHARGED)
@pytest.mark.parametrize(
    "lacks", [CAP_IPC_LOCK, CAP_SYS_RAWIO], ids=["within-a-limit", "without-a-limit"]
)
def test_who_pays(
    bound: Bound, memfd: File, shared: Memory, port: Port, kernel: tuple[int, int], lacks: int
) -> None:
    """The process that mapped it until another asks for it, and the last one that did, alone."""
    if kernel < CHANGE_PROCESS:
        pytest.skip("needs a kernel with IOMMU_IOAS_CHANGE_PROCESS, 6.14 or later")
    before, size = pinned_bytes(port), shared.size
    with without(port, lacks) as process:
        here, there = bound.iommufd, Iommufd(process, bound.iommufd.handle)

        def pinned() -> tuple[int, int]:
            return pinned_bytes(port) - before, pinned_bytes(process)

        expect.accepted(there.try_map_file(bound.ioas, memfd, IOVA, size))
        bound.cdev.attach(bound.ioas)
        seen = [pinned()]
        # The last is the one that mapped it: what a kernel does not count would be taken off here.
        for asks in (there, here, here, there):
            expect.accepted(change_process(asks))
            seen.append(pinned())
        bound.cdev.detach()
        seen.append(pinned())
    mine, theirs = (size, 0), (0, size)
    expect.equal("pinned here and there", seen, [theirs, theirs, mine, mine, theirs, (0, 0)])
