# SPDX-License-Identifier: MIT
"""The comparison of two runs: each pair of outcomes has the category KernelCI would give it."""

from pathlib import Path

import msgspec
import pytest

from vfiospec.report.compare import Category, Comparison, compare
from vfiospec.results.model import Outcome
from vfiospec.results.reader import Run, read_run
from vfiospec.tests import sample_run

LAB = {"kind": "error", "message": "LabError: not judged: the guest died"}
KINDS = ("passed", "xpassed", "failed", "xfailed", "error", "skipped", "LAB", "-")


def run(folder: Path, *outcomes: Outcome) -> Run:
    folder.mkdir()
    return sample_run.run(folder, outcomes)


def one(kind: str, test: str = "a.b") -> list[Outcome]:
    if kind == "-":
        return []
    if kind == "LAB":
        return [sample_run.outcome(test, LAB["kind"], message=LAB["message"])]
    return [sample_run.outcome(test, kind)]


def changed(tmp_path: Path, before: str, after: str) -> Comparison:
    old = run(tmp_path / "old", *one(before), *one("passed", "z.z"))
    new = run(tmp_path / "new", *one(after), *one("passed", "z.z"))
    return compare(old, new)


# Before down, after across: the table of KernelCI's dashboard, with x for no entry.
TABLE = """
          passed     xpassed    failed       xfailed      error        skipped     LAB         -
passed    x          x          regression   regression   regression   regression  disappeared disappeared
xpassed   x          x          regression   regression   regression   regression  disappeared disappeared
failed    fixed      fixed      stillFailing stillFailing stillFailing disappeared disappeared disappeared
xfailed   fixed      fixed      stillFailing stillFailing stillFailing disappeared disappeared disappeared
error     fixed      fixed      stillFailing stillFailing stillFailing disappeared disappeared disappeared
skipped   newPass    newPass    newFailure   newFailure   newFailure   x           disappeared disappeared
LAB       newPass    newPass    newFailure   newFailure   newFailure   appeared    x           x
-         newPass    newPass    newFailure   newFailure   newFailure   appeared    x           x
"""  # noqa: E501
ROWS = [line.split() for line in TABLE.strip().splitlines()[1:]]


def test_the_table_speaks_of_every_outcome() -> None:
    assert tuple(TABLE.split()[: len(KINDS)]) == KINDS
    assert tuple(row[0] for row in ROWS) == KINDS


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(row[0], after, cell) for row in ROWS for after, cell in zip(KINDS, row[1:], strict=True)],
)
def test_each_pair_of_outcomes_has_its_category(
    tmp_path: Path, before: str, after: str, expected: str
) -> None:
    result = changed(tmp_path, before, after)
    assert [e.category.value for e in result.entries] == ([] if expected == "x" else [expected])
    for entry in result.entries:
        assert (entry.id, entry.before, entry.after) == (
            "a.b",
            next(iter(one(before)), None),
            next(iter(one(after)), None),
        )


def test_there_are_seven_categories_and_all_are_used() -> None:
    assert {c.value for c in Category} == {cell for row in ROWS for cell in row[1:]} - {"x"}
    assert len(Category) == 7


@pytest.mark.parametrize(
    ("before", "after", "trouble"),
    [
        ("passed", "failed", True),
        ("passed", "error", True),
        ("passed", "skipped", True),
        ("passed", "xfailed", False),
        ("skipped", "failed", True),
        ("-", "failed", True),
        ("-", "xfailed", False),
        ("failed", "failed", False),
        ("xfailed", "failed", False),
        ("failed", "passed", False),
        ("passed", "-", False),
    ],
)
def test_new_trouble_is_what_nobody_knows_of(
    tmp_path: Path, before: str, after: str, *, trouble: bool
) -> None:
    assert [e.id for e in changed(tmp_path, before, after).new_trouble()] == ["a.b"] * trouble


def test_entries_come_by_urgency_then_id(tmp_path: Path) -> None:
    before = [*one("failed", "a.a"), *one("passed", "c.c"), *one("passed", "b.b")]
    after = [*one("passed", "a.a"), *one("failed", "c.c"), *one("failed", "b.b")]
    result = compare(run(tmp_path / "old", *before), run(tmp_path / "new", *after))
    assert [e.id for e in result.entries] == ["b.b", "c.c", "a.a"]
    assert result.counts()[Category.REGRESSION] == 2
    assert [e.id for e in result.of(Category.FIXED)] == ["a.a"]


def test_what_stays_as_it_was_is_counted(tmp_path: Path) -> None:
    same = [*one("passed", "a.a"), *one("skipped", "b.b"), *one("failed", "c.c")]
    result = compare(run(tmp_path / "old", *same), run(tmp_path / "new", *same))
    assert (result.still_passing, result.still_skipped, result.common) == (1, 1, 2)
    assert [e.category for e in result.entries] == [Category.STILL_FAILING]


@pytest.mark.parametrize("twice", [("passed", "failed"), ("failed", "passed")])
def test_the_worst_stands_for_a_test_that_is_there_twice(
    tmp_path: Path, twice: tuple[str, str]
) -> None:
    old = run(tmp_path / "old", *one("passed"))
    new = run(tmp_path / "new", *one(twice[0]), *one(twice[1]))
    (entry,) = compare(old, new).entries
    assert entry.category is Category.REGRESSION
    assert entry.after is not None
    assert entry.after.outcome == "failed"


def test_what_else_differs_is_said(tmp_path: Path) -> None:
    old = run(tmp_path / "old", *one("passed"))
    assert compare(old, old).differences() == []
    (tmp_path / "new").mkdir()
    header = msgspec.structs.replace(sample_run.header(0), suite_version="0.2.0", qemu=None)
    new = read_run(sample_run.write(tmp_path / "new", [header, sample_run.footer([])]))
    assert compare(old, new).differences() == [
        "suite version: 0.1.0, then 0.2.0",
        "QEMU: 7.2.9 (tcg), then none",
    ]
