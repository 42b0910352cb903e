# SPDX-License-Identifier: MIT
"""Transcripts: what was done to a kernel, decoded for a person and exact for a replay.

A transcript file is JSON lines: first a `Target`, then one `Line` for each operation.
"""

import re
import signal
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from vfiospec.abi.ioctl import IOCTLS
from vfiospec.device import ops as o
from vfiospec.device.call import errno_name
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.device.port import Step
from vfiospec.undecodable import UNDECODABLE

_BY_PATH = (o.Open, o.ReadFile, o.WriteFile, o.ListDir, o.ReadLink)
MAX_BYTES = 64  # bytes of a buffer shown in text; the line itself keeps all


class TranscriptDevice(msgspec.Struct, frozen=True):
    """A device the calls were made on: what a replay elsewhere has to translate."""

    name: str
    bdf: str
    group: int | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="transcript"):
    """What the calls were made on."""

    version: int = 1
    test: str
    kernel: str
    release: str
    topology: str = ""
    devices: tuple[TranscriptDevice, ...] = ()


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="step"):
    """One operation; `text` is for people and is not read back."""

    text: str = ""
    op: AnyOp
    reply: Reply | None = None


class TranscriptError(Exception):
    """A file that is not a transcript."""


class Narrator:
    """Says in words what steps did, keeping in mind what each handle stands for."""

    def __init__(self) -> None:
        self._kinds: dict[int, str] = {}

    def say(self, step: Step) -> str:
        """One line of text for one step."""
        op, reply = step
        if isinstance(op, o.FailNth):
            fired = reply is not None and reply.values == (0,)
            where = f"at its point {op.nth}" if fired else f"before its point {op.nth}"
            return f"{self.say((op.op, reply))}, made to fail {where}"
        if isinstance(op, o.Open):
            self._kinds[op.out] = _kind_of(op.path)
        elif isinstance(op, o.Eventfd):
            self._kinds[op.out] = "eventfd"
        elif isinstance(op, o.Dup):
            self._kinds[op.out] = self._kinds.get(op.handle, "file")
        text = self._ioctl(op, reply) if isinstance(op, o.Ioctl) else _plain(op)
        return f"{text} -> {self._answer(op, reply)}"

    def _ioctl(self, op: o.Ioctl, reply: Reply | None) -> str:
        kind = self._kinds.get(op.fd, "device")
        name, struct = IOCTLS.get((kind, op.request), (f"ioctl {op.request:#x}", None))
        if op.out is not None:
            self._kinds[op.out] = "device" if kind == "group" else "file"
        if op.data is None:
            argument = (
                f"{op.value:#x}" if op.at is None else f"memory {op.at.handle}+{op.at.offset}"
            )
        elif struct is not None:
            argument = repr(struct.unpack(op.data))
            if reply is not None and reply.ret >= 0 and reply.data is not None:
                argument += f" => {struct.unpack(reply.data)!r}"
        elif op.data.endswith(b"\0") and _is_text(op.data[:-1]):
            argument = repr(op.data[:-1].decode())
        else:
            argument = _bytes(op.data)
        made = "" if op.out is None else f", as {op.out}"
        return f"{name}({kind} {op.fd}, {argument}{made})"

    def _answer(self, op: AnyOp, reply: Reply | None) -> str:
        if reply is None:
            return "no answer"
        if reply.fault:
            return f"not made: {reply.fault}"
        if reply.signal:
            return f"{signal.Signals(reply.signal).name} at {reply.address:#x}"
        text = str(reply.ret) if reply.ret >= 0 else errno_name(reply.errno)
        if reply.spill:
            text += f", wrote outside: {[(at, data.hex()) for at, data in reply.spill]}"
        if reply.data is not None and not isinstance(op, o.Ioctl):
            text += f" {_bytes(reply.data)}"
        return text


def _is_text(data: bytes) -> bool:
    return data != b"" and data.isascii() and data.decode().isprintable()


