# SPDX-License-Identifier: MIT
"""A program made concrete: the port's own operations, on the devices of one bench."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from vfiospec.abi import vfio, vfio_iommu
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Fixup, FixupKind, Handle, Ref
from vfiospec.fuzzing.calls import REGION_SHIFT
from vfiospec.fuzzing.describe import ROOMS, Description, descriptions
from vfiospec.fuzzing.fields import PAGE, Field, Source
from vfiospec.fuzzing.model import ANY_KIND, RAW, Operation, Program, Subject, World

_WORD: Final = (1 << 64) - 1
_NOWHERE: Final = 0x7FFF_F000_0000  # an address of user space where nothing is
_MOST_READ: Final = 1 << 13  # an emulated device takes its time for each word
_IOEVENTFD = "VFIO_DEVICE_IOEVENTFD"
_KINDS = ("container", "group", "device", "iommufd", "eventfd", "file")
_DATA_NONE = vfio.VFIO_IRQ_SET_DATA_NONE | vfio.VFIO_IRQ_SET_ACTION_TRIGGER


@dataclass
class Concrete:
    """A program as the port makes it. `origin` says of each operation which step it is."""

    ops: list[AnyOp] = field(default_factory=list)
    origin: list[int] = field(default_factory=list)
    after: list[AnyOp] = field(default_factory=list)


def materialise(program: Program, world: World) -> Concrete:
    """The operations of a program. Whatever the program, they are valid ones of the port."""
    maker = _Maker(world)
    for step in program:
        maker.add(step)
    return maker.made


class _Maker:
    def __init__(self, world: World) -> None:
        self.world = world
        self.made = Concrete()
        self.next = world.first
        self.mine: dict[str, list[Handle]] = {}
        self.step = -1
        self.undone: set[object] = set()

    def add(self, step: Operation) -> None:
        """Append what one step stands for."""
        self.step += 1
        about = descriptions().get(step.name)
        if about is None:
            return
        values = [
            resolve(f, step.values[n] if n < len(step.values) else 0)
            for n, f in enumerate(about.fields)
        ]
        _SHAPES[about.shape](self, about, step.on, values)

    def put(self, op: AnyOp) -> None:
        self.made.ops.append(op)
        self.made.origin.append(self.step)

    def new(self, kind: str) -> Handle:
        handle = self.next
        self.next += 1
        self.mine.setdefault(kind, []).append(handle)
        return handle

    def pick(self, kind: str, which: int) -> Handle | None:
        """A file of a kind: the program's own first, the newest at the front, then the world's."""
        own, others = self.mine.get(kind, []), self.world.handles.get(kind, ())
        if not own and not others:
            return None
        at = which % (len(own) + len(others))
        return own[-1 - at] if at < len(own) else others[at - len(own)]

    def file(self, kind: str, on: int) -> Handle:
        """The file an operation is made on; where there is none of its kind, one is opened."""
        if kind == "*" or on & ANY_KIND:
            which = on & ~ANY_KIND
            picked = self.pick(_KINDS[which % len(_KINDS)], which // len(_KINDS))
            if picked is not None:
                return picked
            kind = "container" if kind == "*" else kind
        picked = self.pick(kind, on & ~ANY_KIND)
        return picked if picked is not None else self.opened(kind, 0, os.O_RDWR | os.O_CLOEXEC)

    def opened(self, kind: str, which: int, flags: int) -> Handle:
        if kind in {"eventfd", "file"}:
            handle = self.new("eventfd")
            self.put(o.Eventfd(handle, 0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
            return handle
        handle = self.new(kind)
        self.put(o.Open(handle, self.path(kind, which), flags))
        return handle

    def subject(self, which: int) -> Subject | None:
        subjects = self.world.subjects
        return subjects[which % len(subjects)] if subjects else None

    def path(self, kind: str, which: int) -> str:
        subject = self.subject(which)
        if kind == "group" and subject is not None:
            return f"/dev/vfio/{subject.group}"
        if kind == "device" and subject is not None:
            return subject.cdev or "/dev/vfio/devices/none"
        return "/dev/iommu" if kind == "iommufd" else "/dev/vfio/vfio"

    def undo(self, about: Description, fd: Handle, data: bytes) -> None:
        """Have what the operation changes on the world's own files changed back."""
        if fd >= self.world.first:
            return  # it is closed with the program
        for what in about.undo:
            index = int.from_bytes(data[8:12], "little") if what == "irqs" else 0
            key = (what, fd, index)
            if key in self.undone:
                continue
            self.undone.add(key)
            self.made.after += self.undoing(what, fd, index)

    def undoing(self, what: str, fd: Handle, index: int) -> Sequence[AnyOp]:
        if what == "irqs" and index < vfio.VFIO_PCI_NUM_IRQS:
            off = vfio.vfio_irq_set(vfio.IRQ_SET_MIN, _DATA_NONE, index, 0, 0)
            return (o.Ioctl(fd, vfio.VFIO_DEVICE_SET_IRQS, 0, off.pack()),)
        if what == "mappings":
            size = vfio_iommu.DMA_UNMAP_MIN
            every = vfio_iommu.vfio_iommu_type1_dma_unmap(size, 2, 0, 0)
            older = vfio_iommu.vfio_iommu_type1_dma_unmap(size, 0, 0, 1 << 62)  # before 5.12
            number = vfio_iommu.VFIO_IOMMU_UNMAP_DMA
            return (o.Ioctl(fd, number, 0, every.pack()), o.Ioctl(fd, number, 0, older.pack()))
        if what == "dirty":
            stop = vfio_iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
            data = vfio_iommu.vfio_iommu_type1_dirty_bitmap(8, stop).pack()
            return (o.Ioctl(fd, vfio_iommu.VFIO_IOMMU_DIRTY_PAGES, 0, data),)
        return self.world.undo.get(f"{what} {fd}", ())


