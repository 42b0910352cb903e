# SPDX-License-Identifier: MIT
"""Tests by their dotted ids: which are run, and what is said of an id that fits none."""

from pathlib import Path

import pytest

from vfiospec.cli.run import ROOT, selection
from vfiospec.lab import LabError
from vfiospec.results.reader import read_run
from vfiospec.session import only
from vfiospec.tests.made_up_project import Project

IDS = ["a.b.one.edu", "a.b.one.nvme", "a.b.one-more.edu", "a.b.two"]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (["a.b.one.edu"], {"a.b.one.edu"}),
        (["a.b.one"], {"a.b.one.edu", "a.b.one.nvme"}),
        (["a.b"], set(IDS)),
        (["a.b.two", "a.b.one.edu"], {"a.b.two", "a.b.one.edu"}),
    ],
)
def test_an_id_stands_for_all_that_it_begins(wanted: list[str], chosen: set[str]) -> None:
    assert only.choose(wanted, IDS) == chosen


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("a.b.one.nvm", "; near are a.b.one.nvme"),
        ("a.b.tow", "; near are a.b.two"),
        ("zz", "; ids are in results.jsonl"),
        ("a.b.on", "there is no such test on these devices; near are "),
    ],
)
def test_one_that_fits_none_is_told_what_is_near(wanted: str, says: str) -> None:
    with pytest.raises(LabError) as caught:
        only.choose([wanted], IDS)
    assert str(caught.value).startswith(f"--test {wanted}: ")
    assert says in str(caught.value)


def test_an_id_leads_to_its_file() -> None:
    assert selection([], ["region_info.vga.a-vga-device-has-it.vga"]) == [
        str(ROOT / "suites" / "region_info" / "test_vga.py"),
        "--test-id",
        "region_info.vga.a-vga-device-has-it.vga",
    ]


def test_a_nodeid_is_taken_as_before() -> None:
    nodeid = "suites/region_info/test_vga.py::test_a_vga_device_has_it[vga]"
    assert selection([], [nodeid]) == [str(ROOT / nodeid)]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("region_inof.vga.x", "no test begins with region_inof.vga; near are region_info.vga"),
        ("region_info", "no test begins with region_info; near are region_info."),
        ("x", "no test begins with x; ids are in results.jsonl"),
        ("suites/none.py::x", "none.py does not exist; ids are in results.jsonl, id and nodeid"),
    ],
)
def test_what_leads_to_none_is_one_line(wrong: str, says: str) -> None:
    with pytest.raises(LabError) as caught:
        selection([], [wrong])
    assert says in str(caught.value)


SUITE = """
@checks(rules.ALIVE)
def test_one(spec): pass

@checks(rules.ALIVE)
def test_two(spec): pass
"""


@pytest.fixture(name="project", scope="module")
def _project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("project"))
    made.suite("first", SUITE)
    made.suite("second", SUITE)
    return made


def ran(project: Project) -> list[str]:
    return [o.id for o in read_run(Path(project.root / "out")).outcomes]


def test_a_run_holds_the_chosen_and_what_was_named_otherwise(project: Project) -> None:
    words = ["suites/first/test_all.py", "--test-id", "first.all.two", "suites/second"]
    done = project.run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ran(project) == [
        "first.all.two.one", "first.all.two.two", "second.all.one.one", "second.all.one.two",
        "second.all.two.one", "second.all.two.two",
    ]  # fmt: skip


def test_a_wrong_id_stops_before_anything_is_booted(project: Project) -> None:
    done = project.run("suites/first/test_all.py", "--test-id", "first.all.too", "--out", "none")
    assert done.returncode == 4
    assert "--test first.all.too: there is no such test on these devices; near are " in done.stderr
    assert not (project.root / "none").exists()
