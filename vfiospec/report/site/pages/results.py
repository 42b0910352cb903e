# SPDX-License-Identifier: MIT
"""The page of an outcome that is neither a pass nor a skip: all that one may want to quote."""

from collections.abc import Iterator
from dataclasses import dataclass

from vfiospec.report.site.marks import OF_OUTCOME, Mark
from vfiospec.report.site.model import Column, Site, SiteRun
from vfiospec.report.site.pages import (
    Head,
    cell_path,
    head,
    needs_page,
    result_path,
    rule_path,
)
from vfiospec.results.model import FindingFacts, Outcome

_CALLS = 200  # a property may have made thousands; the last say what went wrong


@dataclass(frozen=True, slots=True)
class ResultPage:
    """An outcome, with what it was an outcome of."""

    kernel: Head
    topology: str
    run: str
    run_href: str
    started: str
    chapter_href: str
    mark: Mark
    outcome: Outcome
    rules: list[tuple[str, str]]
    finding: FindingFacts | None

    @property
    def calls(self) -> list[str]:
        """The last calls of the test."""
        return self.outcome.calls[-_CALLS:]

    @property
    def left_out(self) -> int:
        """How many calls before them are not shown."""
        return len(self.outcome.calls) - len(self.calls)

    @property
    def wide_log(self) -> str:
        """What the kernel said while the test ran, and the IOMMU's faults."""
        return "\n".join([*self.outcome.log, *self.outcome.dmar])


def results(site: Site) -> Iterator[tuple[str, ResultPage]]:
    """Yield the page of each such outcome of each run, and its path."""
    for run in site.runs:
        column = site.columns_of[run.slug]
        for outcome in {one.id: one for one in run.run.outcomes}.values():
            if needs_page(outcome):
                yield result_path(run, outcome), _page(site, column, run, outcome)


def _page(site: Site, column: Column, run: SiteRun, outcome: Outcome) -> ResultPage:
    return ResultPage(
        kernel=head(column.kernel),
        topology=column.topology,
        run=run.folder,
        run_href=f"runs/{run.slug}.html",
        started=run.started,
        chapter_href=f"{cell_path(column, outcome.chapter)}.html",
        mark=OF_OUTCOME[outcome.outcome],
        outcome=outcome,
        rules=[(rule, f"{rule_path(rule)}.html") for rule in outcome.rules],
        finding=site.findings.get(outcome.finding or ""),
    )
