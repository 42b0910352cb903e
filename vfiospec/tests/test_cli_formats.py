# SPDX-License-Identifier: MIT
"""`vfiospec report FORMAT`: to stdout, to a file, and what a user is told when neither can be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vfiospec.cli import app as cli
from vfiospec.results.model import ResultsError
from vfiospec.tests import sample_run

ROOT = Path(__file__).parent.parent.parent
FORMATS = {
    "junit": "<?xml",
    "ktap": "KTAP version 1\n",
    "kselftest": "TAP version 13\n",
    "kcidb": '{\n "version": {\n  "major": 5',
    "lava": "lava-test-set start device-info\n",
    "tmt": "---\n- {",
    "github": "### vfiospec: FAIL",
}


@pytest.fixture(name="run")
def _run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    sample_run.run(folder)
    return folder


@pytest.mark.parametrize(("name", "begin"), FORMATS.items())
def test_each_format_is_a_command(run: Path, name: str, begin: str) -> None:
    done = CliRunner().invoke(cli.command(), ["report", name, str(run)])
    assert done.exit_code == 0
    assert done.stdout.startswith(begin)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_holds_what_stdout_would(run: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.write_text("what was there before")
    printed = CliRunner().invoke(cli.command(), ["report", name, str(run)])
    written = CliRunner().invoke(cli.command(), ["report", name, str(run), "-o", str(out)])
    assert (written.exit_code, written.stdout) == (0, "")
    assert out.read_bytes() == printed.stdout_bytes
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_lava_has_two_forms(run: Path) -> None:
    done = CliRunner().invoke(cli.command(), ["report", "lava", str(run), "--form", "signals"])
    assert done.stdout.startswith("<LAVA_SIGNAL_TESTSET START device-info>\n")


def test_a_place_that_cannot_be_written_is_one_line(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "none" / "out"
    done = CliRunner().invoke(cli.command(), ["report", "tmt", str(run), "-o", str(out)])
    assert isinstance(done.exception, ResultsError)
    assert str(done.exception) == f"{out} cannot be written: No such file or directory"


def test_a_full_disk_leaves_the_old_file(run: Path, tmp_path: Path) -> None:
    """The file size limit stands in for the disk."""
    out = tmp_path / "out"
    out.write_text("what was there before")
    done = subprocess.run(
        ["/bin/bash", "-c", 'ulimit -f 0; trap "" XFSZ; exec "$@"', "-", sys.executable, "-m",
         "vfiospec", "report", "junit", str(run), "-o", str(out)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"vfiospec: {out} cannot be written: File too large\n"
    assert out.read_text() == "what was there before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]
