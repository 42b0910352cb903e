# SPDX-License-Identifier: MIT
"""Makes a change: of a request before the call is made, of an answer after it."""

import errno as errno_names

import msgspec

from vfiospec.abi.base import AbiStruct
from vfiospec.abi.ioctl import IOCTLS
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.wrong.model import Change
from vfiospec.wrong.seen import REGION_SHIFT

_RACE = 5  # numbers to one answer of a race
_replace = msgspec.structs.replace


def struct_of(kind: str, op: AnyOp) -> type[AbiStruct] | None:
    """The structure that an ioctl's buffer holds."""
    if isinstance(op, o.Ioctl) and op.data is not None:
        return IOCTLS.get((kind, op.request), ("", None))[1]
    return None


def number(name: str) -> int:
    """22 for EINVAL."""
    value: int = getattr(errno_names, name)
    return value


def asked(op: AnyOp, kind: str, change: Change) -> AnyOp:
    """The request that is made in place of one."""
    if isinstance(op, o.Ioctl):
        struct = struct_of(kind, op)
        if struct is None or op.data is None:
            return _replace(op, value=change.ask.get("value", op.value))
        return _replace(op, data=_with(struct, op.data, dict(change.ask)))
    if isinstance(op, o.Pread | o.Pwrite) and op.offset is not None:
        offset = op.offset
        if "region" in change.ask:
            offset = (change.ask["region"] << REGION_SHIFT) | offset & ((1 << REGION_SHIFT) - 1)
        if "offset" in change.ask:
            offset = offset >> REGION_SHIFT << REGION_SHIFT | change.ask["offset"]
        op = _replace(op, offset=offset)
    if isinstance(op, o.Pwrite) and op.data is not None and "value" in change.ask:
        data = (change.ask["value"] % (1 << 8 * len(op.data))).to_bytes(len(op.data), "little")
        op = _replace(op, data=data)
    if isinstance(op, o.Mmap | o.Store):
        op = _replace(op, **{k: v for k, v in change.ask.items() if hasattr(op, k)})
    return op


def swallowed(op: AnyOp, change: Change) -> Reply:
    """The answer to a call that is not made: success, and what was handed over."""
    if isinstance(op, o.Pwrite):
        size = len(op.data) if op.data is not None else op.size
        return Reply(size if change.ret is None else change.ret)
    if isinstance(op, o.WriteFile):
        return Reply(len(op.data))
    data = op.data if isinstance(op, o.Ioctl) else None
    return Reply(change.ret or 0, 0, data)


def answered(op: AnyOp, reply: Reply, kind: str, change: Change) -> Reply:
    """The answer that is given in place of one."""
    if change.errno:
        back = op.data if isinstance(op, o.Ioctl) else None
        return Reply(-1, number(change.errno), back)
    if change.ret is not None and not change.swallow:
        if isinstance(op, o.Pread) and not reply.ok:
            reply = _replace(reply, data=bytes(op.size))
        reply = _replace(reply, ret=change.ret, errno=0, signal=0)
    if change.more:
        reply = _replace(reply, ret=reply.ret + change.more)
    if change.signal is not None:
        reply = _touched(op, reply, change)
    if change.ready is not None:
        reply = _replace(reply, ret=change.ready, values=(change.ready,) * len(reply.values))
    if change.answers != (0, 0):
        reply = _replace(reply, values=_raced(reply.values, change.answers))
    data = _changed(reply.data, struct_of(kind, op), change)
    if data != reply.data:
        reply = _replace(reply, data=data, ret=_length(op, reply, data))
    if change.spill:
        reply = _replace(reply, spill=((len(reply.bytes), b"\0"),))
    return reply


def _length(op: AnyOp, reply: Reply, data: bytes | None) -> int:
    """What a file's read returns: the bytes there are."""
    return len(data or b"") if isinstance(op, o.ReadFile | o.ReadLink | o.Drain) else reply.ret


def _touched(op: AnyOp, reply: Reply, change: Change) -> Reply:
    if change.signal:
        return Reply(-1, signal=change.signal, address=reply.address or 1)
    width = op.width if isinstance(op, o.Load) else 0
    return Reply(0, 0, bytes([change.fill or 0]) * width)


def _raced(values: tuple[int, ...], swap: tuple[int, int]) -> tuple[int, ...]:
    before, after = swap
    out = list(values)
    for i in range(0, len(out), _RACE):
        if out[i + 3] == before and (before or out[i + 2] >= 0):
            out[i + 2], out[i + 3] = (-1, after) if after else (0, 0)
    return tuple(out)


def _changed(data: bytes | None, struct: type[AbiStruct] | None, change: Change) -> bytes | None:
    if data is None:
        return None
    if change.text:
        return change.text.encode()
    if change.fill is not None:
        data = bytes([change.fill]) * len(data)
    if change.at is not None and change.at < len(data):
        data = data[: change.at] + bytes([data[change.at] ^ change.xor]) + data[change.at + 1 :]
    if change.at is not None and change.put:
        put = bytes.fromhex(change.put)
        data = (data[: change.at] + put + data[change.at + len(put) :])[: len(data)]
    if change.swap != ("", ""):
        data = data.replace(change.swap[0].encode(), change.swap[1].encode())
    if struct is not None and (change.add or change.flip):
        read = struct.unpack(data)
        values = {k: getattr(read, k) + v for k, v in change.add.items()}
        values |= {k: getattr(read, k) ^ v for k, v in change.flip.items()}
        data = _with(struct, data, values)
    return data


def _with(struct: type[AbiStruct], data: bytes, values: dict[str, int]) -> bytes:
    """The bytes with fields of the structure at their start replaced."""
    out = bytearray(data)
    for member in struct.members():
        if member.name in values and member.offset + member.size <= len(out):
            value = values[member.name] % (1 << 8 * member.size)
            place = slice(member.offset, member.offset + member.size)
            out[place] = value.to_bytes(member.size, "little")
    return bytes(out)
