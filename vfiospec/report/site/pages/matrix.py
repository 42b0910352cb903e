# SPDX-License-Identifier: MIT
"""The matrix: what came of each chapter on each kernel and topology."""

from collections.abc import Iterator
from dataclasses import dataclass

from vfiospec.report.site.marks import Tally, tally
from vfiospec.report.site.model import Column, Site
from vfiospec.report.site.pages import (
    Groups,
    Head,
    alike,
    cell_path,
    head,
    heads,
    link_to,
    needs_page,
)
from vfiospec.results.model import Outcome


@dataclass(frozen=True, slots=True)
class Row:
    """A chapter, with a tally for each column."""

    name: str
    cells: list[Tally]


@dataclass(frozen=True, slots=True)
class MatrixPage:
    """Kernels with their topologies across, chapters down; the last row counts all of them."""

    kernels: list[Head]
    rows: list[Row]
    total: Row
    partial: list[str]


@dataclass(frozen=True, slots=True)
class TestLine:
    """One test as a chapter's JSON has it."""

    id: str
    outcome: str
    run: str
    finding: str | None
    message: str | None
    href: str


@dataclass(frozen=True, slots=True)
class CellPage:
    """All tests of a chapter on a kernel and topology."""

    kernel: Head
    topology: str
    chapter: str
    tally: Tally
    groups: Groups
    tests: list[TestLine]


def matrix(site: Site) -> MatrixPage:
    """Return the matrix of a site."""
    rows = [
        Row(chapter, [_cell(column, chapter) for column in site.columns])
        for chapter in site.chapters
    ]
    total = Row("all chapters", [tally(column.latest.values()) for column in site.columns])
    partial = [
        f"{one.folder}: {'; '.join([*_short(one.run.shortfalls()), *_damage(one.run.problems)])}"
        for one in site.runs
        if one.run.partial or one.run.problems
    ]
    return MatrixPage(heads(site), rows, total, partial)


def _cell(column: Column, chapter: str) -> Tally:
    return tally(column.by_chapter.get(chapter, ()), f"{cell_path(column, chapter)}.html")


def _short(reasons: list[str]) -> list[str]:
    return [reason if len(reason) < 200 else f"{reason[:200]}..." for reason in reasons]  # noqa: PLR2004


def _damage(problems: list[str]) -> list[str]:
    if not problems:
        return []
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return _short([f"{problems[0]}{more}"])


def cells(site: Site) -> Iterator[tuple[str, CellPage]]:
    """Yield the page of each cell of the matrix, and its path."""
    for column in site.columns:
        for chapter, outcomes in sorted(column.by_chapter.items()):
            ordered = sorted(outcomes, key=lambda outcome: outcome.id)
            yield (
                cell_path(column, chapter),
                CellPage(
                    kernel=head(column.kernel),
                    topology=column.topology,
                    chapter=chapter,
                    tally=tally(outcomes),
                    groups=alike(column, ordered),
                    tests=[_line(column, outcome) for outcome in ordered],
                ),
            )


def _line(column: Column, outcome: Outcome) -> TestLine:
    return TestLine(
        id=outcome.id,
        outcome=outcome.outcome,
        run=column.run_of[outcome.id].slug,
        finding=outcome.finding,
        message=outcome.message if needs_page(outcome) else None,
        href=link_to(column, outcome),
    )
