# SPDX-License-Identifier: MIT
"""ctypes classes made from a layout: of this kernel, of its headers, or of those of 5.10."""

import ctypes
from collections.abc import Iterator
from itertools import groupby
from math import prod
from typing import Any, Final

from vfiospec.abi.base import AbiStruct
from vfiospec.abi.base import Member as AbiMember
from vfiospec.layout import LayoutError
from vfiospec.layout.model import BYTE, Layout, Member, Record

_UNSIGNED: Final = {
    1: ctypes.c_uint8, 2: ctypes.c_uint16, 4: ctypes.c_uint32, 8: ctypes.c_uint64,
}  # fmt: skip
_SIGNED: Final = {1: ctypes.c_int8, 2: ctypes.c_int16, 4: ctypes.c_int32, 8: ctypes.c_int64}
_FLOATS: Final = {4: ctypes.c_float, 8: ctypes.c_double}
_GAP: Final = "_gap_"


class MadeStruct(AbiStruct):
    """A structure made from a layout; what fills its gaps is no field to whoever asks."""

    @classmethod
    def members(cls) -> Iterator[AbiMember]:
        """Yield the fields in order, as those of vfiospec.abi do."""
        return (m for m in super().members() if not m.name.startswith(_GAP))


class Fixtures:
    """The structures of one layout as classes, each made when it is first asked for.

    As in vfiospec.abi, an array without bound at the end is no field: its bytes follow the packed
    structure. A pointer is the number that it is to the kernel.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._made: dict[str, type[Any]] = {}

    def struct(self, name: str) -> type[AbiStruct]:
        """The class of a structure. LayoutError if there is none, or ctypes cannot lay it out."""
        record = self.layout.struct(name)
        if record.kind == "union":
            raise LayoutError(f"{self.layout.source}: {record.tag} is no structure")
        made: type[AbiStruct] = self._class(record)
        return made

    def _class(self, record: Record) -> type[Any]:
        if record.name and record.name in self._made:
            return self._made[record.name]
        made = self._laid_out(record)
        if record.name:
            self._made[record.name] = made
        return made

    def _laid_out(self, record: Record) -> type[Any]:
        """Let ctypes lay it out; if a place is wrong, pack it and fill the gaps by hand."""
        members = [m for m in record.members if not m.flexible]
        plain = [self._field(member, at) for at, member in enumerate(members)]
        attempts: list[tuple[int | None, list[Any]]] = [(None, plain), (4, plain)]
        if record.kind == "struct":
            attempts.append((1, self._with_gaps(record, members)))
        for pack, fields in attempts:
            made = _build(record, members, fields, pack)
            if not _misplaced(made, record, members, fields):
                return made
        raise LayoutError(f"{self.layout.source}: {record.tag} cannot be laid out by ctypes")

    def _field(self, member: Member, at: int) -> tuple[Any, ...]:
        name = member.name or f"_unnamed_{at}"
        ctype = self._element(member)
        for bound in reversed(member.dims):
            ctype *= bound
        return (name, ctype, member.bits[1]) if member.bits else (name, ctype)

    def _with_gaps(self, record: Record, members: list[Member]) -> list[tuple[Any, ...]]:
        """Fields for a packed structure: what the compiler leaves free has fields of its own."""
        fields: list[tuple[Any, ...]] = []
        end = 0
        runs = groupby(enumerate(members), key=lambda pair: _storage(*pair))
        for run in ([*found] for _, found in runs):
            at, first = run[0]
            begin = first.bits[0] // BYTE if first.bits else first.offset
            if begin > end:
                fields.append((f"{_GAP}{end}", ctypes.c_uint8 * (begin - end)))
            if first.bits:
                bits, end = _bit_fields([member for _, member in run], begin)
                fields += bits
            else:
                fields.append(self._field(first, at))
                end = first.offset + first.size
        if record.size > end:
            fields.append((f"{_GAP}{end}", ctypes.c_uint8 * (record.size - end)))
        return fields

    def _element(self, member: Member) -> Any:  # noqa: ANN401 -- ctypes has no type for its types
        if member.body is not None:
            return self._class(member.body)
        if member.kind in {"struct", "union"}:
            return self._class(self.layout.struct(member.type))
        size = member.size // max(prod(member.dims), 1)
        if member.bits and member.size == 0:
            size = 4
        sizes = _FLOATS if member.kind == "float" else _SIGNED if member.signed else _UNSIGNED
        if size not in sizes:
            raise LayoutError(f"{self.layout.source}: {member.declaration}: {size} bytes")
        return sizes[size]


def _storage(at: int, member: Member) -> tuple[int, ...]:
    """The same for bit-fields that share their storage, another for each other member."""
    return (member.offset, member.size) if member.bits else (-1, at)


def _bit_fields(members: list[Member], begin: int) -> tuple[list[tuple[Any, ...]], int]:
    """The bit-fields of one storage that begins at a byte, gaps filled, and the byte behind it."""
    placed = [(member, *member.bits) for member in members if member.bits]
    last = max(start + width for _, start, width in placed)
    needed = (last + BYTE - 1) // BYTE - begin
    size = next((size for size in _UNSIGNED if size >= needed), max(_UNSIGNED))
    fields: list[tuple[Any, ...]] = []
    bit = begin * BYTE
    for member, start, width in placed:
        if start > bit:
            fields.append((f"{_GAP}bit_{bit}", _UNSIGNED[size], start - bit))
        fields.append((member.name, (_SIGNED if member.signed else _UNSIGNED)[size], width))
        bit = start + width
    if bit < (begin + size) * BYTE:
        fields.append((f"{_GAP}bit_{bit}", _UNSIGNED[size], (begin + size) * BYTE - bit))
    return fields, begin + size


def _build(record: Record, members: list[Member], fields: list[Any], pack: int | None) -> type[Any]:
    base = ctypes.Union if record.kind == "union" else MadeStruct
    unnamed = tuple(
        name for name, *_ in fields if name.startswith("_unnamed_") and not _is_array(name, members)
    )
    body: dict[str, Any] = {"__doc__": f"{record.tag}, made from a layout."}
    if pack is not None:
        body["_pack_"] = pack
    if unnamed:
        body["_anonymous_"] = unnamed
    body["_fields_"] = fields
    return type(record.name or f"unnamed {record.kind}", (base,), body)


def _is_array(name: str, members: list[Member]) -> bool:
    return bool(members[int(name.rpartition("_")[2])].dims)


def _misplaced(
    made: type[Any], record: Record, members: list[Member], fields: list[Any]
) -> list[str]:
    """The names of fields that are not where the layout has them."""
    names = [name for name, *_ in fields if not name.startswith(_GAP)]
    wrong = []
    for name, member in zip(names, members, strict=True):
        placed = getattr(made, name)
        if member.bits:
            # ctypes has a bit-field's first bit in the lower half of its size, its width above.
            start = placed.offset * BYTE + (placed.size & 0xFFFF)
            right = (start, placed.size >> 16) == member.bits
        else:
            right = (placed.offset, placed.size) == (member.offset, member.size)
        if not right:
            wrong.append(name)
    return wrong if ctypes.sizeof(made) == record.size else [*wrong, "size"]
