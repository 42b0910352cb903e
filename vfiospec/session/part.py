# SPDX-License-Identifier: MIT
"""One of several processes that share a run: it judges its part and sends what it finds up a pipe.

Started by vfiospec.cli.parts as `python -m vfiospec.session.part FD PYTEST-ARGUMENTS...`.
"""

import ctypes
import signal
import sys
from typing import NoReturn

import msgspec
import pytest

from vfiospec.results.model import Record, ResultsError
from vfiospec.results.writer import RecordStream
from vfiospec.session.plugin import CANNOT_JUDGE, PLUGIN, PROGRESS, SuitePlugin

_PR_SET_PDEATHSIG = 1


class Note(msgspec.Struct, frozen=True, tag_field="type", tag="note"):
    """A phase that begins."""

    text: str


class Problem(msgspec.Struct, frozen=True, tag_field="type", tag="problem"):
    """Why a part was not judged, or not to its end."""

    text: str


class Part:
    """Stands where a terminal would: notes go the way of the records."""

    def __init__(self, stream: RecordStream) -> None:
        self._stream = stream
        self.errors: list[str] = []
        self.plugin: SuitePlugin | None = None

    def note(self, text: str) -> None:
        """Say which phase begins."""
        self.send(Note(text))

    def on_record(self, record: Record) -> None:
        """Nothing to do: records have gone up already."""

    def send(self, line: Note | Problem) -> None:
        """Send a line that is no record."""
        self._stream.send(msgspec.json.encode(line))

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Be told how the run goes on."""
        config.stash[PROGRESS] = self

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Know the run."""
        self.plugin = session.config.pluginmanager.getplugin(PLUGIN)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep why the suites cannot be collected."""
        if report.failed:
            self.errors.append(report.longreprtext)

    def problem(self) -> str | None:
        """Why this part was not judged to its end, if it was not."""
        if self.errors:
            return "the suites cannot be collected\n" + self.errors[0]
        if self.plugin is None:
            return None
        return self.plugin.interrupted or self.plugin.problem


def main(fd: int, arguments: list[str]) -> int:
    """Judge one part; pytest's exit code."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGTERM, _interrupt)
    part = Part(RecordStream(fd))
    try:
        code = int(pytest.main([*arguments, "--records", str(fd)], plugins=[part]))
        if (why := part.problem()) is not None:
            part.send(Problem(why))
    except ResultsError as e:
        sys.stderr.write(f"vfiospec: {e}\n")
        return CANNOT_JUDGE
    return code


def _interrupt(number: int, frame: object) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
