# SPDX-License-Identifier: MIT
"""Compares a structure of vfiospec.abi with the one a compiler found in a header."""

import ctypes
import re
from typing import Any

from vfiospec.abi.base import AbiStruct
from vfiospec.tests.dwarf import Field, Struct

PADDING = re.compile(r"_*(pad|reserved|resv)\d*")


def differences(ours: type[AbiStruct], theirs: Struct) -> list[str]:
    """Where ours is not theirs: the header may be older, then its structure begins ours."""
    mine = {member.name: member for member in ours.members()}
    end = max(member.offset + member.size for member in mine.values())
    fields = [field for field in theirs.fields if field.size]
    found = []
    for field in theirs.fields:
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


def shape(name: str, offset: int, ctype: type[Any]) -> Field:
    """One of our fields the way DWARF describes it."""
    element: Any = ctype._type_ if issubclass(ctype, ctypes.Array) else ctype
    nested = element.__name__ if issubclass(element, ctypes.Structure) else ""
    signed = not nested and element(-1).value < 0
    return Field(name, offset, ctypes.sizeof(ctype), signed, nested)


def filled(ours: type[AbiStruct], gap: Field) -> bool:
    """Whether our fields cover each byte that the header only reserves."""
    spans = [range(m.offset, m.offset + m.size) for m in ours.members()]
    return all(any(at in span for span in spans) for at in range(gap.offset, gap.offset + gap.size))
