# SPDX-License-Identifier: MIT
"""The JUnit report, read back with the standard library's XML parser."""

import re
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vfiospec.report.junit import junit
from vfiospec.results.model import Outcome
from vfiospec.tests import sample_run


def case(root: ET.Element, outcome_id: str) -> ET.Element:
    chapter, name = outcome_id.split(".", 1)
    found = root.findall(f"testsuite/testcase[@classname='{chapter}'][@name='{name}']")
    assert len(found) == 1
    return found[0]


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> ET.Element:
    return ET.fromstring(junit(sample_run.run(tmp_path)))  # noqa: S314 - our own output


def test_one_suite_per_chapter_one_case_per_outcome(root: ET.Element) -> None:
    assert [s.get("name") for s in root] == ["device-info", "irq", "migration"]
    assert [len(s.findall("testcase")) for s in root] == [2, 3, 2]
    counted = {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counted == {"tests": "7", "failures": "2", "errors": "1", "skipped": "3"}


@pytest.mark.parametrize(
    ("outcome", "tag", "kind", "message"),
    [
        (sample_run.FAILED, "failure", "failed", "A wrong kernel: the call took 15 s # and hung"),
        (sample_run.XPASSED, "failure", "xpassed", "unexpectedly passes: F-004"),
        (sample_run.ERROR, "error", "error", "the guest died"),
        (sample_run.XFAILED, "skipped", "pytest.xfail", "known deviation: F-003"),
        (sample_run.SKIPPED, "skipped", "pytest.skip", "no migration # device: use mtty"),
    ],
    ids=lambda value: getattr(value, "outcome", None),
)
def test_each_outcome_has_its_element(
    root: ET.Element, outcome: Outcome, tag: str, kind: str, message: str
) -> None:
    verdicts = [e for e in case(root, outcome.id) if e.tag in ("failure", "error", "skipped")]
    assert [(e.tag, e.get("type"), e.get("message")) for e in verdicts] == [(tag, kind, message)]


def test_a_pass_has_no_verdict_element(root: ET.Element) -> None:
    assert [e.tag for e in case(root, sample_run.PASSED.id)] == ["properties"]


def test_a_failure_says_expected_actual_rule_device_and_rerun(root: ET.Element) -> None:
    failed = case(root, sample_run.FAILED.id)
    text = failed.findtext("failure") or ""
    assert text.startswith("expected: EINVAL\nactual: VFIO_DEVICE_GET_INFO(argsz=15) -> 0\n")
    assert f"rerun: {sample_run.FAILED.rerun}" in text
    named = {(p.get("name"), p.get("value")) for p in failed.findall("properties/property")}
    assert named == {("rule", "device-info.argsz-too-small"), ("device", "e1000e 0000:00:14.0")}


def test_every_suite_carries_the_header_facts(root: ET.Element) -> None:
    for suite in root:
        named = {p.get("name"): p.get("value") for p in suite.findall("properties/property")}
        assert named["kernel.release"] == "6.1.0-56-amd64"
        assert named["kernel.config.CONFIG_VFIO_PCI"] == "m"
        assert named["command"] == "vfiospec run --kernel 'debian bookworm'"
        assert named["qemu.accel"] == "tcg"


def test_a_partial_run_is_an_error_of_its_own(tmp_path: Path) -> None:
    run = sample_run.run(tmp_path, [sample_run.PASSED], ended=False)
    root = ET.fromstring(junit(run))  # noqa: S314 - our own output
    error = case(root, "run.complete").find("error")
    assert error is not None
    assert error.get("message") == "the run did not end: no footer"
    assert root.get("errors") == "1"


@given(st.text(), st.text(min_size=1))
@example("\x00\x1b[2J\ud800\ufffe", "\uffff]]>&<")
@settings(max_examples=100, deadline=None)
def test_valid_xml_whatever_the_text(anything: str, chapter: str) -> None:
    outcome = sample_run.outcome(
        "a.b",
        "failed",
        chapter=chapter,
        message=anything,
        details=anything,
        rules=[anything],
        log=[anything],
        finding=anything,
    )
    with tempfile.TemporaryDirectory() as directory:
        document = junit(sample_run.run(Path(directory), [outcome]))
    root = ET.fromstring(document.encode())  # noqa: S314 - our own output
    assert root.get("failures") == "1"
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", document)
