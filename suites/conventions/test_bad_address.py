# SPDX-License-Identifier: MIT
"""Arguments of INFO ioctls that point to where there is nothing to read or to write."""

import mmap
from collections.abc import Callable
from operator import attrgetter

import pytest

from vfiospec import expect
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.info import INFO_CALLS, InfoCall, snapshot
from vfiospec.device.ops import Syscall
from vfiospec.rules import conventions as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

each_info = pytest.mark.parametrize("info", INFO_CALLS, ids=attrgetter("name"))
PROT_NONE = 0


@checks(rules.BAD_ADDRESS)
@each_info
@pytest.mark.parametrize(
    "address",
    [0, 4, 0xFFFF800000000000, 0xFFFFFFFFFFFFFFF8],
    ids=["null", "near-null", "kernel-half", "last-bytes"],
)
def test_an_address_that_is_none_is_refused(
    device: Device, info: InfoCall, address: int, promised: Callable[[Rule], int]
) -> None:
    """An address no process can have is refused, and the device answers as before."""
    before = snapshot(device)
    expect.refused(device.try_ioctl(info.request, address), promised(rules.BAD_ADDRESS))
    expect.equal("what the device answers", snapshot(device), before)


@checks(rules.BAD_ADDRESS)
@each_info
def test_an_address_without_memory_is_refused(
    device: Device, info: InfoCall, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """The page behind the end of memory is refused; the bytes before it are accepted."""
    errno = promised(rules.BAD_ADDRESS)
    expect.refused(device.try_ioctl(info.request, memory.at(memory.size)), errno)
    expect.accepted(info.ask(device, info.minsz, size=info.minsz, at=memory.tail(info.minsz)))


@checks(rules.BAD_ADDRESS)
@each_info
def test_a_structure_that_runs_out_of_memory_is_refused(
    device: Device, info: InfoCall, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """A first version whose last bytes have no memory is refused, and the others left alone."""
    for short in (info.minsz - 1, info.minsz - 4, 12, 8, 4):
        memory.write(memory.size - short, info.pack(size=short))
        before = memory.read(0, memory.size)
        call = device.try_ioctl(info.request, memory.tail(short), what=f"{short} bytes of memory")
        expect.refused(call, promised(rules.BAD_ADDRESS))
        unchanged = memory.read(0, memory.size) == before
        expect.holds(unchanged, "memory left alone", f"{call}, and memory changed")


@checks(rules.BAD_ADDRESS)
@each_info
def test_memory_nobody_may_touch_is_refused(
    device: Device, info: InfoCall, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """Memory mapped PROT_NONE is refused; the same memory made accessible is accepted."""
    memory.write(0, info.pack(size=info.struct.sizeof()))
    memory.protect(PROT_NONE)
    expect.refused(device.try_ioctl(info.request, memory.at()), promised(rules.BAD_ADDRESS))
    memory.protect(mmap.PROT_READ | mmap.PROT_WRITE)
    expect.accepted(device.try_ioctl(info.request, memory.at()))


@checks(rules.READ_ONLY_ADDRESS)
@each_info
def test_memory_that_cannot_be_written_is_refused(
    device: Device, info: InfoCall, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """Memory mapped PROT_READ is refused and keeps its bytes."""
    asked = info.pack(size=info.struct.sizeof())
    memory.write(0, asked)
    memory.protect(mmap.PROT_READ)
    expect.refused(device.try_ioctl(info.request, memory.at()), promised(rules.READ_ONLY_ADDRESS))
    expect.equal("the argument", memory.read(0, len(asked)).hex(" "), asked.hex(" "))


@checks(rules.READ_ONLY_ADDRESS)
@each_info
def test_an_answer_that_runs_into_read_only_memory_is_refused(
    device: Device, info: InfoCall, known: int, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """The whole structure is written: a last byte, or field, that cannot be is noticed."""
    half = memory.size // 2
    for behind in (1, 4):
        start = half - known + behind
        memory.write(start, info.pack(known, size=known))
        reply = memory.port.do(Syscall("mprotect", (memory.fixup(0, half), half, mmap.PROT_READ)))
        expect.equal("mprotect", reply.ret, 0)
        what = f"last {behind} bytes read-only"
        call = device.try_ioctl(info.request, memory.at(start), what=what)
        expect.refused(call, promised(rules.READ_ONLY_ADDRESS))
        memory.protect(mmap.PROT_READ | mmap.PROT_WRITE)
