# SPDX-License-Identifier: MIT
"""How argsz rules what an INFO ioctl writes: from too little to more than there is."""

from collections.abc import Callable
from operator import attrgetter

import pytest

from vfiospec import expect
from vfiospec.device.call import Call
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.info import INFO_CALLS, InfoCall
from vfiospec.rules import conventions as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

each_info = pytest.mark.parametrize("info", INFO_CALLS, ids=attrgetter("name"))
too_small = pytest.mark.parametrize(
    ("info", "argsz"),
    [
        pytest.param(info, argsz, id=f"{info.name}-argsz-{argsz}")
        for info in INFO_CALLS
        for argsz in (0, 1, 4, 8, info.minsz - 4, info.minsz - 1)
    ],
)
large = pytest.mark.parametrize("argsz", [4096, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF], ids=hex)


def same_reply(call: Call, reference: Call, written: int) -> None:
    """The call gave the first `written` bytes of a reference, argsz apart, and no byte more."""
    expect.accepted(call)
    own = call.argsz.to_bytes(4, "little")
    expect.equal(f"reply of {call}", call.data[:written].hex(" "),
                 (own + reference.data[4:written]).hex(" "))  # fmt: skip
    expect.untouched(call, written)


@checks(rules.ARGSZ_TOO_SMALL)
@too_small
def test_too_small_an_argsz_is_refused(
    device: Device, info: InfoCall, argsz: int, promised: Callable[[Rule], int]
) -> None:
    """An argsz that cannot hold the first version is refused, and the buffer left alone."""
    expect.refused(info.ask(device, argsz), promised(rules.ARGSZ_TOO_SMALL))


@checks(rules.ARGSZ_MINIMUM, rules.ARGSZ_KEPT, rules.ARGSZ_LIMIT)
@each_info
def test_the_smallest_argsz_is_enough(device: Device, info: InfoCall) -> None:
    """An argsz for the first version alone gets all of that, and not a byte more."""
    same_reply(info.ask(device, info.minsz), info.ask(device), info.minsz)


@checks(rules.ARGSZ_MINIMUM, rules.ARGSZ_LIMIT)
@each_info
def test_the_smallest_buffer_is_enough(device: Device, info: InfoCall, memory: Memory) -> None:
    """A buffer for the first version alone may end where memory ends."""
    call = info.ask(device, info.minsz, size=info.minsz, at=memory.tail(info.minsz))
    same_reply(call, info.ask(device), info.minsz)


@checks(
    rules.ARGSZ_LIMIT,
    rules.ARGSZ_KEPT,
    rules.CUT_FIELD,
    rules.DEVICE_INFO_SIZE,
    rules.REGION_INFO_SIZE,
    rules.IRQ_INFO_SIZE,
)
@each_info
def test_every_argsz_up_to_the_structure_and_beyond(
    device: Device, info: InfoCall, known: int, promised: Callable[[Rule], int]
) -> None:
    """Each argsz gets just the bytes it has room for, up to the size of the structure."""
    reference, step = info.ask(device), promised(rules.CUT_FIELD)
    for argsz in range(info.minsz, info.struct.sizeof() + 9):
        same_reply(info.ask(device, argsz), reference, info.written(argsz, known, step))


@checks(rules.ARGSZ_LIMIT)
@each_info
def test_no_byte_behind_argsz_is_needed(
    device: Device, info: InfoCall, known: int, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """Whatever argsz says, the buffer may end there, and what lies before it is left alone."""
    reference, step = info.ask(device), promised(rules.CUT_FIELD)
    for argsz in range(info.minsz, info.struct.sizeof() + 9):
        before = memory.read(0, memory.size - argsz)
        call = info.ask(device, argsz, size=argsz, at=memory.tail(argsz))
        same_reply(call, reference, info.written(argsz, known, step))
        unchanged = memory.read(0, memory.size - argsz) == before
        expect.holds(unchanged, "memory before the buffer left alone", f"{call}, and it changed")


@checks(rules.ARGSZ_BEYOND, rules.ARGSZ_KEPT)
@each_info
@large
def test_a_large_argsz_gets_the_same_reply(
    device: Device, info: InfoCall, argsz: int, known: int
) -> None:
    """An argsz far beyond the structure is accepted and changes nothing else."""
    same_reply(info.ask(device, argsz), info.ask(device), known)


@checks(rules.ARGSZ_BEYOND)
@each_info
@large
def test_a_large_argsz_needs_no_more_memory(
    device: Device, info: InfoCall, argsz: int, known: int, memory: Memory
) -> None:
    """Behind the structure no memory is needed, even if argsz claims there is."""
    call = info.ask(device, argsz, size=known, at=memory.tail(known))
    same_reply(call, info.ask(device), known)
