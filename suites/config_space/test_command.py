# SPDX-License-Identifier: MIT
"""COMMAND: what its bits do, and how a write to it mends what was lost behind vfio-pci's back."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.edu import Edu
from vfiospec.device.files import EventFd
from vfiospec.device.pci import ROM, PciDevice
from vfiospec.device.port import Port
from vfiospec.device.region import Region
from vfiospec.rules import config_space as rules
from vfiospec.rules.config_space_layout import Layout
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

COMMAND = regs.PCI_COMMAND
ENABLE = regs.PCI_COMMAND_MEMORY | regs.PCI_COMMAND_IO
INTX = vfio.VFIO_PCI_INTX_IRQ_INDEX
MUST_COME, MUST_NOT = 5000, 20  # milliseconds
BAR_ELSEWHERE = 1 << 29  # a bit of a BAR's address, above the size of any BAR here
ROM_ELSEWHERE = 1 << 24  # a bit of the ROM's address, above the size of any ROM here
widths = pytest.mark.parametrize("width", [1, 2, 4], ids="width-{}".format)


@checks(rules.THROUGH, rules.KEPT)
def test_each_bit_by_itself(
    space: Region, hardware: Region, layout: Layout, reach: Callable[[bytes], bytes]
) -> None:
    """A bit of COMMAND is the device's, but INTx disable is virtual; no bit stands for another."""
    virtual = regs.PCI_COMMAND_INTX_DISABLE
    for value in (1 << bit for bit in range(16)):
        before = hardware.read(COMMAND, 2)
        sent = bytes(COMMAND) + value.to_bytes(2, "little") + bytes(layout.size)
        through = int.from_bytes(reach(sent[: layout.size])[COMMAND : COMMAND + 2], "little")
        hardware.write(COMMAND, 2, before & ~through | value & through)
        expected = hardware.read(COMMAND, 2)
        hardware.write(COMMAND, 2, before)
        space.write(COMMAND, 2, value)
        expect.equal("COMMAND of the device", hardware.read(COMMAND, 2), expected)
        shown = expected & ~virtual | value & virtual
        expect.equal("COMMAND as the user sees it", space.read(COMMAND, 2), shown)


@checks(rules.MEMORY)
@widths
def test_memory_is_there_while_its_decode_is_on(
    space: Region, memory_bar: Region, width: int, promised: Callable[[Rule], int]
) -> None:
    """Whatever the width of the write that switched it, and again after it was off."""
    on = space.read(COMMAND, width) | regs.PCI_COMMAND_MEMORY
    space.write(COMMAND, width, on)
    before = expect.accepted(memory_bar.try_read(0, 4), 4).data
    space.write(COMMAND, width, on & ~regs.PCI_COMMAND_MEMORY)
    expect.refused(memory_bar.try_read(0, 4), promised(rules.MEMORY))
    expect.refused(memory_bar.try_write(0, before), promised(rules.MEMORY))
    space.write(COMMAND, width, on)
    after = expect.accepted(memory_bar.try_read(0, 4), 4).data
    expect.equal("first register of the device", after.hex(), before.hex())


@checks(rules.MEMORY)
def test_the_high_byte_has_no_say_over_memory(space: Region, memory_bar: Region) -> None:
    """Written alone, it leaves memory on."""
    space.write(COMMAND, 2, space.read(COMMAND, 2) | regs.PCI_COMMAND_MEMORY)
    space.write(COMMAND + 1, 1, 0)
    expect.accepted(memory_bar.try_read(0, 4), 4)
    space.write(COMMAND, 1, space.read(COMMAND, 1) & ~regs.PCI_COMMAND_MEMORY)
    space.write(COMMAND + 1, 1, regs.PCI_COMMAND_MEMORY)
    expect.holds(not memory_bar.try_read(0, 4).ok, "memory still off", "memory is on")


# INTx disable


