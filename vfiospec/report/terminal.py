# SPDX-License-Identifier: MIT
"""A run on a terminal or in a CI log: progress while it lasts, and the summary at its end."""

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from vfiospec.report import by_chapter, one_line, printable, stale_issues
from vfiospec.results.model import (
    RESULTS_FILE,
    UNEXPECTED,
    Boot,
    Header,
    Outcome,
    OutcomeName,
    Record,
    Start,
)
from vfiospec.results.reader import Run

_STYLES = {"PASS": "bold green", "FAIL": "bold red", "PARTIAL": "bold yellow", "SKIP": "bold"}
_INTERVAL = 5.0
_CALLS = 4  # the last calls of a test, shown with its failure; the transcript has all


class LiveProgress:
    """Shows a run as its records come.

    On a terminal a bar; elsewhere a line after 5 seconds or 10 %, whichever comes first, when the
    next record arrives (nothing runs in between). An unexpected outcome shows at once.
    """

    def __init__(
        self, console: Console | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        """Show on console, standard error by default; clock counts seconds."""
        self.console = Console(stderr=True) if console is None else console
        self._clock = clock
        self._begin = self._last = clock()
        self._planned = self._done = self._unexpected = self._tenths = 0
        self._bar: Progress | None = None
        if self.console.is_terminal:
            column = Column(no_wrap=True, overflow="ellipsis", ratio=1)
            self._bar = Progress(
                BarColumn(bar_width=16),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.description}", table_column=column, markup=False),
                console=self.console,
                transient=True,
                expand=True,
            )
            self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the bar away; lines stay."""
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """Say what happens now, such as "fetching kernel" or "booting"."""
        text = one_line(text)
        if self._bar is not None:
            self._bar.update(self._task, description=text)
        else:
            self._line(text)

    def on_record(self, record: Record) -> None:
        """Take the next record of the run."""
        match record:
            case Header():
                self._planned = record.planned
                if self._bar is not None:
                    self._bar.update(self._task, total=record.planned)
            case Boot():
                why = f": {record.reason}" if record.reason else ""
                self.note(f"boot {record.n}, {record.release}, {record.seconds:.1f} s{why}")
            case Start() if self._bar is not None:
                self._bar.update(self._task, description=self._state(record.id))
            case Outcome():
                self._on_outcome(record)
            case _:
                pass

    def _on_outcome(self, outcome: Outcome) -> None:
        self._done += 1
        if outcome.outcome in UNEXPECTED:
            self._unexpected += 1
            self._line(f"{outcome.outcome.upper()} {outcome.id}{_contrast(outcome)}")
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, description=self._state(outcome.id))
            return
        total = max(self._planned, self._done)
        percent = 100 * self._done // total
        if percent // 10 > self._tenths or self._clock() - self._last >= _INTERVAL:
            self._tenths, self._last = percent // 10, self._clock()
            self._line(f"{self._done}/{total} {percent}% {self._state(outcome.id)}")

    def _state(self, test_id: str) -> str:
        return f"{self._unexpected} unexpected, {test_id}" if self._unexpected else test_id

    def _line(self, text: str) -> None:
        _say(self.console, f"[{self._clock() - self._begin:4.0f} s] {text}")


def summary(run: Run, out_dir: Path, console: Console) -> None:
    """Print the verdict, the chapters, each unexpected outcome, what is known, and the skips."""
    _say(console, _verdict_line(run), _STYLES[run.verdict()])
    _say(console, _effort_line(run))
    for reason in run.shortfalls():
        _wrapped(console, "partial", reason)
    for problem in run.problems:
        _wrapped(console, "problem", f"{RESULTS_FILE} {problem}")
    if run.outcomes:
        console.print()
        console.print(_chapters(run))
    for alike in _alike(run.unexpected()):
        _unexpected(console, alike)
    deviations = (o.finding or o.message or "no finding named" for o in _of(run, "xfailed"))
    _grouped(console, "Known deviations (xfailed)", deviations)
    _known_issues(console, run)
    _grouped(console, "Skipped", (o.message or "no reason given" for o in _of(run, "skipped")))
    console.print()
    _say(console, f"Files in {out_dir}:")
    names = sorted(path.name for path in out_dir.iterdir()) if out_dir.is_dir() else []
    for name in names or ["nothing"]:
        _say(console, f"  {name}")


def _known_issues(console: Console, run: Run) -> None:
    """The entries of the known issues that somebody should take out."""
    stale = list(stale_issues(run))
    if stale:
        console.print()
        _say(console, f"Known issues to look at: {len(stale)}", "bold")
    for line in stale:
        _wrapped(console, "issue", line)


def _verdict_line(run: Run) -> str:
    header = run.header
    where = header.kernel.release
    if header.topology is not None:
        where += f" with {header.topology.name}"
    line = f"{run.verdict()} {run.checks()} checks on {where} ({header.mode})"
    if unexpected := len(run.unexpected()):
        line += f": {unexpected} unexpected{', partial run' if run.partial else ''}"
    if run.problems:
        line += f", {len(run.problems)} problems in {RESULTS_FILE}"
    return line


def _effort_line(run: Run) -> str:
    seconds = run.seconds()
    parts = [f"{seconds:.1f} s"]
    if seconds > 0:
        parts.append(f"{run.checks() / seconds:.1f} checks/s")
    if run.boots:
        parts.append(f"{len(run.boots)} boot{'s' if len(run.boots) > 1 else ''}")
    if run.header.qemu is not None:
        parts.append(f"QEMU {run.header.qemu.version} ({run.header.qemu.accel})")
    if run.header.kernel.taint:
        parts.append(f"kernel taint {run.header.kernel.taint}")
    return ", ".join(parts)


def _chapters(run: Run) -> Table:
    kinds: list[OutcomeName] = ["passed", "failed", "xfailed", "skipped", "error"]
    if run.counts()["xpassed"]:
        kinds.append("xpassed")
    table = Table(
        Column("chapter", overflow="fold"),
        *(Column(kind, justify="right", no_wrap=True) for kind in kinds),
        box=None,
        pad_edge=False,
        padding=(0, 1),
    )
    for chapter, outcomes in [*by_chapter(run).items(), ("total", list(run.outcomes))]:
        counted = Counter(outcome.outcome for outcome in outcomes)
        cells = [str(counted[kind]) if counted[kind] else "-" for kind in kinds]
        table.add_row(Text(one_line(chapter)), *cells, style="bold" if chapter == "total" else "")
    return table


def _promises(outcome: Outcome) -> list[tuple[str, str]]:
    """The rules and their sources, labelled."""
    lines = outcome.promises or outcome.rules
    sources = [x.startswith("see ") for x in lines]
    return [
        ("see" if source else "rule", line.removeprefix("see ") if source else line)
        for line, source in zip(lines, sources, strict=True)
    ]


def _alike(outcomes: Iterable[Outcome]) -> list[list[Outcome]]:
    """Outcomes that broke the same rules in the same way, together: one bug, many devices."""
    groups: dict[object, list[Outcome]] = {}
    for outcome in outcomes:
        happened = outcome.actual or outcome.message
        key = outcome.outcome, tuple(outcome.rules), outcome.expected, happened
        groups.setdefault(key, []).append(outcome)
    return list(groups.values())


def _unexpected(console: Console, alike: list[Outcome]) -> None:
    outcome = alike[0]
    console.print()
    _say(console, f"{outcome.outcome.upper()} {outcome.id}", "bold red")
    if outcome.device is not None:
        _wrapped(console, "device", f"{outcome.device.name} {outcome.device.bdf}")
    if outcome.outcome == "xpassed":
        gone = outcome.finding or "the known deviation"
        _wrapped(console, "finding", f"{gone} did not show: drop the expectation if it is fixed")
    told = outcome.expected is not None  # the message says the same in one line
    calls = outcome.calls[-_CALLS:]
    for label, value in (
        ("expected", outcome.expected),
        ("actual", outcome.actual),
        ("message", None if told else outcome.message),
        *_promises(outcome),
        *(("call", call) for call in calls),
        ("trace", outcome.transcript),
    ):
        if value:
            _wrapped(console, label, value)
    if outcome.rerun:
        _say(console, f"  {'rerun':<9} {one_line(outcome.rerun)}")  # not wrapped: to be copied
    for other in alike[1:]:
        _say(console, f"  {'alike':<9} {other.id}")


def _grouped(console: Console, title: str, reasons: Iterable[str]) -> None:
    counted = Counter(one_line(reason) for reason in reasons)
    if not counted:
        return
    console.print()
    _say(console, f"{title}: {counted.total()}", "bold")
    for reason, count in counted.most_common():
        _wrapped(console, f"{count:>6} x", reason)


def _of(run: Run, kind: OutcomeName) -> list[Outcome]:
    return [outcome for outcome in run.outcomes if outcome.outcome == kind]


def _contrast(outcome: Outcome) -> str:
    if outcome.expected is None and outcome.actual is None:
        return f": {one_line(outcome.message)}" if outcome.message else ""
    return f": expected {one_line(str(outcome.expected))}, actual {one_line(str(outcome.actual))}"


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(printable(text), style), soft_wrap=True)


def _wrapped(console: Console, label: str, text: str) -> None:
    first, rest = f"  {label:<9} ", " " * 12
    for paragraph in printable(text).split("\n"):
        lines = textwrap.wrap(
            paragraph,
            max(console.width, 40),
            initial_indent=first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        )
        _say(console, "\n".join(lines))
        first = rest
