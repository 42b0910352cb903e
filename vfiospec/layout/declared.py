# SPDX-License-Identifier: MIT
"""Compares a structure declared in vfiospec.abi with the one a compiler found."""

import ctypes
import importlib
import pkgutil
import re
from functools import cache
from typing import Any, Final, NamedTuple

import vfiospec.abi
from vfiospec.abi.base import AbiStruct
from vfiospec.layout.model import BYTE, Record, leaves

PADDING: Final = re.compile(r"_*(pad|reserved|resv)\d*")


class Shape(NamedTuple):
    """What both sides can say of a field; size 0 is a flexible array, struct empty for numbers."""

    name: str
    offset: int
    size: int
    signed: bool = False
    struct: str = ""


def shapes(record: Record) -> list[Shape]:
    """The fields of a structure, those of unnamed unions as its own."""
    return [
        Shape(
            leaf.name,
            leaf.start // BYTE,
            leaf.width // BYTE,
            leaf.member.signed,
            leaf.member.type.partition(" ")[2] if leaf.member.kind in {"struct", "union"} else "",
        )
        for leaf in leaves(record)
    ]


def shape(name: str, offset: int, ctype: type[Any]) -> Shape:
    """One of our fields the way a compiler describes it."""
    element: Any = ctype._type_ if issubclass(ctype, ctypes.Array) else ctype
    nested = element.__name__ if issubclass(element, ctypes.Structure) else ""
    signed = not nested and element(-1).value < 0
    return Shape(name, offset, ctypes.sizeof(ctype), signed, nested)


@cache
def declared_structs() -> dict[str, type[AbiStruct]]:
    """Every structure that vfiospec.abi declares, by name."""
    modules = [
        importlib.import_module(f"{vfiospec.abi.__name__}.{found.name}")
        for found in pkgutil.iter_modules(vfiospec.abi.__path__)
    ]
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, AbiStruct) and value is not AbiStruct
    }


def differences(ours: type[AbiStruct], theirs: Record) -> list[str]:
    """Where ours is not theirs: the header may be older, then its structure begins ours."""
    mine = {member.name: member for member in ours.members()}
    end = max(member.offset + member.size for member in mine.values())
    found = []
    every = shapes(theirs)
    fields = [field for field in every if field.size]
    for field in every:
        member = mine.get(field.name)
        if field.size == 0:
            if field.offset != end:
                found.append(f"{field.name}[] at {field.offset}, our fields end at {end}")
        elif member and shape(member.name, member.offset, member.ctype) == field:
            continue
        elif PADDING.fullmatch(field.name) and filled(ours, field):
            continue  # a newer header gave these bytes a meaning
        else:
            found.append(f"{field}, ours is {member}")
    last = max(field.offset + field.size for field in fields)
    known = {field.name for field in fields}
    for member in mine.values():
        alias = any((f.offset, f.size) == (member.offset, member.size) for f in fields)
        carved = any(
            f.offset <= member.offset and member.offset + member.size <= f.offset + f.size
            for f in fields
            if PADDING.fullmatch(f.name)
        )
        if member.name not in known and not (alias or carved or member.offset >= last):
            found.append(f"{member.name} at {member.offset}: the header has other fields there")
    grown = end > theirs.size
    if ours.sizeof() < theirs.size or (not grown and ours.sizeof() != theirs.size):
        found.append(f"{ours.sizeof()} bytes, the header has {theirs.size}")
    return found


def filled(ours: type[AbiStruct], gap: Shape) -> bool:
    """Whether our fields cover each byte that the header only reserves."""
    spans = [range(m.offset, m.offset + m.size) for m in ours.members()]
    return all(any(at in span for span in spans) for at in range(gap.offset, gap.offset + gap.size))
