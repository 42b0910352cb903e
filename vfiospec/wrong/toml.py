# SPDX-License-Identifier: MIT
"""Writes wrong ports as the TOML that vfiospec.wrong.model reads, to be read by people too."""

import json
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from vfiospec.wrong.model import Change, Wrong


def dump(wrongs: Iterable[Wrong]) -> str:
    """All of them, without what is as by default."""
    return "\n".join("\n".join(_block(wrong)) + "\n" for wrong in wrongs)


def _block(wrong: Wrong) -> Iterator[str]:
    yield "[[wrong]]"
    for name, value in _given(wrong).items():
        yield f"{name} = {_value(value)}"


def _given(struct: Wrong | Change) -> dict[str, object]:
    """The fields that are not as by default."""
    defaults = {f.name: f.default for f in msgspec.structs.fields(type(struct))}
    every = {name: getattr(struct, name) for name in struct.__struct_fields__}
    return {n: v for n, v in every.items() if v != defaults[n] and v not in ({}, None)}


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case Change():
            return _value(_given(value))
        case Mapping():
            return "{ " + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + " }"
        case tuple():
            return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
