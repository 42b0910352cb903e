# SPDX-License-Identifier: MIT
"""DMA_BUF: slices of a BAR as a file of their own."""

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from resource import RLIMIT_NOFILE

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.access import Attach
from vfiospec.device.device import Device
from vfiospec.device.dmabuf import HEAD, request_of, try_get
from vfiospec.device.files import File, Memory
from vfiospec.device.ops import Fork, Rlimit, Syscall, Wait
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import ForkedPort
from vfiospec.device.scratch import decode_memory
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import feature_dmabuf as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Promised = Callable[[Rule], int]
DRIVER = "/sys/bus/pci/drivers/vfio-pci"
USERS = "/sys/module/vfio_pci_core/refcnt"


def size_of(file: File) -> int:
    """Bytes of a dma-buf."""
    reply = file.port.do(Syscall("lseek", (file.fixup(), 0, os.SEEK_END)))
    return reply.ret


@pytest.fixture
def giver(has_dmabuf: bool, device: Device) -> Iterator[Device]:  # noqa: FBT001 -- a fixture
    """A device that decodes memory, on a kernel that has the feature."""
    if not has_dmabuf:
        pytest.skip("the kernel has no DMA_BUF: needs 7.2 or newer with CONFIG_VFIO_PCI_DMABUF")
    before = decode_memory(device)
    yield device
    device.write_config(4, 2, before)


@checks(rules.GET, rules.RANGE)
def test_its_size(giver: Device, pci: PciDevice, paged_bar: int, page: int) -> None:
    """All of a BAR, its last page, several slices in any order, one of them twice."""
    size = pci.bars[paged_bar].size
    last = size - page
    for slices in (
        [(0, size)], [(last, page)], [(0, page)], [(0, page), (last, page)],
        [(last, page), (0, page), (last, page)],
    ):  # fmt: skip
        call, file = try_get(giver, request_of(paged_bar, slices))
        expect.holds(file is not None, "a file", str(call))
        if file:
            with file:
                expect.equal("size", size_of(file), sum(length for _, length in slices))
        expect.untouched(call, 0)


@checks(rules.OPEN_FLAGS)
def test_open_flags(giver: Device, paged_bar: int, page: int) -> None:
    """Reading, writing and close on exec as asked for; what is no flag is not refused."""
    for flags, close_on_exec in (
        (os.O_RDWR, 0), (os.O_RDWR | os.O_CLOEXEC, fcntl.FD_CLOEXEC), (os.O_RDONLY, 0),
        (os.O_WRONLY, 0), (0xFFFFFFFF, fcntl.FD_CLOEXEC),
    ):  # fmt: skip
        call, file = try_get(giver, request_of(paged_bar, [(0, page)], open_flags=flags))
        expect.holds(file is not None, "a file", str(call))
        if file:
            with file:
                got = giver.port.do(Syscall("fcntl", (file.fixup(), fcntl.F_GETFD, 0)))
                expect.equal(f"descriptor flags for {flags:#x}", got.ret, close_on_exec)
                got = giver.port.do(Syscall("fcntl", (file.fixup(), fcntl.F_GETFL, 0)))
                mode = got.ret & os.O_ACCMODE
                expect.equal(f"access mode for {flags:#x}", mode, flags & os.O_ACCMODE)


@checks(rules.FLAGS)
def test_any_flag(giver: Device, paged_bar: int, page: int, promised: Promised) -> None:
    """Each bit."""
    for bit in range(32):
        call, _ = try_get(giver, request_of(paged_bar, [(0, page)], flags=1 << bit))
        expect.refused(call, promised(rules.FLAGS))


@checks(rules.NO_RANGE, rules.TOO_MANY)
def test_how_many(giver: Device, paged_bar: int, page: int, promised: Promised) -> None:
    """None, also for a region that is not there; and more than there can be."""
    for region in (paged_bar, 9):
        call, _ = try_get(giver, request_of(region, [], many=0))
        expect.refused(call, promised(rules.NO_RANGE))
    call, _ = try_get(giver, request_of(paged_bar, [(0, page)], many=0xFFFFFFFF))
    expect.refused(call, promised(rules.TOO_MANY))


@checks(rules.REGION)
def test_regions(giver: Device, pci: PciDevice, page: int, promised: Promised) -> None:
    """ROM, configuration space, what is none, and BARs that are not there."""
    absent = [i for i, bar in enumerate(pci.bars[:6]) if not bar.size]
    for region in (*absent, 6, 7, 8, 9, 0x80000000, 0xFFFFFFFF):
        call, _ = try_get(giver, request_of(region, [(0, page)]))
        expect.refused(call, promised(rules.REGION))


@checks(rules.IO_BAR)
@devices("io-bar")
def test_io_ports(giver: Device, pci: PciDevice, page: int, promised: Promised) -> None:
    """They are no memory."""
    for region in (i for i, bar in enumerate(pci.bars[:6]) if bar.is_io):
        call, _ = try_get(giver, request_of(region, [(0, page)]))
        expect.refused(call, promised(rules.IO_BAR))


