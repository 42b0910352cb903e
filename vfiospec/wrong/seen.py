# SPDX-License-Identifier: MIT
"""What goes through a port, in names: which call, on what, with which fields."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from vfiospec.abi import vfio_iommu as iommu
from vfiospec.abi.base import AbiStruct
from vfiospec.abi.ioctl import IOCTLS
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

Fields = dict[str, int | str]

REGION_SHIFT = 40  # vfio-pci's layout of the device fd: rule region-info.offset-layout
_OFFSET = (1 << REGION_SHIFT) - 1
_PAYLOAD = 16  # bytes behind a structure that still are a field
_RANGE = iommu.vfio_iommu_type1_dirty_bitmap_get
# Longer ones by name: what is behind a structure, and where, with what their fields are called
_BEHIND: dict[str, tuple[tuple[str, int, type[AbiStruct]], ...]] = {
    "VFIO_IOMMU_DIRTY_PAGES": (
        ("range", 0, _RANGE),
        ("bitmap", _RANGE.offset_of("bitmap"), iommu.vfio_bitmap),
    ),
    "VFIO_IOMMU_UNMAP_DMA": (("bitmap", 0, iommu.vfio_bitmap),),
}
_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_NUMBERED = re.compile(r"(/dev/vfio/(?:noiommu-)?|/iommu_groups/|/devices/vfio|/fdinfo/)\d+")


@dataclass(frozen=True, slots=True)
class Thing:
    """What a handle stands for: a device's fd, its mapping, an eventfd."""

    kind: str
    bdf: str = ""
    region: int = -1


@dataclass(slots=True)
class Seen:
    """One call: its name, its fields, the address of the device it is on if it is on one."""

    call: str
    fields: Fields = field(default_factory=dict)
    bdf: str = ""


class Things:
    """Keeps in mind what each handle stands for, and names calls by it."""

    def __init__(self) -> None:
        self._things: dict[int, Thing] = {}
        self._see: dict[type, Callable[..., Seen]] = {
            o.Ioctl: self._ioctl, o.Ioctl32: self._ioctl, o.Pread: self._read,
            o.Pwrite: self._write, o.Mmap: self._mmap, o.Load: self._touch, o.Store: self._touch,
            o.Peek: self._peek, o.Poll: self._poll, o.Open: _by_path, o.ReadFile: _by_path,
            o.WriteFile: _by_path, o.ListDir: _by_path, o.ReadLink: _by_path,
            o.Syscall: _syscall, o.Close: self._close, o.Munmap: self._close,
        }  # fmt: skip

    def __len__(self) -> int:
        return len(self._things)

    def held(self) -> dict[int, Thing]:
        """Every handle that is in use."""
        return dict(self._things)

    def of(self, handle: int | None) -> Thing:
        """What a handle stands for."""
        return self._things.get(handle, _MEMORY) if handle is not None else _MEMORY

    def see(self, op: AnyOp) -> Seen:
        """Name a call."""
        look = self._see.get(type(op))
        return look(op) if look else Seen(type(op).__name__.lower())

    def note(self, op: AnyOp, reply: Reply) -> None:
        """Take in what an operation that was made has opened or closed."""
        if isinstance(op, o.Close | o.Munmap):
            self._things.pop(op.handle, None)
        elif isinstance(op, o.Wait) and reply.ret >= 0:
            self._things.pop(op.process, None)
        elif reply.ok and not reply.fault:
            out: int | None = getattr(op, "out", None)
            if out is not None:
                self._things[out] = self._made(op)

    def _made(self, op: AnyOp) -> Thing:
        match op:
            case o.Open():
                return Thing(_kind_of(op.path))
            case o.Dup():
                return self.of(op.handle)
            case o.Mmap():
                of = self.of(op.fd)
                region = op.offset >> REGION_SHIFT if of.kind == "device" else -1
                return Thing("mapping", of.bdf, region)
            case o.Ioctl() if self.of(op.fd).kind == "group":
                found = _ADDRESS.match((op.data or b"").decode(errors="replace"))
                return Thing("device", found[0] if found else "")
        return Thing(_MADE.get(type(op), "file"))

    def _ioctl(self, op: o.Ioctl | o.Ioctl32) -> Seen:
        of = self.of(op.fd)
        data = op.data if isinstance(op, o.Ioctl) else None
        name, struct = IOCTLS.get((of.kind, op.request), ("", None))
        fields: Fields = {"on": of.kind}
        if not name:
            name = "ioctl"
            fields["request"] = op.request
        if isinstance(op, o.Ioctl32):
            fields["bits"] = 32
        if op.at is not None:
            fields["at"] = self.of(op.at.handle).kind
        if data is None:
            if op.at is None:
                fields["value"] = op.value
        elif struct is not None:
            fields |= _fields(name, of.kind, op.request, data)
        elif len(data) == 4:  # noqa: PLR2004 -- a number behind a pointer
            fields["value"] = int.from_bytes(data, "little", signed=True)
        else:
            text = data.rstrip(b"\0").decode(errors="replace")
            if text.isprintable():
                fields["text"] = _plain(text)[:80]
        return Seen(name, fields, of.bdf)

    def _place(self, of: Thing, offset: int | None) -> Fields:
        if offset is None or of.kind != "device" or offset < 0:
            return {} if offset is None else {"offset": offset}
        return {"region": offset >> REGION_SHIFT, "offset": offset & _OFFSET}

    def _read(self, op: o.Pread) -> Seen:
        of = self.of(op.fd)
        return Seen(f"read {of.kind}", {**self._place(of, op.offset), "size": op.size}, of.bdf)

    def _write(self, op: o.Pwrite) -> Seen:
        of = self.of(op.fd)
        fields = self._place(of, op.offset)
        if op.data is not None:
            fields["size"] = len(op.data)
            if len(op.data) <= 8:  # noqa: PLR2004 -- as wide as a register
                fields["value"] = int.from_bytes(op.data, "little")
        else:
            fields["size"] = op.size
        return Seen(f"write {of.kind}", fields, of.bdf)

    def _mmap(self, op: o.Mmap) -> Seen:
        of = self.of(op.fd)
        fields = self._place(of, op.offset)
        fields |= {"length": op.length, "prot": op.prot, "flags": op.flags}
        return Seen(f"mmap {of.kind}", fields, of.bdf)

    def _touch(self, op: o.Load | o.Store) -> Seen:
        of = self.of(op.at.handle)
        fields: Fields = {"region": of.region, "offset": op.at.offset, "width": op.width}
        if isinstance(op, o.Store):
            fields["value"] = op.value
        return Seen(f"{type(op).__name__.lower()} {of.kind}", fields, of.bdf)

    def _close(self, op: o.Close | o.Munmap) -> Seen:
        of = self.of(op.handle)
        return Seen(type(op).__name__.lower(), {"on": of.kind}, of.bdf)

    def _peek(self, op: o.Peek) -> Seen:
        of = self.of(op.at.handle)
        return Seen(f"peek {of.kind}", {"offset": op.at.offset, "size": op.size}, of.bdf)

    def _poll(self, op: o.Poll) -> Seen:
        of = self.of(op.fds[0] if op.fds else None)
        return Seen(f"poll {of.kind}", {"events": op.events, "files": len(op.fds)}, of.bdf)


