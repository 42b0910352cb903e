# SPDX-License-Identifier: MIT
"""`vfiospec report build`: what it prints, and how it ends."""

import sys
from pathlib import Path

import pytest

from vfiospec.cli.app import main
from vfiospec.tests import sample_site


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["vfiospec", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_it_says_what_it_built_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample_site.runs(tmp_path / "runs")
    alien = tmp_path / "runs" / "alien"
    alien.mkdir()
    (alien / "results.jsonl").write_text("not ours\n")
    assert run(monkeypatch, "report", "build", tmp_path / "runs", "--out", tmp_path / "site") == 0
    said = capsys.readouterr()
    summary, index = said.out.splitlines()
    assert summary.startswith("5 runs, ")
    assert "the largest is" in summary
    assert Path(index) == tmp_path / "site" / "index.html"
    assert Path(index).is_file()
    assert said.err.startswith("left out: alien: results.jsonl has no header")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere", "--out", "site"], "nowhere: there is no such file or folder"),
        ([".", "--out", "site"], "holds no run"),
        (["run", "--out", "."], "is there, and no site of ours"),
        (["run", "--out", "site", "--proof", "none.json"], "none.json cannot be read"),
        (["run", "--out", "site", "--fuzz", "run"], "--fuzz takes the folder of a campaign"),
        (["run", "--out", "run/results.jsonl/site"], "cannot be written"),
    ],
    ids=["missing", "empty", "not-ours", "proof", "fuzz", "no-folder"],
)
def test_what_cannot_be_is_one_line_and_exit_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    if "run" in arguments[0]:
        sample_site.write(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "report", "build", *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert not (tmp_path / "site").exists()
