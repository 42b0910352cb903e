# SPDX-License-Identifier: MIT
"""Displays: planes in a region, planes in a dma-buf, and the memory behind them."""

import mmap
import os
from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import pci, vfio
from vfiospec.device.call import UNTOUCHED, Call, checked
from vfiospec.device.device import Device
from vfiospec.device.files import File
from vfiospec.device.iommufd import IOMMUFD_PATH, Iommufd
from vfiospec.device.mdev import Mdev
from vfiospec.device.ops import Syscall
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import cdev as cdev_rules
from vfiospec.rules import feature_dmabuf
from vfiospec.rules import mdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
Make = Callable[[str], Mdev]
Opened = Callable[[Mdev], Device]
PLANE = vfio.vfio_device_gfx_plane_info
MIN = PLANE.end_of("region_index")
PROBE, DMABUF = vfio.VFIO_GFX_PLANE_TYPE_PROBE, vfio.VFIO_GFX_PLANE_TYPE_DMABUF
REGION = vfio.VFIO_GFX_PLANE_TYPE_REGION
BAR0 = vfio.VFIO_PCI_BAR0_REGION_INDEX
IOVA = 0x100000
OVERLAY, PRIMARY, CURSOR = 0, 1, 2  # include/uapi/drm, DRM_PLANE_TYPE_*
XRGB8888 = int.from_bytes(b"XR24", "little")
# mbochs: registers of the mode, from the start of its region of registers
XRES, YRES, BPP, ENABLE, X_OFFSET, Y_OFFSET = 0x502, 0x504, 0x506, 0x508, 0x510, 0x512

each_screen = pytest.mark.parametrize(
    ("name", "width", "height"),
    [("mdpy-vga", 640, 480), ("mdpy-xga", 1024, 768), ("mdpy-hd", 1920, 1080)],
)


def query(device: Device, flags: int, plane: int = PRIMARY, argsz: int = PLANE.sizeof()) -> Call:
    """VFIO_DEVICE_QUERY_GFX_PLANE, with garbage where the kernel has to answer."""
    head = PLANE(argsz, flags, plane).pack()[: PLANE.end_of("drm_plane_type")]
    data = head + bytes([UNTOUCHED]) * (PLANE.sizeof() - len(head) + 32)
    what = f"argsz={argsz}, flags={flags:#x}"
    return device.try_ioctl(vfio.VFIO_DEVICE_QUERY_GFX_PLANE, data, what=what, argsz=argsz)


def dmabuf(device: Device, number: int) -> tuple[Call, File]:
    """VFIO_DEVICE_GET_GFX_DMABUF."""
    handle = device.port.handle()
    data = number.to_bytes(4, "little")
    call = device.try_ioctl(vfio.VFIO_DEVICE_GET_GFX_DMABUF, data, what=f"id={number}", out=handle)
    return call, File(device.port, handle)


def show(device: Device, width: int, height: int, line: int = 0) -> None:
    """Have mbochs show a picture, from a line of its memory on."""
    registers = device.region(vfio.VFIO_PCI_BAR2_REGION_INDEX)
    for register, value in (
        (XRES, width), (YRES, height), (BPP, 32), (Y_OFFSET, line), (ENABLE, 1),
    ):  # fmt: skip
        registers.write(register, 2, value)


@checks(rules.GFX_PROBE)
@pytest.mark.parametrize(("which", "own"), [("screen", REGION), ("bochs", DMABUF)])
def test_flags(request: pytest.FixtureRequest, which: str, own: int, promised: Promised) -> None:
    """The one kind there is can be probed and asked for; nothing else."""
    device: Device = request.getfixturevalue(which)
    for flags in (*range(16), 1 << 31 | own, 1 << 31 | own | PROBE):
        call = query(device, flags)
        if flags == own | PROBE:
            got = expect.accepted(call).unpack(PLANE)
            expect.equal("argsz and flags", (got.argsz, got.flags), (PLANE.sizeof(), flags))
        elif flags == own:
            expect.accepted(call)
        else:
            expect.refused(call, promised(rules.GFX_PROBE))


@checks(rules.GFX_ARGSZ)
@pytest.mark.parametrize(("which", "own"), [("screen", REGION), ("bochs", DMABUF)])
def test_argsz(request: pytest.FixtureRequest, which: str, own: int, promised: Promised) -> None:
    """Up to the region's index it is needed, and nothing is written beyond."""
    device: Device = request.getfixturevalue(which)
    for argsz in (0, 12, MIN - 1):
        expect.refused(query(device, own, argsz=argsz), promised(rules.GFX_ARGSZ))
    for argsz in (MIN, PLANE.sizeof(), 4096):
        call = expect.accepted(query(device, own, argsz=argsz))
        expect.untouched(call, MIN)
        expect.equal("argsz", call.unpack(PLANE).argsz, argsz)


