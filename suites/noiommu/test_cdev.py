# SPDX-License-Identifier: MIT
"""The own file of a device without an IOMMU, and where an iommufd says its memory is."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd as abi
from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.cdev import Cdev, cdev_path
from vfiospec.device.edu import Edu
from vfiospec.device.files import Memory
from vfiospec.device.iommufd import EVERYTHING, Iommufd
from vfiospec.device.noiommu import physical, try_get_pa
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import ForkedPort, Port
from vfiospec.device.unbind import Unbinder
from vfiospec.lab.bench import BenchDevice
from vfiospec.lab.qemu import Vm
from vfiospec.rules import cdev as cdev_rules
from vfiospec.rules import noiommu as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Promised = Callable[[Rule], int]
IOVA = 0x40000000
AT_ONCE_MS = 10_000
pytestmark = devices("dma-stimulus")


@pytest.fixture
def space(cdev: Cdev, iommufd: Iommufd) -> int:
    """An address space the device is attached to."""
    cdev.bind(iommufd)
    ioas = iommufd.alloc_ioas()
    cdev.attach(ioas)
    return ioas


@checks(rules.CDEV_NAME)
@pytest.mark.usefixtures("bare")
def test_the_own_file(port: Port, spec: BenchDevice, promised: Promised) -> None:
    """It says what it leads to; kernels that cannot use it have none."""
    found = cdev_path(port, f"{SYSFS}/{spec.bdf}")
    if not promised(rules.CDEV_NAME):
        reply = port.do(o.Open(port.handle(), found or "", 2))
        expect.holds(not reply.ok, "no file to open", f"{found}")
        return
    name = (found or "none").rpartition("/")[2]
    expect.holds(name.startswith("noiommu-vfio"), "a name that begins noiommu-vfio", name)


@checks(rules.CDEV_CAPABILITY)
def test_the_own_file_takes_a_capability(
    own_file: str, port: Port, unprivileged: ForkedPort, promised: Promised
) -> None:
    """Refused to a process of root's that lacks it."""
    reply = unprivileged.do(o.Open(unprivileged.handle(), own_file, 2))
    call = Call("open without CAP_SYS_RAWIO", own_file, b"", reply)
    expect.refused(call, promised(rules.CDEV_CAPABILITY))
    Cdev.at(port, own_file).close()


@pytest.fixture
def unbinder(machine: Vm, port: Port, spec: BenchDevice) -> Iterator[Unbinder]:
    """Somebody who can take the device from vfio-pci; it is given back, if it was to be had."""
    del machine
    made = Unbinder(port, spec.bdf)
    yield made
    if made.done(AT_ONCE_MS):
        made.give_back()


@checks(rules.CDEV_CAPABILITY, cdev_rules.TAKEN_AWAY)
def test_a_refused_open_holds_nothing(
    own_file: str, unbinder: Unbinder, unprivileged: ForkedPort, promised: Promised
) -> None:
    """The driver lets go of the device afterwards."""
    for _ in range(2):
        reply = unprivileged.do(o.Open(unprivileged.handle(), own_file, 2))
        call = Call("open without CAP_SYS_RAWIO", own_file, b"", reply)
        expect.refused(call, promised(rules.CDEV_CAPABILITY))
    unbinder.start()
    expect.equal("gone from its driver", unbinder.done(AT_ONCE_MS), True)


@checks(rules.BIND, rules.HW_INFO)
def test_bound_and_attached(cdev: Cdev, iommufd: Iommufd, promised: Promised) -> None:
    """To an address space, to another, to a page table; the device answers all the while."""
    device = cdev.bind(iommufd)
    first, second = iommufd.alloc_ioas(), iommufd.alloc_ioas()
    made = cdev.attach(first)
    expect.holds(made != first, "a page table of its own", str(made))
    expect.holds(cdev.attach(second) != made, "another page table", str(made))
    expect.accepted(iommufd.try_destroy(first))
    cdev.attach(iommufd.alloc_page_table(device, second))
    expect.accepted(cdev.try_get_info())
    expect.refused(iommufd.try_get_hw_info(device), promised(rules.HW_INFO))
    cdev.detach()