@pytest.fixture
def edu(space: Region, device: Device) -> Iterator[Edu]:
    """The device, with nothing pending before and after; `space` is put back behind it."""
    edu = Edu(device)
    space.write(COMMAND, 2, space.read(COMMAND, 2) | regs.PCI_COMMAND_MEMORY)
    edu.acknowledge()
    yield edu
    edu.acknowledge()


@pytest.fixture
def line(edu: Edu, device: Device, port: Port) -> Iterator[EventFd]:
    """The device's INTx, by eventfd."""
    with EventFd.create(port) as event:
        trigger = vfio.VFIO_IRQ_SET_DATA_EVENTFD | vfio.VFIO_IRQ_SET_ACTION_TRIGGER
        expect.accepted(device.try_set_irqs(INTX, trigger, 0, 1, eventfds=(event,)))
        yield event
        edu.acknowledge()
        device.try_set_irqs(INTX, vfio.VFIO_IRQ_SET_DATA_NONE | vfio.VFIO_IRQ_SET_ACTION_TRIGGER)


@checks(rules.INTX_DISABLE)
@devices("irq-stimulus")
@pytest.mark.parametrize(
    ("at", "width"), [(COMMAND, 2), (COMMAND + 1, 1), (COMMAND, 4)], ids=["word", "byte", "dword"]
)
def test_intx_is_held_back(
    space: Region,
    line: EventFd,
    edu: Edu,
    promised: Callable[[Rule], int],
    at: int,
    width: int,
) -> None:
    """Nothing is signalled while the bit is set; when it is cleared, what is pending is."""
    shift = 8 * (at - COMMAND)
    disable = promised(rules.INTX_DISABLE) >> shift
    command = space.read(at, 2 if width > 1 else 1)
    space.write(at, width, command | disable)
    edu.raise_interrupt()
    edu.status()
    expect.holds(not line.wait(MUST_NOT), "no interrupt while disabled", "an interrupt")
    space.write(at, width, command & ~disable)
    expect.holds(line.wait(MUST_COME), "an interrupt once enabled", "none")
    expect.equal("interrupts", line.count(), 1)


@checks(rules.INTX_DISABLE)
@devices("irq-stimulus")
def test_a_write_that_does_not_change_it_unmasks_nothing(
    space: Region, line: EventFd, edu: Edu
) -> None:
    """An interrupt that masked itself stays masked when COMMAND is written as it was."""
    edu.raise_interrupt()
    expect.holds(line.wait(MUST_COME), "an interrupt", "none")
    expect.equal("interrupts", line.count(), 1)
    space.write(COMMAND, 2, space.read(COMMAND, 2))
    edu.status()
    expect.holds(not line.wait(MUST_NOT), "still masked", "another interrupt")


# Recovery. The machine is a guest's: on real hardware a BAR moved by hand may hit another's.


@pytest.fixture
def usable(space: Region) -> int:
    """COMMAND with memory and I/O on, as the user wrote it."""
    command = space.read(COMMAND, 2) | ENABLE
    space.write(COMMAND, 2, command)
    return space.read(COMMAND, 2)


@checks(rules.RECOVERY)
@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("bits", [ENABLE, 0], ids=["enabling", "disabling"])
@pytest.mark.parametrize("moved", [False, True], ids=["cleared", "moved"])
def test_a_lost_bar_is_restored(
    space: Region, hardware: Region, pci: PciDevice, usable: int, bits: int, *, moved: bool
) -> None:
    """Each of them, by any write to COMMAND, whether its address is gone or another."""
    first, size = regs.PCI_BASE_ADDRESS_0, 4 * regs.PCI_STD_NUM_BARS
    before = hardware.try_read(first, size).data
    for index in (i for i, bar in enumerate(pci.bars[:ROM]) if bar.start):
        at = first + 4 * index
        space.write(COMMAND, 2, usable & ~ENABLE)  # nothing is to answer at the other address
        hardware.write(at, 4, hardware.read(at, 4) ^ BAR_ELSEWHERE if moved else 0)
        space.write(COMMAND, 2, usable & ~ENABLE | bits)
        now = hardware.try_read(first, size).data.hex(" ", 4)
        expect.equal(f"real BARs after the loss of {index}", now, before.hex(" ", 4))


