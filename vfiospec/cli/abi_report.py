# SPDX-License-Identifier: MIT
"""The judgement of two layouts, for a person and for a script."""

import shutil
from collections.abc import Iterator
from typing import Any

import msgspec

from vfiospec.layout.finding import Finding, Subject, Verdict
from vfiospec.layout.judge import Judgement
from vfiospec.layout.model import Enum, Record
from vfiospec.layout.show import compact, enum_text, side_by_side

_WIDEST = 120


def report(judgement: Judgement, *, brief: bool = False) -> Iterator[str]:
    """The judgement in lines: breaks with both layouts, what is accepted, then additions."""
    shown: set[str] = set()
    for finding in judgement.of(Verdict.BREAK):
        yield from ["", f"BREAK {finding.rule.id if finding.rule else ''}", f"  {finding.line}"]
        yield from _why(finding)
        if finding.subject not in shown:
            yield from (f"    {line}" for line in _both(finding))
        shown.add(finding.subject)
    accepted = judgement.of(Verdict.ACCEPTED)
    if accepted:
        yield from ["", "Known and accepted:"]
    for finding in accepted:
        yield f"  {finding.line}"
        yield f"      {finding.reason}"
    additions = judgement.of(Verdict.ADDITION)
    if additions and not brief:
        yield from ["", "Additions:"]
        for finding in additions:
            yield f"  {finding.line}" + (f" ({finding.reason})" if finding.reason else "")
    yield ""
    yield summary(judgement)


def summary(judgement: Judgement) -> str:
    """One line: who was compared, and the verdict."""
    counts = {verdict: len(judgement.of(verdict)) for verdict in Verdict}
    word = "compatible" if judgement.compatible else "NOT compatible"
    views = "64 and 32 bits" if judgement.old.narrow and judgement.new.narrow else (
        f"{judgement.old.wide.bits} bits only"
    )  # fmt: skip
    return (
        f"{judgement.old.source} -> {judgement.new.source}: {word} ({views}): "
        f"{counts[Verdict.BREAK]} breaks, {counts[Verdict.ACCEPTED]} accepted, "
        f"{counts[Verdict.ADDITION]} additions"
    )


def as_json(judgement: Judgement) -> str:
    """The judgement as one JSON object."""
    found = {
        "old": judgement.old.source,
        "new": judgement.new.source,
        "compatible": judgement.compatible,
        "findings": [_data(finding) for finding in judgement.findings],
    }
    return msgspec.json.format(msgspec.json.encode(found)).decode()


def _data(finding: Finding) -> dict[str, Any]:
    return {
        "verdict": finding.verdict.value,
        "rule": finding.rule.id if finding.rule else None,
        "subject": finding.subject,
        "item": finding.item,
        "change": finding.change,
        "bits": finding.bits,
        "reason": finding.reason,
        "old": finding.old,
        "new": finding.new,
    }


def _why(finding: Finding) -> Iterator[str]:
    if finding.rule is None:
        return
    yield f"  rule  {finding.rule.text} ({finding.rule.strength})"
    for source in finding.rule.sources:
        yield f"  see   {source}"


def _both(finding: Finding) -> list[str]:
    if finding.old is None and finding.new is None:
        return []
    width = min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST) - 4
    return side_by_side(_text(finding.old), _text(finding.new), width)


def _text(subject: Subject) -> list[str]:
    if isinstance(subject, Record):
        return compact(subject)
    if isinstance(subject, Enum):
        return enum_text(subject)
    return []
