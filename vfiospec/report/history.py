# SPDX-License-Identifier: MIT
"""Runs kept in one SQLite file, so that they can be asked about when their folders are gone.

A run is kept whole, as its results file has it, with an index beside it. It is known by its header:
the same run comes in once, and one that was imported half-written is replaced by more of itself.
"""

import hashlib
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from vfiospec.report import headline, one_line
from vfiospec.report.compare import Status, status, worst_of_each
from vfiospec.report.flaky import Sighting, Target
from vfiospec.results.model import Outcome, ResultsError
from vfiospec.results.reader import Run, parse_run, read_bytes, results_file

FILE = "history.sqlite"
_VERSION = 1
_WHY = 500  # characters; the run has all of it
_PATIENCE = 60.0  # seconds to wait for another import
_TABLES = """
CREATE TABLE run (
  id INTEGER PRIMARY KEY, header TEXT NOT NULL UNIQUE, content TEXT NOT NULL, path TEXT NOT NULL,
  started TEXT NOT NULL, spec TEXT NOT NULL, release TEXT NOT NULL, version TEXT NOT NULL,
  machine TEXT NOT NULL, mode TEXT NOT NULL, topology TEXT NOT NULL, topology_sha256 TEXT NOT NULL,
  accel TEXT NOT NULL, verdict TEXT NOT NULL, outcomes INTEGER NOT NULL, ended INTEGER NOT NULL,
  data BLOB NOT NULL
) STRICT;
CREATE TABLE outcome (
  run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE, test TEXT NOT NULL, outcome TEXT NOT NULL,
  status TEXT, why TEXT NOT NULL, PRIMARY KEY (test, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX outcome_of_run ON outcome (run);
"""
_TARGET = "release, version, machine, mode, topology, topology_sha256, accel"

What = Literal["imported", "there already", "replaced", "kept as it is"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a run that was imported."""

    what: What
    run: Run


@dataclass(frozen=True, slots=True)
class Line:
    """One outcome of a test, with the run it is of."""

    started: str
    release: str
    topology: str
    mode: str
    test: str
    outcome: str
    why: str


class History:
    """The file, which is made if it is not there. ResultsError for one that cannot be used."""

    def __init__(self, path: Path) -> None:
        """Open it."""
        self.path = path
        with self._errors():
            self._db = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._prepare()

    def _prepare(self) -> None:
        with self._write():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _TABLES.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
        if version > _VERSION:
            raise ResultsError(f"{self.path} is of a newer vfiospec: update this one")

    def __enter__(self) -> Self:
        """Return the history itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._db.close()

    def add(self, path: Path) -> Imported:
        """Import a results file, or the one of a run's folder; whole, or not at all."""
        path = results_file(path)
        data = read_bytes(path)
        run = parse_run(data, str(path))
        header = hashlib.sha256(msgspec.json.encode(run.header)).hexdigest()
        content = hashlib.sha256(data).hexdigest()
        with self._errors(), self._write():
            before = self._db.execute(
                "SELECT id, content, outcomes, ended FROM run WHERE header = ?", (header,)
            ).fetchone()
            if before is None:
                what: What = "imported"
            elif before[1] == content:
                return Imported("there already", run)
            elif (before[3], before[2]) >= (run.footer is not None, len(run.outcomes)):
                return Imported("kept as it is", run)
            else:
                what = "replaced"
                self._db.execute("DELETE FROM run WHERE id = ?", (before[0],))
            self._insert(run, path, header, content, zlib.compress(data))
        return Imported(what, run)

    def _insert(self, run: Run, path: Path, header: str, content: str, data: bytes) -> None:
        target = Target.of(run)
        columns = f"header, content, path, started, spec, verdict, outcomes, ended, data, {_TARGET}"
        values = (
            header, content, str(path.absolute()), run.header.started, run.header.kernel.spec,
            run.verdict(), len(run.outcomes), run.footer is not None, data, target.release,
            target.version, target.machine, target.mode, target.topology, target.topology_sha256,
            target.accel,
        )  # fmt: skip
        marks = ", ".join("?" * len(values))
        done = self._db.execute(f"INSERT INTO run ({columns}) VALUES ({marks})", values)  # noqa: S608
        rows = [
            (done.lastrowid, outcome.id, outcome.outcome, status(outcome), _why(outcome))
            for outcome in worst_of_each(run.outcomes).values()
        ]
        self._db.executemany("INSERT INTO outcome VALUES (?, ?, ?, ?, ?)", rows)

    def kernels(self) -> list[str]:
        """Return the names kernels can be asked for by: releases, and what --kernel was."""
        query = "SELECT release FROM run UNION SELECT spec FROM run"
        with self._errors():
            return sorted(name for (name,) in self._db.execute(query))

    def of_kernel(self, name: str) -> dict[tuple[str, str], Run]:
        """Return what is known of the newest build of a kernel, by mode and topology.

        Several runs of one kind are one: the newest outcome of each test counts.
        """
        query = (
            "SELECT mode, topology, path, data FROM run WHERE (release = ?1 OR spec = ?1) AND "
            "version = (SELECT version FROM run WHERE release = ?1 OR spec = ?1 "
            "ORDER BY started DESC LIMIT 1) ORDER BY started"
        )
        found: dict[tuple[str, str], Run] = {}
        with self._errors():
            for mode, topology, path, data in self._db.execute(query, (name,)):
                run = parse_run(zlib.decompress(data), path)
                before = found.get((mode, topology))
                found[mode, topology] = run if before is None else _together(before, run)
        return found

    def tests(self) -> list[str]:
        """Return the id of every test that was ever seen."""
        with self._errors():
            return [test for (test,) in self._db.execute("SELECT DISTINCT test FROM outcome")]

    def lines(self, test: str) -> list[Line]:
        """Return each outcome of a test, or of all that its id begins, the newest run first."""
        query = (
            "SELECT started, release, topology, mode, test, outcome, why FROM outcome "
            "JOIN run ON run.id = run "
            "WHERE test = ?1 OR substr(test, 1, length(?1) + 1) = ?1 || '.' "
            "ORDER BY started DESC, release, topology, test"
        )
        with self._errors():
            return [Line(*row) for row in self._db.execute(query, (test,))]

    def sightings(self) -> Iterator[Sighting]:
        """Yield every judgement of every run."""
        query = f"SELECT test, started, status, {_TARGET} FROM outcome JOIN run ON run.id = run"  # noqa: S608
        with self._errors():
            for test, started, said, *target in self._db.execute(query):
                if said in (Status.PASS, Status.FAIL):
                    yield Sighting(test, Target(*target), started, said == Status.PASS)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, zlib.error) as e:
            raise ResultsError(f"{self.path} cannot be used as a history: {e}") from e

    @contextmanager
    def _write(self) -> Iterator[None]:
        """A transaction that waits for others before it begins, and is undone by an error."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # a full disk has ended it already
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _together(old: Run, new: Run) -> Run:
    """Two runs of one kind as one."""
    outcomes = worst_of_each(old.outcomes) | worst_of_each(new.outcomes)
    header = msgspec.structs.replace(new.header, planned=len(outcomes))
    return replace(new, header=header, outcomes=tuple(outcomes.values()))


def _why(outcome: Outcome) -> str:
    return "" if outcome.outcome == "passed" else one_line(headline(outcome))[:_WHY]
