# SPDX-License-Identifier: MIT
"""A run as JUnit XML: one testsuite per chapter, one testcase per outcome."""

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from vfiospec.report import by_chapter, facts, headline, one_line, printable, short_name
from vfiospec.results.model import Outcome, OutcomeName
from vfiospec.results.reader import Run

# Element and type of each outcome that has one.
_ELEMENTS: dict[OutcomeName, tuple[str, str]] = {
    "failed": ("failure", "failed"),
    "xpassed": ("failure", "xpassed"),
    "error": ("error", "error"),
    "xfailed": ("skipped", "pytest.xfail"),
    "skipped": ("skipped", "pytest.skip"),
}


def junit(run: Run) -> str:
    """Return the XML document; a partial run carries the testcase run.complete in error."""
    root = ET.Element("testsuites", name="vfiospec")
    known = facts(run.header)
    for chapter, outcomes in by_chapter(run).items():
        suite = _suite(root, run, chapter, known)
        for outcome in outcomes:
            _case(suite, outcome)
        _total(suite, [suite])
    if run.partial:
        suite = _suite(root, run, "run", known)
        case = ET.SubElement(suite, "testcase", classname="run", name="complete", time="0")
        reasons = run.shortfalls()
        _verdict(case, "error", "partial", reasons[0], "\n".join([*reasons, *run.problems]))
        _total(suite, [suite])
    _total(root, root.findall("testsuite"))
    root.set("time", f"{run.seconds():.6f}")
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, run: Run, chapter: str, known: dict[str, str]) -> ET.Element:
    name = one_line(chapter)
    suite = ET.SubElement(root, "testsuite", name=name, timestamp=one_line(run.header.started))
    _properties(suite, known.items())
    return suite


def _case(suite: ET.Element, outcome: Outcome) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        classname=one_line(outcome.chapter),
        name=short_name(outcome),
        time=f"{outcome.duration:.6f}",
    )
    properties = [("rule", rule) for rule in outcome.rules]
    if outcome.device is not None:
        properties.append(("device", f"{outcome.device.name} {outcome.device.bdf}"))
    if outcome.finding is not None:
        properties.append(("finding", outcome.finding))
    if properties:
        _properties(case, properties)

    if outcome.outcome in _ELEMENTS:
        tag, kind = _ELEMENTS[outcome.outcome]
        _verdict(case, tag, kind, headline(outcome), _text(outcome))
    if outcome.log or outcome.dmar:
        ET.SubElement(case, "system-out").text = printable("\n".join([*outcome.log, *outcome.dmar]))


def _text(outcome: Outcome) -> str:
    named = (
        ("expected", outcome.expected),
        ("actual", outcome.actual),
        ("message", outcome.message),
        ("transcript", outcome.transcript),
        ("rerun", outcome.rerun),
    )
    lines = [f"{name}: {value}" for name, value in named if value is not None]
    lines += [*outcome.promises, *(f"call: {call}" for call in outcome.calls)]
    return "\n".join([*lines, outcome.details] if outcome.details else lines)


def _verdict(case: ET.Element, tag: str, kind: str, message: str, text: str) -> None:
    element = ET.SubElement(case, tag, type=kind, message=one_line(message))
    element.text = printable(text) or None


def _properties(parent: ET.Element, named: Iterable[tuple[str, str]]) -> None:
    properties = ET.SubElement(parent, "properties")
    for name, value in named:
        ET.SubElement(properties, "property", name=one_line(name), value=one_line(value))


def _total(target: ET.Element, suites: list[ET.Element]) -> None:
    cases = [case for suite in suites for case in suite.findall("testcase")]
    target.set("tests", str(len(cases)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        target.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
    target.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.6f}")
