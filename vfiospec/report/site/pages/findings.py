# SPDX-License-Identifier: MIT
"""The findings: promises that kernels break, by kernel, and what no finding explains."""

from collections.abc import Iterable
from dataclasses import dataclass

from vfiospec.report.site.marks import FAIL, KNOWN, NONE, PASS, SKIP, Mark
from vfiospec.report.site.model import Kernel, Site
from vfiospec.report.site.pages import ROOM, Groups, Head, alike, head, heads, link_to, rule_path
from vfiospec.results.model import UNEXPECTED, FindingFacts, Outcome


@dataclass(frozen=True, slots=True)
class Seen:
    """What a kernel does about a promise that some kernel breaks, with a link to where it shows."""

    mark: Mark
    word: str
    count: int
    href: str


@dataclass(frozen=True, slots=True)
class FindingLine:
    """A finding, with what was seen on each kernel."""

    finding: FindingFacts
    rule_href: str
    seen: list[Seen]


@dataclass(frozen=True, slots=True)
class Unexplained:
    """What no finding explains, on one kernel and topology."""

    kernel: Head
    topology: str
    groups: Groups


@dataclass(frozen=True, slots=True)
class FindingsPage:
    """All findings, and all that is none."""

    kernels: list[Head]
    findings: list[FindingLine]
    unexplained: list[Unexplained]


def findings(site: Site) -> FindingsPage:
    """Return the findings of a site."""
    known = site.findings | _named_only(site)
    lines = [
        FindingLine(
            one, f"{rule_path(one.rule)}.html" if one.rule in site.rule_ids else "",
            [seen(kernel, one) for kernel in site.kernels],
        )
        for one in sorted(known.values(), key=lambda one: (one.rule, one.id))
    ]  # fmt: skip
    room = ROOM // max(1, len(site.columns))
    unexplained = [
        Unexplained(head(column.kernel), column.topology, alike(column, bad, room))
        for column in site.columns
        if (bad := [o for o in column.latest.values() if o.outcome in UNEXPECTED])
    ]
    return FindingsPage(heads(site), lines, unexplained)


def _named_only(site: Site) -> dict[str, FindingFacts]:
    """What outcomes name and no catalogue explains: known issues, and findings of older runs."""
    return {
        outcome.finding: _told_by(outcome)
        for one in site.runs
        for outcome in one.run.outcomes
        if outcome.finding and outcome.finding not in site.findings
    }


def _told_by(outcome: Outcome) -> FindingFacts:
    known = outcome.known
    return FindingFacts(
        id=outcome.finding or "",
        title=known.title if known else "",
        rule=outcome.rules[0] if outcome.rules else "",
        reason=f"A known issue of {known.origin}." if known and known.origin != "finding" else "",
        link=(known.link or "") if known else "",
    )


def seen(kernel: Kernel, finding: FindingFacts) -> Seen:
    """Return what a kernel does about the promise of a finding."""
    outcomes = kernel.by_rule.get(finding.rule, [])
    broken = _of(outcomes, finding.id, "xfailed")
    if broken:
        return Seen(KNOWN, "breaks it", len(broken), _where(kernel, broken[0]))
    gone = _of(outcomes, finding.id, "xpassed")
    if gone:
        return Seen(FAIL, "known, and passed", len(gone), _where(kernel, gone[0]))
    if any(outcome.outcome == "passed" for outcome in outcomes):
        return Seen(PASS, "keeps it", 0, "")
    if outcomes and all(outcome.outcome == "skipped" for outcome in outcomes):
        return Seen(SKIP, "has it not", 0, "")
    return Seen(NONE, "not judged", 0, "")


def _of(outcomes: Iterable[Outcome], finding: str, kind: str) -> list[Outcome]:
    found = [one for one in outcomes if one.finding == finding and one.outcome == kind]
    return sorted(found, key=lambda outcome: outcome.id)


def _where(kernel: Kernel, outcome: Outcome) -> str:
    column = next(c for c in kernel.columns if c.latest.get(outcome.id) is outcome)
    return link_to(column, outcome)
