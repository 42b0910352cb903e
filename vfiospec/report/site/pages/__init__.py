# SPDX-License-Identifier: MIT
"""The pages, a module for each kind: each makes the data that its template and its JSON show."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from vfiospec.report.site.marks import OF_OUTCOME, Mark
from vfiospec.report.site.model import Column, Kernel, Site, SiteRun, slug
from vfiospec.results.model import UNEXPECTED, Outcome

_LONGEST = 180  # of a file's name; what is longer ends in a hash
ROOM = 600_000  # bytes of a page that lists may take
_VARIANTS = 24  # named in a list; the rest are counted, and in the JSON


@dataclass(frozen=True, slots=True)
class Head:
    """A kernel at the head of a column."""

    short: str
    release: str
    label: str
    topologies: tuple[str, ...]


def head(kernel: Kernel) -> Head:
    """Return what a table says of a kernel."""
    topologies = tuple(column.topology for column in kernel.columns)
    return Head(kernel.short, kernel.release, kernel.label, topologies)


def heads(site: Site) -> list[Head]:
    """Return the kernels as the heads of columns."""
    return [head(kernel) for kernel in site.kernels]


def needs_page(outcome: Outcome) -> bool:
    """Whether an outcome has a page of its own: all but passes and skips have."""
    return outcome.outcome in UNEXPECTED or outcome.outcome == "xfailed"


def result_path(run: SiteRun, outcome: Outcome) -> str:
    """Where the page of an outcome is, without its suffix."""
    name = slug(outcome.id)
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}-{hashlib.sha256(outcome.id.encode()).hexdigest()[:8]}"
    return f"results/{run.slug}/{name}"


def cell_path(column: Column, chapter: str) -> str:
    """Where the list of a chapter's tests on a kernel and topology is, without its suffix."""
    return f"cells/{column.slug}/{slug(chapter)}"


def rule_path(rule: str) -> str:
    """Where the page of a rule is, without its suffix."""
    return f"rules/{slug(rule)}"


def function_of(test: str) -> str:
    """The test without what it was run on: chapter, section and clause of its id."""
    return ".".join(test.split(".")[:3])


def variant_of(test: str) -> str:
    """What it was run on: the rest of the id."""
    return ".".join(test.split(".")[3:])


@dataclass(frozen=True, slots=True)
class Alike:
    """Runs of one test that came out alike; each variant has a link where it has a page."""

    test: str
    mark: Mark
    outcome: str
    why: str
    count: int
    variants: tuple[tuple[str, str], ...]

    @property
    def more(self) -> int:
        """How many are not named."""
        return self.count - len(self.variants)


@dataclass(frozen=True, slots=True)
class Groups:
    """What fits on a page of groups of tests that came out alike, and how many more there are."""

    shown: list[Alike]
    more: int


def alike(column_or_run: Column | SiteRun, outcomes: list[Outcome], room: int = ROOM) -> Groups:
    """Group outcomes by test, then by what came of them; what is wrong comes first.

    The groups fit into about `room` bytes of a page, so that not even a kernel on which all fails
    makes a page that a phone cannot open.
    """
    groups: dict[tuple[str, str, str], list[Outcome]] = {}
    for outcome in outcomes:
        key = function_of(outcome.id), outcome.outcome, why(outcome)
        groups.setdefault(key, []).append(outcome)
    found, more = [], 0
    for (test, kind, reason), members in sorted(groups.items(), key=_urgency):
        if room < 0:
            more += len(members)
            continue
        named = tuple(
            (variant_of(one.id), link_to(column_or_run, one)) for one in members[:_VARIANTS]
        )
        found.append(Alike(test, OF_OUTCOME[kind], kind, reason, len(members), named))
        room -= size_of(test, reason, named)
    return Groups(found, more)


def size_of(test: str, reason: str, variants: Iterable[tuple[str, str]]) -> int:
    """About how many bytes a group takes on a page."""
    return 300 + len(test) + len(reason) + sum(40 + len(n) + len(link) for n, link in variants)


def _urgency(item: tuple[tuple[str, str, str], list[Outcome]]) -> tuple[int, str, str, str]:
    test, kind, reason = item[0]
    order = ("error", "failed", "xpassed", "xfailed", "skipped", "passed")
    return order.index(kind), test, kind, reason


def link_to(owner: Column | SiteRun, outcome: Outcome) -> str:
    """The address of an outcome's page, empty where it has none."""
    if not needs_page(outcome):
        return ""
    run = owner.run_of[outcome.id] if isinstance(owner, Column) else owner
    return f"{result_path(run, outcome)}.html"


def why(outcome: Outcome) -> str:
    """In one line, what came of a test that did not pass."""
    if outcome.outcome == "passed":
        return ""
    if outcome.outcome == "xfailed" and outcome.finding:
        return outcome.finding
    return " ".join((outcome.message or "").split())[:300]
