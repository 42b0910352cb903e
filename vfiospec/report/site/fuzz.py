# SPDX-License-Identifier: MIT
"""Reads what a fuzz campaign leaves in its folder: progress over time, crashes, what it reached.

fuzz.jsonl has a line for each look at the campaign; crashes/*/crash.json (or title.txt) tells of
each crash, and functions.json, where there is one, how much of each function was reached. A crash
that may not be shown before it is mended is counted, and nothing else is told of it.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from vfiospec.results.model import ResultsError
from vfiospec.undecodable import UNDECODABLE

PROGRESS_FILE = "fuzz.jsonl"
NOT_PUBLIC = "a crash that is not to be told before it is mended"
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


class Crash(msgspec.Struct, frozen=True):
    """A crash by its title, the folder it is kept in, and how often it was seen."""

    title: str
    folder: str = ""
    count: int = 1
    public: bool = True


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
    found = [_crash(one, problems) for one in folder.glob("crashes/*") if one.is_dir()]
    crashes = sorted((c for c in found if c), key=lambda crash: (crash.title, crash.folder))
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
        except UNDECODABLE as error:
            problems.append(f"{path.name}, line {number}: {error}")
    return sorted(looks, key=lambda look: look.t)


def _functions(path: Path, problems: list[str]) -> list[Function]:
    if not path.is_file():
        return []
    try:
        found = msgspec.json.decode(path.read_bytes(), type=list[Function])
    except UNDECODABLE as error:
        problems.append(f"{path.name}: {error}")
        return []
    return sorted(found, key=lambda function: (function.file, function.name))


def _crash(folder: Path, problems: list[str]) -> Crash | None:
    record, title = folder / "crash.json", folder / "title.txt"
    try:
        if record.is_file():
            crash = msgspec.json.decode(record.read_bytes(), type=Crash)
        elif title.is_file():
            text = title.read_text(errors="replace").strip()
            crash = Crash(text.splitlines()[0] if text else "no title")
        else:
            return None
    except UNDECODABLE as error:
        problems.append(f"{folder.name}/{record.name}: {error}")
        return None
    if not crash.public:
        return Crash(NOT_PUBLIC, "", crash.count, public=False)
    return msgspec.structs.replace(crash, folder=folder.name)
