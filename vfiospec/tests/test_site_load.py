# SPDX-License-Identifier: MIT
"""Which runs a site is made of, and what is said of files that are none or are damaged."""

from pathlib import Path

import pytest

from vfiospec.report.site.build import build
from vfiospec.report.site.load import load
from vfiospec.results.model import RESULTS_FILE, ResultsError
from vfiospec.tests import sample_site


def quiet(text: str) -> None:
    del text


@pytest.mark.parametrize("what", [".", "run", f"run/{RESULTS_FILE}"])
def test_a_file_its_folder_or_a_folder_of_folders(tmp_path: Path, what: str) -> None:
    sample_site.write(tmp_path / "run")
    runs, unread = load([tmp_path / what], quiet)
    assert ([one.folder for one in runs], unread) == (["run"], [])


def test_a_copy_counts_once(tmp_path: Path) -> None:
    run = sample_site.write(tmp_path / "run")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / RESULTS_FILE).write_bytes((run / RESULTS_FILE).read_bytes())
    assert [one.folder for one in load([tmp_path], quiet)[0]] == ["copy"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda _: None, "there is no such file or folder"),
        (lambda path: path.mkdir(), "holds no run: neither it nor a folder in it has a results"),
        (lambda path: path.write_text('{"type":"alien"}\n'), "has no header: it is not a vfiospec"),
        (lambda path: path.write_text(""), "has no header"),
    ],
    ids=["missing", "empty-folder", "foreign", "empty"],
)
def test_what_is_no_run_is_one_clear_line(tmp_path: Path, make: object, says: str) -> None:
    assert callable(make)
    make(tmp_path / "it")
    with pytest.raises(ResultsError, match=says) as caught:
        load([tmp_path / "it"], quiet)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "it") in str(caught.value)


def test_a_foreign_file_among_runs_is_left_out_and_told(tmp_path: Path) -> None:
    sample_site.write(tmp_path / "runs" / "good")
    (tmp_path / "runs" / "alien").mkdir()
    (tmp_path / "runs" / "alien" / RESULTS_FILE).write_text("not ours\n")
    built = build([tmp_path / "runs"], tmp_path / "out")
    assert built.runs == 1
    assert [line.partition(":")[0] for line in built.unread] == ["alien"]
    assert "alien: results.jsonl has no header" in (tmp_path / "out" / "runs.html").read_text()


def test_folders_that_hold_only_foreign_files_make_no_site(tmp_path: Path) -> None:
    (tmp_path / "runs" / "alien").mkdir(parents=True)
    (tmp_path / "runs" / "alien" / RESULTS_FILE).write_text("not ours\n")
    with pytest.raises(ResultsError, match=r"none of these holds a run: alien: results\.jsonl"):
        build([tmp_path / "runs"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_cut_in_the_middle_is_kept_and_said_to_be_partial(tmp_path: Path) -> None:
    run = sample_site.write(tmp_path / "run")
    whole = (run / RESULTS_FILE).read_bytes()
    (run / RESULTS_FILE).write_bytes(whole[: whole.index(b"irq.eventfd")])
    build([run], tmp_path / "out")
    page = sample_site.Page(next((tmp_path / "out" / "runs").glob("*.html")))
    assert "less than it was to be, or its file is damaged" in page.text
    assert "no footer" in page.text
    assert "cut off" in page.text
    assert "irq.mask" in page.text
    assert "Partial runs" in sample_site.Page(tmp_path / "out" / "matrix.html").text
    assert sample_site.faults(tmp_path / "out") == []
