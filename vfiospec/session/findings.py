# SPDX-License-Identifier: MIT
"""Findings: where a released kernel is known to break a promise. Data, in suites/expectations/."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

import msgspec

from vfiospec.rules.model import Answer, registered
from vfiospec.undecodable import UNDECODABLE


class FindingError(Exception):
    """An expectations file that says something impossible."""


class Deviation(Protocol):
    """What a failure is measured by that somebody knows of: a finding, or a known issue."""

    @property
    def id(self) -> str:
        """What outcomes name it by."""

    @property
    def title(self) -> str:
        """What is wrong, in a sentence."""

    @property
    def link(self) -> str:
        """Where it is spoken of, "" if nowhere."""

    @property
    def origin(self) -> str:
        """The file it is in, or "finding"."""

    @property
    def intermittent(self) -> bool:
        """Whether a test that it covers may pass."""

    def concerns(self, rules: Iterable[str]) -> bool:
        """Whether it may explain a test of these rules."""

    def covers(self, test: str, version: tuple[int, int], roles: frozenset[str]) -> bool:
        """Whether it speaks of this test on this kernel and device."""

    def explains(self, actual: str) -> bool:
        """Whether a failure is the one it describes."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A known deviation. It turns a failure that matches into xfailed, a pass into xpassed."""

    id: str
    title: str
    rule: str
    tests: tuple[str, ...]  # globs over dotted test ids
    match: str  # regular expression over what the kernel actually did, or the report's first line
    log: str = ""  # of a report the kernel logs while the test passes: what else it must hold
    kernels: str = ""  # bounds as in a rule's answer
    roles: tuple[str, ...] = ()  # of the device
    not_roles: tuple[str, ...] = ()
    link: str = ""
    reason: str = ""
    since: str = ""
    fixed_in: str = ""

    @property
    def origin(self) -> str:
        """It ships with the suites."""
        return "finding"

    @property
    def intermittent(self) -> bool:
        """A kernel breaks a promise always, or the test is not good enough."""
        return False

    def concerns(self, rules: Iterable[str]) -> bool:
        """Whether its rule is one of these, and what breaks it is an answer."""
        return self.rule in rules and not self.log

    def tells_of(self, trouble: list[str], log: list[str]) -> bool:
        """Whether it is this report, and nothing else, that the kernel logged."""
        return (
            bool(self.log)
            and len(trouble) == 1
            and re.search(self.match, trouble[0]) is not None
            and re.search(self.log, "\n".join(log), re.DOTALL) is not None
        )

    def covers(self, test: str, version: tuple[int, int], roles: frozenset[str]) -> bool:
        """Whether it speaks of this test on this kernel and device."""
        return (
            speaks_of(self.tests, self.kernels, test, version)
            and roles.issuperset(self.roles)
            and not roles.intersection(self.not_roles)
        )

    def explains(self, actual: str) -> bool:
        """Whether a failure is the one it describes."""
        return re.search(self.match, actual) is not None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    finding: tuple[Finding, ...] = ()


def speaks_of(globs: Iterable[str], kernels: str, test: str, version: tuple[int, int]) -> bool:
    """Whether a test and a kernel are among those that globs and bounds name."""
    return Answer(0, kernels).holds_on(version) and any(fnmatchcase(test, g) for g in globs)


def load(folder: Path) -> tuple[Finding, ...]:
    """Read every file of a folder. FindingError names the file and what is wrong in it."""
    found: dict[str, Finding] = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            read = msgspec.toml.decode(path.read_bytes(), type=_File)
        except UNDECODABLE as e:
            raise FindingError(f"{path}: {e}") from e
        for finding in read.finding:
            _check(path, finding, found)
            found[finding.id] = finding
    return tuple(found.values())


def _check(path: Path, finding: Finding, others: Iterable[str]) -> None:
    if finding.id in others:
        raise FindingError(f"{path}: finding {finding.id} is there twice")
    if finding.rule not in registered():
        raise FindingError(f"{path}: finding {finding.id} breaks {finding.rule!r}, no rule")
    if not (finding.link or finding.reason):
        raise FindingError(f"{path}: finding {finding.id} has neither a link nor a reason")
    try:
        re.compile(finding.match)
        re.compile(finding.log)
        Answer(0, finding.kernels).holds_on((0, 0))
    except (re.error, ValueError) as e:
        raise FindingError(f"{path}: finding {finding.id}: {e}") from e
