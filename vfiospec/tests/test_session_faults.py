# SPDX-License-Identifier: MIT
"""A run that meets a full disk, or another run in its folder: nothing written is lost."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vfiospec.results.model import RESULTS_FILE
from vfiospec.results.reader import read_run
from vfiospec.tests.made_up_project import ROOT, Project

SUITE = """
@pytest.mark.parametrize("n", range(30))
@checks(rules.ALIVE)
def test_it(port, n):
    assert port.do(o.ReadFile("/good")).ok
"""


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "project")
    made.suite("made_up", SUITE)
    return made


def test_a_full_disk_ends_the_run_and_keeps_what_was_written(project: Project) -> None:
    """The file size limit stands in for the disk: the outcomes of some tests fit, of all not."""
    project.run("suites", "--out", "first")
    whole = (project.root / "first" / RESULTS_FILE).read_bytes()
    kib = whole.index(b'"type":"outcome"') // 1024 + 6
    command = f'ulimit -f {kib}; trap "" XFSZ; exec "$@"'
    words = [sys.executable, "-m", "pytest", "-p", "vfiospec.tests.made_up_bench", "-q"]
    words += ["-p", "no:cacheprovider", "--out", "out", "--topology", "two.toml", "suites"]
    done = subprocess.run(
        ["/bin/bash", "-c", command, "-", *words], cwd=project.root, capture_output=True,
        text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    said = "results.jsonl cannot be written: File too large; earlier records are kept"
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "INTERNALERROR" not in done.stdout + done.stderr
    run = read_run(project.root / "out")
    assert run.problems == []
    assert 5 < len(run.outcomes) < 30
    assert run.partial


def test_a_disk_that_is_too_full_to_boot_is_one_line(project: Project) -> None:
    (project.root / "full.py").write_text(
        "from vfiospec.tests.made_up_bench import MadeUpBench\n"
        "def start(self):\n"
        "    raise OSError(28, 'No space left on device')\n"
        "MadeUpBench.start = start\n"
    )
    done = project.run("-p", "full", "suites")
    assert done.returncode == 2
    assert "out: No space left on device; make room, or choose another --out" in done.stdout
    assert "INTERNALERROR" not in done.stdout


def test_a_second_run_in_the_folder_of_one_that_runs_is_refused(project: Project) -> None:
    out = project.root / "out"
    out.mkdir()
    fd = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        done = project.run("suites")
    finally:
        os.close(fd)
    assert done.returncode == 2
    assert "another run is writing to out: choose another --out" in done.stdout + done.stderr
    assert list(out.iterdir()) == []


def test_two_runs_at_once_into_one_folder_leave_one_whole(project: Project) -> None:
    words = [sys.executable, "-m", "pytest", "-p", "vfiospec.tests.made_up_bench", "-q"]
    words += ["-p", "no:cacheprovider", "--out", "out", "--topology", "two.toml", "suites"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    both = [
        subprocess.Popen(words, cwd=project.root, env=env, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    codes = sorted(process.wait(120) for process in both)
    run = read_run(project.root / "out")
    assert codes == [0, 2]
    assert (len(run.outcomes), run.problems, run.partial) == (30, [], False)
