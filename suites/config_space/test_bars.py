# SPDX-License-Identifier: MIT
"""BARs: what a user writes is sized as a device would, and the device itself never hears of it."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.device.pci import ROM, PciDevice
from vfiospec.device.region import Region
from vfiospec.rules import config_space as rules
from vfiospec.rules.config_space_map import DWORD
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Same = Callable[[str, bytes, bytes], None]
Sized = Callable[[PciDevice, int, int], int]
HEADER = regs.PCI_STD_HEADER_SIZEOF
bars = pytest.mark.parametrize("index", range(regs.PCI_STD_NUM_BARS), ids="bar-{}".format)
VALUES = (DWORD, 0, 0x12345678, 0xEDCBA987)


def _register(index: int) -> int:
    return regs.PCI_BASE_ADDRESS_0 + 4 * index


@checks(rules.BAR_SIZING, rules.BAR_VIRTUAL, rules.BAR_ABSENT)
@bars
def test_what_is_written_reads_as_the_size_allows(
    space: Region,
    hardware: Region,
    pci: PciDevice,
    same: Same,
    sized: Sized,
    index: int,
) -> None:
    """Low bits are the type's; a register that is not there stays empty; nothing else changes."""
    at = _register(index)
    shown, real = space.try_read(0, HEADER).data, hardware.try_read(0, HEADER).data
    for value in VALUES:
        space.write(at, 4, value)
        expected = sized(pci, index, value)
        expect.equal(f"BAR {index} after {value:#x}", space.read(at, 4), expected)
        now = space.try_read(0, HEADER).data
        same("the rest of the header", now[:at] + shown[at : at + 4] + now[at + 4 :], shown)
        same("in the device", hardware.try_read(0, HEADER).data, real)


@checks(rules.BAR_SIZING)
@devices("bar64")
def test_both_halves_of_a_wide_bar_are_sized(space: Region, pci: PciDevice) -> None:
    """Written one after the other, and read as one."""
    for index, bar in enumerate(pci.bars[:ROM]):
        if not bar.is_64bit or not bar.start:
            continue
        space.write(_register(index), 8, (1 << 64) - 1)
        flags = pci.u32(_register(index)) & ~regs.PCI_BASE_ADDRESS_MEM_MASK
        expected = ~(bar.size - 1) & (1 << 64) - 1 | flags
        expect.equal(f"BAR {index}", space.read(_register(index), 8), expected)


@checks(rules.BAR_VIRTUAL, rules.WIDTH)
@bars
@pytest.mark.parametrize("width", [1, 2], ids="width-{}".format)
def test_a_part_of_a_bar_can_be_written(
    space: Region, pci: PciDevice, sized: Sized, index: int, width: int
) -> None:
    """The other bytes keep what they had."""
    at = _register(index)
    ones = (1 << 8 * width) - 1
    for part in range(0, 4, width):
        before = space.read(at, 4)
        for value in (ones, 0):
            space.write(at + part, width, value)
            whole = before & ~(ones << 8 * part) | value << 8 * part
            expected = sized(pci, index, whole)
            expect.equal(f"BAR {index}+{part} after {value:#x}", space.read(at, 4), expected)
        space.write(at, 4, before)


@checks(rules.BAR_VIRTUAL)
@bars
def test_a_part_of_a_bar_can_be_read(space: Region, index: int) -> None:
    """Sizing shows whatever part is read first."""
    at = _register(index)
    wholes = []
    for width in (1, 2, 4):
        space.write(at, 4, DWORD)
        parts = [space.try_read(at + part, width).data for part in range(0, 4, width)]
        wholes.append(b"".join(parts).hex())
    expect.equal("BAR by bytes, by words, whole", wholes, [wholes[0]] * 3)


@checks(rules.BAR_ALIVE)
def test_the_memory_stays_where_it_is(space: Region, memory_bar: Region) -> None:
    """The device's first register reads as ever."""
    space.write(regs.PCI_COMMAND, 2, space.read(regs.PCI_COMMAND, 2) | regs.PCI_COMMAND_MEMORY)
    before = memory_bar.read(0, 4)
    for value in VALUES:
        space.write(_register(memory_bar.index), 4, value)
        space.read(_register(memory_bar.index), 4)
        expect.equal("first register of the device", memory_bar.read(0, 4), before)


@checks(rules.ROM_SIZING, rules.BAR_ABSENT)
def test_the_rom_is_sized(
    space: Region, hardware: Region, pci: PciDevice, promised: Callable[[Rule], int]
) -> None:
    """With the enable bit as written, which the device does not see."""
    real = hardware.read(regs.PCI_ROM_ADDRESS, 4)
    rom = pci.bars[ROM]
    size = ~(rom.size - 1) & DWORD | promised(rules.ROM_SIZING)
    for value in (*VALUES, DWORD - promised(rules.ROM_SIZING)):
        expected = value & size if rom.start else promised(rules.BAR_ABSENT)
        space.write(regs.PCI_ROM_ADDRESS, 4, value)
        expect.equal("ROM BAR", space.read(regs.PCI_ROM_ADDRESS, 4), expected)
        expect.equal("its own ROM BAR", hardware.read(regs.PCI_ROM_ADDRESS, 4), real)


@checks(rules.ROM_SIZING, rules.WIDTH)
@devices("rom")
def test_a_part_of_the_rom_bar_can_be_written(
    space: Region, pci: PciDevice, promised: Callable[[Rule], int]
) -> None:
    """By bytes, lowest and highest first, as by its four at once."""
    size = ~(pci.bars[ROM].size - 1) & DWORD | promised(rules.ROM_SIZING)
    for order in (range(4), reversed(range(4))):
        space.write(regs.PCI_ROM_ADDRESS, 4, 0)
        for part in order:
            space.write(regs.PCI_ROM_ADDRESS + part, 1, 0xFF)
        expect.equal("ROM BAR", space.read(regs.PCI_ROM_ADDRESS, 4), size)
        expect.equal("its last byte", space.read(regs.PCI_ROM_ADDRESS + 3, 1), size >> 24)
