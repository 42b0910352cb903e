# SPDX-License-Identifier: MIT
"""The list of runs, and the page of each: what was run, on what, and what came of it."""

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from vfiospec.report import by_chapter, facts
from vfiospec.report.site.marks import FAIL, KNOWN, NONE, PASS, SKIP, Mark, Tally, tally
from vfiospec.report.site.model import Site, SiteRun
from vfiospec.report.site.pages import Groups, Head, alike, head, needs_page

_VERDICTS = {
    "PASS": PASS,
    "FAIL": FAIL,
    "PARTIAL": Mark("◐", "PARTIAL", "known"),
    "SKIP": Mark(SKIP.symbol, "SKIP", SKIP.kind),
}


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in the list of runs."""

    href: str
    folder: str
    started: str
    kernel: Head
    topology: str
    verdict: Mark
    tally: Tally
    seconds: float
    problems: list[str]


@dataclass(frozen=True, slots=True)
class RunsPage:
    """All runs, the newest first, and the files that are none."""

    runs: list[RunLine]
    unread: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RunPage:
    """One run."""

    line: RunLine
    command: str
    facts: dict[str, str]
    chapters: list[tuple[str, Tally]]
    groups: Groups
    skipped: list[tuple[str, int]]


def runs(site: Site) -> RunsPage:
    """Return the list of all runs."""
    lines = [_line(site, run) for run in reversed(site.runs)]
    return RunsPage(lines, [(one.folder, one.why) for one in site.unread])


def each_run(site: Site) -> Iterator[tuple[str, RunPage]]:
    """Yield the page of each run, and its path."""
    for run in site.runs:
        outcomes = run.run.outcomes
        told = [outcome for outcome in outcomes if needs_page(outcome)]
        reasons = Counter(o.message or "no reason" for o in outcomes if o.outcome == "skipped")
        yield (
            f"runs/{run.slug}",
            RunPage(
                line=_line(site, run),
                command=shlex.join(run.run.header.command),
                facts=facts(run.run.header),
                chapters=[
                    (name, tally(those)) for name, those in sorted(by_chapter(run.run).items())
                ],
                groups=alike(run, told),
                skipped=sorted(reasons.items(), key=lambda item: (-item[1], item[0])),
            ),
        )


def _line(site: Site, run: SiteRun) -> RunLine:
    column = site.columns_of[run.slug]
    known = any(outcome.outcome == "xfailed" for outcome in run.run.outcomes)
    verdict = run.run.verdict()
    mark = _VERDICTS[verdict]
    if verdict == "PASS" and known:
        mark = Mark(KNOWN.symbol, "pass with known", KNOWN.kind)
    return RunLine(
        href=f"runs/{run.slug}.html",
        folder=run.folder,
        started=run.started,
        kernel=head(column.kernel),
        topology=column.topology,
        verdict=mark if run.run.outcomes else NONE,
        tally=tally(run.run.outcomes),
        seconds=round(run.run.seconds(), 1),
        problems=[*run.run.shortfalls(), *run.run.problems],
    )
