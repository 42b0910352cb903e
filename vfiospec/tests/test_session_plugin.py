# SPDX-License-Identifier: MIT
"""The plugin over made-up suites: what stops collection, and how a run ends."""

from pathlib import Path

import pytest

from vfiospec.results.reader import read_run
from vfiospec.tests.made_up_project import SKIPS, Project

FINE = "@checks(rules.ALIVE)\ndef test_fine(port): pass\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty one."""
    return Project(tmp_path / "project")


def test_a_good_run_ends_with_0(project: Project) -> None:
    project.suite("made_up", FINE)
    done = project.run("suites")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_a_run_of_skips_alone_judges_nothing(project: Project) -> None:
    project.suite("made_up", SKIPS)
    assert project.run("suites").returncode == 2


def test_a_mistake_of_ours_is_no_judgement(project: Project) -> None:
    """However good what was seen before it."""
    project.suite("made_up", FINE)
    broken = 'def pytest_runtest_logreport(report):\n    raise RuntimeError("ours")\n'
    (project.root / "suites/made_up/conftest.py").write_text(broken)
    done = project.run("suites")
    assert done.returncode == 2
    assert "RuntimeError: ours" in done.stdout + done.stderr


def test_reboots_are_counted(project: Project) -> None:
    """Without any left, what cannot be judged is an error that says so."""
    kill = 'def test_kills(port, n):\n    port.do(o.WriteFile("/die", b""))\n'
    project.suite(
        "made_up", f'@pytest.mark.parametrize("n", [1, 2, 3])\n@checks(rules.ALIVE)\n{kill}'
    )
    assert project.run("suites", "--max-reboots", "1").returncode == 1
    run = read_run(project.root / "out")
    assert [one.boot for one in run.outcomes] == [1, 2, 2]
    assert run.outcomes[2].message == ("LabError: not judged: all 1 reboots are used up")


def test_a_test_without_a_rule_stops_collection(project: Project) -> None:
    project.suite("made_up", "def test_of_nothing(): pass\n")
    done = project.run("suites")
    assert done.returncode == 4
    assert done.stderr == (
        "ERROR: suites/made_up/test_all.py::test_of_nothing: a suite test must name its rule\n\n"
    )
    assert not (project.root / "out").exists()


def test_two_tests_with_one_id_stop_collection(project: Project) -> None:
    """Ids have fewer characters than parameters, so two that differ may give one id."""
    ids = '@pytest.mark.parametrize("n", [1, 2], ids=["a/b", "a b"])\n'
    project.suite("made_up", f"{ids}@checks(rules.ALIVE)\ndef test_it(n): pass\n")
    done = project.run("suites")
    assert done.returncode == 4
    path = "suites/made_up/test_all.py::test_it"
    assert done.stderr == f"ERROR: {path}[a b] and {path}[a/b] have the id made_up.all.it.a-b\n\n"


def test_a_taken_folder_is_refused(project: Project) -> None:
    project.suite("made_up", FINE)
    assert project.run("suites").returncode == 0
    again = project.run("suites")
    assert again.returncode == 2
    assert "out already holds a run: choose another --out" in again.stdout + again.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--cpus", "0"], "vfiospec: --cpus 0: more than 0, please"),
        (["--topology", "none"], "vfiospec: no topology 'none': it is neither a file nor one of"),
    ],
)
def test_what_cannot_be_is_one_line(project: Project, words: list[str], says: str) -> None:
    project.suite("made_up", SKIPS)
    done = project.run("suites", *words)
    assert done.returncode == 4
    assert done.stderr.startswith(f"ERROR: {says}")
    assert len(done.stderr.strip().splitlines()) == 1


DANGEROUS = """
@checks(rules.ALIVE)
@dangerous
@pytest.mark.parametrize("n", [1, 2])
def test_a_danger(port, n): pass
@checks(rules.ALIVE)
def test_b_safe(port): pass
"""


def test_dangerous_tests_are_asked_for(project: Project) -> None:
    """Without the option they are no part of the run."""
    project.suite("made_up", DANGEROUS)
    assert project.run("suites").returncode == 0
    run = read_run(project.root / "out")
    assert [one.id for one in run.outcomes] == ["made_up.all.b-safe"]
    assert run.header.planned == 1


