# SPDX-License-Identifier: MIT
"""What the preprocessor says of headers: their macros, and the structure each stands in."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_DEFINE: Final = re.compile(r"#define (\w+)(\(?)[^\S\n]*(.*)")
_UNDEF: Final = re.compile(r"#undef (\w+)")
_MARKER: Final = re.compile(r'# \d+ "([^"]*)"')
_TAG: Final = re.compile(r"\b(struct|union|enum)\s+(\w+)\s*$")
_STRING: Final = re.compile(r'"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Macro:
    """A macro: the name of the structure or enum it is written within, and its header."""

    body: str
    owner: str
    header: str


@dataclass(slots=True)
class Macros:
    """Numbers, strings, macros with arguments, and the structures, as C names them."""

    numbers: dict[str, Macro] = field(default_factory=dict)
    strings: dict[str, Macro] = field(default_factory=dict)
    functions: dict[str, Macro] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)


def read_macros(text: str, files: dict[str, str]) -> Macros:
    """Take the output of `cc -E -dD` apart; files maps a path to the header it is."""
    found, header, scope = Macros(), "", _Scope()
    real: dict[str, str] = {}
    for line in text.splitlines():
        if marker := _MARKER.match(line):
            path = marker[1]
            if path not in real:
                real[path] = files.get(path) or files.get(str(Path(path).resolve()), "")
            header = real[path]
        elif not header:
            continue
        elif define := _DEFINE.match(line):
            name, parameters, body = define.groups()
            _sort(found, name, bool(parameters), Macro(body, scope.owner, header))
        elif undef := _UNDEF.match(line):
            for group in (found.numbers, found.strings, found.functions):
                group.pop(undef[1], None)
        else:
            found.tags += scope.follow(line)
    return found


def _sort(found: Macros, name: str, parameters: bool, macro: Macro) -> None:  # noqa: FBT001
    if parameters:
        found.functions[name] = macro
    elif text := _STRING.match(macro.body):
        found.strings[name] = Macro(text[1], macro.owner, macro.header)
    elif macro.body:  # the guard has none
        found.numbers[name] = macro


class _Scope:
    """Where in nested braces a line stands."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._before = ""

    @property
    def owner(self) -> str:
        """The outermost structure or enum that is open."""
        return next((name for name in self._open if name), "")

    def follow(self, line: str) -> list[str]:
        """Go on by a line of C. Return the named structures that begin in it, outermost ones."""
        begun = []
        for part in re.split(r"([{};])", line):
            if part == "{":
                tag = _TAG.search(self._before.rstrip())
                if tag and tag[1] != "enum" and not self._open:
                    begun.append(f"{tag[1]} {tag[2]}")
                self._open.append(tag[2] if tag else "")
                self._before = ""
            elif part == "}":
                if self._open:
                    self._open.pop()
                self._before = ""
            elif part == ";":
                self._before = ""
            else:
                self._before += f" {part}"
        return begun
