# SPDX-License-Identifier: MIT
"""Who watches over jobs: one that dies is started again, one that cannot start is told."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from vfiospec.lab import LabError
from vfiospec.session import jobs
from vfiospec.session.jobs import BROKEN, DONE, LOST, Spec, Supervisor, read_stats


class Ends:
    """Starts processes that end at once with a code of a list, then ones that wait to be ended."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.started: list[Spec] = []

    def __call__(self, spec: Spec) -> subprocess.Popen[bytes]:
        self.started.append(spec)
        Path(spec.folder).mkdir(parents=True, exist_ok=True)
        (Path(spec.folder) / "log").write_text("one line\nthe last line\n")
        waits = "import time; time.sleep(60)"
        program = f"raise SystemExit({self.codes.pop(0)})" if self.codes else waits
        return subprocess.Popen([sys.executable, "-c", program])


def supervise(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *codes: int, quick: float = 0.0
) -> tuple[Supervisor, Ends]:
    ends = Ends(*codes)
    monkeypatch.setattr(jobs, "_start", ends)
    monkeypatch.setattr(jobs, "_QUICK", quick)
    spec = Spec(target="group", kernel="k", folder=str(folder), corpus="c", seconds=60, seed=7)
    return Supervisor([spec]), ends


def look_until(watch: Supervisor, starts: int, ends: Ends) -> bool:
    end = time.monotonic() + 20
    going = True
    while going and len(ends.started) < starts and time.monotonic() < end:
        going = watch.look()
        time.sleep(0.05)
    return going


def test_a_job_that_dies_is_started_again_on_another_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    watch, ends = supervise(monkeypatch, tmp_path, 77)
    with watch:
        assert look_until(watch, 2, ends)
        first, second = ends.started
        assert second.seed != first.seed
        assert 0 < second.seconds <= first.seconds
        process = watch.jobs[0].process
    assert process.poll() is not None, "none outlives its watcher"


@pytest.mark.parametrize("code", [DONE, LOST])
def test_a_job_that_is_done_stays_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int
) -> None:
    watch, ends = supervise(monkeypatch, tmp_path, code)
    with watch:
        assert not look_until(watch, 2, ends)
    assert len(ends.started) == 1


@pytest.mark.parametrize(("code", "quick"), [(BROKEN, 0.0), (77, 1000.0)])
def test_a_job_that_cannot_start_is_told_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, quick: float
) -> None:
    watch, ends = supervise(monkeypatch, tmp_path, code, quick=quick)
    with pytest.raises(LabError, match=r"the last line; its log is .*log"), watch:
        look_until(watch, 2, ends)


def test_what_a_job_has_not_said_is_that_it_starts(tmp_path: Path) -> None:
    assert read_stats(tmp_path).state == "starting"
    (tmp_path / "stats.json").write_text('{"state": "fuzz')
    assert read_stats(tmp_path).state == "starting"