def test_dangerous_tests_run_last_and_alone(project: Project) -> None:
    """What they may leave behind is seen by nobody, and no reboot is held against the kernel."""
    project.suite("made_up", DANGEROUS)
    assert project.run("suites", "--dangerous", "--max-reboots", "0").returncode == 0
    run = read_run(project.root / "out")
    assert [(one.id, one.boot) for one in run.outcomes] == [
        ("made_up.all.b-safe", 1),
        ("made_up.all.a-danger.1", 1),
        ("made_up.all.a-danger.2", 2),
    ]


DEADLY = """
@checks(rules.ALIVE)
@dangerous
def test_a_danger(port): port.do(o.WriteFile("/die", b""))
@checks(rules.ALIVE)
def test_b_safe(port, n=1): port.do(o.WriteFile("/die", b""))
"""
KNOWN = """
[[finding]]
id = "dies"
title = "it dies"
rule = "kernel.alive"
tests = ["made_up.all.*"]
match = "panic after the executor is gone"
reason = "made up"
"""


def test_a_known_death_is_one_of_a_dangerous_test(project: Project) -> None:
    """A finding explains a lost kernel only where the test says that it may be lost."""
    project.suite("made_up", DEADLY)
    (project.root / "suites" / "expectations" / "made_up.toml").write_text(KNOWN)
    assert project.run("suites", "--dangerous").returncode == 1
    run = read_run(project.root / "out")
    assert [(one.id, one.outcome, one.finding) for one in run.outcomes] == [
        ("made_up.all.b-safe", "error", None),
        ("made_up.all.a-danger", "xfailed", "dies"),
    ]


PROPERTY = """
from hypothesis import given, strategies as st
@checks(rules.ALIVE)
@given(n=st.integers(0, 1 << 40))
def test_it(port, n):
    with open("tried", "a") as f: f.write(f"{n} ")
"""


def test_properties_are_tried_on_the_same_examples_unless_seeded(project: Project) -> None:
    """Two runs without a seed agree; one with a seed differs, and can be had again."""
    project.suite("made_up", PROPERTY)
    tried = []
    for n, words in enumerate([(), (), ("--hypothesis-seed", "5"), ("--hypothesis-seed", "5")]):
        assert project.run("suites", *words, "--out", f"out{n}").returncode == 0
        tried.append((project.root / "tried").read_text())
        (project.root / "tried").unlink()
    assert tried[0] == tried[1] != tried[2] == tried[3]


UNIT = "def test_unit():\n    assert {}\n"


@pytest.mark.parametrize("asked", [["."], ["suites", "unit"], ["unit", "suites/made_up"]])
def test_other_tests_beside_the_suites_are_not_judged(project: Project, asked: list[str]) -> None:
    """They run, and count for the exit code; the results are the suites' alone."""
    project.suite("made_up", FINE)
    (project.root / "unit").mkdir()
    (project.root / "unit" / "test_it.py").write_text(UNIT.format(0))
    done = project.run(*asked)
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    run = read_run(project.root / "out")
    assert [one.id for one in run.outcomes] == ["made_up.all.fine"]
    assert (run.header.planned, run.shortfalls()) == (1, [])


def test_other_tests_alone_boot_nothing(tmp_path: Path) -> None:
    """Not even where a folder on the way is called suites."""
    project = Project(tmp_path / "suites" / "project")
    (project.root / "unit").mkdir()
    (project.root / "unit" / "test_it.py").write_text(UNIT.format(1))
    done = project.run(str(project.root / "unit"))
    assert (done.returncode, "1 passed" in done.stdout) == (0, True)
    assert not (project.root / "out").exists()


def test_a_topology_may_be_for_some_chapters_only(project: Project) -> None:
    """The others are not judged on it, and a run of those alone judges nothing."""
    for chapter in ("here", "elsewhere"):
        project.suite(chapter, FINE)
    layout = project.root / "two.toml"
    layout.write_text(f'chapters = ["here"]\n{layout.read_text()}')
    assert project.run("suites").returncode == 0
    run = read_run(project.root / "out")
    assert [o.chapter for o in run.outcomes] == ["here"]
    assert project.run("suites/elsewhere", "--out", "none").returncode == 2


def test_coverage_asks_for_a_kernel_that_counts(project: Project) -> None:
    """The bench made up here has none, and is refused before it boots."""
    project.suite("made_up", FINE)
    ended = project.run("suites", "--coverage")
    assert ended.returncode == 2
    assert "--coverage" in ended.stdout
