# SPDX-License-Identifier: MIT
"""Memory, a device's and a program's own, as operations of the port."""

from collections.abc import Callable, Mapping
from typing import Final

from vfiospec.device import ops as o
from vfiospec.device.ops import Fixup, FixupKind, Handle, Ref
from vfiospec.fuzzing.calls import REGION_SHIFT
from vfiospec.fuzzing.description import Description
from vfiospec.fuzzing.fields import MEMORY, PAGE
from vfiospec.fuzzing.maker import Maker, Resolved
from vfiospec.fuzzing.sparing import spared

_WORD: Final = (1 << 64) - 1
_MOST_TOUCHED: Final = 1 << 17  # from the start of a mapping


def _memfd(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    del about, on
    size = (values[0][1] % 64 or 1) * PAGE
    maker.put(o.Alloc(maker.mapping(size), size, o.MemoryKind.MEMFD))


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
    if not spared(at.offset % PAGE, b"1"):
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


MEMORY_SHAPES: Final[Mapping[str, Callable[[Maker, Description, int, Resolved], None]]] = {
    "memfd": _memfd, "mmap": _mmap, "munmap": _munmap, "load": _load, "store": _store,
    "madvise": _advise, "mprotect": _advise,
}  # fmt: skip
