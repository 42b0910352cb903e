# SPDX-License-Identifier: MIT
"""The terminal report: what a person must find in it, at 80 columns and without colour."""

import io
import os
import select
from pathlib import Path

from rich.console import Console

from vfiospec.report.terminal import LiveProgress, summary
from vfiospec.results.model import Outcome
from vfiospec.results.reader import read_run
from vfiospec.tests import sample_run


def plain() -> Console:
    return Console(file=io.StringIO(), width=80, color_system=None, force_terminal=False)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def report(directory: Path, outcomes: list[Outcome], *, ended: bool = True) -> str:
    console = plain()
    summary(sample_run.run(directory, outcomes, ended=ended), directory, console)
    return printed(console)


def test_the_verdict_is_the_first_line(tmp_path: Path) -> None:
    for name, outcomes, ended, line in (
        ("a", [sample_run.PASSED], True, "PASS 1 checks on 6.1.0-56-amd64 with vtd-basic (vm)"),
        ("b", list(sample_run.ALL), True, "FAIL 5 checks on 6.1.0-56-amd64"),
        ("c", [sample_run.PASSED], False, "PARTIAL 1 checks on 6.1.0-56-amd64"),
        ("d", [sample_run.SKIPPED], True, "SKIP 0 checks on 6.1.0-56-amd64"),
    ):
        (tmp_path / name).mkdir()
        assert report(tmp_path / name, outcomes, ended=ended).startswith(line)


def test_the_summary_holds_what_is_needed_to_act(tmp_path: Path) -> None:
    got = report(tmp_path, list(sample_run.ALL)).split("\n")
    assert any(line.split() == ["irq", "-", "-", "1", "-", "1", "1"] for line in got)
    assert "  expected  EINVAL" in got
    assert "  actual    VFIO_DEVICE_GET_INFO(argsz=15) -> 0" in got
    assert "  rule      device-info.argsz-too-small" in got
    assert f"  rerun     {sample_run.FAILED.rerun}" in got
    assert "       1 x  F-003" in got
    assert "       2 x  no migration # device: use mtty" in got
    assert "20.0 s" in got[1]
    assert "0.2 checks/s" in got[1]
    assert "  results.jsonl" in got


def test_every_unexpected_outcome_is_named(tmp_path: Path) -> None:
    got = report(tmp_path, list(sample_run.ALL))
    for outcome in (sample_run.FAILED, sample_run.XPASSED, sample_run.ERROR):
        assert f"\n{outcome.outcome.upper()} {outcome.id}\n" in got


def test_a_dead_run_names_the_test_it_died_in(tmp_path: Path) -> None:
    lines = sample_run.records()[:-2]
    console = plain()
    summary(read_run(sample_run.write(tmp_path, lines)), tmp_path, console)
    assert "started and never finished: irq.eventfd" in printed(console)
    assert "the run did not end: no footer" in printed(console)


def test_eighty_columns_no_colour_and_no_control_characters(tmp_path: Path) -> None:
    long = sample_run.outcome("a.b", "failed", message="word " * 60, actual="\x1b[2Jx\x07 [bold]y")
    got = report(tmp_path, [long, *sample_run.ALL])
    assert max(len(line) for line in got.split("\n") if str(tmp_path) not in line) <= 80
    assert "\x1b" not in got
    assert "\\x1b[2Jx\\x07 [bold]y" in got


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_every_tenth_part_gives_a_line() -> None:
    console = plain()
    with LiveProgress(console, Clock()) as live:
        live.on_record(sample_run.header(1000))
        for number in range(1000):
            live.on_record(sample_run.outcome(f"a.t{number}", "passed"))
    lines = printed(console).splitlines()
    assert [line.split()[4] for line in lines] == [f"{n}0%" for n in range(1, 11)]
    assert lines[-1] == "[   0 s] 1000/1000 100% a.t999"


def test_without_a_terminal_five_seconds_give_a_line() -> None:
    console, clock = plain(), Clock()
    with LiveProgress(console, clock) as live:
        live.on_record(sample_run.header(1000))
        for number in range(12):
            clock.now += 1
            live.on_record(sample_run.outcome(f"a.t{number}", "passed"))
    assert printed(console) == "[   5 s] 5/1000 0% a.t4\n[  10 s] 10/1000 1% a.t9\n"


def test_notes_boots_and_unexpected_outcomes_show_at_once() -> None:
    console, failed = plain(), sample_run.FAILED
    with LiveProgress(console, Clock()) as live:
        live.note("fetching kernel")
        for record in sample_run.records()[:2]:
            live.on_record(record)
        live.on_record(sample_run.header(1000))
        live.on_record(failed)
        live.on_record(sample_run.PASSED)
    assert printed(console).splitlines() == [
        "[   0 s] fetching kernel",
        "[   0 s] boot 1, 6.1.0-56-amd64, 13.2 s",
        f"[   0 s] FAILED {failed.id}: expected EINVAL, actual {failed.actual}",
    ]


def test_a_terminal_gets_a_bar_and_the_lines_stay() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, legacy_windows=False)
    with LiveProgress(console) as live:
        live.note("booting")
        for record in sample_run.records():
            live.on_record(record)
    got = printed(console)
    assert "7/7" in got
    assert f"FAILED {sample_run.FAILED.id}" in got


def test_a_real_pty_shows_the_current_test() -> None:
    """The same on a device that isatty() says yes to, so nothing is forced."""
    leader, follower = os.openpty()
    with os.fdopen(follower, "w") as tty:
        console = Console(file=tty, width=80)
        with LiveProgress(console) as live:
            for record in sample_run.records()[:3]:
                live.on_record(record)
        tty.flush()
        got = ""
        while select.select([leader], [], [], 0)[0]:
            got += os.read(leader, 65536).decode(errors="replace")
    os.close(leader)
    assert "0/7" in got
    assert sample_run.PASSED.id in got
