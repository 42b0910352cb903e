# SPDX-License-Identifier: MIT
"""Makes wrong ports out of calls that a rule's own tests made: what could have been answered.

Nearest to the promise first: another errno, success, a field that differs.
"""

from collections.abc import Iterator

from vfiospec.abi.base import AbiStruct
from vfiospec.abi.ioctl import IOCTLS
from vfiospec.device import ops as o
from vfiospec.device.call import errno_name
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.wrong.model import Change
from vfiospec.wrong.seen import Seen

SIGBUS, SIGSEGV = 7, 11
_REGISTER = 8  # bytes; what is longer is flipped at a few places only
_BEHIND = 24  # bytes behind a structure that are changed: capabilities begin there
_SKIPPED = ("argsz", "pad", "reserved")


def changes(seen: Seen, op: AnyOp, reply: Reply) -> Iterator[tuple[str, Change]]:
    """What a wrong kernel could have done with one call, each in words."""
    match op:
        case o.Ioctl() | o.Ioctl32():
            yield from _of_ioctl(seen, op, reply)
        case o.Pread():
            yield from _of_read(seen, reply)
        case o.Pwrite() | o.WriteFile():
            yield from _of_write(reply)
        case o.Load() | o.Store():
            yield from _of_touch(reply)
        case o.Poll():
            ready = 0 if reply.ret else 1
            yield ("has it ready" if ready else "has none ready"), Change(ready=ready)
        case o.Race():
            yield from _of_race(reply)
        case o.ReadFile() | o.ReadLink() | o.Peek() | o.ListDir():
            yield from _of_text(reply)
        case o.Open() | o.Mmap() | o.Syscall() | o.Wait():
            yield from _of_call(reply)


def _other(errno: int) -> str:
    return "ENOTTY" if errno_name(errno) == "EINVAL" else "EINVAL"


def _of_call(reply: Reply) -> Iterator[tuple[str, Change]]:
    if not reply.ok and not reply.signal:
        yield f"fails with {_other(reply.errno)}", Change(errno=_other(reply.errno))
        yield "succeeds", Change(ret=0)
    elif reply.ok:
        yield "fails with EINVAL", Change(errno="EINVAL")


def _of_ioctl(seen: Seen, op: o.Ioctl | o.Ioctl32, reply: Reply) -> Iterator[tuple[str, Change]]:
    if not reply.ok:
        yield from _of_call(reply)
        if reply.data:
            at = len(reply.data) - 1
            yield "fails and writes to the buffer", Change(at=at, xor=0xFF)
        return
    if isinstance(op, o.Ioctl) and op.data is not None and reply.data is not None:
        yield from _of_struct(
            IOCTLS.get((str(seen.fields["on"]), op.request), ("", None))[1], reply
        )
    yield "does nothing", Change(swallow=True, ret=reply.ret)
    yield from _of_call(reply)
    yield "returns one more", Change(more=1)
    yield "writes behind the buffer", Change(spill=True)


def _of_struct(struct: type[AbiStruct] | None, reply: Reply) -> Iterator[tuple[str, Change]]:
    data = reply.bytes
    for member in struct.members() if struct else ():
        if member.offset + member.size > len(data) or member.name.startswith(_SKIPPED):
            continue
        if "flags" in member.name:
            for bit in range(9):
                yield (
                    f"has bit {bit} of {member.name} flipped",
                    Change(flip={member.name: 1 << bit}),
                )
        elif struct and isinstance(getattr(struct.unpack(data), member.name), int):
            yield f"has {member.name} one higher", Change(add={member.name: 1})
    yield "has argsz one higher", Change(add={"argsz": 1})
    size = struct.sizeof() if struct else 0
    for at in range(size, min(len(data), size + _BEHIND), 2):
        yield f"has byte {at} changed", Change(at=at, xor=0xFF)


def _of_read(seen: Seen, reply: Reply) -> Iterator[tuple[str, Change]]:
    if "eventfd" in seen.call:
        if reply.ok:
            yield "is signalled once more", Change(at=0, xor=reply.value ^ (reply.value + 1) & 0xFF)
            yield "is not signalled", Change(errno="EAGAIN")
        else:
            yield "is signalled", Change(ret=8, at=0, xor=1)
        return
    if not reply.ok:
        yield f"fails with {_other(reply.errno)}", Change(errno=_other(reply.errno))
        yield "succeeds", Change(ret=int(seen.fields.get("size", 0)))
        return
    yield from _of_bytes(reply)
    yield "is one byte short", Change(more=-1)
    yield "fails with EIO", Change(errno="EIO")


def _of_bytes(reply: Reply) -> Iterator[tuple[str, Change]]:
    data = reply.bytes
    if 0 < len(data) <= _REGISTER:
        for bit in range(8 * len(data)):
            yield f"has bit {bit} flipped", Change(at=bit // 8, xor=1 << bit % 8)
    elif data:
        for at in sorted({0, 1, len(data) // 2, len(data) - 1}):
            yield f"has byte {at} changed", Change(at=at, xor=0xFF)
    if data:
        yield "is all ones", Change(fill=0xFF)
        yield "is all zeros", Change(fill=0)


def _of_write(reply: Reply) -> Iterator[tuple[str, Change]]:
    if not reply.ok:
        yield f"fails with {_other(reply.errno)}", Change(errno=_other(reply.errno))
        yield "succeeds", Change(ret=1)
        return
    yield "does nothing", Change(swallow=True)
    yield "fails with EIO", Change(errno="EIO")
    yield "writes one byte less", Change(more=-1)


def _of_touch(reply: Reply) -> Iterator[tuple[str, Change]]:
    if reply.signal:
        yield "does not fault", Change(signal=0, fill=0)
        other = SIGSEGV if reply.signal == SIGBUS else SIGBUS
        yield "faults otherwise", Change(signal=other)
        return
    if reply.data is None:
        yield "does nothing", Change(swallow=True)
    yield from _of_bytes(reply)
    yield "faults", Change(signal=SIGBUS)


def _of_race(reply: Reply) -> Iterator[tuple[str, Change]]:
    errnos = sorted(set(reply.values[3::5]))
    for errno in errnos:
        other = 22 if errno != 22 else 25  # noqa: PLR2004 -- EINVAL, ENOTTY
        yield f"answers {errno_name(other)} for {errno}", Change(answers=(errno, other))
        if errno:
            yield f"succeeds where {errno_name(errno)} was due", Change(answers=(errno, 0))


def _of_text(reply: Reply) -> Iterator[tuple[str, Change]]:
    if not reply.ok:
        yield from _of_call(reply)
        return
    text = reply.bytes
    for digit in sorted({chr(c) for c in text if c in b"0123456789"}):
        yield f"has other digits for {digit}", Change(swap=(digit, str((int(digit) + 1) % 10)))
    yield from _of_bytes(reply)
