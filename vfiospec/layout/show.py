# SPDX-License-Identifier: MIT
"""Layouts as text: a structure with offset and size of each member, and two side by side."""

from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from itertools import zip_longest

from vfiospec.layout import LayoutError
from vfiospec.layout.model import BYTE, Constant, Enum, Layout, Member, Record

_INDENT = "    "
_COLUMN = 44  # where offsets begin


def record_text(record: Record) -> list[str]:
    """A structure as C, each member with its offset and size in bytes; holes are named."""
    lines = [f"{record.tag} {{"]
    lines += _members(record, 0, 1)
    lines.append(f"}};{'':{_COLUMN - 2}}/* size {record.size}, align {record.align} */")
    return lines


def enum_text(enum: Enum) -> list[str]:
    """An enum as C."""
    head = f"enum {enum.name}".rstrip()
    values = [f"{_INDENT}{name} = {number(value)}," for name, value in enum.values.items()]
    return [f"{head} {{", *values, "};"]


def number(value: int) -> str:
    """A number as people read it: small ones decimal."""
    return str(value) if value < 10 else f"{value:#x}"  # noqa: PLR2004 -- where they differ


def layout_text(layout: Layout, names: list[str]) -> Iterator[str]:
    """The named parts of a layout, or all; names may have wildcards. LayoutError for a stray."""
    wanted = [_plain(name) for name in names] or ["*"]
    for pattern in wanted:
        if not any(fnmatchcase(known, pattern) for known in _known(layout)):
            raise LayoutError(f"{layout.source}: no {pattern!r} in it")

    def chosen(name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in wanted)

    for record in layout.structs.values():
        if chosen(record.name):
            yield from ["", *record_text(record)]
    for enum in layout.enums:
        if chosen(enum.name) or any(map(chosen, enum.values)):
            yield from ["", *enum_text(enum)]
    yield from _constants("ioctls", layout, chosen, ioctl=True)
    yield from _constants("flags, indexes and ids", layout, chosen, ioctl=False)
    yield from (f'#define {n} "{t.value}"' for n, t in layout.strings.items() if chosen(n))
    yield from (f"#define {n}()" for n in layout.functions if chosen(n))


def side_by_side(old: list[str], new: list[str], width: int) -> list[str]:
    """Two texts beside each other, with `|` where they differ, in lines of at most so many columns.

    What is not in one of them leaves room there.
    """
    half = max((width - 3) // 2, 20)
    lines = []
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        mark = " " if tag == "equal" else "|"
        for left, right in zip_longest(old[a:b], new[c:d], fillvalue=""):
            lines.append(f"{left[:half]:{half}} {mark} {right[:half]}".rstrip())
    return lines


def compact(record: Record) -> list[str]:
    """A structure in short lines, for two to stand beside each other: offset, size, member."""
    lines = [record.tag]
    lines += [f"{at:>5} {size:>4}  {text}" for at, size, text in _rows(record, 0, "")]
    return [*lines, f"size {record.size}, align {record.align}"]


def _rows(record: Record, base: int, prefix: str) -> Iterator[tuple[str, int, str]]:
    for member in record.members:
        if member.body is not None and not member.dims:
            inner = f"{prefix}{member.name}." if member.name else prefix
            yield from _rows(member.body, base + member.offset, inner)
        else:
            at = str(base + member.offset)
            if member.bits:
                at = f"{base + member.bits[0] // BYTE}:{member.bits[0] % BYTE}"
            kind, _, rest = member.declaration.partition(f" {member.name}")
            yield at, member.size, f"{kind} {prefix}{member.name}{rest}"


def _members(record: Record, base: int, depth: int) -> Iterator[str]:
    indent = _INDENT * depth
    end = 0
    for member in record.members:
        if record.kind == "struct" and not member.bits and member.offset > end:
            yield f"{indent}/* {member.offset - end} bytes of padding */"
        if member.body is not None:
            yield f"{indent}{member.body.kind} {{"
            yield from _members(member.body, base + member.offset, depth + 1)
            closing = _with_place(f"{indent}}} {_name(member)}".rstrip() + ";", base, member)
            yield closing
        else:
            yield _with_place(f"{indent}{member.declaration};", base, member)
        end = max(end, _end(member))
    if record.kind == "struct" and end < record.size:
        yield f"{indent}/* {record.size - end} bytes of padding */"


def _name(member: Member) -> str:
    return f"{member.name}{''.join(f'[{bound or str()}]' for bound in member.dims)}"


def _end(member: Member) -> int:
    """The byte behind a member."""
    if member.bits:
        return (sum(member.bits) + BYTE - 1) // BYTE
    return member.offset + member.size


def _with_place(text: str, base: int, member: Member) -> str:
    at = str(base + member.offset)
    if member.bits:
        at = f"{base + member.bits[0] // BYTE}:{member.bits[0] % BYTE}"
    return f"{text:{_COLUMN}}/* {at:>5} {member.size:>5} */"


def _constants(
    title: str, layout: Layout, chosen: Callable[[str], bool], *, ioctl: bool
) -> Iterator[str]:
    found: dict[str, Constant] = {
        name: c for name, c in layout.constants.items() if c.ioctl is ioctl and chosen(name)
    }
    if found:
        yield from ["", f"/* {title} */"]
    for name, constant in found.items():
        of = f"  /* {constant.owner} */" if constant.owner else ""
        yield f"#define {name} {number(constant.value)}{of}"


def _plain(name: str) -> str:
    return name.removeprefix("struct ").removeprefix("union ").removeprefix("enum ").strip()


def _known(layout: Layout) -> set[str]:
    names = layout.structs.keys() | layout.numbers().keys() | layout.strings.keys()
    return names | layout.functions.keys() | {enum.name for enum in layout.enums}