def _kind_of(path: str) -> str:
    if path == "/dev/vfio/vfio":
        return "container"
    if re.fullmatch(r"/dev/vfio/(noiommu-)?\d+", path):
        return "group"
    if path.startswith("/dev/vfio/devices/"):
        return "device"
    return "iommufd" if path == "/dev/iommu" else "file"


def _bytes(data: bytes) -> str:
    shown = data[:MAX_BYTES].hex(" ", 4)
    return shown if len(data) <= MAX_BYTES else f"{shown} ... {len(data)} bytes"


def _plain(op: AnyOp) -> str:
    fields = []
    for name in op.__struct_fields__:
        value = getattr(op, name)
        if isinstance(value, bytes):
            fields.append(f"{name}={_bytes(value)}")
        elif value not in (None, ()):
            fields.append(f"{name}={value!r}")
    return f"{type(op).__name__}({', '.join(fields)})"


def narrate(steps: Iterable[Step]) -> Iterator[str]:
    """The steps as lines of text."""
    narrator = Narrator()
    for step in steps:
        yield narrator.say(step)


def save(path: Path, target: Target, steps: Sequence[Step]) -> None:
    """Write a transcript file; it is there whole or not at all."""
    narrator = Narrator()
    lines = [msgspec.json.encode(target)]
    lines += [msgspec.json.encode(Line(text=narrator.say(s), op=s[0], reply=s[1])) for s in steps]
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_bytes(b"\n".join(lines) + b"\n")
    draft.replace(path)


def load(path: Path) -> tuple[Target, list[Step]]:
    """Read a transcript file. TranscriptError says which line is wrong."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as e:
        raise TranscriptError(f"{path}: {e.strerror}") from e
    steps: list[Step] = []
    target: Target | None = None
    for line in lines:
        try:
            if target is None:
                target = msgspec.json.decode(line, type=Target)
            else:
                read = msgspec.json.decode(line, type=Line)
                steps.append((read.op, read.reply))
        except UNDECODABLE as e:
            number = len(steps) + (1 if target is None else 2)
            raise TranscriptError(f"{path}, line {number}: {e}") from e
    if target is None:
        raise TranscriptError(f"{path}: empty, so no transcript")
    return target, steps


def translate(op: AnyOp, old: Sequence[TranscriptDevice], new: Sequence[TranscriptDevice]) -> AnyOp:
    """The same operation for devices that lie elsewhere: their group numbers and addresses."""
    if isinstance(op, o.In | o.Trace | o.FailNth | o.Race):
        return _translate_within(op, old, new)
    by_name = {d.name: d for d in new}
    for before in old:
        after = by_name.get(before.name)
        if after is None:
            continue
        if isinstance(op, o.Open) and op.path == f"/dev/vfio/{before.group}":
            return msgspec.structs.replace(op, path=f"/dev/vfio/{after.group}")
        if isinstance(op, o.Ioctl) and op.data and op.data.startswith(before.bdf.encode()):
            data = after.bdf.encode() + op.data[len(before.bdf) :]
            return msgspec.structs.replace(op, data=data)
        if isinstance(op, _BY_PATH) and before.bdf in op.path:
            return msgspec.structs.replace(op, path=op.path.replace(before.bdf, after.bdf))
    return op


def _translate_within(
    op: o.In | o.Trace | o.FailNth | o.Race,
    old: Sequence[TranscriptDevice],
    new: Sequence[TranscriptDevice],
) -> AnyOp:
    if isinstance(op, o.In):
        return msgspec.structs.replace(op, ops=tuple(translate(each, old, new) for each in op.ops))
    if isinstance(op, o.Trace):
        parts = [tuple(translate(each, old, new) for each in p) for p in (op.ops, op.after)]
        return msgspec.structs.replace(op, ops=parts[0], after=parts[1])
    if isinstance(op, o.FailNth):
        return msgspec.structs.replace(op, op=translate(op.op, old, new))
    programs = tuple(tuple(translate(each, old, new) for each in p) for p in op.programs)
    return msgspec.structs.replace(op, programs=programs)
