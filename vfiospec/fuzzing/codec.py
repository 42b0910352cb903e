# SPDX-License-Identifier: MIT
"""Programs as bytes, for corpora. Any bytes are some program, and every program has bytes.

A version, then for each step: a number for its operation (from the operation's name, so corpora
outlive new operations), which file it is on, how many values follow, and those. A value below 240
is a choice of its field; 252 to 255 say that 1, 2, 4 or 8 bytes of a number follow. Fields that a
step has no value for take their first choice, and values without a field are passed over: so
corpora also outlive structures that grow.
"""

from functools import cache
from typing import Final

from vfiospec.fuzzing.describe import by_code
from vfiospec.fuzzing.model import CHOICES, MAX_OPERATIONS, RAW, Operation, Program

VERSION: Final = 1
_RAW_BYTES: Final = {252: 1, 253: 2, 254: 4, 255: 8}
_CODE: Final = 4  # bytes of an operation's number
_WORD: Final = (1 << 64) - 1


@cache
def _codes() -> dict[str, bytes]:
    return {d.name: code.to_bytes(_CODE, "little") for code, d in by_code().items()}


@cache
def _names() -> list[int]:
    return sorted(by_code())


def encode(program: Program) -> bytes:
    """The bytes of a program."""
    codes = _codes()
    out = bytearray([VERSION])
    for name, on, values in program[:MAX_OPERATIONS]:
        out += codes[name]
        out.append(on & 0xFF)
        out.append(min(len(values), 0xFF))
        for value in values[:0xFF]:
            _put_value(out, value)
    return bytes(out)


def _put_value(out: bytearray, value: int) -> None:
    if value < RAW:
        out.append(value % CHOICES)
        return
    number = (value - RAW) & _WORD
    for tag, width in _RAW_BYTES.items():
        if number >> (8 * width) == 0:
            out.append(tag)
            out += number.to_bytes(width, "little")
            return


def decode(data: bytes) -> Program:
    """The program that bytes stand for. A version nobody knows is read like this one."""
    known = by_code()
    names = _names()
    at, steps = 1, list[Operation]()
    while at < len(data) and len(steps) < MAX_OPERATIONS:
        code = int.from_bytes(data[at : at + _CODE], "little")
        about = known.get(code) or known[names[code % len(names)]]
        at += _CODE
        on = data[at] if at < len(data) else 0
        count = data[at + 1] if at + 1 < len(data) else 0
        at += 2
        values: list[int] = []
        while count and at < len(data):
            tag = data[at]
            width = _RAW_BYTES.get(tag, 0)
            if width:
                values.append(RAW + int.from_bytes(data[at + 1 : at + 1 + width], "little"))
            else:
                values.append(tag % CHOICES)
            at += 1 + width
            count -= 1
        steps.append(Operation(about.name, on, tuple(values[: len(about.fields)])))
    return tuple(steps)