_MEMORY = Thing("memory")
_MADE: dict[type, str] = {o.Eventfd: "eventfd", o.Alloc: "memory", o.Fork: "process"}


def _plain(text: str) -> str:
    """Without what differs from machine to machine: device addresses, group numbers."""
    return _NUMBERED.sub(r"\1*", _ADDRESS.sub("*", text))


def _by_path(op: o.Open | o.ReadFile | o.WriteFile | o.ListDir | o.ReadLink) -> Seen:
    fields: Fields = {"path": _plain(op.path)}
    if isinstance(op, o.Open):
        fields["flags"] = op.flags
    elif isinstance(op, o.WriteFile):
        fields["text"] = _plain(op.data.decode(errors="replace"))[:40]
    found = _ADDRESS.findall(op.path)
    return Seen(type(op).__name__.lower(), fields, found[-1] if found else "")


def _syscall(op: o.Syscall) -> Seen:
    numbers = {f"arg{i}": a for i, a in enumerate(op.args) if isinstance(a, int)}
    return Seen(op.name, dict(numbers))


@lru_cache(maxsize=4096)
def _fields(name: str, kind: str, request: int, data: bytes) -> Fields:
    """The fields of a request that fit into what was handed over, and the bytes behind."""
    struct = IOCTLS[kind, request][1]
    if struct is None:
        raise LookupError(f"{name} has no structure")
    read = struct.unpack(data)
    fields: Fields = {"room": len(data)}
    for member in struct.members():
        value = getattr(read, member.name)
        if isinstance(value, int) and member.offset + member.size <= len(data):
            fields[member.name] = value
    payload = data[struct.sizeof() :]
    if 0 < len(payload) <= _PAYLOAD:
        fields["payload"] = payload.hex()
    for prefix, at, behind in _BEHIND.get(name, ()):
        if at + behind.sizeof() <= len(payload):
            fields |= _numbers(prefix, behind.unpack(payload[at:]))
    return fields


def _numbers(prefix: str, struct: AbiStruct) -> Fields:
    values = {m.name: getattr(struct, m.name) for m in struct.members()}
    return {f"{prefix}_{k}": v for k, v in values.items() if isinstance(v, int)}


def _kind_of(path: str) -> str:
    if path == "/dev/vfio/vfio":
        return "container"
    if re.fullmatch(r"/dev/vfio/(noiommu-)?\d+", path):
        return "group"
    if path.startswith("/dev/vfio/devices/"):
        return "device"
    return "iommufd" if path == "/dev/iommu" else "file"
