# SPDX-License-Identifier: MIT
"""Buffers that end where nothing may be touched, positions of the file, and vectors."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.call import Call
from vfiospec.device.device import Device
from vfiospec.device.files import Mapping, Memory
from vfiospec.device.ops import Peek, Poke, Pread, Pwrite, Syscall
from vfiospec.device.pci import ROM, PciDevice
from vfiospec.device.region import Region, plain_offset
from vfiospec.rules import region_access as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

View = tuple[Region, Mapping]
PATTERN = bytes((i * 37 + 11) & 0xFF for i in range(64))
BLANK = bytes([0xEE]) * 64


@checks(rules.BAD_BUFFER)
@pytest.mark.parametrize("width", [1, 2, 4, 8], ids="width-{}".format)
def test_a_read_needs_a_buffer_to_its_end(
    decoding: Device, pci: PciDevice, memory: Memory, width: int, promised: Callable[[Rule], int]
) -> None:
    """Of each BAR: the last byte of one access that would lie in a guard page fails it."""
    for index, bar in enumerate(pci.bars[:ROM]):
        if bar.size >= 2 * width:
            region, offset = decoding.region(index), plain_offset(pci, index)
            good = region.try_read(offset, width, at=memory.tail(width))
            expect.accepted(good, width)
            bad = region.try_read(offset, width, at=memory.tail(width - 1))
            expect.refused(bad, promised(rules.BAD_BUFFER))


@checks(rules.BAD_BUFFER)
@devices("vga")
@pytest.mark.parametrize("width", [1, 2, 4, 8], ids="width-{}".format)
def test_a_write_needs_a_buffer_to_its_end(
    framebuffer: View, memory: Memory, width: int, promised: Callable[[Rule], int]
) -> None:
    """The last byte missing, nothing of an access is written, where the rest would be enough."""
    region, mapping = framebuffer
    region.device.port.do(Poke(mapping.at(), BLANK))
    call = region.try_write(0, at=memory.tail(width - 1), size=width)
    expect.refused(call, promised(rules.BAD_BUFFER))
    kept = region.device.port.do(Peek(mapping.at(), len(BLANK))).bytes
    # Kernels without accesses of 8 bytes have written the first 4 by then.
    expect.equal("untouched", kept[width // 2 :].hex(), BLANK[width // 2 :].hex())


@checks(rules.BAD_BUFFER)
@devices("vga")
def test_a_buffer_that_ends_in_the_middle_fails_it_all(
    framebuffer: View, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """No short count tells of the part that was read or written."""
    region, mapping = framebuffer
    region.device.port.do(Poke(mapping.at(), PATTERN))
    for whole in (8, 16, 40):
        read = region.try_read(0, whole + 8, at=memory.tail(whole))
        expect.refused(read, promised(rules.BAD_BUFFER))
        write = region.try_write(0, at=memory.tail(whole), size=whole + 8)
        expect.refused(write, promised(rules.BAD_BUFFER))
        region.device.port.do(Poke(mapping.at(), PATTERN))


@checks(rules.BAD_BUFFER)
def test_config_space_needs_a_buffer_too(
    device: Device, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """Of each width, to be read."""
    region = device.region(vfio.VFIO_PCI_CONFIG_REGION_INDEX)
    for width in (1, 2, 4):
        expect.accepted(region.try_read(0, width, at=memory.tail(width)), width)
        bad = region.try_read(0, width, at=memory.tail(width - 1))
        expect.refused(bad, promised(rules.BAD_BUFFER))


@checks(rules.POSITION)
@devices("vga")
def test_the_file_has_a_position(framebuffer: View) -> None:
    """Reads and writes go on where the last one ended; pread(2) does not move it."""
    region, mapping = framebuffer
    if region.index != 0:
        pytest.skip("region 0 is no framebuffer")
    port, handle = region.device.port, region.device.handle
    port.do(Poke(mapping.at(), PATTERN))
    first = port.do(Pread(handle, 3))
    region.try_read(40, 8)
    second = port.do(Pread(handle, 8))
    port.do(Pwrite(handle, b"\x01\x02\x03\x04\x05"))
    third = port.do(Pread(handle, 4))
    expect.equal("first", first.bytes.hex(), PATTERN[:3].hex())
    expect.equal("second", second.bytes.hex(), PATTERN[3:11].hex())
    expect.equal("written", region.try_read(11, 5).data.hex(), "0102030405")
    expect.equal("third", third.bytes.hex(), PATTERN[16:20].hex())


@checks(rules.POSITION)
@devices("vga")
def test_what_fails_leaves_the_position(framebuffer: View) -> None:
    """A read refused for memory that is off is made again at the same place."""
    region, mapping = framebuffer
    if region.index != 0:
        pytest.skip("region 0 is no framebuffer")
    device = region.device
    assert isinstance(device, Device)
    device.port.do(Poke(mapping.at(), PATTERN))
    device.port.do(Pread(device.handle, 5))
    command = device.read_config(regs.PCI_COMMAND, 2)
    device.write_config(regs.PCI_COMMAND, 2, command & ~regs.PCI_COMMAND_MEMORY)
    failed = device.port.do(Pread(device.handle, 4))
    device.write_config(regs.PCI_COMMAND, 2, command)
    expect.equal("return value with memory off", failed.ret, -1)
    again = device.port.do(Pread(device.handle, 4)).bytes
    expect.equal("read", again.hex(), PATTERN[5:9].hex())


@checks(rules.NO_SEEK)
def test_the_position_cannot_be_set(device: Device, promised: Callable[[Rule], int]) -> None:
    """lseek(2), from each origin."""
    for whence in range(3):
        reply = device.port.do(Syscall("lseek", (device.fixup(), 0, whence)))
        expect.refused(Call("lseek", f"whence={whence}", 0, reply), promised(rules.NO_SEEK))


@checks(rules.VECTOR)
@devices("vga")
@pytest.mark.parametrize("parts", [(4, 4), (3, 5, 8), (1, 1, 1, 1), (8, 0, 7), (9, 2)], ids=str)
def test_parts_lie_one_behind_the_other(
    framebuffer: View, memory: Memory, parts: tuple[int, ...]
) -> None:
    """Read and written as one piece would be."""
    region, mapping = framebuffer
    port, whole = region.device.port, sum(parts)
    port.do(Poke(mapping.at(), PATTERN))
    expect.accepted(region.try_vector("preadv", 5, parts, memory), whole)
    got = memory.read(memory.size // 2, whole)
    expect.equal("read", got.hex(), PATTERN[5 : 5 + whole].hex())
    port.do(Poke(mapping.at(), BLANK))
    expect.accepted(region.try_vector("pwritev", 5, parts, memory), whole)
    wanted = BLANK[:5] + got + BLANK[5 + whole :]
    expect.equal("written", port.do(Peek(mapping.at(), 64)).bytes.hex(), wanted.hex())


@checks(rules.VECTOR, rules.ACROSS)
@devices("vga")
def test_a_vector_ends_with_its_region(framebuffer: View, memory: Memory) -> None:
    """The part that crosses the end is cut short, and no other follows."""
    region, _ = framebuffer
    start = int(region.info.size) - 12
    expect.accepted(region.try_vector("preadv", start, (8, 8, 8), memory), 12)


@checks(rules.VECTOR)
@pytest.mark.parametrize("parts", [(4, 4), (2, 6, 8), (1, 3, 0, 4), (64, 64)], ids=str)
def test_parts_of_configuration_space(
    device: Device, memory: Memory, parts: tuple[int, ...]
) -> None:
    """Read as one piece, from its start and from within."""
    region, whole = device.region(vfio.VFIO_PCI_CONFIG_REGION_INDEX), sum(parts)
    for offset in (0, regs.PCI_BASE_ADDRESS_0):
        expected = region.try_read(offset, whole).data
        expect.accepted(region.try_vector("preadv", offset, parts, memory), whole)
        got = memory.read(memory.size // 2, whole)
        expect.equal(f"read from {offset:#x}", got.hex(), expected.hex())


@checks(rules.VECTOR)
def test_parts_written_to_configuration_space(device: Device, memory: Memory) -> None:
    """Two BARs at once are sized as they are one after the other, and set again."""
    region, at = device.region(vfio.VFIO_PCI_CONFIG_REGION_INDEX), regs.PCI_BASE_ADDRESS_0
    before = region.try_read(at, 8).data
    try:
        for half in (0, 4):
            expect.accepted(region.try_write(at + half, b"\xff" * 4), 4)
        sized = region.try_read(at, 8).data
        expect.accepted(region.try_write(at, before), 8)
        for value, expected in ((b"\xff" * 8, sized), (before, before)):
            memory.write(memory.size // 2, value)
            expect.accepted(region.try_vector("pwritev", at, (4, 4), memory), 8)
            expect.equal("both BARs", region.try_read(at, 8).data.hex(), expected.hex())
    finally:
        region.try_write(at, before)
