# SPDX-License-Identifier: MIT
"""What each shape of operation is as operations of the port."""

import os
from collections.abc import Callable, Mapping
from typing import Final

from vfiospec.abi import vfio
from vfiospec.device import edu
from vfiospec.device import ops as o
from vfiospec.device.ops import Fixup, FixupKind, Ref
from vfiospec.fuzzing.calls import REGION_SHIFT
from vfiospec.fuzzing.description import PLACES, ROOMS, SLOW, Description
from vfiospec.fuzzing.fields import PAGE, Source
from vfiospec.fuzzing.maker import KINDS, Maker, Resolved
from vfiospec.fuzzing.shapes_memory import MEMORY_SHAPES
from vfiospec.fuzzing.shapes_sysfs import SYSFS
from vfiospec.fuzzing.sparing import breaks, spared

_WORD: Final = (1 << 64) - 1
_NOWHERE: Final = 0x7FFF_F000_0000  # an address of user space where nothing is
_MOST_ROUNDS: Final = 64
_MOST_WAIT: Final = 100  # ms
_MOST_READ: Final = 1 << 13  # an emulated device takes its time for each word
_IOEVENTFD: Final = "VFIO_DEVICE_IOEVENTFD"
_FD, _POINTER = 4, 8  # bytes of a descriptor, of an address
# Places of a buffer, besides inline.
_AT_THE_END, _AT_NULL, _AT_NOTHING, _TOO_SHORT = 1, 2, 3, 4


def _ioctl(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    fd = maker.file(about.kind, on)
    quick = about.weight > SLOW and not about.returns
    if not about.size:
        plain = o.Ioctl(fd, about.request, values[0][1] & _WORD)
        maker.put(plain)
        maker.recent += [plain] * quick
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
    if not spared(where, b"12345678"):
        return
    out = maker.new(about.returns) if about.returns else None
    maker.undo(about, fd, bytes(data))
    made = o.Ioctl(fd, about.request, 0, bytes(data), tuple(fixups), None, out)
    _hand_over(maker, made, place)
    maker.recent += [made] * quick
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
    if not breaks(maker, fd, where):
        maker.put(o.Pread(fd, size % _MOST_READ, where))


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
    data = spared(where, (word * (count // 8 + 1))[:count])
    if count and not data:
        return
    fd = maker.file(about.kind, on)
    if breaks(maker, fd, where):
        return
    maker.undo(about, fd, data)
    maker.put(o.Pwrite(fd, data, _offset(region, offset)))


def _race(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    """On two threads at once: the last call on both, the last two on one each, or on both."""
    del about, on
    if maker.recent:
        last, other = maker.recent[-1], maker.recent[-2:][0]
        ways = ((last,), (last,)), ((last,), (other,)), ((other, last), (other, last))
        maker.put(o.Race(ways[values[1][1] % len(ways)], values[0][1] % _MOST_ROUNDS or 1))


def _pause(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    """Wait, so that what is freed behind a grace period is."""
    del about, on
    maker.put(o.Poll((), 0, values[0][1] % _MOST_WAIT))


def _fork(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    del about, on
    child = maker.new("process")
    maker.put(o.Fork(child))
    maker.put(o.Wait(child, 0 if values[0][1] == 0 else 9, 1000))


SHAPES: Final[Mapping[str, Callable[[Maker, Description, int, Resolved], None]]] = {
    "ioctl": _ioctl, "name": _name, "open": _open, "eventfd": _eventfd,
    "close": _close, "dup": _dup, "read": _read, "write": _write, "raw ioctl": _raw,
    "pread": _pread, "pwrite": _pwrite, "edu dma": _edu_dma,
    "fork": _fork,
    "race": _race, "pause": _pause,
    **MEMORY_SHAPES, **SYSFS,
}  # fmt: skip
