# SPDX-License-Identifier: MIT
"""One DWARF entry after the other as a type of the model: what its size, sign and place are."""

from typing import Literal, NamedTuple

from elftools.dwarf.die import DIE

from vfiospec.layout import LayoutError
from vfiospec.layout.model import BYTE, Enum, Kind, Member, Record

_THROUGH = {"DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_atomic_type"}
_SIGNED = {5, 6}  # DW_ATE_signed, DW_ATE_signed_char
_FLOAT = 4  # DW_ATE_float


class Type(NamedTuple):
    """A type as a member has it; size of one element if `dims` make it an array."""

    name: str
    size: int
    align: int
    kind: Kind
    signed: bool = False
    dims: tuple[int, ...] = ()
    forced: int = 0  # the alignment an attribute asks for
    body: Record | None = None


def name_of(die: DIE) -> str:
    """The name of what an entry describes, empty if it has none."""
    name = die.attributes.get("DW_AT_name")
    return name.value.decode() if name else ""


class Types:
    """The types of one compile unit, each looked at once."""

    def __init__(self) -> None:
        self._seen: dict[int, Type] = {}

    def record(self, die: DIE, header: str = "") -> Record:
        """A structure or union with its members."""
        members = tuple(
            self._member(child) for child in die.iter_children() if child.tag == "DW_TAG_member"
        )
        size = die.attributes["DW_AT_byte_size"].value
        forced = die.attributes.get("DW_AT_alignment")
        align = forced.value if forced else self._natural(die, size)
        kind: Literal["struct", "union"] = "union" if die.tag == "DW_TAG_union_type" else "struct"
        return Record(
            name=name_of(die), size=size, align=align, members=members, kind=kind, header=header
        )

    def enum(self, die: DIE, header: str = "") -> Enum:
        """An enum with its values."""
        size = die.attributes["DW_AT_byte_size"].value
        values = {
            name_of(child): child.attributes["DW_AT_const_value"].value % (1 << BYTE * size)
            for child in die.iter_children()
        }
        return Enum(name=name_of(die), values=values, size=size, header=header)

    def _member(self, die: DIE) -> Member:
        kind = self._type(die.get_DIE_from_attribute("DW_AT_type"))
        offset, bits = _place(die, kind.size)
        size = kind.size
        for bound in kind.dims:
            size *= bound
        own = die.attributes.get("DW_AT_alignment")
        return Member(
            name=name_of(die), type=kind.name, offset=offset, size=size, kind=kind.kind,
            signed=kind.signed, dims=kind.dims, bits=bits,
            align=own.value if own else kind.forced, body=kind.body,
        )  # fmt: skip

    def _natural(self, die: DIE, size: int) -> int:
        """The alignment that the members give, less where their places show it is packed."""
        align = 1
        for child in die.iter_children():
            if child.tag != "DW_TAG_member":
                continue
            kind = self._type(child.get_DIE_from_attribute("DW_AT_type"))
            own = child.attributes.get("DW_AT_alignment")
            wanted = own.value if own else kind.align
            offset, bits = _place(child, kind.size)
            if size % wanted or (bits is None and offset % wanted):
                return 1
            align = max(align, wanted)
        return align

    def _type(self, die: DIE) -> Type:
        if die.offset not in self._seen:
            self._seen[die.offset] = self._described(die)
        return self._seen[die.offset]

    def _described(self, die: DIE) -> Type:  # noqa: PLR0911 -- a kind each
        if die.tag in _THROUGH:
            return self._target(die)
        if die.tag == "DW_TAG_typedef":
            inner = self._target(die)
            own = die.attributes.get("DW_AT_alignment")
            forced = own.value if own else inner.forced
            return inner._replace(name=name_of(die), align=forced or inner.align, forced=forced)
        if die.tag == "DW_TAG_array_type":
            return self._array(die)
        if die.tag == "DW_TAG_pointer_type":
            size = die.cu["address_size"]
            return Type(f"{self._pointed_at(die)} *", size, size, "pointer")
        if die.tag == "DW_TAG_base_type":
            return _base(die)
        if die.tag == "DW_TAG_enumeration_type":
            size = die.attributes["DW_AT_byte_size"].value
            encoding = die.attributes.get("DW_AT_encoding")
            signed = bool(encoding and encoding.value in _SIGNED)
            return Type(f"enum {name_of(die)}".rstrip(), size, size, "enum", signed)
        if die.tag in {"DW_TAG_structure_type", "DW_TAG_union_type"}:
            made = self.record(die)
            return Type(
                made.tag, made.size, made.align, made.kind, body=None if made.name else made
            )
        raise LayoutError(f"a member with a type that no user header should have: {die.tag}")

    def _target(self, die: DIE) -> Type:
        if "DW_AT_type" not in die.attributes:
            return Type("void", 0, 1, "int")
        return self._type(die.get_DIE_from_attribute("DW_AT_type"))

    def _pointed_at(self, die: DIE) -> str:
        """The name of a pointer's target, which is not looked into: it may point back."""
        if "DW_AT_type" not in die.attributes:
            return "void"
        target = die.get_DIE_from_attribute("DW_AT_type")
        while target.tag in _THROUGH and "DW_AT_type" in target.attributes:
            target = target.get_DIE_from_attribute("DW_AT_type")
        word = {"DW_TAG_structure_type": "struct ", "DW_TAG_union_type": "union "}
        return f"{word.get(str(target.tag), '')}{name_of(target)}" or "void"

    def _array(self, die: DIE) -> Type:
        inner = self._target(die)
        dims = tuple(_bound(child) for child in die.iter_children())
        return inner._replace(dims=(*dims, *inner.dims) or (0,))


def _base(die: DIE) -> Type:
    size = die.attributes["DW_AT_byte_size"].value
    encoding = die.attributes["DW_AT_encoding"].value
    # In structures of i386 nothing is aligned to more than 4 of itself.
    align = min(size, die.cu["address_size"])
    kind: Kind = "float" if encoding == _FLOAT else "int"
    return Type(name_of(die), size, align, kind, encoding in _SIGNED)


def _bound(die: DIE) -> int:
    """The elements of an array's dimension, 0 if it is flexible."""
    count, upper = die.attributes.get("DW_AT_count"), die.attributes.get("DW_AT_upper_bound")
    if count is not None:
        return int(count.value)
    # An upper bound of -1, in however many bytes, is how [0] is written.
    last = -1 if upper is None or upper.value in {2**32 - 1, 2**64 - 1} else upper.value
    return int(last) + 1


def _place(die: DIE, size: int) -> tuple[int, tuple[int, int] | None]:
    """The offset of a member in bytes; of a bit-field its first bit and width as well."""
    location = die.attributes.get("DW_AT_data_member_location")
    offset = location.value if location else 0
    if not isinstance(offset, int):
        raise LayoutError("members are placed by expressions: compile with DWARF 3 or newer")
    width = die.attributes.get("DW_AT_bit_size")
    if width is None:
        return offset, None
    first = die.attributes.get("DW_AT_data_bit_offset")
    if first is not None:
        start = offset * BYTE + first.value
    else:  # up to DWARF 3: counted from the most significant bit
        storage = die.attributes.get("DW_AT_byte_size")
        whole = storage.value if storage else size
        start = (offset + whole) * BYTE - die.attributes["DW_AT_bit_offset"].value - width.value
    return start // (BYTE * size) * size if size else offset, (start, width.value)
