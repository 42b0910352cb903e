# SPDX-License-Identifier: MIT
"""tmt's results.yaml, read by a YAML parser that is not ours."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from vfiospec.report.tmt import tmt_results
from vfiospec.results.reader import Run
from vfiospec.tests import sample_run

ODD = "\x00\x1b[2J \udcff #]]>: - {\r\n\t\uffff\u2028 \U0001f600 %YAML"
RESULTS = {"pass", "fail", "info", "warn", "error", "skip", "pending"}  # all that tmt knows


def read(run: Run) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = YAML(typ="safe").load(tmt_results(run))
    for result in results:
        assert result.keys() <= {"name", "result", "note", "duration"}
        assert re.fullmatch(r"/\S+", result["name"])
        assert result["result"] in RESULTS
        assert all(isinstance(note, str) for note in result.get("note", []))
        assert re.fullmatch(r"\d\d+:[0-5]\d:[0-5]\d", result.get("duration", "00:00:00"))
    return results


def test_each_outcome_has_its_result(tmp_path: Path) -> None:
    assert {r["name"]: r["result"] for r in read(sample_run.run(tmp_path))} == {
        "/device-info.smallest-argsz": "pass",
        "/device-info.argsz-too-small.argsz-15": "fail",
        "/irq.loopback": "info",
        "/irq.mask": "warn",
        "/migration.state": "skip",
        "/migration.stop": "skip",
        "/irq.eventfd": "error",
    }


def test_a_failure_says_why_and_how_to_run_it_again(tmp_path: Path) -> None:
    failed = read(sample_run.run(tmp_path, [sample_run.FAILED]))[0]
    assert failed["note"] == [
        "A wrong\nkernel: the call took 15 s # and hung",
        "rule: device-info.argsz-too-small",
        f"rerun: {sample_run.FAILED.rerun}",
    ]


@pytest.mark.parametrize(
    ("seconds", "clock"), [(0, "00:00:00"), (59.6, "00:01:00"), (360_001, "100:00:01")]
)
def test_the_duration_is_a_clock(tmp_path: Path, seconds: float, clock: str) -> None:
    outcome = sample_run.outcome("a.b", "passed", duration=seconds)
    assert read(sample_run.run(tmp_path, [outcome]))[0]["duration"] == clock


def test_a_partial_run_is_an_error_of_its_own(tmp_path: Path) -> None:
    assert read(sample_run.run(tmp_path, [sample_run.PASSED], ended=False))[-1] == {
        "name": "/run.complete",
        "result": "error",
        "note": ["the run did not end: no footer"],
    }


def test_odd_text_is_text(tmp_path: Path) -> None:
    odd = sample_run.outcome("a.b", "failed", message=ODD, rules=[ODD], rerun=ODD)
    note = read(sample_run.run(tmp_path, [odd]))[0]["note"]
    assert "\U0001f600 %YAML" in note[0]
    assert r"\x00\x1b[2J" in note[0]


def test_an_empty_run_is_an_empty_list(tmp_path: Path) -> None:
    assert read(sample_run.run(tmp_path, [])) == []
