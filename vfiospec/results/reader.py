# SPDX-License-Identifier: MIT
"""Reads results.jsonl back into a Run, and keeps all it can of a file that is damaged or cut."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from vfiospec.results.model import (
    OUTCOMES,
    RESULTS_FILE,
    SCHEMA_VERSION,
    UNEXPECTED,
    Boot,
    Catalogue,
    Footer,
    Header,
    Outcome,
    Record,
    ResultsError,
    Start,
)
from vfiospec.undecodable import UNDECODABLE

Verdict = Literal["PASS", "FAIL", "PARTIAL", "SKIP"]


@dataclass(frozen=True, slots=True)
class Run:
    """All that one results file says, in the order it says it."""

    header: Header
    boots: tuple[Boot, ...]
    outcomes: tuple[Outcome, ...]
    started_only: tuple[str, ...]
    footer: Footer | None
    problems: list[str] = field(default_factory=list)
    catalogue: Catalogue = field(default_factory=Catalogue)

    @property
    def partial(self) -> bool:
        """Whether this is less than the run that was planned."""
        return bool(self.shortfalls())

    def shortfalls(self) -> list[str]:
        """Return the reasons why this run is partial, none for a run that came to its end."""
        reasons = []
        if self.footer is None:
            reasons.append("the run did not end: no footer")
        elif self.footer.interrupted is not None:
            reasons.append(f"interrupted: {self.footer.interrupted}")
        missing = self.header.planned - len({outcome.id for outcome in self.outcomes})
        if missing > 0:
            reasons.append(f"{missing} of {self.header.planned} planned tests have no outcome")
        if self.started_only:
            reasons.append(f"started and never finished: {', '.join(self.started_only)}")
        if self.footer and self.footer.exit_code and not (self.unexpected() or reasons):
            reasons.append(f"exit code {self.footer.exit_code} with no unexpected outcome")
        return reasons

    def counts(self) -> dict[str, int]:
        """Return how many outcomes there are of each kind, zeros included."""
        counted = Counter(outcome.outcome for outcome in self.outcomes)
        return {name: counted[name] for name in OUTCOMES}

    def checks(self) -> int:
        """Return how many tests came to a judgement: all outcomes but the skipped ones."""
        return sum(outcome.outcome != "skipped" for outcome in self.outcomes)

    def unexpected(self) -> list[Outcome]:
        """Return the outcomes that turn a run red: failed, error and xpassed."""
        return [outcome for outcome in self.outcomes if outcome.outcome in UNEXPECTED]

    def verdict(self) -> Verdict:
        """Return the worst that is true: FAIL, then PARTIAL, then SKIP (nothing was judged)."""
        if self.unexpected():
            return "FAIL"
        if self.partial:
            return "PARTIAL"
        return "PASS" if self.checks() else "SKIP"

    def seconds(self) -> float:
        """Return the length of the run, up to the last record when there is no footer."""
        if self.footer is not None:
            return self.footer.duration
        times = [boot.t for boot in self.boots] + [outcome.t for outcome in self.outcomes]
        return max(times, default=0.0)


class _Collector:
    def __init__(self) -> None:
        self.headers: list[Header] = []
        self.catalogue = Catalogue()
        self.boots: list[Boot] = []
        self.started: dict[str, None] = {}
        self.outcomes: list[Outcome] = []
        self.first_seen: dict[str, tuple[int, Outcome]] = {}
        self.footer: Footer | None = None
        self.problems: list[str] = []

    def add(self, number: int, record: Record) -> None:
        if self.footer is not None:
            self.problems.append(f"line {number}: a record after the footer")
        match record:
            case Header():
                self.headers.append(record)
                if number > 1:
                    self.problems.append(f"line {number}: a header that is not the first line")
            case Catalogue():
                self.catalogue = record
            case Boot():
                self.boots.append(record)
            case Start():
                self.started[record.id] = None
            case Outcome():
                self._outcome(number, record)
            case Footer():
                self.footer = record

    def _outcome(self, number: int, outcome: Outcome) -> None:
        first, same = self.first_seen.setdefault(outcome.id, (number, outcome))
        if first == number:
            self.outcomes.append(outcome)
        elif outcome == same:
            self.problems.append(f"line {number}: line {first} once more, left out")
        else:
            self.outcomes.append(outcome)
            self.problems.append(
                f"line {number}: second outcome of {outcome.id}, first on line {first}"
            )

    def run(self) -> Run:
        run = Run(
            header=self.headers[0],
            boots=tuple(self.boots),
            outcomes=tuple(self.outcomes),
            started_only=tuple(name for name in self.started if name not in self.first_seen),
            footer=self.footer,
            problems=self.problems,
            catalogue=self.catalogue,
        )
        if run.header.schema > SCHEMA_VERSION:
            self.problems.append(
                f"schema {run.header.schema} is newer than {SCHEMA_VERSION}: update this program"
            )
        if self.footer is not None:
            for name, count in run.counts().items():
                said = self.footer.counts.get(name, 0)
                if said != count:
                    self.problems.append(f"footer counts {said} {name}, the file holds {count}")
        return run


def read_run(path: Path) -> Run:
    """Read a results file, or the one in a run directory.

    Lines that cannot be read are named in Run.problems and the rest is kept. Raises ResultsError
    when there is no such file or no header in it.
    """
    path = results_file(path)
    return parse_run(read_bytes(path), str(path))


def results_file(path: Path) -> Path:
    """Return the results file of a run directory, or path itself."""
    return path / RESULTS_FILE if path.is_dir() else path


def read_bytes(path: Path) -> bytes:
    """Return what a results file holds. Raises ResultsError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as exc:
        msg = f"{path} cannot be read: {exc.strerror}"
        raise ResultsError(msg) from exc


def parse_run(data: bytes, name: str) -> Run:
    """Read what a results file holds, as read_run does; name is for messages."""
    collector = _Collector()
    decoder = msgspec.json.Decoder(Record)
    *lines, tail = data.split(b"\n")
    for number, line in enumerate([*lines, tail] if tail else lines, 1):
        try:
            collector.add(number, decoder.decode(line))
        except UNDECODABLE as exc:
            torn = number > len(lines)
            collector.problems.append(f"line {number}: {'cut off' if torn else 'corrupt'}: {exc}")
    if not collector.headers:
        msg = f"{name} has no header: it is not a vfiospec run, or it was cut in its first line"
        raise ResultsError(msg)
    return collector.run()
