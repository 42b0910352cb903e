# SPDX-License-Identifier: MIT
"""The registers of the header, one by one and byte by byte. BARs are in test_bars.py."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.device.region import Region
from vfiospec.rules import config_space as rules
from vfiospec.rules.config_space_layout import Layout
from vfiospec.rules.config_space_map import HEADER, Register
from vfiospec.session.marks import checks

PLAIN = [r for r in HEADER if not r.own_tests]
each = pytest.mark.parametrize("register", PLAIN, ids=lambda r: r.name.lower().replace("_", "-"))


@checks(rules.READ_ONLY, rules.KEPT, rules.THROUGH, rules.WHOLE)
@each
def test_it_takes_what_it_may(
    space: Region,
    hardware: Region,
    layout: Layout,
    reach: Callable[[bytes], bytes],
    register: Register,
) -> None:
    """Ones, then zeros: bits that are neither writable nor the device's own stay."""
    if not layout.swept[register.at]:
        pytest.skip("this device would start its self test: judge one without BIST")
    at, width = register.at, register.width
    for fill in (b"\xff", b"\0"):
        before, real = space.read(at, width), hardware.read(at, width)
        value = int.from_bytes(fill * width, "little")
        through = int.from_bytes(reach(fill * layout.size)[at : at + width], "little")
        hardware.write(at, width, real & ~through | value & through)
        expected = hardware.read(at, width)
        hardware.write(at, width, real)
        expect.accepted(space.try_write(at, fill * width), width)
        expect.equal(f"{register.name} in the device", hardware.read(at, width), expected)
        held = value & register.writable | before & ~register.writable
        expect.equal(
            f"{register.name} as the user sees it",
            space.read(at, width),
            expected & ~register.kept | held & register.kept,
        )


@checks(rules.WIDTH)
@pytest.mark.parametrize(
    "at",
    [
        regs.PCI_COMMAND + 1,
        regs.PCI_CACHE_LINE_SIZE,
        regs.PCI_LATENCY_TIMER,
        regs.PCI_INTERRUPT_LINE,
        regs.PCI_INTERRUPT_PIN,
    ],
    ids="offset-{:#x}".format,
)
def test_a_byte_changes_no_other(
    space: Region, same: Callable[[str, bytes, bytes], None], at: int
) -> None:
    """The rest of the header is as it was."""
    before = space.try_read(0, regs.PCI_STD_HEADER_SIZEOF).data
    for value in (0xFF, 0, 0x5A):
        space.write(at, 1, value)
        after = space.try_read(0, regs.PCI_STD_HEADER_SIZEOF).data
        same("the rest of the header", after[:at] + before[at : at + 1] + after[at + 1 :], before)


@checks(rules.KEPT)
def test_the_interrupt_line_is_only_kept(space: Region, hardware: Region) -> None:
    """Any number reads back; the device has its own."""
    real = hardware.read(regs.PCI_INTERRUPT_LINE, 1)
    for value in (0, 1, 0x80, 0xFF):
        space.write(regs.PCI_INTERRUPT_LINE, 1, value)
        expect.equal("interrupt line", space.read(regs.PCI_INTERRUPT_LINE, 1), value)
        expect.equal("its own line", hardware.read(regs.PCI_INTERRUPT_LINE, 1), real)


@checks(rules.SYSFS)
def test_the_host_s_changes_show(space: Region, hardware: Region) -> None:
    """Of a register that is passed through at once, of a virtual one never."""
    line = space.read(regs.PCI_INTERRUPT_LINE, 1)
    hardware.write(regs.PCI_INTERRUPT_LINE, 1, line ^ 0x0F)
    expect.equal("interrupt line", space.read(regs.PCI_INTERRUPT_LINE, 1), line)
    for value in (0x10, 0x20):
        hardware.write(regs.PCI_CACHE_LINE_SIZE, 1, value)
        real = hardware.read(regs.PCI_CACHE_LINE_SIZE, 1)
        expect.equal("cache line size", space.read(regs.PCI_CACHE_LINE_SIZE, 1), real)
