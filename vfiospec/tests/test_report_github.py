# SPDX-License-Identifier: MIT
"""The summary of a GitHub job: all of it that fits, and nothing that breaks out of its fence."""

import re
from pathlib import Path

import pytest

from vfiospec.report.github import LIMIT, github_summary
from vfiospec.tests import sample_run


def blocks(text: str) -> list[str]:
    """Return the fenced blocks, by GitHub's rule: closed by a fence of the same length."""
    return re.findall(r"^(`{3,})text\n(?:.*\n)*?\1$", text, re.MULTILINE)


def test_the_verdict_comes_first(tmp_path: Path) -> None:
    first = github_summary(sample_run.run(tmp_path)).split("\n")[0]
    assert first == "### vfiospec: FAIL, 5 checks on `6.1.0-56-amd64` with `vtd-basic`"


def test_the_table_counts(tmp_path: Path) -> None:
    lines = github_summary(sample_run.run(tmp_path)).split("\n")
    assert "| chapter | passed | failed | skipped | error | xfailed | xpassed |" in lines
    assert "| `irq` |  |  |  | 1 | 1 | 1 |" in lines
    assert "| `total` | 1 | 1 | 2 | 1 | 1 | 1 |" in lines


def test_each_unexpected_outcome_has_a_block(tmp_path: Path) -> None:
    text = github_summary(sample_run.run(tmp_path))
    assert text.count("<details>") == text.count("</details>") == len(blocks(text)) == 3
    assert "expected: EINVAL\nactual:   VFIO_DEVICE_GET_INFO(argsz=15) -> 0\n" in text


def test_a_partial_run_says_so(tmp_path: Path) -> None:
    text = github_summary(sample_run.run(tmp_path, [sample_run.PASSED], ended=False))
    assert "- partial: `the run did not end: no footer`" in text


@pytest.mark.parametrize("ticks", [1, 2, 3, 7])
def test_no_text_ends_its_fence(tmp_path: Path, ticks: int) -> None:
    evil = "`" * ticks + "\n" + "`" * ticks + "</details><script>" + "`" * ticks
    outcome = sample_run.outcome("a.b", "failed", message=evil, actual=evil, chapter=f"a|{evil}")
    text = github_summary(sample_run.run(tmp_path, [outcome]))
    inside = "".join(re.findall(r"^(`{3,})text\n((?:.*\n)*?)\1$", text, re.MULTILINE)[0])
    assert text.count("<script>") == inside.count("<script>") + 1  # and once in the table
    cell = next(line for line in text.split("\n") if "script" in line)
    assert re.fullmatch(r"\| (`+) a\\\|.* \1 \| 1 \|", cell)


@pytest.mark.parametrize("limit", [LIMIT, 100_000])
def test_it_stays_within_the_limit_and_says_what_is_left_out(tmp_path: Path, limit: int) -> None:
    many = [
        sample_run.outcome(f"a.b{n}", "failed", message="ü" * 1500, calls=["c" * 3000] * 9)
        for n in range(200)
    ]
    run = sample_run.run(tmp_path, many)
    text = github_summary(run, limit)
    shown = text.count("<details>")
    assert 0 < shown < 200
    assert len(text.encode()) <= limit
    assert f"\n{200 - shown} more unexpected outcomes are in `results.jsonl`.\n" in text
