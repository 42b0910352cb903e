# SPDX-License-Identifier: MIT
"""IOEVENTFD: what a signal writes, seen in the device."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.device import edu
from vfiospec.device.files import EventFd
from vfiospec.device.ioeventfd import Binder
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.device.region import Region
from vfiospec.device.scratch import decode_memory, scratch_of
from vfiospec.rules import ioeventfd as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Promised = Callable[[Rule], int]
BYTE, WORD, LONG, QUAD = rules.WIDTHS
DATA = 0x8899AABBCCDDEEFF
WINDOW, FILL = 32, b"\x11"
NIC, ADDRESSES = (0x10EC, 0x8139), 0x8  # rtl8139: eight bytes of multicast filter, as written


@pytest.fixture
def frame(binder: Binder, pci: PciDevice) -> Iterator[Region]:
    """A VGA's frame buffer: plain memory; what was there is put back."""
    bar = pci.bars[0]
    if not bar.is_memory or bar.size < 1 << 20:
        pytest.skip("BAR 0 of this VGA is no frame buffer")
    region = binder.device.region(0)
    before = region.try_read(0, WINDOW).data
    yield region
    region.try_write(0, before)


def changed(region: Region, start: int, size: int) -> dict[int, int]:
    """The bytes of a window that differ from the filling."""
    data = region.try_read(start, size).data
    return {start + i: byte for i, byte in enumerate(data) if byte != FILL[0]}


