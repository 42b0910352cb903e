# SPDX-License-Identifier: MIT
"""What a layout is: structures, enums, constants and macros, as plain data that fits in JSON."""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import msgspec

from vfiospec.layout import LayoutError

Kind = Literal["int", "float", "pointer", "enum", "struct", "union"]
FLEXIBLE: Final = 0  # the bound of an array that ends with the buffer
BYTE: Final = 8
_IOC_TYPE: Final = ord(";")  # of VFIO and iommufd alike


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A member of a structure: type as C writes it, offset and size in bytes.

    `dims` are the bounds of an array, and `size` is that of all its elements. `bits` is position,
    counted from the start of the structure, and width of a bit-field. `body` is the definition of
    a structure or union that has no name of its own.
    """

    name: str
    type: str
    offset: int
    size: int
    kind: Kind = "int"
    signed: bool = False
    dims: tuple[int, ...] = ()
    bits: tuple[int, int] | None = None
    align: int = 0  # that of an attribute, 0 without
    body: "Record | None" = None

    @property
    def flexible(self) -> bool:
        """Whether it is an array without bound."""
        return FLEXIBLE in self.dims

    @property
    def declaration(self) -> str:
        """The member as C declares it."""
        bounds = "".join(f"[{bound or ''}]" for bound in self.dims)
        width = f":{self.bits[1]}" if self.bits else ""
        return f"{self.type} {self.name}{bounds}{width}".rstrip()


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A structure or union; size and align in bytes, `header` the file that defines it."""

    name: str
    size: int
    align: int
    members: tuple[Member, ...]
    kind: Literal["struct", "union"] = "struct"
    header: str = ""

    @property
    def tag(self) -> str:
        """The type as C writes it."""
        return f"{self.kind} {self.name}".rstrip()


class Enum(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An enum, without a name as most are: its values in the order of declaration."""

    name: str
    values: dict[str, int]
    size: int = 4
    header: str = ""

    @property
    def tag(self) -> str:
        """How to call it: one without a name by its first value."""
        return f"enum {self.name}" if self.name else f"enum of {next(iter(self.values), 'nothing')}"


class Constant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A macro with a number: modulo its width in bytes. `owner`: the structure around it."""

    value: int
    width: int = 4
    owner: str = ""
    header: str = ""

    @property
    def ioctl(self) -> bool:
        """Whether it is an ioctl number of VFIO or iommufd: one with their type."""
        return self.value >> BYTE & 0xFF == _IOC_TYPE and self.value >> BYTE != 0


class Text(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A macro that is a string."""

    value: str
    header: str = ""


class Layout(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything one source says, seen by a program of so many bits.

    A partial one, from an object or a kernel, has only what is used there: what it lacks may exist.
    """

    source: str
    bits: int = 64
    partial: bool = False
    structs: dict[str, Record] = {}
    enums: tuple[Enum, ...] = ()
    constants: dict[str, Constant] = {}
    strings: dict[str, Text] = {}
    functions: dict[str, str] = {}  # macros with arguments: the header of each

    def numbers(self) -> dict[str, int]:
        """Every macro and enumerator with its number."""
        found = {name: constant.value for name, constant in self.constants.items()}
        for enum in self.enums:
            found |= enum.values
        return found

    def struct(self, name: str) -> Record:
        """The structure or union of that name, given with or without `struct`."""
        plain = name.rsplit(maxsplit=1)[-1] if name else name
        if plain not in self.structs:
            raise LayoutError(f"{self.source}: no structure {name!r} in it")
        return self.structs[plain]


class Abi(NamedTuple):
    """One source as programs of 64 and, where it could be compiled, of 32 bits see it."""

    wide: Layout
    narrow: Layout | None = None

    @property
    def source(self) -> str:
        """Where it is from."""
        return self.wide.source


class Leaf(NamedTuple):
    """A member that is not looked into: its name, dotted, and the bits it has."""

    name: str
    start: int  # bits from the start of the structure
    width: int  # bits, 0 for a flexible array
    member: Member

    @property
    def end(self) -> int:
        """The first bit behind it."""
        return self.start + self.width

    @property
    def where(self) -> str:
        """Its place in bytes, or in bits where it has no whole ones."""
        if self.start % BYTE or self.width % BYTE:
            return f"{self.start // BYTE}:{self.start % BYTE}"
        return str(self.start // BYTE)


def leaves(record: Record) -> list[Leaf]:
    """Every member, those of unnamed structures and unions within as if they were its own."""
    return list(_leaves(record, 0, ""))


def _leaves(record: Record, base: int, prefix: str) -> Iterator[Leaf]:
    for member in record.members:
        name = f"{prefix}{member.name}"
        if member.body is not None and not member.dims:
            inner = f"{name}." if member.name else prefix
            yield from _leaves(member.body, base + member.offset * BYTE, inner)
        elif member.bits:
            yield Leaf(name, base + member.bits[0], member.bits[1], member)
        else:
            yield Leaf(name, base + member.offset * BYTE, member.size * BYTE, member)


def by_header(layout: Layout, *headers: str) -> Layout:
    """The part of a layout that these headers define."""
    return msgspec.structs.replace(
        layout,
        structs={k: v for k, v in layout.structs.items() if v.header in headers},
        enums=tuple(e for e in layout.enums if e.header in headers),
        constants={k: v for k, v in layout.constants.items() if v.header in headers},
        strings={k: v for k, v in layout.strings.items() if v.header in headers},
        functions={k: v for k, v in layout.functions.items() if v in headers},
    )
