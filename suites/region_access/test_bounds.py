# SPDX-License-Identifier: MIT
"""Where a region ends, and what lies where no region is."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.call import UNTOUCHED, Call
from vfiospec.device.device import Device
from vfiospec.device.ops import Pread, Pwrite
from vfiospec.device.pci import ROM, PciDevice
from vfiospec.rules import region_access as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

CONFIG = vfio.VFIO_PCI_CONFIG_REGION_INDEX
INDEX_SHIFT = 40  # as region-info.offset-layout has it: absent regions tell no offset
SMALL = (1, 2, 3, 4, 5, 7, 8)


def bars(pci: PciDevice) -> dict[int, int]:
    """Sizes of the BARs the device has, by index."""
    return {i: b.size for i, b in enumerate(pci.bars[:ROM]) if b.size}


@checks(rules.BEYOND)
@pytest.mark.parametrize(
    "beyond", [0, 1, 8, 4095, 4096, 1 << 20, (1 << 39)], ids="beyond-{}".format
)
def test_nothing_starts_behind_the_end(
    decoding: Device, pci: PciDevice, beyond: int, promised: Callable[[Rule], int]
) -> None:
    """Neither a read nor a write, right there or far behind."""
    for index, size in bars(pci).items():
        region = decoding.region(index)
        for count in (1, 4, 8):
            expect.refused(region.try_read(size + beyond, count), promised(rules.BEYOND))
            expect.refused(region.try_write(size + beyond, bytes(count)), promised(rules.BEYOND))


@checks(rules.BEYOND)
@pytest.mark.parametrize("shift", [31, 32, 39], ids="bit-{}".format)
def test_a_region_is_not_there_again(
    decoding: Device, pci: PciDevice, shift: int, promised: Callable[[Rule], int]
) -> None:
    """At the same place so much further on, where only an upper bit of the offset is too many."""
    for index, size in bars(pci).items():
        region = decoding.region(index)
        for offset in {0, 4, size // 2, size - 4}:
            at = max(1 << shift, size) + offset
            expect.refused(region.try_read(at, 4), promised(rules.BEYOND))
            expect.refused(region.try_write(at, bytes(4)), promised(rules.BEYOND))


@checks(rules.ACROSS)
@pytest.mark.parametrize("left", [1, 2, 3, 4, 7, 8], ids="left-{}".format)
def test_a_read_ends_with_its_region(decoding: Device, pci: PciDevice, left: int) -> None:
    """It gives what is left, and leaves the rest of the buffer alone."""
    for index, size in bars(pci).items():
        region = decoding.region(index)
        for asked in (left, left + 1, left + 64):
            call = expect.accepted(region.try_read(size - left, asked), left)
            rest = call.data[left:].hex()
            expect.equal(f"{call}: the rest", rest, bytes([UNTOUCHED] * (asked - left)).hex())


@checks(rules.ACROSS)
def test_a_whole_region_and_more_is_cut_to_the_region(decoding: Device, pci: PciDevice) -> None:
    """For each BAR of no more than a page."""
    for index, size in bars(pci).items():
        if size <= 4096:
            region = decoding.region(index)
            expect.accepted(region.try_read(0, size + 1), size)
            expect.accepted(region.try_read(0, 4 * size), size)


@checks(rules.NOTHING)
def test_no_bytes_are_no_error(device: Device, promised: Callable[[Rule], int]) -> None:
    """At the start of each region, at its end, behind it, and where no region is."""
    for index in [*range(vfio.VFIO_PCI_NUM_REGIONS), 15, 1000]:
        for offset in (0, 1 << 20):
            where = (index << INDEX_SHIFT) + offset
            read = device.port.do(Pread(device.handle, 0, where))
            write = device.port.do(Pwrite(device.handle, b"", where))
            for name, reply in (("pread", read), ("pwrite", write)):
                call = Call(name, f"0 bytes at {where:#x}", 0, reply)
                expect.accepted(call, promised(rules.NOTHING))


@checks(rules.ABSENT)
def test_an_absent_region_has_no_first_byte(
    decoding: Device, promised: Callable[[Rule], int]
) -> None:
    """Each BAR or ROM of size 0: neither read nor written, whatever the count."""
    for index in range(CONFIG):
        region = decoding.region(index)
        if not region.info.size:
            for count in SMALL:
                expect.refused(region.try_read(0, count), promised(rules.ABSENT))
                expect.refused(region.try_write(0, bytes(count)), promised(rules.ABSENT))


@checks(rules.ABSENT)
@devices(without=("vga",))
@pytest.mark.parametrize("offset", [0, 0x3B0, 0x3C0, 0xA0000], ids="{:#x}".format)
def test_only_a_vga_device_has_vga_ranges(
    decoding: Device, offset: int, promised: Callable[[Rule], int]
) -> None:
    """On another device, nobody else's VGA is reached."""
    where = (vfio.VFIO_PCI_VGA_REGION_INDEX << INDEX_SHIFT) + offset
    read = decoding.port.do(Pread(decoding.handle, 1, where))
    write = decoding.port.do(Pwrite(decoding.handle, b"\0", where))
    for name, reply in (("pread", read), ("pwrite", write)):
        expect.refused(Call(name, f"VGA {offset:#x}", 0, reply), promised(rules.ABSENT))


