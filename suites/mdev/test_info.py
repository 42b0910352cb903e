# SPDX-License-Identifier: MIT
"""What the samples say of themselves: the device, its regions, by its group and by its own file."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.call import UNTOUCHED
from vfiospec.device.cdev import Cdev, cdev_path
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.info import INFO_CALLS, snapshot
from vfiospec.device.iommufd import IOMMUFD_PATH, Iommufd
from vfiospec.device.mdev import Mdev
from vfiospec.device.port import Port
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import mdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
Make = Callable[[str], Mdev]
Opened = Callable[[Mdev], Device]
RW = vfio.VFIO_REGION_INFO_FLAG_READ | vfio.VFIO_REGION_INFO_FLAG_WRITE
RWM = RW | vfio.VFIO_REGION_INFO_FLAG_MMAP
CAPS = vfio.VFIO_REGION_INFO_FLAG_CAPS
CONFIG, UART, MIB = 255, 8, 1 << 20  # bytes of regions
EDID = vfio.VFIO_PCI_NUM_REGIONS
MIN = vfio.REGION_INFO_MIN
CAP = vfio.vfio_region_info_cap_type.sizeof()
REGIONS = {  # (flags, size) of each region
    "mtty-1": [(RW, UART), *[(RW, 0)] * 6, (RW, CONFIG), (RW, 0)],
    "mtty-2": [(RW, UART)] * 2 + [*[(RW, 0)] * 5, (RW, CONFIG), (RW, 0)],
    "mdpy-vga": [(RWM, 2 * MIB), *[(0, 0)] * 6, (RW, CONFIG), (0, 0)],
    "mdpy-xga": [(RWM, 4 * MIB), *[(0, 0)] * 6, (RW, CONFIG), (0, 0)],
    "mbochs-small": [
        (RWM, 4 * MIB), (0, 0), (RW, 4096), *[(0, 0)] * 4, (RW, CONFIG), (0, 0), (RW | CAPS, 4096),
    ],
}  # fmt: skip
each_type = pytest.mark.parametrize("name", REGIONS)


@checks(rules.INFO)
@each_type
def test_the_device(make: Make, opened: Opened, name: str) -> None:
    """A PCI device, without a reset flag; nothing behind num_irqs is written."""
    call = opened(make(name)).try_get_info()
    expected = vfio.vfio_device_info(
        vfio.vfio_device_info.sizeof(),
        vfio.VFIO_DEVICE_FLAGS_PCI,
        len(REGIONS[name]),
        vfio.VFIO_PCI_NUM_IRQS,
    )
    got = expect.accepted(call).data[: vfio.DEVICE_INFO_MIN]
    expect.equal("info", got.hex(" "), expected.pack()[: vfio.DEVICE_INFO_MIN].hex(" "))
    expect.untouched(call, vfio.DEVICE_INFO_MIN)


@checks(rules.REGIONS, rules.NO_REGION)
@each_type
def test_the_regions(make: Make, opened: Opened, name: str, promised: Promised) -> None:
    """Flags and size of each, apart from each other where they are not the same; none beyond."""
    device = opened(make(name))
    taken: dict[int, int] = {}
    for index, (flags, size) in enumerate(REGIONS[name]):
        call = expect.accepted(device.try_get_region_info(index))
        info = call.unpack(vfio.vfio_region_info)
        expect.equal(f"flags and size of region {index}", (info.flags, info.size), (flags, size))
        expect.untouched(call, MIN)
        if size:
            for start, end in taken.items():
                apart = info.offset >= end or info.offset + size <= start
                expect.holds(apart, "regions that do not overlap", f"region {index}: {info!r}")
            taken[info.offset] = info.offset + size
    for index in (len(REGIONS[name]), 15, 17, 255, 1 << 31, 0xFFFFFFFF):
        expect.refused(device.try_get_region_info(index), promised(rules.NO_REGION))


@checks(rules.INFO_ARGSZ, rules.INFO_ADDRESS)
@pytest.mark.parametrize("info", INFO_CALLS, ids=lambda info: info.name)
@pytest.mark.parametrize("name", ["mtty-1", "mdpy-vga", "mbochs-small"])
def test_sizes_and_addresses(
    make: Make, opened: Opened, memory: Memory, name: str, info: object, promised: Promised
) -> None:
    """A byte too few is refused, the smallest is enough, and nothing is where nothing is."""
    device = opened(make(name))
    device.get_info()
    for call in INFO_CALLS:
        if call is info:
            index = 0 if call.index is not None else None
            for argsz in (0, 4, call.minsz - 1):
                refused = call.ask(device, argsz, index=index)
                expect.refused(refused, promised(rules.INFO_ARGSZ))
            expect.accepted(call.ask(device, call.minsz, index=index))
            short = call.ask(
                device, size=call.minsz - 1, index=index, at=memory.tail(call.minsz - 1)
            )
            expect.refused(short, promised(rules.INFO_ADDRESS))
            expect.accepted(
                call.ask(device, size=call.minsz, index=index, at=memory.tail(call.minsz))
            )


@checks(rules.TYPE_CAP, rules.CAP_ROOM)
@pytest.mark.parametrize("argsz", [MIN, MIN + 1, MIN + CAP - 1], ids="argsz-{}".format)
def test_no_room_for_the_capability(bochs: Device, argsz: int) -> None:
    """What is needed is told, and nothing of it is written."""
    call = expect.accepted(bochs.try_get_region_info(EDID, argsz))
    info = call.unpack(vfio.vfio_region_info)
    expect.equal("argsz", info.argsz, MIN + CAP)
    expect.equal("cap_offset", info.cap_offset, 0)
    expect.equal("flags", info.flags, RW | CAPS)
    expect.untouched(call, MIN)


@checks(rules.TYPE_CAP, rules.CAP_ROOM)
@pytest.mark.parametrize("argsz", [MIN + CAP, MIN + CAP + 1, 4096], ids="argsz-{}".format)
def test_the_capability(bochs: Device, argsz: int) -> None:
    """One, behind the structure, which says that the region is an EDID."""
    call = expect.accepted(bochs.try_get_region_info(EDID, argsz))
    info = call.unpack(vfio.vfio_region_info)
    expect.equal("argsz and cap_offset", (info.argsz, info.cap_offset), (argsz, MIN))
    cap = vfio.vfio_region_info_cap_type.unpack(call.data[MIN:])
    header = (cap.header.id, cap.header.version, cap.header.next)
    expect.equal("header", header, (vfio.VFIO_REGION_INFO_CAP_TYPE, 1, 0))
    kind = (vfio.VFIO_REGION_TYPE_GFX, vfio.VFIO_REGION_SUBTYPE_GFX_EDID)
    expect.equal("type and subtype", (cap.type, cap.subtype), kind)
    expect.untouched(call, MIN + CAP)


@checks(rules.INFO_ADDRESS)
def test_a_capability_with_nowhere_to_go(bochs: Device, memory: Memory, promised: Promised) -> None:
    """The structure is there, the room behind it is not."""
    data = bytearray([UNTOUCHED]) * MIN
    data[:4] = (MIN + CAP).to_bytes(4, "little")
    data[8:12] = EDID.to_bytes(4, "little")
    call = bochs.try_ioctl(vfio.VFIO_DEVICE_GET_REGION_INFO, bytes(data), at=memory.tail(MIN))
    expect.refused(call, promised(rules.INFO_ADDRESS))


@checks(rules.TYPE_CAP)
@pytest.mark.parametrize(("name", "most"), [("mbochs-small", (800, 600)), ("mbochs-large", (0, 0))])
def test_the_edid_region(make: Make, opened: Opened, name: str, most: tuple[int, int]) -> None:
    """Its registers, of which two can be written; and the blob."""
    region = opened(make(name)).region(EDID)
    edid = vfio.vfio_region_gfx_edid
    start = region.read(edid.offset_of("edid_offset"), 4)
    size = region.read(edid.offset_of("edid_max_size"), 4)
    expect.holds(edid.sizeof() <= start < start + size <= 4096, "a blob inside", f"{start}+{size}")
    seen = region.read(edid.offset_of("max_xres"), 4), region.read(edid.offset_of("max_yres"), 4)
    expect.equal("largest mode", seen, most)
    for member in edid.members():
        before = region.read(member.offset, 4)
        region.write(member.offset, 4, 1)
        kept = 1 if member.name in {"edid_size", "link_state"} else before
        expect.equal(member.name, region.read(member.offset, 4), kept)
    blob = bytes(n % 251 for n in range(size))
    expect.accepted(region.try_write(start, blob), len(blob))
    expect.equal("blob", region.try_read(start, size).data.hex(), blob.hex())
    last = start + size - 4
    region.write(last, 4, 0x12345678)
    expect.equal("its last word", region.read(last, 4), 0x12345678)


@checks(rules.EDID_SHOWN)
def test_what_the_machine_reads_of_the_edid(bochs: Device) -> None:
    """As much of the blob as is said to be there, while something is connected."""
    region, shown = bochs.region(EDID), bochs.region(vfio.VFIO_PCI_BAR2_REGION_INDEX)
    edid = vfio.vfio_region_gfx_edid
    start = region.read(edid.offset_of("edid_offset"), 4)
    blob, size = bytes(range(1, 129)), edid.offset_of("edid_size")
    expect.accepted(region.try_write(start, blob), len(blob))
    for known in (len(blob), 64, 0, len(blob)):
        region.write(size, 4, known)
        for state in (vfio.VFIO_DEVICE_GFX_LINK_STATE_DOWN, vfio.VFIO_DEVICE_GFX_LINK_STATE_UP):
            region.write(edid.offset_of("link_state"), 4, state)
            there = blob[:known] if state == vfio.VFIO_DEVICE_GFX_LINK_STATE_UP else b""
            wanted = there.ljust(2 * len(blob), b"\0")
            got = shown.try_read(0, len(wanted)).data
            expect.equal(f"{known} bytes in state {state}", got.hex(), wanted.hex())


@checks(rules.CDEV)
@pytest.mark.parametrize("name", ["mtty-1", "mdpy-vga", "mbochs-small"])
def test_by_its_own_file(
    make: Make, opened: Opened, port: Port, sysfs: PortSysfs, name: str
) -> None:
    """Bound to an iommufd, and attached, it says the same; closed as it is, it can be again."""
    first, second = make(name), make(name)
    path = cdev_path(port, second.folder)
    if path is None or not sysfs.exists(IOMMUFD_PATH):
        pytest.skip("needs a kernel with CONFIG_VFIO_DEVICE_CDEV and CONFIG_IOMMUFD")
    expected = snapshot(opened(first))
    for _ in range(2):
        with Iommufd.create(port) as iommufd, Cdev.at(port, path) as cdev:
            cdev.bind(iommufd)
            expect.equal("answers", snapshot(cdev), expected)
            ioas = iommufd.alloc_ioas()
            for _ in range(2):
                expect.accepted(cdev.try_attach(ioas))
            expect.accepted(cdev.try_attach(iommufd.alloc_ioas()))
            expect.equal("answers once attached", snapshot(cdev), expected)
            for _ in range(2):
                expect.accepted(cdev.try_detach())
            expect.accepted(iommufd.try_destroy(ioas))
            expect.accepted(cdev.try_attach(iommufd.alloc_ioas()))
