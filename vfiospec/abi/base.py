# SPDX-License-Identifier: MIT
"""What a C structure of the ABI is in Python: ctypes with packing, printing and comparing."""

import ctypes
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple, Self

u8 = ctypes.c_uint8
u16 = ctypes.c_uint16
u32 = ctypes.c_uint32
u64 = ctypes.c_uint64
s8 = ctypes.c_int8
s16 = ctypes.c_int16
s32 = ctypes.c_int32
s64 = ctypes.c_int64


class Member(NamedTuple):
    """One named field of a structure; offset and size in bytes."""

    name: str
    offset: int
    size: int
    ctype: type[Any]


class AbiStruct(ctypes.Structure):
    """A structure of the user ABI in native byte order and alignment.

    A flexible array at the end is not a field: its bytes follow the packed structure.
    The size is sizeof() and not size(), since many ABI structures have a field named size.
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]  # mutable, so not a key

    @classmethod
    def members(cls) -> Iterator[Member]:
        """Yield the fields in order; those of an unnamed union count as fields of the structure."""
        return _members(cls, 0)

    @classmethod
    def offset_of(cls, field: str) -> int:
        """Bytes from the start of the structure to the field; AttributeError if there is none."""
        return cls._member(field).offset

    @classmethod
    def end_of(cls, field: str) -> int:
        """Bytes from the start of the structure to just behind the field, as offsetofend() in C."""
        member = cls._member(field)
        return member.offset + member.size

    @classmethod
    def sizeof(cls) -> int:
        """Size in bytes, padding included."""
        return ctypes.sizeof(cls)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read the structure at the start of data; what data is too short for is zero."""
        return cls.from_buffer_copy(data[: ctypes.sizeof(cls)].ljust(ctypes.sizeof(cls), b"\0"))

    def pack(self) -> bytes:
        """Return the bytes of the structure, padding included."""
        return bytes(self)

    @classmethod
    def _member(cls, field: str) -> Member:
        for member in cls.members():
            if member.name == field:
                return member
        names = ", ".join(member.name for member in cls.members())
        message = f"{cls.__name__} has no field {field}: it has {names}"
        raise AttributeError(message)

    def __repr__(self) -> str:
        shown = (f"{m.name}={_show(m, getattr(self, m.name))}" for m in self.members())
        return f"{type(self).__name__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return bytes(self) == bytes(other)


def _members(cls: type[Any], base: int) -> Iterator[Member]:
    anonymous = getattr(cls, "_anonymous_", ())
    for name, ctype, *_ in cls._fields_:  # a bit-field has its width behind them
        descriptor = getattr(cls, name)
        if name in anonymous:
            yield from _members(ctype, base + descriptor.offset)
        else:
            yield Member(name, base + descriptor.offset, ctypes.sizeof(ctype), ctype)


def _show(member: Member, value: object) -> str:
    if isinstance(value, ctypes.Array):
        return str(list(value))
    # Flags and the 64-bit fields (addresses, offsets, masks) are read by their bits.
    if isinstance(value, int) and ("flags" in member.name or member.ctype is u64):
        return hex(value)
    return repr(value)
