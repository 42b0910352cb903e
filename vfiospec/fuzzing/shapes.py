# SPDX-License-Identifier: MIT
"""What each shape of operation is as operations of the port."""

import os
from collections.abc import Callable, Mapping
from typing import Final

from vfiospec.abi import vfio
from vfiospec.device import edu
from vfiospec.device import ops as o
from vfiospec.device.ops import Fixup, FixupKind, Handle, Ref
from vfiospec.fuzzing.calls import REGION_SHIFT
from vfiospec.fuzzing.description import PLACES, ROOMS, Description
from vfiospec.fuzzing.fields import MEMORY, PAGE, Source
from vfiospec.fuzzing.maker import KINDS, Maker, Resolved
from vfiospec.fuzzing.shapes_sysfs import SYSFS

_WORD: Final = (1 << 64) - 1
_NOWHERE: Final = 0x7FFF_F000_0000  # an address of user space where nothing is
_MOST_TOUCHED: Final = 1 << 17  # from the start of a mapping
_MOST_READ: Final = 1 << 13  # an emulated device takes its time for each word
_IOEVENTFD: Final = "VFIO_DEVICE_IOEVENTFD"
_COMMAND: Final = range(edu.DMA_COMMAND, edu.DMA_COMMAND + 8)
_FD, _POINTER = 4, 8  # bytes of a descriptor, of an address
# Places of a buffer, besides inline.
_AT_THE_END, _AT_NULL, _AT_NOTHING, _TOO_SHORT = 1, 2, 3, 4