@checks(rules.NO_REGION)
@pytest.mark.parametrize(
    "index", [9, 10, 15, 16, 255, 256, 1 << 16, (1 << 22) + 7, (1 << 23) - 1], ids="index-{}".format
)
def test_there_is_nothing_behind_the_last_region(
    device: Device, index: int, promised: Callable[[Rule], int]
) -> None:
    """Also where the index would fit if its upper bits were lost."""
    known = device.get_info().struct.num_regions
    if index < known:
        pytest.skip(f"the device has {known} regions")
    for count in (1, 4):
        read = device.port.do(Pread(device.handle, count, index << INDEX_SHIFT))
        write = device.port.do(Pwrite(device.handle, bytes(count), index << INDEX_SHIFT))
        for name, reply in (("pread", read), ("pwrite", write)):
            call = Call(name, f"index {index}", 0, reply)
            expect.refused(call, promised(rules.NO_REGION))


@checks(rules.NO_REGION)
@pytest.mark.parametrize("offset", [-1, -4, -4096, -(1 << 40), -(1 << 63)], ids="offset{}".format)
def test_a_negative_offset_is_refused(
    device: Device, offset: int, promised: Callable[[Rule], int]
) -> None:
    """Both ways."""
    read = device.port.do(Pread(device.handle, 4, offset))
    write = device.port.do(Pwrite(device.handle, bytes(4), offset))
    for name, reply in (("pread", read), ("pwrite", write)):
        expect.refused(Call(name, f"offset {offset}", 0, reply), promised(rules.NO_REGION))


@checks(rules.CONFIG_END)
@pytest.mark.parametrize("count", SMALL, ids="count-{}".format)
def test_config_space_is_not_cut_short(
    device: Device, count: int, promised: Callable[[Rule], int]
) -> None:
    """What ends beyond it is refused, unlike at the end of a BAR; what ends with it is read."""
    region = device.region(CONFIG)
    size = int(region.info.size)
    expect.accepted(region.try_read(size - count, count), count)
    for start in (size - count + 1, size, size + 1, size + 4096):
        expect.refused(region.try_read(start, count), promised(rules.CONFIG_END))
        expect.refused(region.try_write(start, bytes(count)), promised(rules.CONFIG_END))


@checks(rules.CONFIG_END)
def test_more_than_config_space_is_refused(device: Device, promised: Callable[[Rule], int]) -> None:
    """One byte more than there is, from the start; all there is can be read."""
    region = device.region(CONFIG)
    size = int(region.info.size)
    expect.accepted(region.try_read(0, size), size)
    expect.refused(region.try_read(0, size + 1), promised(rules.CONFIG_END))
