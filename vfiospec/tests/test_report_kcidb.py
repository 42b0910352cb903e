# SPDX-License-Identifier: MIT
"""The KCIDB report, checked by KernelCI's own package, and what it says of each outcome."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import kcidb_io  # type: ignore[import-untyped]
import msgspec
import pytest

from vfiospec.report.kcidb import Submission, kcidb
from vfiospec.results.model import Known, Outcome, ResultsError
from vfiospec.results.reader import Run, read_run
from vfiospec.tests import sample_run

ROOT = Path(__file__).parent.parent.parent
ODD = "\x00\x1b[2J \udcff #]]>\r\n\t\uffff"
XFAILED = msgspec.structs.replace(
    sample_run.XFAILED, known=Known(title="no loopback", link="https://example.invalid/3")
)
LOST = sample_run.outcome("lab.down", "error", message="LabError: not judged: no guest")
OUTCOMES = [*(o for o in sample_run.ALL if o.outcome != "xfailed"), XFAILED, LOST]


def report(run: Run, how: Submission | None = None) -> dict[str, Any]:
    """Return what is sent, after KernelCI's package has accepted it."""
    data: dict[str, Any] = json.loads(kcidb(run, how))
    kcidb_io.schema.V5_3.validate(data)
    return data


def by_path(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {test["path"].removeprefix("vfiospec."): test for test in data["tests"]}


def test_it_is_the_newest_schema_there_is() -> None:
    assert kcidb_io.schema.LATEST is kcidb_io.schema.V5_3


def test_each_outcome_has_its_status(tmp_path: Path) -> None:
    found = by_path(report(sample_run.run(tmp_path, OUTCOMES)))
    assert {name: test["status"] for name, test in found.items()} == {
        "device-info.smallest-argsz": "PASS",
        "device-info.argsz-too-small.argsz-15": "FAIL",
        "irq.mask": "PASS",
        "migration.state": "SKIP",
        "migration.stop": "SKIP",
        "irq.eventfd": "FAIL",
        "irq.loopback": "FAIL",
        "lab.down": "ERROR",
    }


def test_a_known_failure_is_an_incident_of_an_issue(tmp_path: Path) -> None:
    data = report(sample_run.run(tmp_path, OUTCOMES))
    found = by_path(data)
    issues = {issue["id"]: issue for issue in data["issues"]}
    said = {
        incident["test_id"]: (issues[incident["issue_id"]], incident["present"])
        for incident in data["incidents"]
    }
    issue, present = said[found["irq.loopback"]["id"]]
    assert present
    assert issue["report_subject"] == "no loopback"
    assert issue["report_url"] == "https://example.invalid/3"
    assert said[found["irq.mask"]["id"]][1] is False  # passed, though F-004 says it cannot
    assert len(said) == 2


def test_all_that_is_referred_to_is_there(tmp_path: Path) -> None:
    data = report(sample_run.run(tmp_path, OUTCOMES))
    assert {test["build_id"] for test in data["tests"]} == {b["id"] for b in data["builds"]}
    assert {b["checkout_id"] for b in data["builds"]} == {c["id"] for c in data["checkouts"]}
    for kind in data.keys() - {"version"}:
        ids = [one["id"] for one in data[kind]]
        assert len(set(ids)) == len(ids), kind
        assert all(one.startswith("vfiospec:") for one in ids), kind


def test_the_same_run_has_the_same_ids_and_another_has_others(tmp_path: Path) -> None:
    run = sample_run.run(tmp_path, OUTCOMES)
    assert kcidb(run) == kcidb(read_run(tmp_path))
    later = msgspec.structs.replace(run.header, started="2026-11-22T05:00:00Z")
    other = report(Run(later, run.boots, run.outcomes, run.started_only, run.footer))
    mine = {test["id"] for test in report(run)["tests"]}
    assert mine.isdisjoint(test["id"] for test in other["tests"])
    assert other["builds"] == report(run)["builds"]


def test_the_kernels_log_is_left_out_unless_asked_for(tmp_path: Path) -> None:
    run = sample_run.run(tmp_path, OUTCOMES)
    name = "device-info.argsz-too-small.argsz-15"
    without = by_path(report(run))[name]["log_excerpt"]
    with_it = by_path(report(run, Submission(kernel_log=True)))[name]["log_excerpt"]
    assert "DMAR" not in kcidb(run)
    assert with_it.startswith(without)
    assert with_it.endswith("DMAR: fault")
    assert "expected: EINVAL" in without


def test_a_build_of_somebody_elses_is_referred_to(tmp_path: Path) -> None:
    data = report(sample_run.run(tmp_path), Submission(origin="lab_1", build="maestro:64f1"))
    assert {test["build_id"] for test in data["tests"]} == {"maestro:64f1"}
    assert data.keys() == {"version", "tests", "issues", "incidents"}
    assert all(test["origin"] == "lab_1" for test in data["tests"])


def test_a_commit_makes_the_checkout(tmp_path: Path) -> None:
    how = Submission(
        commit="0123456789abcdef" * 2 + "01234567", tree_url="https://example.invalid/"
    )
    (checkout,) = report(sample_run.run(tmp_path), how)["checkouts"]
    assert checkout["git_commit_hash"] == how.commit
    assert checkout["git_repository_url"] == how.tree_url


@pytest.mark.parametrize(
    "wrong",
    [{"origin": "My Lab"}, {"origin": ""}, {"build": "64f1"}, {"commit": "v7.3"},
     {"tree_url": "git://example.invalid"}],
)  # fmt: skip
def test_what_kcidb_would_refuse_is_one_line(wrong: dict[str, str]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ResultsError, match=f"^--{name.replace('_', '-')} {value}: ") as caught:
        Submission(**wrong)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def odd(kind: str) -> Outcome:
    return sample_run.outcome(
        "a.b", kind, message=ODD, actual=ODD * 4000, rules=[ODD], calls=[ODD], finding=ODD,
        log=[ODD], nodeid=ODD, known=Known(title=ODD, link=ODD), promises=[ODD],
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["failed", "xfailed", "error"])
def test_odd_and_long_text_is_accepted(tmp_path: Path, kind: str) -> None:
    (test,) = report(sample_run.run(tmp_path, [odd(kind)]), Submission(kernel_log=True))["tests"]
    assert len(test["log_excerpt"]) == 16384


@pytest.mark.parametrize("started", ["", "yesterday", "2026-11-21T05:00:00"])
def test_a_time_that_is_none_is_left_out(tmp_path: Path, started: str) -> None:
    lines = sample_run.records()
    lines[0] = msgspec.structs.replace(sample_run.header(), started=started)
    data = report(read_run(sample_run.write(tmp_path, lines)))
    assert not [test for test in data["tests"] if "start_time" in test]


def test_a_cut_run_names_the_test_it_died_in(tmp_path: Path) -> None:
    lines = sample_run.records()[:5]  # the second start has no outcome
    found = by_path(report(read_run(sample_run.write(tmp_path, lines))))
    assert found[sample_run.FAILED.id]["status"] == "ERROR"


def test_the_sample_is_accepted() -> None:
    run = read_run(ROOT / "reports" / "sample")
    assert len(report(run)["tests"]) == len(run.outcomes)


def test_the_check_can_fail(tmp_path: Path) -> None:
    data = report(sample_run.run(tmp_path))
    data["tests"][0]["status"] = "XFAIL"
    with pytest.raises(jsonschema.ValidationError):
        kcidb_io.schema.V5_3.validate(data)
