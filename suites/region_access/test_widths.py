# SPDX-License-Identifier: MIT
"""Which accesses the device sees for a read or a write: seen on QEMU's bus, and by edu itself."""

from collections.abc import Callable, Iterator
from typing import Protocol, Self

import pytest

from vfiospec import expect
from vfiospec.device import edu
from vfiospec.device.device import Device
from vfiospec.device.pci import ROM, PciDevice
from vfiospec.rules import region_access as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

VERSION = 0xED  # the low byte of edu's identification
BAD_WIDTH = 0xFFFFFFFFFFFFFFFF  # what edu answers to an access of 8 bytes below 0x80
NO_REGISTER = 0xFFFFFFFF  # what edu answers where it has none, as at 0x84
NVME_CLASS = 0x0108
UNUSED = 0x40  # of an NVMe controller: registers for boot partitions, which QEMU's has not
FINEST = 2  # bytes of the finest access QEMU's NVMe controller is given


class Access(Protocol):
    """An access of the bus."""

    kind: str
    offset: int
    width: int
    value: int


class Bus(Protocol):
    """The fixture."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def within(self, start: int, size: int) -> list[Access]: ...


def pieces(offset: int, count: int, widest: int) -> Iterator[tuple[int, int]]:
    """Offsets and widths of the accesses that make one up."""
    while count:
        width = widest
        while width > count or offset % width:
            width //= 2
        yield offset, width
        offset, count = offset + width, count - width


def spans(first: int) -> list[tuple[int, int]]:
    """Offsets and counts: each start within 8 bytes, each count up to 17, all within 24 bytes."""
    return [(first + o, n) for o in range(8) for n in range(1, 18) if o + n <= 24]


@pytest.fixture
def registers(decoding: Device, pci: PciDevice) -> Device:
    """An NVMe controller."""
    if pci.u16(0x0A) != NVME_CLASS:
        pytest.skip("no NVMe controller, whose registers take each width")
    return decoding


@checks(rules.NATURAL, rules.WIDEST)
@devices("pcie", "bar64", "msix", "pm")
def test_a_read_is_made_of_the_widest_accesses_that_fit(
    registers: Device, pci: PciDevice, bus: Bus, promised: Callable[[Rule], int]
) -> None:
    """In ascending order, each byte once, for each start and count."""
    region, widest = registers.region(0), promised(rules.WIDEST)
    with bus:
        registers.port.run([region.read_op(o, n) for o, n in spans(0)])
    seen = [(a.offset, a.width) for a in bus.within(pci.bars[0].start, 0x40) if a.kind == "read"]
    wanted = [(o, max(w, FINEST)) for at, n in spans(0) for o, w in pieces(at, n, widest)]
    expect.equal("accesses", seen, wanted)


@checks(rules.NATURAL, rules.WIDEST)
@devices("pcie", "bar64", "msix", "pm")
def test_a_write_is_made_of_the_widest_accesses_that_fit(
    registers: Device, pci: PciDevice, bus: Bus, promised: Callable[[Rule], int]
) -> None:
    """In ascending order, each byte once and where it belongs, for each start and count."""
    region, widest = registers.region(0), promised(rules.WIDEST)
    data = bytes(range(0x11, 0x11 + 17))
    with bus:
        registers.port.run([region.write_op(o, data[:n]) for o, n in spans(UNUSED)])
    seen = [
        (a.offset, a.width, a.value)
        for a in bus.within(pci.bars[0].start, 0x80)
        if a.kind == "write"
    ]
    wanted = [
        (o, max(w, FINEST), int.from_bytes(data[o - at : o - at + w], "little"))
        for at, n in spans(UNUSED)
        for o, w in pieces(at, n, widest)
    ]
    expect.equal("accesses", seen, wanted)


@checks(rules.NATURAL)
@devices("io-bar")
def test_ports_are_accessed_in_order(decoding: Device, pci: PciDevice, bus: Bus) -> None:
    """Each byte of an I/O port BAR once; no port is wider than 4 bytes."""
    for index, bar in enumerate(pci.bars[:ROM]):
        if not bar.is_io:
            continue
        region = decoding.region(index)
        with bus:
            decoding.port.run([region.read_op(o, n) for o, n in spans(0)])
        seen = [a.offset for a in bus.within(bar.start, bar.size) if a.kind == "read"]
        wanted = sorted({o for at, n in spans(0) for o in range(at, at + n)})
        expect.equal("ports read", sorted({o & ~3 for o in seen}), sorted({o & ~3 for o in wanted}))


@checks(rules.WIDEST)
@devices("dma-stimulus")
def test_registers_of_four_bytes_see_what_is_asked(
    decoding: Device, promised: Callable[[Rule], int]
) -> None:
    """An aligned read of 8 bytes is one access of 8, or two of 4, as the kernel has it."""
    bar = decoding.region(0)
    identity, liveness = bar.read(edu.ID_REGISTER, 4), bar.read(edu.LIVENESS, 4)
    expect.equal("identification", identity & 0xFF, VERSION)
    apart = identity | liveness << 32
    wanted = apart if promised(rules.WIDEST) == 4 else BAD_WIDTH
    expect.equal("8 bytes at 0", bar.read(edu.ID_REGISTER, 8), wanted)


@checks(rules.NATURAL)
@devices("dma-stimulus")
@pytest.mark.parametrize("width", [1, 2, 4], ids="width-{}".format)
def test_a_register_takes_one_width(decoding: Device, width: int) -> None:
    """Edu answers 4 bytes only: an access of 4 is one, and less is less."""
    answer = decoding.region(0).read(edu.ID_REGISTER, width)
    expect.equal("answered", answer & 0xFF, VERSION if width == 4 else 0)


@checks(rules.NATURAL)
@devices("dma-stimulus")
def test_one_write_has_one_effect(decoding: Device) -> None:
    """Liveness reads as the complement of what was written once, of 4 bytes, to its offset."""
    bar = decoding.region(0)
    for value in (0, 0x12345678, 0x80000001, 0xFFFFFFFF):
        bar.write(edu.LIVENESS, 4, value)
        expect.equal("liveness", bar.read(edu.LIVENESS, 4), value ^ 0xFFFFFFFF)


@checks(rules.WIDEST)
@devices("dma-stimulus")
def test_a_register_of_eight_bytes_takes_them_at_once(
    decoding: Device, promised: Callable[[Rule], int]
) -> None:
    """A write of 8 bytes arrives whole where the kernel makes such accesses, half where not."""
    bar = decoding.region(0)
    before, value = bar.read(edu.DMA_FROM, 8), 0x0102030405060708
    bar.write(edu.DMA_FROM, 8, value)
    got = [bar.read(edu.DMA_FROM, 4), bar.read(edu.DMA_FROM, 8) >> 32]
    bar.write(edu.DMA_FROM, 8, before)
    whole = promised(rules.WIDEST) == 8
    expect.equal("low half", got[0], value & 0xFFFFFFFF)
    expect.equal("high half", got[1], value >> 32 if whole else NO_REGISTER)