@checks(rules.GFX_REGION)
@each_screen
def test_a_plane_in_a_region(
    make: Make, opened: Opened, name: str, width: int, height: int
) -> None:
    """Its size and format, and a region with as many bytes."""
    device = opened(make(name))
    call = expect.accepted(query(device, REGION))
    plane = call.unpack(PLANE)
    region = device.get_region_info(plane.region_index).struct
    expected = PLANE(PLANE.sizeof(), REGION, PRIMARY, XRGB8888, 0, width, height, 4 * width)
    expected.size, expected.region_index = region.size, plane.region_index
    expect.equal("plane", call.data[:MIN].hex(" "), expected.pack()[:MIN].hex(" "))
    expect.holds(plane.size >= plane.stride * height, "room for all lines", repr(plane))
    expect.equal("offset", region.offset, device.get_region_info(BAR0).struct.offset)


@checks(rules.GFX_CONFIG)
@each_screen
def test_a_plane_in_config_space(
    make: Make, opened: Opened, name: str, width: int, height: int
) -> None:
    """The capability, its size, and the same format, width and height."""
    device = opened(make(name))
    at = device.read_config(pci.PCI_CAPABILITY_LIST, 1)
    head = device.read_config(at, 2) & 0xFF, device.read_config(at + 2, 1)
    expect.equal("id and size of the capability", head, (pci.PCI_CAP_ID_VNDR, 16))
    told = [device.read_config(at + place, 4) for place in (4, 8, 12)]
    expect.equal("format, width and height", told, [XRGB8888, width, height])


@checks(rules.GFX_OFF)
@pytest.mark.parametrize("plane", [OVERLAY, PRIMARY, CURSOR], ids="plane-{}".format)
def test_a_plane_that_is_off(bochs: Device, plane: int) -> None:
    """All that it would have is 0."""
    if plane != PRIMARY:
        show(bochs, 640, 480)
    call = expect.accepted(query(bochs, DMABUF, plane))
    expected = PLANE(PLANE.sizeof(), DMABUF, plane)
    expect.equal("plane", call.data[:MIN].hex(" "), expected.pack()[:MIN].hex(" "))


@checks(rules.GFX_OFF, rules.GFX_FITS)
@pytest.mark.parametrize(
    ("register", "good", "bad"),
    [(XRES, 64, 63), (YRES, 64, 63), (BPP, 32, 24), (ENABLE, 1, 0)],
    ids=["width", "height", "depth", "off"],
)
def test_a_plane_that_cannot_be(bochs: Device, register: int, good: int, bad: int) -> None:
    """Too small, or of a depth there is not; there again once that is mended."""
    registers = bochs.region(vfio.VFIO_PCI_BAR2_REGION_INDEX)
    show(bochs, 640, 480)
    off = PLANE(PLANE.sizeof(), DMABUF, PRIMARY).pack()[:MIN].hex(" ")
    for value, shown in ((good, True), (bad, False), (good, True)):
        registers.write(register, 2, value)
        query(bochs, DMABUF)
        call = expect.accepted(query(bochs, DMABUF))
        expect.equal(f"a plane with {value}", call.data[:MIN].hex(" ") != off, shown)


@checks(rules.GFX_OFF, rules.GFX_FITS)
def test_a_plane_that_does_not_fit(bochs: Device) -> None:
    """Up to the last line of its memory, and not beyond, by lines or by pixels of one."""
    width, height = 800, 600
    stride, room = 4 * width, bochs.get_region_info(BAR0).struct.size
    last = room // stride - height
    registers = bochs.region(vfio.VFIO_PCI_BAR2_REGION_INDEX)
    pixels = (room - (last + height) * stride) // 4
    for line, across, shown in (
        (last, 0, True), (last, pixels, True), (last, pixels + 1, False), (last + 1, 0, False),
        (0, 0, True),
    ):  # fmt: skip
        registers.write(X_OFFSET, 2, across)
        show(bochs, width, height, line)
        query(bochs, DMABUF)
        plane = expect.accepted(query(bochs, DMABUF)).unpack(PLANE)
        wanted = (width, height, stride * height) if shown else (0, 0, 0)
        expect.equal(f"from line {line}", (plane.width, plane.height, plane.size), wanted)


@checks(rules.GFX_DMABUF)
def test_a_plane_that_was_just_turned_on(bochs: Device) -> None:
    """Asked for the first time, it is there."""
    show(bochs, 640, 480)
    expect.accepted(query(bochs, DMABUF))


