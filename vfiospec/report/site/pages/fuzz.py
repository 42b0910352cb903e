# SPDX-License-Identifier: MIT
"""The pages of fuzz campaigns: crashes, what was reached over time, and in which functions."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vfiospec.report.site.fuzz import Campaign, Crash, Function, Look
from vfiospec.report.site.model import slug
from vfiospec.report.site.plot import Plot, plot


@dataclass(frozen=True, slots=True)
class FileLine:
    """A file of the kernel: what was reached of all its functions together."""

    file: str
    reached: int
    of: int
    functions: list[Function]


@dataclass(frozen=True, slots=True)
class CampaignPage:
    """One campaign."""

    name: str
    last: Look
    per_second: float
    plots: list[tuple[str, Plot]]
    crashes: list[tuple[str, int, list[str]]]
    files: list[FileLine]
    problems: list[str]
    looks: list[Look]


@dataclass(frozen=True, slots=True)
class FuzzPage:
    """All campaigns, and the crashes of all of them, by title."""

    campaigns: list[tuple[str, str, Look, int]]
    crashes: list[tuple[str, int]]


def fuzz(campaigns: Iterable[Campaign]) -> Iterator[tuple[str, CampaignPage | FuzzPage]]:
    """Yield the page of each campaign and its path, then the list of them."""
    lines, titles = [], Counter[str]()
    taken: Counter[str] = Counter()
    for one in sorted(campaigns, key=lambda campaign: campaign.name):
        taken[one.name] += 1
        number = f"-{taken[one.name]}" if taken[one.name] > 1 else ""
        path = f"fuzz/{slug(one.name)}{number}"
        page = _page(one)
        lines.append((f"{path}.html", one.name, page.last, len(page.crashes)))
        titles.update(title for title, *_ in page.crashes)
        yield path, page
    yield "fuzz/index", FuzzPage(lines, sorted(titles.items()))


def _page(one: Campaign) -> CampaignPage:
    last = one.looks[-1]
    titles: dict[str, list[Crash]] = {}
    for crash in one.crashes:
        titles.setdefault(crash.title, []).append(crash)
    drawn = {
        "Kernel PCs reached": [(look.t, float(look.pcs)) for look in one.looks],
        "Programs run": [(look.t, float(look.execs)) for look in one.looks],
        "Seeds in the corpus": [(look.t, float(look.corpus)) for look in one.looks],
    }
    return CampaignPage(
        name=one.name,
        last=last,
        per_second=round(last.execs / last.t, 1) if last.t else 0.0,
        plots=[(name, plot(points)) for name, points in drawn.items()],
        crashes=[
            (title, sum(c.count for c in those), [c.folder for c in those if c.folder])
            for title, those in sorted(titles.items())
        ],
        files=_files(one.functions),
        problems=one.problems,
        looks=one.looks,
    )


def _files(functions: list[Function]) -> list[FileLine]:
    by_file: dict[str, list[Function]] = {}
    for function in functions:
        by_file.setdefault(function.file, []).append(function)
    return [
        FileLine(file, sum(f.reached for f in those), sum(f.of for f in those), those)
        for file, those in by_file.items()
    ]