@checks(rules.WRITES, rules.WIDTH_64)
@devices("vga")
@pytest.mark.parametrize("offset", [0, 1, 2, 8, 13, 16], ids="offset-{}".format)
@pytest.mark.parametrize("flag", rules.WIDTHS, ids="flag-{}".format)
def test_just_these_bytes(
    binder: Binder, frame: Region, flag: int, offset: int, promised: Promised
) -> None:
    """The low bytes of the data at the place, aligned or not; no neighbour changes."""
    width = rules.WIDTHS[flag]
    at = binder.at(frame.index, offset)
    if width == 8 and promised(rules.WIDTH_64):
        expect.refused(binder.bind(flag, at, DATA), promised(rules.WIDTH_64))
        return
    frame.try_write(0, FILL * WINDOW)
    expect.accepted(binder.bind(flag, at, DATA))
    expect.equal("bytes changed by binding", changed(frame, 0, WINDOW), {})
    binder.event.signal()
    low = (DATA & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    expect.equal("bytes changed", changed(frame, 0, WINDOW), dict(enumerate(low, offset)))
    expect.accepted(binder.unbind(flag, at, DATA))
    frame.try_write(0, FILL * WINDOW)
    binder.event.signal()
    expect.equal("bytes changed once unbound", changed(frame, 0, WINDOW), {})
    expect.equal("count of the eventfd", binder.event.count() > 0, True)


@checks(rules.WRITES)
@devices("io-bar", "subpage")
@pytest.mark.parametrize("bar", [0, 1], ids=["io-ports", "memory"])
@pytest.mark.parametrize("flag", [BYTE, WORD, LONG], ids="flag-{}".format)
def test_registers_of_either_space(binder: Binder, pci: PciDevice, flag: int, bar: int) -> None:
    """I/O ports or memory: the same bytes of the same registers."""
    if pci.ids != NIC:
        pytest.skip("no register of this device is known that keeps what is written")
    region = binder.device.region(bar)
    width = rules.WIDTHS[flag]
    try:
        for offset in (ADDRESSES, ADDRESSES + 4):
            region.write(ADDRESSES, 4, 0x11111111)
            region.write(ADDRESSES + 4, 4, 0x11111111)
            at = binder.at(bar, offset)
            expect.accepted(binder.bind(flag, at, DATA))
            binder.event.signal()
            low = (DATA & ((1 << 8 * width) - 1)).to_bytes(width, "little")
            got = {
                ADDRESSES + i: byte
                for i in range(8)
                if (byte := region.read(ADDRESSES + i, 1)) != FILL[0]
            }
            expect.equal("bytes changed", got, dict(enumerate(low, offset)))
            expect.accepted(binder.unbind(flag, at, DATA))
    finally:
        region.write(ADDRESSES, 4, 0)
        region.write(ADDRESSES + 4, 4, 0)


@pytest.fixture
def registers(binder: Binder) -> Region:
    """The registers of an edu, which answer to accesses of their own width only."""
    region = binder.device.region(0)
    region.write(edu.LIVENESS, 4, 0)
    return region


def liveness(registers: Region) -> int:
    """What was last written there."""
    return registers.read(edu.LIVENESS, 4) ^ 0xFFFFFFFF


@checks(rules.WRITES, rules.DRAINED)
@devices("irq-stimulus")
def test_one_access_of_the_full_width(
    binder: Binder, registers: Region, promised: Promised
) -> None:
    """Not two halves; each signal writes again; the eventfd is left as the kernel promises."""
    at = binder.at(0, edu.LIVENESS)
    expect.accepted(binder.bind(LONG, at, 0x89ABCDEF))
    for _ in range(2):
        registers.write(edu.LIVENESS, 4, 0)
        binder.event.signal()
        expect.equal("liveness", liveness(registers), 0x89ABCDEF)
        expect.equal("count of the eventfd", binder.event.count(), promised(rules.DRAINED))


@checks(rules.WRITES, rules.WIDTH_64)
@devices("irq-stimulus")
def test_one_access_of_eight_bytes(binder: Binder, registers: Region, promised: Promised) -> None:
    """The DMA address is set by one write of all of it."""
    at = binder.at(0, edu.DMA_FROM)
    if promised(rules.WIDTH_64):
        expect.refused(binder.bind(QUAD, at, DATA), promised(rules.WIDTH_64))
        return
    registers.write(edu.DMA_FROM, 4, 0)
    expect.accepted(binder.bind(QUAD, at, DATA))
    binder.event.signal()
    with registers.map() as mapping:  # pread(2) may read it in two halves
        expect.equal("address", mapping.load(edu.DMA_FROM, 8).value, DATA)
    registers.write(edu.DMA_FROM, 4, 0)


@checks(rules.PENDING)
@devices("irq-stimulus")
def test_a_signal_that_was_there_before(binder: Binder, registers: Region, port: Port) -> None:
    """Binding an eventfd that counts already makes the write."""
    with EventFd.create(port, 3) as pending:
        expect.accepted(binder.bind(LONG, binder.at(0, edu.LIVENESS), 0x42, pending))
        expect.equal("liveness", liveness(registers), 0x42)


@checks(rules.SHARED, rules.DISTINCT)
@devices("irq-stimulus")
def test_one_signal_for_several_writes(binder: Binder, registers: Region, port: Port) -> None:
    """All writes of an eventfd are made, those of another are not."""
    with EventFd.create(port) as other:
        expect.accepted(binder.bind(LONG, binder.at(0, edu.LIVENESS), 0x31))
        expect.accepted(binder.bind(LONG, binder.at(0, edu.DMA_FROM), 0x32))
        expect.accepted(binder.bind(LONG, binder.at(0, edu.DMA_TO), 0x33, other))
        registers.write(edu.DMA_FROM, 4, 0)
        registers.write(edu.DMA_TO, 4, 0)
        binder.event.signal()
        places = (edu.DMA_FROM, edu.DMA_TO)
        got = [liveness(registers), *(registers.read(at, 4) for at in places)]
        expect.equal("the three registers", got, [0x31, 0x32, 0])
        other.signal()
        expect.equal("the third", registers.read(edu.DMA_TO, 4), 0x33)
        registers.write(edu.DMA_FROM, 4, 0)
        registers.write(edu.DMA_TO, 4, 0)


@checks(rules.MEMORY_OFF)
@devices("irq-stimulus")
def test_memory_is_off(binder: Binder, registers: Region) -> None:
    """The signal is lost; the next one with memory on writes."""
    expect.accepted(binder.bind(LONG, binder.at(0, edu.LIVENESS), 0x77))
    decode_memory(binder.device, on=False)
    binder.event.signal()
    decode_memory(binder.device)
    expect.equal("liveness", liveness(registers), 0)
    binder.event.count()
    binder.event.signal()
    expect.equal("liveness", liveness(registers), 0x77)


@checks(rules.MEMORY_OFF)
@devices("io-bar", "subpage")
def test_memory_off_is_nothing_to_io_ports(binder: Binder, pci: PciDevice) -> None:
    """I/O ports are written all the same."""
    if pci.ids != NIC or not pci.bars[0].is_io:
        pytest.skip("no I/O port of this device is known that keeps what is written")
    region = binder.device.region(0)
    region.write(ADDRESSES, 4, 0)
    expect.accepted(binder.bind(LONG, binder.at(0, ADDRESSES), 0x01020304))
    decode_memory(binder.device, on=False)
    binder.event.signal()
    expect.equal("register", region.read(ADDRESSES, 4), 0x01020304)
    region.write(ADDRESSES, 4, 0)


@checks(rules.D3HOT)
@devices("pm")
def test_a_device_in_d3hot(binder: Binder, pci: PciDevice, promised: Promised) -> None:
    """The signal is lost, though its registers might still take the write."""
    scratch = scratch_of(pci.ids)
    if scratch is None or scratch.width != 4:
        pytest.skip("no register of this device is known that keeps what is written")
    device = binder.device
    control = pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL
    scratch.write(device, 0)
    expect.accepted(binder.bind(LONG, binder.at(scratch.bar, scratch.offset), scratch.value))
    device.write_config(control, 2, regs.PCI_PM_CTRL_STATE_MASK)
    try:
        binder.event.signal()
    finally:
        device.write_config(control, 2, 0)
    written = int(scratch.read(device) == scratch.value)
    scratch.write(device, 0)
    expect.equal("writes that reached the device", written, promised(rules.D3HOT))
