# SPDX-License-Identifier: MIT
"""The flaky list: which contradictions count, how often, and how sure one may be."""

import dataclasses
from pathlib import Path

import msgspec
import pytest

from vfiospec.report.flaky import Sighting, Target, flakes, interval, sightings
from vfiospec.results.reader import Run, read_run
from vfiospec.tests import sample_run

TARGET = Target("6.1.0", "#1", "x86_64", "vm", "default", "0" * 64, "tcg")


def seen(passes: str, test: str = "a.b", target: Target = TARGET) -> list[Sighting]:
    """Sightings, a letter each: p passed, f failed, a day apart."""
    return [
        Sighting(test, target, f"2026-11-{day:02}T00:00:00Z", letter == "p")
        for day, letter in enumerate(passes, 1)
    ]


@pytest.mark.parametrize("steady", ["", "p", "f", "ppp", "fff"])
def test_a_steady_test_is_not_flaky(steady: str) -> None:
    assert flakes(seen(steady)) == []


@pytest.mark.parametrize(
    ("story", "failures", "changes", "last"),
    [("pf", 1, 1, 2), ("ppfp", 1, 2, 4), ("fffp", 3, 1, 4), ("pfpfp", 2, 4, 5), ("pffp", 2, 2, 4)],
)
def test_both_outcomes_are(story: str, failures: int, changes: int, last: int) -> None:
    (flake,) = flakes(reversed(seen(story)))
    assert (flake.runs, flake.failures, flake.changes) == (len(story), failures, changes)
    assert flake.last_changed == f"2026-11-{last:02}T00:00:00Z"
    assert flake.low <= flake.rate <= flake.high


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Target)])
def test_another_target_contradicts_nothing(field: str) -> None:
    other = dataclasses.replace(TARGET, **{field: "other"})
    assert flakes([*seen("p"), *seen("f", target=other)]) == []


def test_few_runs_can_be_left_out() -> None:
    assert flakes(seen("pfp"), at_least=4) == []
    assert len(flakes(seen("pfpp"), at_least=4)) == 1


def test_the_least_steady_comes_first() -> None:
    story = [*seen("pfff", "a"), *seen("pfpf", "b"), *seen("ppp", "c"), *seen("ppfp", "d")]
    assert [flake.test for flake in flakes(story)] == ["b", "d", "a"]


@pytest.mark.parametrize(
    ("hits", "tries", "low", "high"),
    # Newcombe, "Two-sided confidence intervals for the single proportion" (1998), method 3
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilsons(hits: int, tries: int, low: float, high: float) -> None:
    assert list(interval(hits, tries)) == pytest.approx([low, high], abs=1e-4)


def _run(folder: Path, started: str, kind: str) -> Run:
    folder.mkdir()
    lines = sample_run.records([sample_run.outcome("a.b", kind), sample_run.SKIPPED])
    lines[0] = msgspec.structs.replace(sample_run.header(2), started=started)
    return read_run(sample_run.write(folder, lines))


def test_runs_are_turned_into_sightings(tmp_path: Path) -> None:
    kinds = {"1": "passed", "2": "xfailed", "3": "error"}
    runs = [_run(tmp_path / day, f"2026-11-0{day}T00:00:00Z", k) for day, k in kinds.items()]
    story = [s for run in runs for s in sightings(run)]
    assert [s.passed for s in story] == [True, False, False]  # and none of what was skipped
    (flake,) = flakes(story)
    assert (flake.test, flake.failures, flake.target.topology) == ("a.b", 2, "vtd-basic")
