# SPDX-License-Identifier: MIT
"""Plainer forms of one operation: fewer bytes, zeros for values, no flags.

Each form is smaller by some order that has an end, so taking them greedily ends too.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Op

_PAGE = 4096
_HEAD = 4  # the argsz of a structure: it decides what the kernel reads, so it goes last
_PIECES = (32, 8, 4, 2, 1)


def inner_lists(op: AnyOp) -> list[tuple[AnyOp, ...]]:
    """The lists of operations an operation is made of."""
    if isinstance(op, o.Race):
        return list(op.programs)
    return [op.ops] if isinstance(op, o.In | o.Trace) else []


def with_inner(op: AnyOp, which: int, ops: tuple[AnyOp, ...]) -> AnyOp:
    """The operation with one of its lists replaced."""
    if isinstance(op, o.Race):
        programs = (*op.programs[:which], ops, *op.programs[which + 1 :])
        return msgspec.structs.replace(op, programs=programs)
    return msgspec.structs.replace(op, ops=ops) if isinstance(op, o.In | o.Trace) else op


def simpler(op: AnyOp) -> Iterator[AnyOp]:
    """Plainer forms of an operation, the plainest first."""
    if isinstance(op, o.Race):
        yield from _fewer_rounds(op)
    for at, inner in enumerate(inner_lists(op)):
        for place, each in enumerate(inner):
            for plain in simpler(each):
                yield with_inner(op, at, (*inner[:place], plain, *inner[place + 1 :]))
    seen = {op}
    for changes in _changes(op):
        plain = msgspec.structs.replace(op, **changes)
        if plain not in seen:
            seen.add(plain)
            yield plain


def _fewer_rounds(op: o.Race) -> Iterator[AnyOp]:
    for rounds in (1, op.rounds // 10, op.rounds // 2):
        if 0 < rounds < op.rounds:
            yield msgspec.structs.replace(op, rounds=rounds)


def _changes(op: Op) -> Iterator[dict[str, Any]]:
    data = getattr(op, "data", None)
    fixups = getattr(op, "fixups", ())
    if data:
        yield from (
            {"data": each} for each in _bytes(data, max((f.offset for f in fixups), default=0))
        )
    for at in range(len(fixups)):
        yield {"fixups": (*fixups[:at], *fixups[at + 1 :])}
    if getattr(op, "guard", False):
        yield {"guard": False}
    size = getattr(op, "size", 0)
    if size > _PAGE and isinstance(op, o.Alloc):
        yield {"size": _PAGE}
    elif not isinstance(op, o.Alloc):
        yield from ({"size": s} for s in (1, 4, size // 2) if 0 < s < size)
    for name, least in (("value", 0), ("initial", 0), ("timeout_ms", 0), ("fill", 0), ("kind", 0),
                        ("mode", 0), ("offset", 0)):  # fmt: skip
        value = getattr(op, name, None)
        if isinstance(value, int) and value != least:
            yield {name: least}
            if name in {"value", "offset"}:
                yield from ({name: v} for v in _fewer_bits(value))
    flags = getattr(op, "flags", None)
    if flags:
        yield from ({"flags": v} for v in (0, *_fewer_bits(flags)))


def _fewer_bits(value: int) -> Iterator[int]:
    """The number without one of its bits, the highest first."""
    if value > 0:
        yield from (
            value & ~(1 << bit) for bit in reversed(range(value.bit_length())) if value >> bit & 1
        )


def _bytes(data: bytes, needed: int) -> Iterator[bytes]:
    """Shorter and emptier bytes; a fixup must keep its place."""
    for length in (_HEAD, len(data) // 2, len(data) - 8, len(data) - 4):
        if needed < length < len(data):
            yield data[:length]
    if data[_HEAD:].strip(b"\0"):
        yield data[:_HEAD] + bytes(len(data) - _HEAD)
    for piece in _PIECES:
        if piece >= len(data):
            continue
        for start in reversed(range(0, len(data), piece)):
            if data[start : start + piece].strip(b"\0"):
                end = min(start + piece, len(data))
                yield data[:start] + bytes(end - start) + data[end:]
    for at, byte in enumerate(data[:64]):
        yield from (data[:at] + bytes([v]) + data[at + 1 :] for v in _fewer_bits(byte) if v)
