# SPDX-License-Identifier: MIT
"""Known issues: what somebody knows to fail on a kernel of theirs. Data, in known-issues.toml.

A finding is ours and says which promise a released kernel breaks; a known issue is its user's and
has an end. Both are judged alike: only the failure that is described is expected, on the kernels it
is described for, and one that no longer shows is unexpected.
"""

import datetime as dt
import errno
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_args

import msgspec

from vfiospec.results.model import Mode
from vfiospec.rules.model import Answer
from vfiospec.session.findings import FindingError, speaks_of
from vfiospec.undecodable import UNDECODABLE

DEFAULT = "known-issues.toml"
_VERSION = re.compile(r"\d+\.\d+")
_ERRNOS = frozenset(errno.errorcode.values())
_WRONG_KEY = re.compile(r"Object (?:contains (unknown)|missing required) field `(.*)`")
_DATE = "a date, such as 2026-12-31"
_ALLOWED = {
    "id": "a name, there once",
    "title": "what is wrong, in a sentence",
    "link": "where it is spoken of",
    "tests": 'a list of globs over test ids, such as ["region_info.vga.*"]',
    "match": "a table of errno, message, or both",
    "match.errno": 'the name of an errno, such as "EINVAL"',
    "match.message": "a regular expression over what the kernel did",
    "when": "a table of kernels, topologies, modes",
    "when.kernels": 'bounds, such as ">=6.1,<6.13"',
    "when.topologies": 'a list of globs over names, such as ["amd*"]',
    "when.modes": f"a list of {', '.join(get_args(Mode))}",
    "intermittent": "true or false",
    "since": _DATE,
    "until": _DATE,
    "fixed_in": 'a kernel version, such as "7.3"',
}


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class Match(_Part, frozen=True, kw_only=True):
    """Which failure it is: both, where both are given."""

    errno: str | None = None  # the last call's answer
    message: str | None = None  # regular expression over what the kernel did


class When(_Part, frozen=True, kw_only=True):
    """Where it shows; everywhere if nothing is given."""

    kernels: str = ""  # bounds, as in a rule's answer
    topologies: tuple[str, ...] = ()  # globs over names
    modes: tuple[Mode, ...] = ()


class Entry(_Part, frozen=True, kw_only=True):
    """One of the file. It ends after the day until, or with the kernel version fixed_in."""

    id: str
    title: str
    link: str
    tests: tuple[str, ...]  # globs over dotted test ids
    match: Match
    when: When = When()
    intermittent: bool = False
    since: dt.date | None = None
    until: dt.date | None = None
    fixed_in: str | None = None


class KnownIssue(Entry, frozen=True, kw_only=True):
    """An entry, and the file it is of."""

    origin: str

    def concerns(self, rules: Iterable[str]) -> bool:
        """Whether it may explain a test of these rules: it knows tests only."""
        del rules
        return True

    def covers(self, test: str, version: tuple[int, int], roles: frozenset[str]) -> bool:
        """Whether it speaks of this test on this kernel."""
        del roles
        return speaks_of(self.tests, self.when.kernels, test, version) and (
            self.fixed_in is None or version < _version(self.fixed_in)
        )

    def explains(self, actual: str) -> bool:
        """Whether a failure is the one it describes."""
        wanted = self.match
        return (wanted.errno is None or actual.endswith(f"-> {wanted.errno}")) and (
            wanted.message is None or re.search(wanted.message, actual) is not None
        )

    def is_of(self, topology: str, mode: Mode) -> bool:
        """Whether it speaks of runs of this kind at all."""
        when = self.when
        return (not when.modes or mode in when.modes) and (
            not when.topologies or any(fnmatchcase(topology, glob) for glob in when.topologies)
        )

    def is_on(self, version: tuple[int, int]) -> bool:
        """Whether it speaks of this kernel."""
        return Answer(0, self.when.kernels).holds_on(version)

    def ended(self, version: tuple[int, int], today: dt.date) -> str:
        """Why it no longer holds, "" if it does."""
        if self.until is not None and today > self.until:
            return f"it held until {self.until}"
        if self.fixed_in is not None and version >= _version(self.fixed_in):
            return f"it is fixed in {self.fixed_in}"
        return ""


def load(path: Path) -> tuple[KnownIssue, ...]:
    """Read a file. FindingError says in which entry which key is wrong, and what is allowed."""
    try:
        read = msgspec.toml.decode(path.read_bytes())
    except OSError as e:
        raise FindingError(f"{path}: cannot be read: {e.strerror}") from e
    except UNDECODABLE as e:
        raise FindingError(f"{path}: no TOML: {e}") from e
    if unknown := sorted(read.keys() - {"issue"}):
        raise FindingError(f"{path}: unknown key {unknown[0]!r}; allowed are [[issue]] tables only")
    entries = read.get("issue", [])
    if not isinstance(entries, list):
        raise FindingError(f"{path}: [issue] is one table; write [[issue]] for each entry")
    found: dict[str, KnownIssue] = {}
    for number, entry in enumerate(entries, 1):
        issue = _read(path, number, entry)
        if issue.id in found:
            raise FindingError(f"{path}: issue {issue.id!r} is there twice")
        found[issue.id] = issue
    return tuple(found.values())


_TABLES: dict[str, type[_Part]] = {"": Entry, "match": Match, "when": When}


def _read(path: Path, number: int, entry: Any) -> KnownIssue:  # noqa: ANN401 -- any TOML value
    name = entry.get("id") if isinstance(entry, dict) else None
    where = f"{path}: issue {name!r}" if isinstance(name, str) else f"{path}: issue {number}"
    try:
        read = msgspec.convert(entry, Entry)
    except msgspec.ValidationError as e:
        raise FindingError(f"{where}: {_in_words(str(e))}") from e
    for key, problem in _problems(read):
        raise FindingError(f"{where}: {key}: {problem}; allowed is {_ALLOWED[key]}")
    return KnownIssue(**msgspec.structs.asdict(read), origin=str(path))


def _in_words(error: str) -> str:
    """What msgspec says, and what is allowed instead."""
    text, _, place = error.partition(" - at `$")
    key = re.sub(r"\[.*", "", place.strip("`."))
    if wrong := _WRONG_KEY.match(text):
        said = (
            f"{'unknown' if wrong[1] else 'missing'} key {wrong[2]!r}{f' in {key}' if key else ''}"
        )
        return f"{said}; allowed are {', '.join(_TABLES[key].__struct_fields__)}"
    return f"{key}: {text}; allowed is {_ALLOWED[key]}" if key else f"{text}; allowed is a table"


def _problems(issue: Entry) -> Iterator[tuple[str, str]]:
    """What no type can say, by key."""
    match, when = issue.match, issue.when
    for key in ("id", "title", "link", "tests"):
        if not getattr(issue, key):
            yield key, "it is empty"
    if match.errno is None and match.message is None:
        yield "match", "it is empty, so any failure would be taken for this one"
    if match.errno is not None and match.errno not in _ERRNOS:
        yield "match.errno", repr(match.errno)
    try:
        re.compile(match.message or "")
    except re.error as e:
        yield "match.message", f"{match.message!r}: {e}"
    try:
        Answer(0, when.kernels).holds_on((0, 0))
    except ValueError as e:
        yield "when.kernels", str(e)
    if issue.fixed_in is not None and not _VERSION.fullmatch(issue.fixed_in):
        yield "fixed_in", repr(issue.fixed_in)
    if issue.since and issue.until and issue.since > issue.until:
        yield "until", f"{issue.until} is before since, {issue.since}"


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)
