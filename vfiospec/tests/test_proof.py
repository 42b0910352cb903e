# SPDX-License-Identifier: MIT
"""A proof: its figures, its exit code, and how it is shown."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from vfiospec.report.proof import markdown, summary
from vfiospec.results.proof import FalseAlarm, Proof, RuleProof, Verdict, WrongResult, read, save


def _wrong(id: str, verdict: Verdict, *also: str) -> WrongResult:  # noqa: A002 -- the word for it
    return WrongResult(id=id, kind="port", rule="a.one", what="w", verdict=verdict, also=also)


def _proof(*wrongs: WrongResult, alarms: tuple[FalseAlarm, ...] = (), problem: str = "") -> Proof:
    proven = tuple(w.id for w in wrongs if w.verdict == "caught")
    rules = (
        RuleProof(id="a.one", chapter="a", asserted=True, proven_by=proven),
        RuleProof(id="a.two", chapter="a", asserted=True, why="no wrong kernel breaks it yet"),
        RuleProof(id="b.one", chapter="b", asserted=False, why="skipped here: no such device"),
    )
    return Proof(
        kernel="debian", release="6.1.0", topology="default", started="", seconds=1.0, boots=1,
        tests=3, runs=9, rules=rules, wrongs=wrongs, false_alarms=alarms, problem=problem,
    )  # fmt: skip


ALARM = FalseAlarm(test="a.b.c", outcome="failed", message="m")


@pytest.mark.parametrize(
    ("proof", "code"),
    [
        (_proof(_wrong("x", "caught"), _wrong("y", "silent")), 0),
        (_proof(_wrong("x", "caught"), _wrong("y", "missed")), 1),
        (_proof(_wrong("x", "caught"), _wrong("y", "lost")), 1),
        (_proof(_wrong("x", "caught"), alarms=(ALARM,)), 1),
        (_proof(_wrong("x", "silent")), 2),
        (_proof(), 2),
        (_proof(_wrong("x", "caught"), problem="the guest died"), 2),
    ],
    ids=["caught", "missed", "lost", "false-alarm", "silent", "none", "problem"],
)
def test_the_exit_code_says_whether_all_was_caught(proof: Proof, code: int) -> None:
    assert proof.exit_code() == code


def test_figures_count_what_applies() -> None:
    """The mutation score leaves out what no test of this kernel can meet."""
    made = _proof(
        _wrong("x", "caught", "a.two", "b.one"), _wrong("y", "caught"), _wrong("z", "missed"),
        _wrong("s", "silent"), _wrong("v", "caught"),
    )  # fmt: skip
    assert made.score == 3 / 4
    assert made.breadth == 1
    assert [r.id for r in made.asserted] == ["a.one", "a.two"]
    assert [r.id for r in made.proven] == ["a.one"]


def test_it_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    made = _proof(_wrong("x", "caught", "a.two"), alarms=(ALARM,))
    assert read(save(made, tmp_path)) == made
    assert [p.name for p in tmp_path.iterdir()] == ["prove.json"]


def test_a_person_is_told_what_was_missed_and_what_is_unproven(tmp_path: Path) -> None:
    out = StringIO()
    made = _proof(_wrong("x", "caught", "a.two"), _wrong("y", "missed"), alarms=(ALARM,))
    summary(made, tmp_path, Console(file=out, width=100))
    text = out.getvalue()
    assert text.startswith("MISSED 1 of 2 asserted rules (50.0 %) on 6.1.0: 1 wrong kernels caught")
    assert "MISSED y (a.one): w" in text
    assert "FALSE ALARM a.b.c: failed, m" in text
    assert "not proven: a.two: no wrong kernel breaks it yet" in text
    assert "b.one" not in text


def test_the_table_has_each_rule() -> None:
    made = list(markdown(_proof(_wrong("x", "caught", "a.two"))))
    assert made[2:] == [
        "| a.one | `x` | a.two |",
        "| a.two | not yet: no wrong kernel breaks it yet | - |",
        "| b.one | not yet: skipped here: no such device | - |",
    ]