@pytest.fixture
def moved_rom(
    usable: int,  # noqa: ARG001 -- first of all, so that memory is on
    hardware: Region,
    pci: PciDevice,
) -> Iterator[tuple[int, int]]:
    """The ROM's real address before and after it was moved by hand: nobody looks for that alone."""
    before = hardware.read(regs.PCI_ROM_ADDRESS, 4)
    moved = before ^ max(ROM_ELSEWHERE, pci.bars[ROM].size)
    hardware.write(regs.PCI_ROM_ADDRESS, 4, moved)
    yield before, moved
    hardware.write(regs.PCI_ROM_ADDRESS, 4, before)


@checks(rules.RECOVERY)
@pytest.mark.usefixtures("machine")
@devices("rom")
@pytest.mark.parametrize("bit", [regs.PCI_COMMAND_MEMORY, regs.PCI_COMMAND_IO], ids=["mem", "io"])
def test_a_lost_enable_bit_restores_all(
    space: Region, hardware: Region, usable: int, moved_rom: tuple[int, int], bit: int
) -> None:
    """The user set it and sets it again, and the device has lost it: what else may be lost."""
    if not usable & bit:
        pytest.skip("this device has no such space: judge one that has with --device BDF")
    hardware.write(COMMAND, 2, hardware.read(COMMAND, 2) & ~bit)
    space.write(COMMAND, 2, usable)
    expect.equal("real ROM BAR", hardware.read(regs.PCI_ROM_ADDRESS, 4), moved_rom[0])
    expect.flags("COMMAND of the device", hardware.read(COMMAND, 2), needed=bit)


@checks(rules.RECOVERY)
@pytest.mark.usefixtures("machine")
@devices("rom")
def test_a_lost_bar_restores_the_rom_too(
    space: Region, hardware: Region, pci: PciDevice, usable: int, moved_rom: tuple[int, int]
) -> None:
    """All registers of addresses are written."""
    index = next(i for i, bar in enumerate(pci.bars[:ROM]) if bar.start)
    hardware.write(regs.PCI_BASE_ADDRESS_0 + 4 * index, 4, 0)
    space.write(COMMAND, 2, usable)
    expect.equal("real ROM BAR", hardware.read(regs.PCI_ROM_ADDRESS, 4), moved_rom[0])


@checks(rules.NO_RECOVERY)
@pytest.mark.usefixtures("machine")
@devices("rom")
@pytest.mark.parametrize("bit", [regs.PCI_COMMAND_MEMORY, regs.PCI_COMMAND_IO], ids=["mem", "io"])
def test_what_the_user_switched_off_is_not_lost(
    space: Region, hardware: Region, usable: int, moved_rom: tuple[int, int], bit: int
) -> None:
    """Off and on again by COMMAND restores nothing."""
    space.write(COMMAND, 2, usable & ~bit)
    space.write(COMMAND, 2, usable)
    expect.equal("real ROM BAR", hardware.read(regs.PCI_ROM_ADDRESS, 4), moved_rom[1])


@checks(rules.NO_RECOVERY)
@pytest.mark.usefixtures("machine")
@devices("rom")
@pytest.mark.parametrize("bit", [regs.PCI_COMMAND_MEMORY, regs.PCI_COMMAND_IO], ids=["mem", "io"])
def test_who_switches_off_what_is_lost_needs_nothing(
    space: Region, hardware: Region, usable: int, moved_rom: tuple[int, int], bit: int
) -> None:
    """The device lost an enable bit, and the user clears it."""
    hardware.write(COMMAND, 2, hardware.read(COMMAND, 2) & ~bit)
    space.write(COMMAND, 2, usable & ~bit)
    expect.equal("real ROM BAR", hardware.read(regs.PCI_ROM_ADDRESS, 4), moved_rom[1])
