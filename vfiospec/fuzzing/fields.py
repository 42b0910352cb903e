# SPDX-License-Identifier: MIT
"""What a field of an argument may hold: a few good values first, then bad ones, then any number.

What kind of field it is follows from its name and type in the header's structures; so a structure
that grows, or a new one, is described by being in vfiospec.abi.
"""

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Final, Self

from vfiospec.abi.base import AbiStruct, s32, u8, u16, u32, u64

PAGE: Final = 4096
MEMORY: Final = 64 * PAGE  # bytes of the memory that programs find
_TOP = (1 << 64) - 1


class Source(IntEnum):
    """Where a value comes from once a program is made concrete."""

    NUMBER = 0  # `value` itself
    FILE = 1  # the descriptor of the `value`-th file of `kind`
    ADDRESS = 2  # the address of the world's first memory, plus `value`
    SIZE = 3  # the size of the whole buffer, plus `value`


class Choice(tuple[int, int, str]):
    """(source, value, kind): one thing a field may hold."""

    __slots__ = ()

    def __new__(cls, source: Source, value: int, kind: str = "") -> Self:
        """A tuple, since there are very many."""
        return super().__new__(cls, (source, value, kind))


def numbers(*values: int) -> tuple[Choice, ...]:
    """Numbers as choices."""
    return tuple(Choice(Source.NUMBER, v) for v in values)


@dataclass(frozen=True)
class Field:
    """A place in an argument. The first choice is a good value; `width` is in bytes."""

    name: str
    offset: int
    width: int
    choices: tuple[Choice, ...]


_SIZES = tuple(Choice(Source.SIZE, n) for n in (0, -1, -4, -8, 1, 8, 4096)) + numbers(
    0, 4, 8, 12, 16, 20, 24, 32, 0x7FFFFFFF, 0xFFFFFFFF
)
_OFFSETS = (
    0, PAGE, 2 * PAGE, 1, 8, 16 * PAGE, 63 * PAGE, 64 * PAGE - 8, 64 * PAGE - 1, 64 * PAGE,
    -PAGE, -8,
)  # fmt: skip
_ADDRESSES = tuple(Choice(Source.ADDRESS, n) for n in _OFFSETS) + numbers(
    0, 8, 0x7FFFFFFFF000, 1 << 47, 0xFFFF888000000000, 0xFFFFFFFF81000000, _TOP, _TOP - 4095
)
_IOVAS = numbers(
    0x100000, 0x101000, 0x102000, 0x110000, 0x200000, 0, 0x1000, 0x100800, 0xFEE00000, 0xFED00000,
    1 << 32, (1 << 39) - PAGE, 1 << 39, 1 << 48, 1 << 57, _TOP - 4095, _TOP,
)  # fmt: skip
_LENGTHS = numbers(
    PAGE, 2 * PAGE, 16 * PAGE, 64 * PAGE, 0, 1, 8, 2048, PAGE - 1, PAGE + 1, 1 << 21, 1 << 31,
    1 << 32, 1 << 39, 1 << 62, 1 << 63, _TOP - 4095, _TOP,
)  # fmt: skip
_SMALL = numbers(*range(11), 16, 31, 64, 255, 256, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_COUNTS = numbers(1, 0, 2, 3, 4, 5, 8, 16, 17, 64, 255, 2048, 0x3FFFFFFF, 0x40000000, 0x7FFFFFFF,
                  0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)  # fmt: skip
_ANY = numbers(0, 1, 2, 3, 4, 8, 16, 255, 4096, 65535, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32,
               (1 << 63) - 1, 1 << 63, _TOP)  # fmt: skip
_RESERVED = numbers(0, 1, 0x80000000, 0xFFFFFFFF, _TOP)
FILE_KINDS: Final = ("eventfd", "container", "group", "device", "iommufd", "file")

_ADDRESS_NAMES = ("vaddr", "user_va", "bitmap", "data", "ranges", "allowed_iovas")
_ADDRESS_ENDS = ("_ptr", "_uptr", "_addr")
_LENGTH_NAMES = ("size", "length", "pgsize", "page_size", "data_len")
_INDEX_NAMES = ("index", "start", "region_index", "option_id", "op", "type", "dmabuf_id")
_COUNT_NAMES = ("count", "num_ranges", "nr_ranges", "num_iovas", "entry_num")


def files(kind: str) -> tuple[Choice, ...]:
    """Descriptors, those of `kind` first; then none, and what never is one."""
    own = [Choice(Source.FILE, n, kind) for n in range(4)]
    others = [Choice(Source.FILE, n, k) for k in FILE_KINDS if k != kind for n in range(2)]
    return (*own, *numbers(-1), *others, *numbers(-2, 0x7FFFFFFF, -(1 << 31), 0, 1 << 20))


def _flags(default: Sequence[int], bits: Sequence[int]) -> tuple[Choice, ...]:
    singles = sorted(set(bits))
    pairs = [a | b for a, b in pairwise(singles)]
    return unique(numbers(*default, 0, *singles, *pairs, 1 << 31, 0xFFFFFFFF))


def unique(choices: Sequence[Choice]) -> tuple[Choice, ...]:
    """Each choice once, in order."""
    return tuple(dict.fromkeys(choices))


def leaves(struct: type[Any], base: int = 0) -> Iterator[tuple[str, int, type[Any]]]:
    """The numbers a structure consists of: name, offset, type; those of structures within too."""
    for member in struct.members():
        ctype, at = member.ctype, base + member.offset
        if isinstance(ctype, type) and issubclass(ctype, AbiStruct):
            yield from leaves(ctype, at)
        elif issubclass(ctype, ctypes.Array):
            size = ctypes.sizeof(ctype._type_)
            for n in range(ctype._length_):
                yield member.name, at + n * size, ctype._type_
        else:
            yield member.name, at, ctype


def choices_of(  # noqa: C901, PLR0911 -- one answer for each kind of field
    name: str, ctype: type[Any], *, first: bool, hint: Sequence[Choice], bits: Sequence[int]
) -> tuple[Choice, ...]:
    """What a field may hold: what is known of it, then what its kind suggests."""
    width = ctypes.sizeof(ctype)
    if name == "argsz" or (first and name == "size" and ctype is u32):
        return _SIZES
    if "flags" in name:
        return unique((*hint, *_flags((), bits)))
    if ctype is s32 or name == "fd":
        return unique((*hint, *files("eventfd")))
    if "reserved" in name or name == "pad" or name.startswith("out_"):
        return _RESERVED
    if width == ctypes.sizeof(u64):
        if name in _ADDRESS_NAMES or name.endswith(_ADDRESS_ENDS):
            return unique((*hint, *_ADDRESSES))
        if "iova" in name:
            return unique((*hint, *_IOVAS))
        if name in _LENGTH_NAMES or name.endswith("length"):
            return unique((*hint, *_LENGTHS))
        return unique((*hint, *_ANY))
    if name in _COUNT_NAMES:
        return unique((*hint, *_COUNTS))
    if name in _INDEX_NAMES or name.endswith("_id") or ctype in (u8, u16):
        return unique((*hint, *_SMALL))
    return unique((*hint, *_ANY))