@checks(rules.GFX_DMABUF)
def test_a_plane_in_a_dmabuf(bochs: Device, promised: Promised) -> None:
    """Its size, an id that stays, another for another mode; and a dma-buf of that size."""
    ids = []
    for width, height in ((640, 480), (320, 200), (640, 480)):
        show(bochs, width, height)
        query(bochs, DMABUF)
        plane = expect.accepted(query(bochs, DMABUF)).unpack(PLANE)
        got = (plane.width, plane.height, plane.stride, plane.size, plane.drm_format)
        size = width * height * 4
        expect.equal("plane", got, (width, height, width * 4, size, XRGB8888))
        ids.append(plane.dmabuf_id)
    expect.equal("ids of one mode", ids[0], ids[2])
    expect.holds(ids[0] != ids[1], "another id for another mode", str(ids))
    for number in (0, max(ids) + 1, 0xFFFFFFFF):
        expect.refused(dmabuf(bochs, number)[0], promised(rules.GFX_DMABUF))
    call, file = dmabuf(bochs, ids[0])
    with file:
        expect.holds(checked(call).ret >= 0, "a file", str(call))
        end = bochs.port.do(Syscall("lseek", (file.fixup(), 0, os.SEEK_END)))
        expect.equal("bytes of the dma-buf", end.ret, 640 * 480 * 4)


@checks(cdev_rules.DMA_BUF_FOREIGN)
def test_its_dmabuf_is_no_bar(
    bochs: Device, sysfs: PortSysfs, page: int, promised: Promised
) -> None:
    """Iommufd maps none of it, neither a page nor all."""
    if promised(feature_dmabuf.PRESENT):
        pytest.skip("dma-bufs were not for iommufd before 7.2")
    if not sysfs.exists(IOMMUFD_PATH):
        pytest.skip("needs a kernel with CONFIG_IOMMUFD")
    show(bochs, 640, 480)
    query(bochs, DMABUF)
    plane = expect.accepted(query(bochs, DMABUF)).unpack(PLANE)
    call, file = dmabuf(bochs, plane.dmabuf_id)
    expect.holds(call.ok, "a dma-buf", str(call))
    with file, Iommufd.create(bochs.port) as iommufd:
        ioas = iommufd.alloc_ioas()
        for size in (page, plane.size):
            call = iommufd.try_map_file(ioas, file, IOVA, size)
            expect.refused(call, promised(cdev_rules.DMA_BUF_FOREIGN))


@checks(rules.GFX_ABSENT)
def test_a_device_without_display(serial: Device, screen: Device, promised: Promised) -> None:
    """Mtty knows neither call, and mdpy no dma-buf."""
    for flags in (PROBE | REGION, REGION, DMABUF, 0):
        expect.refused(query(serial, flags), promised(rules.GFX_ABSENT))
    for device in (serial, screen):
        call = device.try_ioctl(vfio.VFIO_DEVICE_GET_GFX_DMABUF, bytes(4))
        expect.refused(call, promised(rules.GFX_ABSENT))


@checks(rules.MAPPED)
def test_its_memory_mapped(screen: Device, page: int, promised: Promised) -> None:
    """A gradient after a reset; all of it, or its start, shared."""
    region = screen.region(BAR0)
    size = int(region.info.size)
    expect.accepted(screen.try_reset())
    with region.map() as mapped:
        expect.equal("last line", mapped.load(479 * 2560, 1).value, 479 * 255 // 480)
        mapped.store(240 * 2560, 4, 0)
        expect.accepted(screen.try_reset())
        expect.equal("middle line", mapped.load(240 * 2560, 1).value, 240 * 255 // 480)
    region.map(page).unmap()
    for length, offset, flags in (
        (size + page, 0, mmap.MAP_SHARED), (page, page, mmap.MAP_SHARED),
        (page, -page, mmap.MAP_SHARED), (page, 0, mmap.MAP_PRIVATE),
    ):  # fmt: skip
        call, mapped_too = region.try_map(length, offset=offset, flags=flags)
        expect.holds(mapped_too is None, "no mapping", str(call))
        expect.equal(f"errno of {call}", call.errno, promised(rules.MAPPED))


@checks(rules.SAME_MEMORY)
@pytest.mark.parametrize("which", ["screen", "bochs"])
def test_memory_read_as_it_is_mapped(request: pytest.FixtureRequest, which: str) -> None:
    """The same bytes by a load and by a read, at the start and further on."""
    device: Device = request.getfixturevalue(which)
    region = device.region(BAR0)
    with region.map() as mapped:
        for offset in (0, 16, 0x20000):
            mapped.store(offset, 4, 0x600D0000 + offset)
        for offset in (0, 16, 0x20000):
            got = region.read(offset, 4)
            expect.equal(f"word at {offset:#x} as it is read", got, 0x600D0000 + offset)