@checks(rules.ALIGNED)
def test_pages(giver: Device, paged_bar: int, page: int, promised: Promised) -> None:
    """Offset and length, of the first slice or the second."""
    for wrong in ((0, 0), (0, page - 1), (0, page + 1), (1, page), (page // 2, page), (0, 8)):
        for slices in ([wrong], [(0, page), wrong]):
            call, _ = try_get(giver, request_of(paged_bar, slices))
            expect.refused(call, promised(rules.ALIGNED))


@checks(rules.RANGE)
def test_beyond_the_end(giver: Device, pci: PciDevice, page: int, promised: Promised) -> None:
    """A page too far, of each memory BAR: also of one that is less than a page."""
    for region, bar in enumerate(pci.bars[:6]):
        if not bar.is_memory or not bar.size:
            continue
        pages = bar.size // page * page
        for wrong in ((pages, page), (0, pages + page), (pages + page, page), (1 << 40, page)):
            call, _ = try_get(giver, request_of(region, [wrong]))
            expect.refused(call, promised(rules.RANGE))
            if pages:
                call, _ = try_get(giver, request_of(region, [(0, page), wrong]))
                expect.refused(call, promised(rules.RANGE))


@checks(rules.OVERFLOW, rules.TOTAL)
def test_overflow(giver: Device, pci: PciDevice, page: int, promised: Promised) -> None:
    """Of the slice's begin, of its end, and of all slices together."""
    region = next((i for i, b in enumerate(pci.bars[:6]) if b.is_memory and b.size >= page), None)
    if region is None:
        pytest.skip("the device has no memory BAR of a page or more")
    start = pci.bars[region].start
    end = 1 << 64
    for wrong in ((end - page, page), (end - start, page), (end - start - page, 2 * page)):
        call, _ = try_get(giver, request_of(region, [wrong]))
        expect.refused(call, promised(rules.OVERFLOW))
    half = 1 << 63
    call, _ = try_get(giver, request_of(region, [(0, half), (0, half)]))
    expect.refused(call, promised(rules.TOTAL))
    call, _ = try_get(giver, request_of(region, [(0, half)]))
    expect.refused(call, promised(rules.TOTAL))


@checks(rules.BAD_ADDRESS)
def test_a_bad_address(
    giver: Device, paged_bar: int, page: int, memory: Memory, promised: Promised
) -> None:
    """The request, or a slice, ends where memory does."""
    request = request_of(paged_bar, [(0, page), (0, page)])
    for there in (HEAD - 1, HEAD, HEAD + 16, len(request) - 1):
        at = memory.tail(there)
        call = giver.try_ioctl(feature.VFIO_DEVICE_FEATURE, request[:there], at=at)
        expect.refused(call, promised(rules.BAD_ADDRESS))


@checks(rules.MEMORY_OFF)
def test_memory_is_off(giver: Device, paged_bar: int, page: int) -> None:
    """It is made all the same."""
    decode_memory(giver, on=False)
    call, file = try_get(giver, request_of(paged_bar, [(0, page)]))
    expect.holds(file is not None, "a file", str(call))
    decode_memory(giver)
    if file:
        expect.equal("size", size_of(file), page)
        file.close()


@checks(rules.NO_NUMBER)
@pytest.mark.usefixtures("machine")  # elsewhere others may use the module
def test_no_file_left(
    giver: Device, paged_bar: int, page: int, sysfs: PortSysfs, promised: Promised
) -> None:
    """Nor one that lingers; with the limit lifted it is made."""
    if not sysfs.exists(USERS):
        pytest.skip("vfio-pci-core is built in: needs a kernel with CONFIG_VFIO_PCI_CORE=m")
    before, process = sysfs.read(USERS), giver.port.handle()
    giver.port.do(Fork(process))  # the limit must not outlive the test in this process
    theirs = Device(ForkedPort(giver.port, process), giver.handle)
    try:
        assert theirs.port.do(Rlimit(RLIMIT_NOFILE, 0, 4096)).ok
        for _ in range(2):
            call, _ = try_get(theirs, request_of(paged_bar, [(0, page)]))
            expect.refused(call, promised(rules.NO_NUMBER))
            expect.equal("users of the module", sysfs.read(USERS), before)
        assert theirs.port.do(Rlimit(RLIMIT_NOFILE, 1024, 4096)).ok
        call, file = try_get(theirs, request_of(paged_bar, [(0, page)]))
        expect.holds(file is not None, "a file", str(call))
        if file:
            file.close()
    finally:
        giver.port.do(Wait(process, signal.SIGKILL))
    expect.equal("users of the module", sysfs.read(USERS), before)


@checks(rules.OUTLIVES)
@devices("irq-stimulus", "dma-stimulus")
@pytest.mark.parametrize("first", ["device", "file"])
def test_either_closed_first(
    dmabuf_built: bool | None,  # noqa: FBT001 -- a fixture
    attach: Attach,
    spec: BenchDevice,
    sysfs: PortSysfs,
    page: int,
    first: str,
) -> None:
    """The file lives on without the device; the driver lets go of the device with it open."""
    if not dmabuf_built:
        pytest.skip("needs a kernel known to be built with CONFIG_VFIO_PCI_DMABUF")
    group = attach()
    device = group.open(spec.bdf)
    call, file = try_get(device, request_of(0, [(0, page)]))
    expect.holds(file is not None, "a file", str(call))
    if file and first == "file":
        file.close()
    device.close()
    group.close()
    sysfs.write(f"{DRIVER}/unbind", spec.bdf)
    if file and first == "device":
        expect.equal("size", size_of(file), page)
        file.close()
    sysfs.write(f"{DRIVER}/bind", spec.bdf)
