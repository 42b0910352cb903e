# SPDX-License-Identifier: MIT
"""The VGA region: three ranges at their legacy addresses, and nothing between them."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.files import Mapping, Memory
from vfiospec.device.ops import Peek, ReadFile
from vfiospec.device.pci import PciDevice
from vfiospec.device.region import Region
from vfiospec.lab.bench import PortSysfs
from vfiospec.lab.qemu import Vm
from vfiospec.rules import region_access as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

View = tuple[Region, Mapping]
VGA = vfio.VFIO_PCI_VGA_REGION_INDEX
MEMORY, MONO, COLOUR = range(0xA0000, 0xC0000), range(0x3B0, 0x3BC), range(0x3C0, 0x3E0)
RANGES = (MEMORY, MONO, COLOUR)
ARBITER = "/dev/vga_arbiter"

# Registers of VGA: an index register and the data behind it
SEQUENCER, GRAPHICS, CRTC, MONO_CRTC = 0x3C4, 0x3CE, 0x3D4, 0x3B4
MISC_WRITE, MISC_READ = 0x3C2, 0x3CC
PLANES, MODE, MEMORY_MAP = 2, 4, 6
ALL_PLANES, CHAIN_4, ALL_128K = 0x0F, 0x0E, 0x00


@pytest.fixture
def vga(decoding: Device) -> Region:
    """The region."""
    return decoding.region(VGA)


@pytest.fixture
def emulated(vga: Region, machine: Vm) -> Region:
    """The region of a device that may be put into any mode: nobody looks at its screen."""
    del machine
    return vga


def exchange(vga: Region, port: int, index: int, value: int) -> int:
    """Write a register that lies behind an index; what it was."""
    vga.write(port, 1, index)
    before = vga.read(port + 1, 1)
    vga.write(port + 1, 1, value)
    return before


@pytest.fixture
def linear(emulated: Region) -> Iterator[Region]:
    """VGA memory as one range of bytes: the first of the framebuffer."""
    wanted = [(SEQUENCER, PLANES, ALL_PLANES), (SEQUENCER, MODE, CHAIN_4)]
    wanted.append((GRAPHICS, MEMORY_MAP, ALL_128K))
    before = [exchange(emulated, *one) for one in wanted]
    yield emulated
    for (port, index, _), value in zip(wanted, before, strict=True):
        exchange(emulated, port, index, value)


@checks(rules.VGA_RANGES)
@devices("vga")
@pytest.mark.parametrize("within", RANGES, ids=lambda r: f"{r.start:#x}")
def test_a_range_is_read_to_its_end(vga: Region, within: range) -> None:
    """From its first byte on, and from its last; never into what follows."""
    expect.accepted(vga.try_read(within.start, 1), 1)
    for left in (1, 2, 3, 4, 8, 12):
        for more in (0, 1, 16):
            call = expect.accepted(vga.try_read(within.stop - left, left + more), left)
            expect.untouched(call, left)


@checks(rules.VGA_RANGES)
@devices("vga")
@pytest.mark.parametrize("within", [MONO, COLOUR], ids=lambda r: f"{r.start:#x}")
def test_a_range_of_ports_is_read_whole(vga: Region, within: range) -> None:
    """And no more of it than there is."""
    for more in (0, 1, 1 << 16):
        expect.accepted(vga.try_read(within.start, len(within) + more), len(within))


@checks(rules.VGA_HOLE)
@devices("vga")
@pytest.mark.parametrize(
    "offset",
    [
        0, 0x3AF, 0x3BC, 0x3BF, 0x3E0, 0x9FFFF, 0xC0000, 0xC0001,
        *((1 << 32) + r.start for r in RANGES), (1 << 39) + 0xA0000, (1 << 40) - 1,
    ],
    ids="{:#x}".format,
)  # fmt: skip
def test_there_is_nothing_between_the_ranges(
    vga: Region, offset: int, promised: Callable[[Rule], int]
) -> None:
    """Nor before, nor behind, nor where a range would be if upper bits were lost."""
    for count in (1, 4, 8):
        expect.refused(vga.try_read(offset, count), promised(rules.VGA_HOLE))
        expect.refused(vga.try_write(offset, bytes(count)), promised(rules.VGA_HOLE))


@checks(rules.VGA_CONTENT)
@devices("vga")
@pytest.mark.parametrize("offset", [0, 1, 5, 4096, 0x7FFD, 0x10000, 0x1FFF0], ids="{:#x}".format)
def test_its_memory_is_the_framebuffer(linear: Region, framebuffer: View, offset: int) -> None:
    """In a linear mode, what is written to either is read from the other."""
    region, _ = framebuffer
    before = region.try_read(offset, 16).data
    pattern = bytes((offset + i * 29 + 3) & 0xFF for i in range(16))
    expect.accepted(linear.try_write(MEMORY.start + offset, pattern), 16)
    written = region.try_read(offset, 16).data
    expect.accepted(region.try_write(offset, pattern[::-1]), 16)
    read = expect.accepted(linear.try_read(MEMORY.start + offset, 16), 16).data
    region.try_write(offset, before)
    expect.equal("framebuffer", written.hex(), pattern.hex())
    expect.equal("VGA memory", read.hex(), pattern[::-1].hex())


@checks(rules.VGA_CONTENT)
@devices("vga")
def test_its_memory_is_written_to_the_end(linear: Region, framebuffer: View) -> None:
    """A write across the end is cut short there."""
    region, _ = framebuffer
    before = region.try_read(len(MEMORY) - 4, 12).data
    call = linear.try_write(MEMORY.stop - 4, bytes(range(1, 13)))
    after = region.try_read(len(MEMORY) - 4, 12).data
    region.try_write(len(MEMORY) - 4, before)
    expect.accepted(call, 4)
    expect.equal("framebuffer", after.hex(), bytes(range(1, 5)).hex() + before[4:].hex())


@checks(rules.VGA_CONTENT)
@devices("vga")
def test_each_port_has_its_own_offset(emulated: Region) -> None:
    """Index registers in both halves of the colour range keep what each was told."""
    ports = {SEQUENCER: 1, GRAPHICS: 5, CRTC: 0x0C}
    before = {port: emulated.read(port, 1) for port in ports}
    for port, index in ports.items():
        emulated.write(port, 1, index)
    seen = {port: emulated.read(port, 1) for port in ports}
    for port, index in before.items():
        emulated.write(port, 1, index)
    expect.equal("index registers", seen, ports)


@checks(rules.VGA_CONTENT)
@devices("vga")
def test_the_monochrome_range_is_its_own(emulated: Region) -> None:
    """The controller answers in the range it was told to: at 0x3b4 after bit 0 is cleared."""
    misc = emulated.read(MISC_READ, 1)
    emulated.write(MISC_WRITE, 1, misc & ~1)
    before = emulated.read(MONO_CRTC, 1)
    emulated.write(MONO_CRTC, 1, 0x0E)
    seen = emulated.read(MONO_CRTC, 1)
    hidden = emulated.read(CRTC, 1)
    emulated.write(MONO_CRTC, 1, before)
    emulated.write(MISC_WRITE, 1, misc)
    expect.equal("index at 0x3b4", seen, 0x0E)
    expect.equal("nobody at 0x3d4", hidden, 0xFF)


@checks(rules.VECTOR)
@devices("vga")
def test_parts_lie_one_behind_the_other(linear: Region, framebuffer: View, memory: Memory) -> None:
    """preadv(2) and pwritev(2) of VGA memory."""
    region, mapping = framebuffer
    memory.write(memory.size // 2, b"0123456789abcdef")
    expect.accepted(linear.try_vector("pwritev", MEMORY.start + 3, (5, 8, 3), memory), 16)
    shown = region.device.port.do(Peek(mapping.at(3), 16)).bytes
    expect.equal("framebuffer", shown, b"0123456789abcdef")
    memory.write(memory.size // 2, bytes(16))
    expect.accepted(linear.try_vector("preadv", MEMORY.start + 3, (4, 4, 8), memory), 16)
    expect.equal("read", memory.read(memory.size // 2, 16), b"0123456789abcdef")


@checks(rules.BAD_BUFFER)
@devices("vga")
def test_it_needs_a_buffer(vga: Region, memory: Memory, promised: Callable[[Rule], int]) -> None:
    """In each of its ranges."""
    for within in RANGES:
        for count in (1, 4):
            call = vga.try_read(within.start, count, at=memory.tail(count - 1))
            expect.refused(call, promised(rules.BAD_BUFFER))


def arbiter(vga: Region, pci: PciDevice, sysfs: PortSysfs) -> dict[str, str]:
    """What the arbiter says of the device: decodes, owns, locks."""
    if not sysfs.exists(ARBITER):
        pytest.skip(f"no {ARBITER}: it needs CONFIG_VGA_ARB")
    state = vga.device.port.do(ReadFile(ARBITER, 256)).bytes.decode().splitlines()[0]
    if f"PCI:{pci.bdf}," not in state:
        pytest.skip("the arbiter tells of another device")
    return dict(word.split("=", 1) for word in state.split(",") if "=" in word)


@checks(rules.VGA_DECODED)
@devices("vga")
def test_the_arbiter_knows_what_it_decodes(vga: Region, pci: PciDevice, sysfs: PortSysfs) -> None:
    """Ports and memory, which others that have VGA must not answer to meanwhile."""
    expect.equal("decodes", arbiter(vga, pci, sysfs)["decodes"], "io+mem")


@checks(rules.VGA_ARBITER)
@devices("vga")
@pytest.mark.parametrize("within", RANGES, ids=lambda r: f"{r.start:#x}")
def test_the_arbiter_is_left_unlocked(
    vga: Region,
    memory: Memory,
    pci: PciDevice,
    sysfs: PortSysfs,
    within: range,
    promised: Callable[[Rule], int],
) -> None:
    """After a read, one cut short and one refused: no lock on memory, none on ports."""
    vga.try_read(within.start, 4)
    vga.try_read(within.stop - 1, 4)
    vga.try_read(within.start, 4, at=memory.tail(3))
    held = promised(rules.VGA_ARBITER)
    expect.equal("locks", arbiter(vga, pci, sysfs)["locks"], f"none({held}:{held})")


@checks(rules.MEMORY_OFF_REST)
@devices("vga")
def test_it_answers_with_memory_off(memory_off: Device) -> None:
    """Its ranges are no BARs."""
    vga = memory_off.region(VGA)
    for within in RANGES:
        expect.accepted(vga.try_read(within.start, 4), 4)