@checks(rules.PA)
def test_where_memory_is(
    space: int, iommufd: Iommufd, four_pages: Memory, page: int, promised: Promised
) -> None:
    """Held against what /proc/self/pagemap says of the same pages."""
    del promised
    expect.accepted(iommufd.try_map_ioas(space, four_pages, IOVA, four_pages.size))
    pages = [physical(four_pages, offset) for offset in range(0, four_pages.size, page)]
    for start in (0, 8, page - 1, page, 2 * page + 100, four_pages.size - 1):
        for most in (1, page, EVERYTHING):
            call = expect.accepted(try_get_pa(iommufd, space, IOVA + start, most))
            got = call.unpack(abi.iommu_ioas_noiommu_get_pa)
            expect.equal(f"address at {start:#x}", got.out_phys, physical(four_pages, start))
            expect.equal(
                f"bytes from {start:#x}, of {most:#x}", got.length, run_of(pages, page, start, most)
            )


def run_of(pages: list[int], page: int, start: int, most: int) -> int:
    """Bytes from an offset on that lie one behind the other."""
    index = start // page
    length = page - start % page
    while index + 1 < len(pages) and pages[index + 1] == pages[index] + page:
        index, length = index + 1, length + page
    return min(length, most)


@checks(rules.PA, rules.DMA)
def test_what_it_says_is_good_for_dma(
    space: int, cdev: Cdev, iommufd: Iommufd, four_pages: Memory
) -> None:
    """The device writes to the address that was told."""
    expect.accepted(iommufd.try_map_ioas(space, four_pages, IOVA, four_pages.size))
    call = expect.accepted(try_get_pa(iommufd, space, IOVA + 256, 64))
    target = call.unpack(abi.iommu_ioas_noiommu_get_pa).out_phys
    edu = Edu(cdev)
    with edu.in_use():
        four_pages.write(0, b"\x11" * 64)
        source = expect.accepted(try_get_pa(iommufd, space, IOVA, 64))
        at = source.unpack(abi.iommu_ioas_noiommu_get_pa).out_phys
        expect.holds(edu.read_memory(at, 64), "the transfer ended", "it did not")
        expect.holds(edu.write_memory(target, 64), "the transfer ended", "it did not")
    expect.equal("memory", four_pages.read(256, 64), b"\x11" * 64)


@checks(rules.PA_CAPABILITY)
def test_the_answer_takes_a_capability(
    space: int,
    iommufd: Iommufd,
    four_pages: Memory,
    unprivileged: ForkedPort,
    promised: Promised,
) -> None:
    """Before anything else is looked at."""
    expect.accepted(iommufd.try_map_ioas(space, four_pages, IOVA, four_pages.size))
    theirs = Iommufd(unprivileged, iommufd.handle)
    for length in (1, 0):
        call = try_get_pa(theirs, space, IOVA, length)
        expect.refused(call, promised(rules.PA_CAPABILITY))


@checks(rules.PA_RESERVED, rules.PA_LENGTH, rules.PA_OVERFLOW, rules.PA_UNMAPPED)
def test_what_is_refused(
    space: int, iommufd: Iommufd, four_pages: Memory, promised: Promised
) -> None:
    """One thing wrong at a time, beside a call that succeeds."""
    expect.accepted(iommufd.try_map_ioas(space, four_pages, IOVA, four_pages.size))
    expect.accepted(try_get_pa(iommufd, space, IOVA, 1))
    for bit in range(32):
        reserved = promised(rules.PA_RESERVED)
        expect.refused(try_get_pa(iommufd, space, IOVA, 1, flags=1 << bit), reserved)
        expect.refused(try_get_pa(iommufd, space, IOVA, 1, reserved=1 << bit), reserved)
    expect.refused(try_get_pa(iommufd, space, IOVA, 0), promised(rules.PA_LENGTH))
    expect.refused(try_get_pa(iommufd, space, EVERYTHING, 1), promised(rules.PA_OVERFLOW))
    unmapped = promised(rules.PA_UNMAPPED)
    for iova in (0, IOVA - 1, IOVA + four_pages.size, EVERYTHING - 1):
        expect.refused(try_get_pa(iommufd, space, iova, 1), unmapped)
    expect.refused(try_get_pa(iommufd, 0x7FFF, IOVA, 1), unmapped)


@checks(rules.PA_DEVICE)
def test_without_a_device(
    space: int, iommufd: Iommufd, cdev: Cdev, four_pages: Memory, promised: Promised
) -> None:
    """In an address space that has none, and once it is detached."""
    alone = iommufd.alloc_ioas()
    for ioas in (alone, space):
        expect.accepted(iommufd.try_map_ioas(ioas, four_pages, IOVA, four_pages.size))
    expect.accepted(try_get_pa(iommufd, space, IOVA, 1))
    expect.refused(try_get_pa(iommufd, alone, IOVA, 1), promised(rules.PA_DEVICE))
    cdev.detach()
    expect.refused(try_get_pa(iommufd, space, IOVA, 1), promised(rules.PA_DEVICE))
