# SPDX-License-Identifier: MIT
"""A run in several guests at once: each process judges a part, this one writes it all down."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from vfiospec.results.model import (
    RESULTS_FILE,
    Boot,
    Catalogue,
    Footer,
    Header,
    KnownIssueState,
    Outcome,
    Record,
    Start,
)
from vfiospec.results.writer import ResultsWriter
from vfiospec.session.issue_book import together
from vfiospec.session.part import Note, Problem
from vfiospec.session.plugin import INTERRUPTED, Progress, exit_code
from vfiospec.session.run import prepare

_ENDING = (signal.SIGINT, signal.SIGTERM)
_HEED_SECONDS = 0.2  # until a signal that came while nothing was said is heeded
_LINE = msgspec.json.Decoder(Record | Note | Problem)


class Ended(NamedTuple):
    """How a run in parts ended: its exit code; whether anything was written; what went wrong."""

    code: int
    written: bool
    problem: str | None


class _Part:
    """One process, and what came of it so far."""

    def __init__(self, arguments: Sequence[str], number: int, of: int) -> None:
        self.number = number
        self.reader, writer = os.pipe()
        command = [
            sys.executable, "-m", "vfiospec.session.part", str(writer), *arguments,
            "--part", str(number), "--parts", str(of),
        ]  # fmt: skip
        # A session of its own: Ctrl-C reaches us alone, and each part once, from us.
        self.process = subprocess.Popen(  # noqa: S603
            command, pass_fds=(writer,), stdin=subprocess.DEVNULL, start_new_session=True
        )
        os.close(writer)
        self.rest = b""
        self.header: Header | None = None
        self.ended = False
        self.footer = False
        self.known_issues: list[KnownIssueState] = []

    def lines(self) -> list[bytes]:
        """Whole lines that arrived; waits for some. None ever again once it has ended."""
        got = os.read(self.reader, 1 << 16)
        self.ended = not got
        *whole, self.rest = (self.rest + got).split(b"\n")
        return whole


class Parts:
    """Runs parts and writes what they send as one run."""

    def __init__(self, out: Path, progress: Progress) -> None:
        self.out = out
        self.progress = progress
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.interrupted: str | None = None
        self._began = time.monotonic()
        self._said: set[str] = set()
        self._waiting: list[Record] = []
        self._writer: ResultsWriter | None = None
        self._catalogued = False
        self._heard = 0
        self._parts: list[_Part] = []

    def run(self, arguments: Sequence[str], jobs: int) -> Ended:
        """Start that many parts, each with pytest's arguments, and see them to their end."""
        self._lock = prepare(self.out)  # as long as this process lives
        # A signal must not come between bytes that were read and the line they are part of.
        before = {number: signal.signal(number, self._hear) for number in _ENDING}
        try:
            self._parts += [_Part(arguments, number, jobs) for number in range(jobs)]
            self._gather()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            for part in self._parts:
                part.process.kill()
                part.process.wait()
                os.close(part.reader)
        return self._finish()

    def _gather(self) -> None:
        with selectors.DefaultSelector() as selector:
            for part in self._parts:
                selector.register(part.reader, selectors.EVENT_READ, part)
            while selector.get_map() and self._heard <= 1:
                for key, _ in selector.select(_HEED_SECONDS):
                    self._take(key.data)
                    if key.data.ended:
                        selector.unregister(key.fileobj)
                if self._heard and self.interrupted is None:
                    self._interrupt()

    def _hear(self, number: int, frame: object) -> None:
        del number, frame
        self._heard += 1

    def _interrupt(self) -> None:
        """Have every part end in order; a second Ctrl-C ends them at once."""
        self.interrupted = INTERRUPTED
        self.progress.note("Ctrl-C: putting everything back")
        for part in self._parts:
            part.process.send_signal(signal.SIGINT)

    def _take(self, part: _Part) -> None:
        for line in part.lines():
            match _LINE.decode(line):
                case Note(text):
                    # Each part fetches and boots the same kernel: once is enough to read.
                    if text not in self._said:
                        self._said.add(text)
                        self.progress.note(text)
                case Problem(text):
                    self.problems += [] if text in self.problems else [text]
                case Header() as header:
                    part.header = header
                case Footer() as footer:
                    part.footer = True
                    part.known_issues = footer.known_issues
                case Catalogue() if self._catalogued:
                    pass  # every part judges by the same
                case record:
                    self._catalogued |= isinstance(record, Catalogue)
                    self._waiting.append(record)
        if part.ended and part.process.wait() < 0 and not part.footer and not self.interrupted:
            self.problems.append(
                f"part {part.number + 1} of {len(self._parts)} was killed by signal "
                f"{-part.process.returncode}"
            )
        if all(p.header or p.ended for p in self._parts):
            self._write_waiting()

    def _write_waiting(self) -> None:
        headers = [part.header for part in self._parts if part.header]
        if self._writer is None and headers:
            self._writer = ResultsWriter(self.out / RESULTS_FILE)
            planned = sum(header.planned for header in headers)
            command = [Path(sys.argv[0]).name, *sys.argv[1:]]
            self._write(msgspec.structs.replace(headers[0], planned=planned, command=command))
        waiting, self._waiting = self._waiting, []
        for record in waiting:
            self._write(record)

    def _write(self, record: Record) -> None:
        if isinstance(record, Outcome):
            self.counts[record.outcome] += 1
        if isinstance(record, Boot | Start | Outcome):
            # When each part began differs by moments: here time counts from one beginning.
            record = msgspec.structs.replace(record, t=self._elapsed())
        if self._writer is not None:
            self._writer.write(record)
            self.progress.on_record(record)

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._began, 4)

    def _finish(self) -> Ended:
        problem = "; ".join(self.problems) or None
        code = exit_code(self.counts, interrupted=self.interrupted, problem=problem)
        if self._writer is None:
            return Ended(code, written=False, problem=self.interrupted or problem)
        self._write(
            Footer(
                finished=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
                counts=dict(self.counts),
                exit_code=code,
                interrupted=self.interrupted or problem,
                duration=self._elapsed(),
                known_issues=together(part.known_issues for part in self._parts),
            )
        )
        self._writer.close()
        return Ended(code, written=True, problem=problem)
