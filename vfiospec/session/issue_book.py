# SPDX-License-Identifier: MIT
"""The known issues of one run: which of them hold, and what became of each."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from vfiospec.results.model import KnownIssueState, Mode, OutcomeName
from vfiospec.session.findings import Deviation, FindingError
from vfiospec.session.known_issues import KnownIssue, load

_TELLING = ("ended", "elsewhere", "showed", "silent", "not run")  # the first outranks the others


class IssueBook:
    """The entries of a file, or none, and how often each explained a failure."""

    def __init__(
        self, path: Path | None, findings: Iterable[Deviation], today: dt.date | None = None
    ) -> None:
        """Read the file. FindingError for one that is wrong, or names an entry like a finding."""
        self._issues = load(path) if path is not None else ()
        self._today = today or dt.datetime.now(dt.UTC).date()
        taken = {finding.id for finding in findings}
        for issue in self._issues:
            if issue.id in taken:
                raise FindingError(f"{path}: issue {issue.id!r}: a finding has that id already")
        self._showed: Counter[str] = Counter()
        self._judged: Counter[str] = Counter()

    def holding(self, version: tuple[int, int], topology: str, mode: Mode) -> list[KnownIssue]:
        """The entries that may explain a failure in this run."""
        return [
            issue
            for issue in self._issues
            if issue.is_of(topology, mode) and not issue.ended(version, self._today)
        ]

    def count(self, test: str, outcome: OutcomeName, finding: str | None,
              version: tuple[int, int]) -> None:  # fmt: skip
        """Take in the outcome of a test."""
        if outcome == "skipped":
            return
        for issue in self._issues:
            if issue.covers(test, version, frozenset()):
                self._judged[issue.id] += 1
                self._showed[issue.id] += outcome == "xfailed" and finding == issue.id

    def states(self, version: tuple[int, int], topology: str, mode: Mode) -> list[KnownIssueState]:
        """What became of each entry, in the order of the file."""
        return [self._state(issue, version, topology, mode) for issue in self._issues]

    def _state(
        self, issue: KnownIssue, version: tuple[int, int], topology: str, mode: Mode
    ) -> KnownIssueState:
        showed, note = self._showed[issue.id], issue.ended(version, self._today)
        return KnownIssueState(
            id=issue.id,
            title=issue.title,
            link=issue.link,
            origin=issue.origin,
            state=(
                "ended" if note
                else "elsewhere" if not issue.is_of(topology, mode) or not issue.is_on(version)
                else "showed" if showed
                else "silent" if self._judged[issue.id]
                else "not run"
            ),
            tests=showed,
            intermittent=issue.intermittent,
            note=note or None,
        )  # fmt: skip


def together(parts: Iterable[list[KnownIssueState]]) -> list[KnownIssueState]:
    """What became of each entry in a run that several processes judged a part of each."""
    found: dict[str, KnownIssueState] = {}
    for state in (state for part in parts for state in part):
        one = found.setdefault(state.id, state)
        if one is not state:
            told = min(one.state, state.state, key=_TELLING.index)
            tests = one.tests + state.tests
            found[state.id] = msgspec.structs.replace(one, state=told, tests=tests)
    return list(found.values())
