# SPDX-License-Identifier: MIT
"""Accesses of config space: any part of it, nothing behind it."""

import mmap
from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.files import Memory
from vfiospec.device.region import Region
from vfiospec.rules import config_space as rules
from vfiospec.rules.config_space_layout import Layout
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

NO_ACCESS = 0  # PROT_NONE
REGISTERS = (regs.PCI_VENDOR_ID, regs.PCI_COMMAND, regs.PCI_BASE_ADDRESS_0, regs.PCI_INTERRUPT_LINE)


def _pwrite(space: Region, offset: int, size: int, at: o.Ref) -> Call:
    where = int(space.info.offset) + offset
    reply = space.device.port.do(o.Pwrite(space.device.handle, None, where, at, size))
    return Call("pwrite", f"{size} bytes at {offset:#x}", 0, reply)


@checks(rules.WHOLE)
def test_all_of_it_is_read_at_once(space: Region) -> None:
    """As many bytes as the region has."""
    size = int(space.info.size)
    expect.equal("bytes", len(expect.accepted(space.try_read(0, size), size).data), size)


@checks(rules.WHOLE, rules.READ_ONLY)
@pytest.mark.parametrize("size", [1, 2, 4], ids="size-{}".format)
def test_a_write_of_what_is_read_only_is_whole(space: Region, size: int) -> None:
    """Bytes that change nothing count as written."""
    for at in (regs.PCI_VENDOR_ID, regs.PCI_CLASS_REVISION, regs.PCI_SUBSYSTEM_VENDOR_ID):
        expect.accepted(space.try_write(at, bytes(size)), size)


@checks(rules.WHOLE, rules.BOUNDS)
def test_the_last_bytes_and_one_more(space: Region, promised: Callable[[Rule], int]) -> None:
    """An access may end where config space does, and not a byte later."""
    end = int(space.info.size)
    for size in (1, 2, 3, 4, 8, 64):
        expect.accepted(space.try_read(end - size, size), size)
        expect.refused(space.try_read(end - size, size + 1), promised(rules.BOUNDS))
        expect.refused(space.try_read(end - size + 1, size), promised(rules.BOUNDS))


@checks(rules.BOUNDS)
@pytest.mark.parametrize("size", [1, 2, 4, 8], ids="size-{}".format)
def test_an_access_behind_the_end_is_refused(
    space: Region, size: int, promised: Callable[[Rule], int]
) -> None:
    """Reads and writes alike."""
    for beyond in (0, 1, 3, 4, 256, 4096):
        at = int(space.info.size) + beyond
        expect.refused(space.try_read(at, size), promised(rules.BOUNDS))
        expect.refused(space.try_write(at, bytes(size)), promised(rules.BOUNDS))


@checks(rules.BOUNDS)
@pytest.mark.parametrize("shift", [12, 16, 31, 32, 39], ids="bit-{}".format)
def test_it_is_not_there_again(space: Region, shift: int, promised: Callable[[Rule], int]) -> None:
    """At the same place so much further on, where only an upper bit of the offset is too many."""
    for at in (*REGISTERS, int(space.info.size) - 4):
        near = expect.accepted(space.try_read(at, 4), 4).data
        expect.refused(space.try_read((1 << shift) + at, 4), promised(rules.BOUNDS))
        expect.refused(space.try_write((1 << shift) + at, near), promised(rules.BOUNDS))


@checks(rules.BOUNDS)
def test_a_write_over_the_end_is_refused(
    space: Region, layout: Layout, hardware: Region, promised: Callable[[Rule], int]
) -> None:
    """As a whole: the bytes before the end are as they were."""
    last = int(space.info.size) - 4
    before = hardware.try_read(last, 4).data
    change = 0x5A if all(layout.swept[last:]) else 0
    call = space.try_write(last, bytes(b ^ change for b in before) + bytes(1))
    now = hardware.try_read(last, 4).data
    hardware.try_write(last, before)
    expect.refused(call, promised(rules.BOUNDS))
    expect.equal("last bytes of the device", now.hex(), before.hex())


@checks(rules.BOUNDS)
def test_a_read_over_the_end_gives_nothing(
    space: Region, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """The buffer is left alone."""
    call = space.try_read(int(space.info.size) - 4, 5, at=memory.at())
    expect.refused(call, promised(rules.BOUNDS))
    expect.equal("buffer", memory.read(0, 5).hex(), (b"\xa5" * 5).hex())


@checks(rules.BOUNDS)
@devices("conventional")
def test_a_conventional_device_has_no_extended_space(
    space: Region, promised: Callable[[Rule], int]
) -> None:
    """Nothing at 256."""
    call = space.try_read(regs.PCI_CFG_SPACE_SIZE, 4)
    if int(space.info.size) == regs.PCI_CFG_SPACE_SIZE:
        expect.refused(call, promised(rules.BOUNDS))
    else:
        expect.accepted(call, 4)


@checks(rules.EMPTY)
def test_no_bytes_are_no_access(space: Region, promised: Callable[[Rule], int]) -> None:
    """Neither within nor behind."""
    for offset in (0, 5, 255, 4096, 1 << 20):
        expect.accepted(space.try_read(offset, 0), promised(rules.EMPTY))
        expect.accepted(space.try_write(offset, b""), promised(rules.EMPTY))


@checks(rules.BAD_BUFFER)
def test_a_buffer_that_cannot_be_written(
    space: Region, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """No read puts its bytes where it may not."""
    memory.protect(mmap.PROT_READ)
    for offset in (*REGISTERS, regs.PCI_CFG_SPACE_SIZE - 4):
        call = space.try_read(offset, 4, at=memory.at())
        expect.refused(call, promised(rules.BAD_BUFFER))


@checks(rules.BAD_BUFFER)
def test_a_buffer_that_cannot_be_read(
    space: Region, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """No write takes its bytes from nowhere; the register is as it was."""
    memory.protect(NO_ACCESS)
    for offset in REGISTERS:
        before = space.read(offset, 4)
        expect.refused(_pwrite(space, offset, 4, memory.at()), promised(rules.BAD_BUFFER))
        expect.equal("register", space.read(offset, 4), before)


@checks(rules.BAD_BUFFER)
def test_a_buffer_that_ends_too_early(
    space: Region, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """The bytes that fit do not make the access a short one."""
    for size in (8, 12, 64):
        call = space.try_read(0, size, at=memory.tail(size - 4))
        expect.refused(call, promised(rules.BAD_BUFFER))
        refused = _pwrite(space, regs.PCI_VENDOR_ID, size, memory.tail(size - 4))
        expect.refused(refused, promised(rules.BAD_BUFFER))
    expect.accepted(space.try_read(0, 8, at=memory.tail(8)), 8)


@checks(rules.WHOLE)
def test_bytes_arrive_in_order(space: Region, memory: Memory) -> None:
    """A read into memory puts each byte in its place and none besides."""
    expected = space.try_read(0, 61).data
    expect.accepted(space.try_read(1, 60, at=memory.at(16)), 60)
    expect.equal("bytes", memory.read(16, 60).hex(), expected[1:].hex())
    around = memory.read(0, 16) + memory.read(76, 16)
    expect.equal("bytes around", around.hex(), (b"\xa5" * 32).hex())
