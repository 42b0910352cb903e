# SPDX-License-Identifier: MIT
"""Reads what a fuzz campaign leaves in its folder: progress over time, crashes, what it reached.

fuzz.jsonl has a line for each look at the campaign; crashes/*/title.txt names each crash, and
functions.json, where there is one, says how much of each function was reached.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from vfiospec.results.model import ResultsError

PROGRESS_FILE = "fuzz.jsonl"
FUNCTIONS_FILE = "functions.json"


class Look(msgspec.Struct, frozen=True):
    """The campaign after t seconds: programs run, kernel PCs reached, seeds kept, crashes."""

    t: float
    execs: int
    pcs: int
    corpus: int = 0
    crashes: int = 0


class Function(msgspec.Struct, frozen=True):
    """A function of the kernel: how many of its instrumented places were reached."""

    name: str
    file: str
    reached: int
    of: int


@dataclass(frozen=True, slots=True)
class Crash:
    """A crash by its title, and the folder it is kept in."""

    title: str
    folder: str


@dataclass(frozen=True, slots=True)
class Campaign:
    """All that one folder says, and what in it could not be read."""

    name: str
    looks: list[Look]
    crashes: list[Crash]
    functions: list[Function]
    problems: list[str]


def read_campaign(folder: Path) -> Campaign:
    """Read the folder of a campaign; a line that cannot be read is named, the rest kept."""
    problems: list[str] = []
    looks = _looks(folder / PROGRESS_FILE, problems)
    if not looks:
        raise ResultsError(f"{folder} holds no fuzz campaign: its {PROGRESS_FILE} has no line")
    crashes = [
        Crash(_first_line(title), title.parent.name)
        for title in sorted(folder.glob("crashes/*/title.txt"))
    ]
    crashes.sort(key=lambda crash: (crash.title, crash.folder))
    functions = _functions(folder / FUNCTIONS_FILE, problems)
    return Campaign(folder.resolve().name, looks, crashes, functions, problems)


def _looks(path: Path, problems: list[str]) -> list[Look]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ResultsError(
            f"{path} cannot be read: {error.strerror}; --fuzz takes the folder of a campaign"
        ) from error
    decoder = msgspec.json.Decoder(Look)
    looks: list[Look] = []
    for number, line in enumerate(lines, 1):
        try:
            looks.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problems.append(f"{path.name}, line {number}: {error}")
    return sorted(looks, key=lambda look: look.t)


def _functions(path: Path, problems: list[str]) -> list[Function]:
    if not path.is_file():
        return []
    try:
        found = msgspec.json.decode(path.read_bytes(), type=list[Function])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problems.append(f"{path.name}: {error}")
        return []
    return sorted(found, key=lambda function: (function.file, function.name))


def _first_line(path: Path) -> str:
    text = path.read_text(errors="replace").strip()
    return text.splitlines()[0] if text else "no title"
