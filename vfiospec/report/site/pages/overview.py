# SPDX-License-Identifier: MIT
"""The first page: which feature works on which kernel, and where to read on."""

import fnmatch
from dataclasses import dataclass, field

from vfiospec.report.site.features import SUPPORT_LEGEND, Feature, Note, known, support
from vfiospec.report.site.marks import Mark, Tally, tally
from vfiospec.report.site.model import Site
from vfiospec.report.site.pages import Head, heads, rule_path


@dataclass(frozen=True, slots=True)
class SupportCell:
    """What a kernel has of a feature; notes are numbers of the page's notes."""

    mark: Mark
    tests: int
    notes: list[int]


@dataclass(frozen=True, slots=True)
class FeatureLine:
    """A feature, with a cell for each kernel."""

    name: str
    about: str
    href: str
    cells: list[SupportCell]


@dataclass(frozen=True, slots=True)
class OverviewPage:
    """Features by group, the notes they refer to, and a tally for each kernel."""

    kernels: list[Head]
    tallies: list[Tally]
    groups: list[tuple[str, list[FeatureLine]]]
    notes: list[Note]
    runs: int
    first: str
    last: str
    legend: tuple[tuple[Mark, str], ...] = field(default=SUPPORT_LEGEND)


def overview(site: Site) -> OverviewPage:
    """Return the first page of a site."""
    notes: dict[Note, int] = {}
    groups = [
        (group.name, [_line(site, feature, notes) for feature in group.feature])
        for group in known()
    ]
    return OverviewPage(
        kernels=heads(site),
        tallies=[tally(kernel.outcomes) for kernel in site.kernels],
        groups=groups,
        notes=list(notes),
        runs=len(site.runs),
        first=site.runs[0].started[:10],
        last=site.runs[-1].started[:10],
    )


def _line(site: Site, feature: Feature, notes: dict[Note, int]) -> FeatureLine:
    cells = []
    for kernel in site.kernels:
        found = support(kernel, feature)
        numbers = [notes.setdefault(note, len(notes) + 1) for note in found.notes]
        cells.append(SupportCell(found.mark, found.tests, numbers))
    rules = [rule for glob in feature.rules for rule in fnmatch.filter(site.rule_ids, glob)]
    href = f"{rule_path(rules[0])}.html" if rules else ""
    return FeatureLine(feature.name, feature.about, href, cells)
