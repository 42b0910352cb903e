# SPDX-License-Identifier: MIT
"""A call of a transcript, taken apart again: its name, and each field as sent and as it came back.

The lines are those that outcomes hold, such as `VFIO_DEVICE_GET_INFO(device 32,
vfio_device_info(argsz=24, flags=0xa5) => vfio_device_info(argsz=24, flags=0x3)) -> 0`.
"""

import re
from dataclasses import dataclass

_STRUCT = re.compile(r"\b([a-z_][a-z0-9_]*)\((?=[a-z_0-9]+=)")
_FIELD = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_OPEN, _CLOSE = "([{", ")]}"


@dataclass(frozen=True, slots=True)
class Field:
    """A field as it was sent; back is None where nothing came back."""

    name: str
    sent: str
    back: str | None

    @property
    def changed(self) -> bool:
        """Whether the kernel wrote something else."""
        return self.back is not None and self.back != self.sent


@dataclass(frozen=True, slots=True)
class Decoded:
    """A call: what it was, what it answered, and the fields of its structure if it took one."""

    text: str
    name: str
    answer: str
    struct: str
    fields: tuple[Field, ...]


def decode(line: str) -> Decoded:
    """Take a line apart; what does not look like one is kept as it is."""
    call, arrow, answer = line.rpartition(" -> ")
    if not arrow:
        return Decoded(line, line, "", "", ())
    name = call.partition("(")[0]
    found = _STRUCT.search(call, len(name) + 1)
    if found is None:
        return Decoded(line, name, answer, "", ())
    sent, end = _fields(call, found.end())
    back: dict[str, str] = {}
    came_back = _STRUCT.match(call, end + 5) if call[end : end + 5] == ") => " else None
    if came_back is not None and came_back[1] == found[1]:
        back, _ = _fields(call, came_back.end())
    fields = tuple(Field(key, value, back.get(key)) for key, value in sent.items())
    return Decoded(line, name, answer, found[1], fields)


def _fields(text: str, at: int) -> tuple[dict[str, str], int]:
    """The `name=value` pairs from `at` on, and where the bracket that holds them closes."""
    found: dict[str, str] = {}
    while match := _FIELD.match(text, at):
        end = _end_of_value(text, match.end())
        found[match[1]] = text[match.end() : end]
        if text[end : end + 2] != ", ":
            return found, end
        at = end + 2
    return found, at


def _end_of_value(text: str, at: int) -> int:
    depth = 0
    for end in range(at, len(text)):
        char = text[end]
        if char in _OPEN:
            depth += 1
        elif char in _CLOSE:
            if not depth:
                return end
            depth -= 1
        elif char == "," and not depth:
            return end
    return len(text)
