# SPDX-License-Identifier: MIT
"""The content of the ROM, held against sysfs `rom`, and what its image leaves of the BAR."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.ops import ReadFile, WriteFile
from vfiospec.device.pci import ROM, SYSFS, PciDevice
from vfiospec.device.region import Region
from vfiospec.rules import region_access as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

IORESOURCE_ROM_SHADOW = 1 << 1  # include/linux/ioport.h: firmware's copy stands in for it
ROM_REGION = vfio.VFIO_PCI_ROM_REGION_INDEX


@pytest.fixture
def image(decoding: Device, pci: PciDevice) -> bytes:
    """The image by way of sysfs, which shows as much as there is of it."""
    path = f"{SYSFS}/{pci.bdf}/rom"
    enable, read, _ = decoding.port.run(
        [WriteFile(path, b"1"), ReadFile(path, 1 << 20), WriteFile(path, b"0")]
    )
    if not (enable.ok and read.ok and read.bytes):
        pytest.skip("the ROM holds no valid image: judge a device whose firmware has one")
    return read.bytes


@pytest.fixture
def rom(decoding: Device) -> Region:
    """The ROM's region."""
    return decoding.region(ROM_REGION)


@checks(rules.ROM_CONTENT)
@devices("rom")
def test_the_image_is_read_and_ones_behind_it(
    image: bytes, rom: Region, promised: Callable[[Rule], int]
) -> None:
    """All of it, in one read."""
    size = int(rom.info.size)
    call = expect.accepted(rom.try_read(0, size), size)
    rest = bytes([promised(rules.ROM_CONTENT)]) * (size - len(image))
    expect.holds(call.data[: len(image)] == image, "the image as sysfs shows it", "another one")
    expect.holds(call.data[len(image) :] == rest, "ones behind the image", "something else")


@checks(rules.ROM_CONTENT)
@devices("rom")
@pytest.mark.parametrize("count", [*range(1, 18), 33, 100], ids="count-{}".format)
def test_any_part_of_the_image_is_that_part(image: bytes, rom: Region, count: int) -> None:
    """From each offset within 8 bytes, of which none is a multiple of a page."""
    replies = rom.device.port.run([rom.read_op(0x100 + o, count) for o in range(9)])
    for offset, reply in enumerate(replies, 0x100):
        expect.equal(f"at {offset}", reply.bytes.hex(), image[offset : offset + count].hex())


@checks(rules.ROM_CONTENT)
@devices("rom")
@pytest.mark.parametrize("before", [0, 1, 2, 3, 4, 5, 8, 9], ids="before-{}".format)
def test_a_read_across_the_end_of_the_image(
    image: bytes, rom: Region, before: int, promised: Callable[[Rule], int]
) -> None:
    """The image's last bytes, then ones."""
    room = min(11, int(rom.info.size) - len(image))
    call = expect.accepted(rom.try_read(len(image) - before, before + room), before + room)
    wanted = image[len(image) - before :] + bytes([promised(rules.ROM_CONTENT)]) * room
    expect.equal("across the end", call.data.hex(), wanted.hex())


@checks(rules.BEYOND, rules.ACROSS)
@devices("rom")
def test_it_ends_with_its_bar(image: bytes, rom: Region, promised: Callable[[Rule], int]) -> None:
    """Reads are cut short there, or refused behind it."""
    size = int(rom.info.size)
    expect.holds(len(image) <= size, f"an image of at most {size} bytes", f"{len(image)}")
    for left in (1, 2, 4, 7):
        expect.accepted(rom.try_read(size - left, left + 8), left)
    for beyond in (0, 1, 4096):
        expect.refused(rom.try_read(size + beyond, 4), promised(rules.BEYOND))


@checks(rules.ROM_WRITE)
@devices("rom")
@pytest.mark.parametrize("count", [1, 2, 4, 8, 64], ids="count-{}".format)
def test_it_cannot_be_written(rom: Region, count: int, promised: Callable[[Rule], int]) -> None:
    """Neither its image nor what is behind it."""
    for offset in (0, 1, int(rom.info.size) - count):
        expect.refused(rom.try_write(offset, bytes(count)), promised(rules.ROM_WRITE))


@checks(rules.VECTOR)
@devices("rom")
def test_it_can_be_read_in_parts(image: bytes, rom: Region, memory: Memory) -> None:
    """preadv(2) gives one part behind the other."""
    expect.accepted(rom.try_vector("preadv", 2, (3, 9, 20), memory), 32)
    expect.equal("read", memory.read(memory.size // 2, 32).hex(), image[2:34].hex())


@checks(rules.BAD_BUFFER)
@devices("rom")
def test_it_needs_a_buffer(
    image: bytes, rom: Region, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """In its image, and behind it, where ones are filled in."""
    expect.refused(rom.try_read(0, 4, at=memory.tail(3)), promised(rules.BAD_BUFFER))
    if len(image) < int(rom.info.size):
        for left in range(4):
            behind = rom.try_read(len(image), 4, at=memory.tail(left))
            expect.refused(behind, promised(rules.BAD_BUFFER))


@checks(rules.MEMORY_OFF, rules.ROM_MEMORY_OFF)
@devices("rom")
def test_it_is_memory(
    image: bytes, memory_off: Device, pci: PciDevice, promised: Callable[[Rule], int]
) -> None:
    """With memory decoding off it cannot be read: not found, or not touched where a copy is."""
    shadowed = pci.bars[ROM].flags & IORESOURCE_ROM_SHADOW
    wanted = promised(rules.MEMORY_OFF if shadowed else rules.ROM_MEMORY_OFF)
    rom = memory_off.region(ROM_REGION)
    for count in (1, 2, 4, min(8, len(image))):
        expect.refused(rom.try_read(0, count), wanted)