def resolve(about: Field, value: int) -> tuple[int, int, str]:
    """What a value of a field stands for: (source, number, kind)."""
    if value >= RAW:
        return Source.NUMBER, value - RAW, ""
    return about.choices[value % len(about.choices)]


Resolved = Sequence[tuple[int, int, str]]


def _ioctl(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    fd = maker.file(about.kind, on)
    if not about.size:
        maker.put(o.Ioctl(fd, about.request, values[0][1] & _WORD))
        return
    place, room = values[-2][1] % 5, ROOMS[_nearest(values[-1][1])]
    size = about.size + room
    data = bytearray(about.template)
    data += bytes(room)
    fixups: list[Fixup] = []
    for f, (source, found, kind) in zip(about.fields, values[:-2], strict=False):
        number = found
        if source == Source.FILE:
            picked = maker.pick(kind, number)
            if picked is not None and f.width == 4:  # noqa: PLR2004 -- a descriptor's bytes
                fixups.append(Fixup(f.offset, FixupKind.FD, picked))
                continue
            number = -1
        elif source == Source.ADDRESS and f.width == 8:  # noqa: PLR2004 -- an address's
            fixups.append(
                Fixup(f.offset, FixupKind.ADDRESS, maker.world.handles["memory"][0], number)
            )
            continue
        elif source == Source.SIZE:
            number += size
        wrapped = number & ((1 << (8 * f.width)) - 1)
        data[f.offset : f.offset + f.width] = wrapped.to_bytes(f.width, "little")
    out = maker.new(about.returns) if about.returns else None
    maker.undo(about, fd, bytes(data))
    _hand_over(maker, o.Ioctl(fd, about.request, 0, bytes(data), tuple(fixups), None, out), place)
    if about.name == _IOEVENTFD and fd < maker.world.first:
        end = vfio.vfio_device_ioeventfd.offset_of("fd")
        data[end : end + 4] = b"\xff" * 4
        maker.made.after.append(o.Ioctl(fd, about.request, 0, bytes(data)))


def _nearest(room: int) -> int:
    return ROOMS.index(room) if room in ROOMS else room % len(ROOMS)


def _hand_over(maker: _Maker, op: o.Ioctl, place: int) -> None:
    """Make an ioctl with its buffer where `place` says."""
    data = op.data or b""
    page = maker.world.handles["memory"][1]
    if place == 1 and len(data) <= PAGE:
        maker.put(
            o.Ioctl(op.fd, op.request, 0, data, op.fixups, Ref(page, PAGE - len(data)), op.out)
        )
    elif place == 2:  # noqa: PLR2004 -- NULL
        maker.put(o.Ioctl(op.fd, op.request, 0, out=op.out))
    elif place == 3:  # noqa: PLR2004 -- nowhere
        maker.put(o.Ioctl(op.fd, op.request, _NOWHERE, out=op.out))
    elif place == 4:  # noqa: PLR2004 -- it ends in front of the last field
        short = data[: max(len(data) - 4, 0)]
        if short and not op.fixups and len(short) <= PAGE:
            maker.put(o.Poke(Ref(page, PAGE - len(short)), short))
        maker.put(
            o.Ioctl(op.fd, op.request, at=Ref(page, PAGE - min(len(short), PAGE)), out=op.out)
        )
    else:
        maker.put(op)


def _name(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    fd = maker.file(about.kind, on)
    subject = maker.subject(values[0][1])
    name = (subject.bdf if subject else "0000:00:00.0").encode() + b"\0"
    op = o.Ioctl(fd, about.request, 0, name, (), None, maker.new("device"))
    _hand_over(maker, op, values[-2][1] % 5)


def _open(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    del on
    which = values[1][1] if len(values) > 1 else 0
    maker.opened(about.returns, which, (values[0][1] & 0xFFFFFF) | os.O_CLOEXEC)


def _eventfd(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    del about, on
    flags = os.EFD_NONBLOCK | os.EFD_CLOEXEC
    maker.put(o.Eventfd(maker.new("eventfd"), values[0][1] & 0xFFFFFFFF, flags))


def _memfd(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    del about, on
    size = (values[0][1] % 64 or 1) * PAGE
    maker.put(o.Alloc(maker.new("mapping"), size, o.MemoryKind.MEMFD))


def _close(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    del about, values
    own = [h for kind in _KINDS for h in maker.mine.get(kind, ())]
    if not own:
        return  # what every program finds open stays open
    handle = sorted(own)[-1 - on % len(own)]
    for handles in maker.mine.values():
        if handle in handles:
            handles.remove(handle)
    maker.put(o.Close(handle))


def _dup(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    del about, values
    kind = _KINDS[on % len(_KINDS)]
    source = maker.pick(kind, on // len(_KINDS))
    if source is not None:
        maker.put(o.Dup(maker.new(kind), source))


def _read(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    maker.put(o.Pread(maker.file(about.kind, on), values[0][1] % _MOST_READ))


def _write(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    data = (values[0][1] & _WORD).to_bytes(8, "little")[: values[1][1] % 9]
    maker.put(o.Pwrite(maker.file(about.kind, on), data))


def _raw(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    maker.put(o.Ioctl(maker.file(about.kind, on), values[0][1] & 0xFFFFFFFF, values[1][1] & _WORD))


def _offset(region: int, offset: int) -> int:
    whole = (region << REGION_SHIFT) + offset & _WORD
    return whole - (1 << 64) if whole >> 63 else whole


def _pread(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    (_, region, _), (_, offset, _), (_, size, _) = values[:3]
    fd = maker.file(about.kind, on)
    maker.put(o.Pread(fd, size % _MOST_READ, _offset(region, offset)))


def _pwrite(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    (_, region, _), (_, offset, _), (_, size, _), (_, number, _) = values[:4]
    word = (number & _WORD).to_bytes(8, "little")
    count = size % _MOST_READ
    data = (word * (count // 8 + 1))[:count]
    fd = maker.file(about.kind, on)
    maker.undo(about, fd, data)
    maker.put(o.Pwrite(fd, data, _offset(region, offset)))


def _mmap(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    region, offset, length, protection, sharing = (v[1] for v in values[:5])
    fd = maker.file(about.kind, on)
    where = (region << REGION_SHIFT) + offset & _WORD
    maker.put(
        o.Mmap(maker.new("mapping"), length & _WORD, protection & 7, sharing & 0x8003, fd, where)
    )


def _mapping(maker: _Maker, on: int) -> Handle:
    picked = maker.pick("mapping", on)
    return maker.world.handles["memory"][0] if picked is None else picked


def _munmap(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    del about, values
    own = maker.mine.get("mapping", [])
    if own:
        maker.put(o.Munmap(own.pop(-1 - on % len(own))))


def _load(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    del about
    maker.put(o.Load(Ref(_mapping(maker, on), _near(values[0][1])), _width(values[1][1])))


def _store(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    del about
    at = Ref(_mapping(maker, on), _near(values[0][1]))
    maker.put(o.Store(at, _width(values[1][1]), values[2][1] & _WORD))


def _width(value: int) -> int:
    return (1, 2, 4, 8)[value.bit_length() % 4] if value not in (1, 2, 4, 8) else value


def _near(offset: int) -> int:
    # Farther out it would be the executor's own memory, not the device's.
    return offset % (1 << 17)


def _advise(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    own = maker.mine.get("mapping", [])
    if not own:
        return
    at = Fixup(0, FixupKind.ADDRESS, own[-1 - on % len(own)], _near(values[0][1]) & ~(PAGE - 1))
    maker.put(o.Syscall(about.shape, (at, values[1][1] % (1 << 14), values[2][1] & 31)))


def _fork(maker: _Maker, about: Description, on: int, values: Resolved) -> None:
    del about, on
    child = maker.new("process")
    maker.put(o.Fork(child))
    maker.put(o.Wait(child, 0 if values[0][1] == 0 else 9, 1000))


_SHAPES: dict[str, Callable[[_Maker, Description, int, Resolved], None]] = {
    "ioctl": _ioctl, "name": _name, "open": _open, "eventfd": _eventfd, "memfd": _memfd,
    "close": _close, "dup": _dup, "read": _read, "write": _write, "raw ioctl": _raw,
    "pread": _pread, "pwrite": _pwrite, "mmap": _mmap, "munmap": _munmap, "load": _load,
    "store": _store, "madvise": _advise, "mprotect": _advise, "fork": _fork,
}  # fmt: skip
