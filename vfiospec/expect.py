# SPDX-License-Identifier: MIT
"""Judgements in the ABI's own words, shared by the suites and the fuzz oracles."""

import ctypes
from collections.abc import Iterable

from vfiospec.abi.base import AbiStruct
from vfiospec.device.call import Call, errno_name


class Mismatch(AssertionError):  # noqa: N818 -- a judgement, not an error of ours
    """The kernel did not do what a rule promises."""

    def __init__(self, expected: str, actual: str) -> None:
        """Keep both sides as a person reads them."""
        super().__init__(f"expected: {expected}\n  actual: {actual}")
        self.expected = expected
        self.actual = actual


def refused(call: Call, errno: int) -> None:
    """The call fails with just this errno and leaves the buffer as it was."""
    if call.ok or call.errno != errno:
        raise Mismatch(errno_name(errno), str(call))
    untouched(call, 0)


def accepted(call: Call, ret: int = 0) -> Call:
    """The call succeeds with just this return value, and stays within its buffer."""
    if call.ret != ret:
        raise Mismatch(str(ret), str(call))
    inside(call)
    return call


def inside(call: Call) -> None:
    """Nothing outside of the buffer was written."""
    for offset, data in call.reply.spill:
        raise Mismatch(
            "nothing written outside of the buffer",
            f"{call}, and {len(data)} bytes at offset {offset} became {data.hex(' ')}",
        )


def untouched(call: Call, start: int, end: int | None = None) -> None:
    """The bytes of the buffer from `start` on (to `end`) are as they were before the call."""
    inside(call)
    if not isinstance(call.sent, bytes) or call.reply.data is None:
        return
    before, after = call.sent[start:end], call.data[start:end]
    if before != after:
        at = next(i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b)
        raise Mismatch(
            f"bytes {start} to {start + len(before) - 1} left alone",
            f"{call}, and byte {start + at} changed from {before[at]:#04x} to {after[at]:#04x}",
        )


def reply(call: Call, expected: AbiStruct) -> None:
    """The call succeeds with just this structure, and leaves all behind it as it was."""
    got = accepted(call).unpack(type(expected))
    for member in expected.members():
        equal(f"{call}: {member.name}", _field(got, member.name), _field(expected, member.name))
    untouched(call, expected.sizeof())


def _field(struct: AbiStruct, name: str) -> object:
    value = getattr(struct, name)
    return list(value) if isinstance(value, ctypes.Array) else value  # arrays have no ==


def equal(what: str, actual: object, expected: object) -> None:
    """A value is just this one."""
    if actual != expected:
        raise Mismatch(f"{what} = {_show(expected)}", f"{what} = {_show(actual)}")


def one_of(what: str, actual: object, expected: Iterable[object]) -> None:
    """A value is one of several; the rule says why there are several."""
    choices = list(expected)
    if actual not in choices:
        raise Mismatch(f"{what} in {', '.join(map(_show, choices))}", f"{what} = {_show(actual)}")


def flags(what: str, actual: int, *, needed: int = 0, forbidden: int = 0) -> None:
    """Flag bits are set, or clear."""
    if actual & needed != needed:
        raise Mismatch(f"{what} has {needed:#x}", f"{what} = {actual:#x}")
    if actual & forbidden:
        raise Mismatch(f"{what} has none of {forbidden:#x}", f"{what} = {actual:#x}")


def holds(condition: bool, expected: str, actual: str) -> None:  # noqa: FBT001 -- reads as prose
    """Any other condition, in words."""
    if not condition:
        raise Mismatch(expected, actual)


def _show(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        return str(value)
    return str(value) if -1 <= value < 4096 else f"{value:#x}"  # noqa: PLR2004 -- a page and up
