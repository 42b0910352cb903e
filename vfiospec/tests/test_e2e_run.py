# SPDX-License-Identifier: MIT
"""Whole runs in a booted kernel: what becomes of them when something dies."""

import contextlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vfiospec.results.model import RESULTS_FILE
from vfiospec.results.reader import read_run
from vfiospec.tests.e2e import User, processes_naming

SUITE = "device_info"
VICTIM = "device_info.counts.there-are-nine-regions.nvme"
XFAILED = "suites/region_info/test_vga.py::test_another_device_has_an_empty_one[edu]"


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, "the run ended before its time"
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def outcomes_in(folder: Path) -> int:
    path = folder / RESULTS_FILE
    return path.read_bytes().count(b'"type":"outcome"') if path.exists() else 0


in_one_guest_or_two = pytest.mark.parametrize("jobs", ["1", "2"])


@contextlib.contextmanager
def under_way(user: User, out: Path, jobs: str) -> Iterator[subprocess.Popen[str]]:
    """A run that has judged a few tests and has many to go."""
    process = user.start("run", "--suite", "conventions", "--jobs", jobs, "--out", str(out))
    try:
        wait_for(lambda: outcomes_in(out) > 20, process)
        yield process
    finally:
        process.kill()
        process.communicate()


@in_one_guest_or_two
def test_a_panic_costs_one_test_and_no_result(user: User, jobs: str) -> None:
    options = ("--jobs", jobs, "--panic-in", VICTIM)
    done = user.type("run", "--suite", SUITE, "--out", "out", *options)
    assert done.returncode == 1, done.stderr
    run = read_run(user.home / "out")
    assert not run.partial
    assert len(run.outcomes) == run.header.planned
    (error,) = run.unexpected()
    assert (error.id, error.outcome) == (VICTIM, "error")
    assert "Kernel panic" in (error.message or "")
    assert "sysrq" in (error.details or "")
    assert "kernel.alive" in error.rules
    (again,) = [boot for boot in run.boots if boot.reason]
    assert "Kernel panic" in (again.reason or "")
    assert len({boot.n for boot in run.boots}) == int(jobs) + 1
    written = (user.home / "out" / RESULTS_FILE).read_bytes()
    assert written.count(b'"type":"catalogue"') == 1
    assert Counter(o.id for o in run.outcomes).most_common(1)[0][1] == 1
    assert [o for o in run.outcomes if o.boot == error.boot], "one was judged before it"
    after = [o for o in run.outcomes if o.boot == again.n]
    assert after, "the rest was judged in the second boot"
    assert {o.outcome for o in after} <= {"passed", "skipped"}
    assert "FAIL" in done.stdout
    assert VICTIM in done.stdout
    assert not processes_naming(str(user.home / "out"))


def test_no_reboots_left_is_said_of_each_test_that_was_not_judged(user: User) -> None:
    options = ("--out", "out", "--panic-in", VICTIM, "--max-reboots", "0")
    done = user.type("run", "--suite", SUITE, *options)
    assert done.returncode == 1
    run = read_run(user.home / "out")
    assert len(run.outcomes) == run.header.planned
    last = run.outcomes[-1]
    assert (last.outcome, last.message) == (
        "error",
        "LabError: not judged: all 0 reboots are used up",
    )


@in_one_guest_or_two
def test_ctrl_c_leaves_a_partial_result_and_no_qemu(user: User, jobs: str) -> None:
    out = user.home / "out"
    with under_way(user, out, jobs) as process:
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 2, stderr
    run = read_run(out)
    assert run.partial
    assert run.footer is not None
    assert run.footer.interrupted == "Ctrl-C"
    assert "PARTIAL" in stdout
    assert not processes_naming(str(out))
    assert not list(user.state.glob("*"))


def test_ctrl_c_while_it_boots_leaves_nothing(user: User) -> None:
    out = user.home / "out"
    process = user.start("run", "--suite", SUITE, "--out", str(out))
    wait_for(lambda: bool(processes_naming(f"path={out}/console-1.log")), process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 2, stderr
    assert "Ctrl-C, before anything was judged" in stderr
    assert not (out / RESULTS_FILE).exists()
    assert not processes_naming(f"path={out}/console-1.log")
    assert not list(user.state.glob("*"))


@in_one_guest_or_two
def test_kill_9_of_the_runner_leaves_nothing_restore_does_not_clean(user: User, jobs: str) -> None:
    out = user.home / "out"
    with under_way(user, out, jobs) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        end = time.monotonic() + 10
        while processes_naming(str(out)) and time.monotonic() < end:
            time.sleep(0.05)
    assert not processes_naming(str(out)), "QEMU dies with its runner"
    run = read_run(out)
    assert run.partial
    assert run.footer is None
    assert len(run.outcomes) > 20
    assert not run.problems
    assert list(user.state.glob("run-*.json"))
    restored = user.type("restore")
    assert restored.returncode == 0, restored.stdout
    assert not list(user.state.glob("run-*.json"))


def test_a_transcript_replays_with_the_same_answers(user: User) -> None:
    done = user.type("run", "--test", XFAILED, "--out", "out")
    assert done.returncode == 0, done.stderr
    (outcome,) = read_run(user.home / "out").outcomes
    assert outcome.outcome == "xfailed"
    assert outcome.transcript is not None
    replayed = user.type("replay", str(user.home / "out" / outcome.transcript))
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert "VFIO_DEVICE_GET_REGION_INFO(device" in replayed.stdout
    assert "-> EINVAL" in replayed.stdout
    assert ", 0 answered otherwise" in replayed.stderr


def test_tap_goes_to_stdout_and_the_summary_to_stderr(user: User) -> None:
    done = user.type("run", "--test", XFAILED, "--out", "out", "--ktap", "kselftest")
    assert done.returncode == 0
    assert done.stdout.startswith("TAP version 13\n")
    assert "PASS" in done.stderr