def _ioctl(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    fd = maker.file(about.kind, on)
    if not about.size:
        maker.put(o.Ioctl(fd, about.request, values[0][1] & _WORD))
        return
    place, room = values[-2][1] % PLACES, ROOMS[_nearest(values[-1][1])]
    size = about.size + room
    data = bytearray(about.template)
    data += bytes(room)
    fixups: list[Fixup] = []
    for f, (source, found, kind) in zip(about.fields, values[:-2], strict=False):
        number = found
        if source == Source.FILE:
            picked = maker.pick(kind, number)
            if picked is not None and f.width == _FD:
                fixups.append(Fixup(f.offset, FixupKind.FD, picked))
                continue
            number = -1
        elif source == Source.ADDRESS and f.width == _POINTER:
            fixups.append(
                Fixup(f.offset, FixupKind.ADDRESS, maker.world.handles["memory"][0], number)
            )
            continue
        elif source == Source.SIZE:
            number += size
        wrapped = number & ((1 << (8 * f.width)) - 1)
        data[f.offset : f.offset + f.width] = wrapped.to_bytes(f.width, "little")
    where = vfio.vfio_device_ioeventfd.unpack(bytes(data)).offset if about.name == _IOEVENTFD else 0
    if not _spared(where, b"12345678"):
        return
    out = maker.new(about.returns) if about.returns else None
    maker.undo(about, fd, bytes(data))
    _hand_over(maker, o.Ioctl(fd, about.request, 0, bytes(data), tuple(fixups), None, out), place)
    fd = maker.original(fd)
    if about.name == _IOEVENTFD and fd < maker.world.first:
        end = vfio.vfio_device_ioeventfd.offset_of("fd")
        data[end : end + 4] = b"\xff" * 4
        maker.made.after.append(o.Ioctl(fd, about.request, 0, bytes(data)))


def _nearest(room: int) -> int:
    return ROOMS.index(room) if room in ROOMS else room % len(ROOMS)


def _hand_over(maker: Maker, op: o.Ioctl, place: int) -> None:
    """Make an ioctl with its buffer where `place` says."""
    data = op.data or b""
    page = maker.world.handles["memory"][1]
    if place == _AT_THE_END and len(data) <= PAGE:
        maker.put(
            o.Ioctl(op.fd, op.request, 0, data, op.fixups, Ref(page, PAGE - len(data)), op.out)
        )
    elif place == _AT_NULL:
        maker.put(o.Ioctl(op.fd, op.request, 0, out=op.out))
    elif place == _AT_NOTHING:
        maker.put(o.Ioctl(op.fd, op.request, _NOWHERE, out=op.out))
    elif place == _TOO_SHORT:
        short = data[: max(len(data) - 4, 0)]
        if short and not op.fixups and len(short) <= PAGE:
            maker.put(o.Poke(Ref(page, PAGE - len(short)), short))
        maker.put(
            o.Ioctl(op.fd, op.request, at=Ref(page, PAGE - min(len(short), PAGE)), out=op.out)
        )
    else:
        maker.put(op)


def _name(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    fd = maker.file(about.kind, on)
    subject = maker.subject(values[0][1])
    name = (subject.bdf if subject else "0000:00:00.0").encode() + b"\0"
    out = maker.new("device")
    maker.became(out, subject)
    op = o.Ioctl(fd, about.request, 0, name, (), None, out)
    _hand_over(maker, op, values[-2][1] % PLACES)


def _open(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    del on
    which = values[1][1] if len(values) > 1 else 0
    maker.opened(about.returns, which, (values[0][1] & 0xFFFFFF) | os.O_CLOEXEC)


def _eventfd(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    del about, on
    flags = os.EFD_NONBLOCK | os.EFD_CLOEXEC
    maker.put(o.Eventfd(maker.new("eventfd"), values[0][1] & 0xFFFFFFFF, flags))


def _memfd(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    del about, on
    size = (values[0][1] % 64 or 1) * PAGE
    maker.put(o.Alloc(maker.mapping(size), size, o.MemoryKind.MEMFD))


def _close(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    del about, values
    own = [h for kind in KINDS for h in maker.mine.get(kind, ())]
    if not own:
        return  # what every program finds open stays open
    handle = sorted(own)[-1 - on % len(own)]
    for handles in maker.mine.values():
        if handle in handles:
            handles.remove(handle)
    maker.put(o.Close(handle))


def _dup(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    del about, values
    kind = KINDS[on % len(KINDS)]
    source = maker.pick(kind, on // len(KINDS))
    if source is not None:
        maker.put(o.Dup(maker.copied(kind, source), source))


def _read(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    maker.put(o.Pread(maker.file(about.kind, on), values[0][1] % _MOST_READ))


def _write(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    data = (values[0][1] & _WORD).to_bytes(8, "little")[: values[1][1] % 9]
    maker.put(o.Pwrite(maker.file(about.kind, on), data))


def _raw(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    maker.put(o.Ioctl(maker.file(about.kind, on), values[0][1] & 0xFFFFFFFF, values[1][1] & _WORD))


def _offset(region: int, offset: int) -> int:
    whole = (region << REGION_SHIFT) + offset & _WORD
    return whole - (1 << 64) if whole >> 63 else whole


def _pread(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    (_, region, _), (_, offset, _), (_, size, _) = values[:3]
    fd = maker.file(about.kind, on)
    where = _offset(region, offset)
    if not _breaks(maker, fd, where):
        maker.put(o.Pread(fd, size % _MOST_READ, where))


def _spared(offset: int, data: bytes) -> bytes:
    """What of a write leaves edu's DMA command alone: QEMU ends if that names a wrong range."""
    if offset >= _COMMAND.stop or offset + len(data) <= _COMMAND.start:
        return data
    return data[: max(_COMMAND.start - offset, 0)]


def _breaks(maker: Maker, fd: Handle, where: int) -> bool:
    """Whether an access is one that mtty makes to memory that is another's.

    It takes each BAR for a serial port that it has, and any offset for one of its 256 bytes of
    configuration: docs/crashes. What such an access leaves behind is found elsewhere, later.
    """
    return fd in maker.fragile and where >> REGION_SHIFT != 0


def _edu_dma(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    """A transfer between edu's buffer and an address, started but not waited for."""
    (_, iova, _), (_, size, _), (_, from_device, _) = values[:3]
    fd = maker.file(about.kind, on)  # of any device: registers of its first region
    ends = (edu.DMA_BUFFER, iova & _WORD)
    source, target = ends if from_device else ends[::-1]
    count = size % (edu.BUFFER_SIZE - 1) or 1  # up to its last byte is too far for it
    for register, value in edu.transfer(source, target, count, from_device=bool(from_device)):
        maker.put(o.Pwrite(fd, value.to_bytes(8, "little"), register))


def _pwrite(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    (_, region, _), (_, offset, _), (_, size, _), (_, number, _) = values[:4]
    word = (number & _WORD).to_bytes(8, "little")
    count = size % _MOST_READ
    where = (region << REGION_SHIFT) + offset & _WORD
    data = _spared(where, (word * (count // 8 + 1))[:count])
    if count and not data:
        return
    fd = maker.file(about.kind, on)
    if _breaks(maker, fd, where):
        return
    maker.undo(about, fd, data)
    maker.put(o.Pwrite(fd, data, _offset(region, offset)))


def _mmap(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    region, offset, length, protection, sharing = (v[1] for v in values[:5])
    fd = maker.file(about.kind, on)
    where = (region << REGION_SHIFT) + offset & _WORD
    length &= _WORD
    maker.put(o.Mmap(maker.mapping(length), length, protection & 7, sharing & 0x8003, fd, where))


def _mapping(maker: Maker, on: int) -> Handle:
    picked = maker.pick("mapping", on)
    return maker.world.handles["memory"][0] if picked is None else picked


def _munmap(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    del about, values
    own = maker.mine.get("mapping", [])
    if own:
        maker.put(o.Munmap(own.pop(-1 - on % len(own))))


def _load(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    del about
    width = _width(values[1][1])
    maker.put(o.Load(_within(maker, _mapping(maker, on), values[0][1], width), width))


def _store(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    del about
    width = _width(values[1][1])
    at = _within(maker, _mapping(maker, on), values[0][1], width)
    if not _spared(at.offset % PAGE, b"1"):
        return
    maker.put(o.Store(at, width, values[2][1] & _WORD))


def _width(value: int) -> int:
    return (1, 2, 4, 8)[value.bit_length() % 4] if value not in (1, 2, 4, 8) else value


def _within(maker: Maker, mapping: Handle, offset: int, size: int) -> Ref:
    """A place for `size` bytes in a mapping: behind it lies the executor's own memory."""
    room = max(min(maker.sizes.get(mapping, MEMORY), _MOST_TOUCHED) - size, 0)
    return Ref(mapping, offset % (room + 1))


def _advise(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    own = maker.mine.get("mapping", [])
    if not own:
        return
    at = _within(maker, own[-1 - on % len(own)], values[0][1], PAGE)
    start = at.offset & ~(PAGE - 1)
    size = min(values[1][1] % (1 << 14), maker.sizes[at.handle] - start)
    address = Fixup(0, FixupKind.ADDRESS, at.handle, start)
    maker.put(o.Syscall(about.shape, (address, size, values[2][1] & 31)))


def _fork(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    del about, on
    child = maker.new("process")
    maker.put(o.Fork(child))
    maker.put(o.Wait(child, 0 if values[0][1] == 0 else 9, 1000))


SHAPES: Final[Mapping[str, Callable[[Maker, Description, int, Resolved], None]]] = {
    "ioctl": _ioctl, "name": _name, "open": _open, "eventfd": _eventfd, "memfd": _memfd,
    "close": _close, "dup": _dup, "read": _read, "write": _write, "raw ioctl": _raw,
    "pread": _pread, "pwrite": _pwrite, "edu dma": _edu_dma, "mmap": _mmap, "munmap": _munmap,
    "load": _load, "store": _store, "madvise": _advise, "mprotect": _advise, "fork": _fork,
    **SYSFS,
}  # fmt: skip
