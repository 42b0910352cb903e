# SPDX-License-Identifier: MIT
"""Edits: one expression of a driver's source replaced by another, as data."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec


class EditError(Exception):
    """An edit that does not fit the source it is for; one line for the user."""


class Edit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Replace `old` by `new` in one function, where `old` must be found exactly once.

    `file` is a path from the root of the source. `function` may also name an object with an
    initialiser. Any white space in `old` stands for any other, so that it may be one line.
    """

    file: str
    function: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.file}, {self.function}: {self.old!r} becomes {self.new!r}"


def apply(edits: Sequence[Edit], source: Path) -> None:
    """Make edits in a folder of kernel source, all of them or none. EditError says which fails."""
    changed: dict[Path, str] = {}
    for file, texts in edited(edits, source).items():
        changed[source / file] = texts
    for path, text in changed.items():
        path.write_text(text, encoding="utf-8")


def edited(edits: Iterable[Edit], source: Path) -> dict[str, str]:
    """The text that each touched file gets, by its path; nothing is written."""
    by_file: defaultdict[str, list[Edit]] = defaultdict(list)
    for edit in edits:
        by_file[edit.file].append(edit)
    texts: dict[str, str] = {}
    for file, those in by_file.items():
        try:
            text = (source / file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as e:
            raise EditError(f"{those[0]}: {source / file} cannot be read ({e})") from e
        for edit in those:
            text = _replaced(edit, text)
        texts[file] = text
    return texts


def _replaced(edit: Edit, text: str) -> str:
    start, end = _body(edit, text)
    words = edit.old.split()
    if not words:
        raise EditError(f"{edit}: nothing to replace; `old` must be an expression")
    found = list(re.finditer(r"\s+".join(map(re.escape, words)), text[start:end]))
    if len(found) != 1:
        times = "nowhere" if not found else f"{len(found)} times"
        raise EditError(f"{edit}: {edit.old!r} is there {times}, and has to be once")
    first, last = found[0].span()
    return text[: start + first] + edit.new + text[start + last :]


def _body(edit: Edit, text: str) -> tuple[int, int]:
    """Where a definition lies, by kernel style: it begins in the first column and ends there."""
    # Before the first parenthesis, or it is the type of a parameter that has its name.
    head = re.compile(rf"^(?=[A-Za-z_])[^\n;{{}}#(]*\b{re.escape(edit.function)}\b", re.MULTILINE)
    opening = re.compile(r"[^;{}]*?(?:^|=\s*)\{", re.MULTILINE)
    bodies = []
    for match in head.finditer(text):
        opened = opening.match(text, match.end())
        if opened is None:
            continue
        closed = re.compile(r"^\}", re.MULTILINE).search(text, opened.end())
        if closed is not None:
            bodies.append((match.start(), closed.end()))
    if len(bodies) != 1:
        times = "nowhere" if not bodies else f"{len(bodies)} times"
        raise EditError(f"{edit}: {edit.function} is defined {times}, and has to be once")
    return bodies[0]
