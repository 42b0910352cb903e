# SPDX-License-Identifier: MIT
"""What changed: between a kernel and the next newer one, and between the last two runs of one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from vfiospec.report.compare import Category, Entry, compare
from vfiospec.report.site.marks import FAIL, KNOWN, NONE, OF_OUTCOME, PASS, SKIP, Mark
from vfiospec.report.site.model import Column, Site, SiteRun
from vfiospec.report.site.pages import (
    ROOM,
    Head,
    function_of,
    head,
    link_to,
    size_of,
    variant_of,
    why,
)
from vfiospec.results.model import Outcome
from vfiospec.results.reader import Run

_VARIANTS = 12

WORDS = {
    Category.REGRESSION: (FAIL, "regression", "passed before, does not now"),
    Category.NEW_FAILURE: (FAIL, "new failure", "was not judged before, and fails"),
    Category.STILL_FAILING: (KNOWN, "still failing", "failed before, and fails"),
    Category.FIXED: (PASS, "fixed", "failed before, and passes"),
    Category.NEW_PASS: (PASS, "new pass", "was not judged before, and passes"),
    Category.APPEARED: (SKIP, "appeared", "was not there before, and is skipped"),
    Category.DISAPPEARED: (NONE, "disappeared", "was there before, and is not judged any more"),
}


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison."""

    kernel: Head
    topology: str
    when: str


@dataclass(frozen=True, slots=True)
class Change:
    """Tests of one function that changed alike."""

    test: str
    before: Mark
    before_word: str
    after: Mark
    after_word: str
    why: str
    known: bool
    count: int
    variants: list[tuple[str, str]]

    @property
    def more(self) -> int:
        """How many variants are not named."""
        return self.count - len(self.variants)


@dataclass(frozen=True, slots=True)
class Section:
    """The changes of one category."""

    category: str
    mark: Mark
    word: str
    meaning: str
    count: int
    changes: list[Change]
    more: int


@dataclass(frozen=True, slots=True)
class DiffPage:
    """The difference of two sides."""

    old: Side
    new: Side
    sections: list[Section]
    still_passing: int
    still_skipped: int
    common: int
    new_trouble: int
    differences: list[str]
    one_sided: list[str]
    entries: list[tuple[str, str, str, str]]


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A comparison in the list of them."""

    href: str
    old: Side
    new: Side
    counts: list[int]
    new_trouble: int


@dataclass(frozen=True, slots=True)
class DiffsPage:
    """All comparisons: of a kernel's last two runs, and of neighbouring kernels."""

    words: list[tuple[Mark, str, str]]
    runs: list[DiffLine]
    kernels: list[DiffLine]


def diffs(site: Site) -> Iterator[tuple[str, DiffPage | DiffsPage]]:
    """Yield the page of each comparison and its path, then the list of them."""
    index = DiffsPage(list(WORDS.values()), [], [])
    for column in site.columns:
        if len(column.runs) > 1:
            old, new = column.runs[-2:]
            path = f"diff/{old.slug}...{new.slug}"
            page = _page(old.run, new.run, _side(column, old), _side(column, new), old, new)
            index.runs.append(_line(path, page))
            yield path, page
    for before, after in site.pairs():
        path = f"diff/{before.slug}...{after.slug}"
        page = _page(before.as_run(), after.as_run(), _side(before), _side(after), before, after)
        index.kernels.append(_line(path, page))
        yield path, page
    yield "diff/index", index


def _side(column: Column, run: SiteRun | None = None) -> Side:
    return Side(head(column.kernel), column.topology, (run or column.runs[-1]).started)


def _line(path: str, page: DiffPage) -> DiffLine:
    counts = [section.count for section in page.sections]
    return DiffLine(f"{path}.html", page.old, page.new, counts, page.new_trouble)


def _page(  # noqa: PLR0913, PLR0917 -- three facts of each side
    was: Run, now: Run, old: Side, new: Side, before: Column | SiteRun, after: Column | SiteRun
) -> DiffPage:
    chapters = [{outcome.chapter for outcome in run.outcomes} for run in (was, now)]
    both = chapters[0] & chapters[1]
    found = compare(_only(was, both), _only(now, both))
    return DiffPage(
        old=old,
        new=new,
        sections=[
            Section(category, *WORDS[category], len(entries), *_changes(entries, before, after))
            for category in Category
            for entries in [found.of(category)]
        ],
        still_passing=found.still_passing,
        still_skipped=found.still_skipped,
        common=found.common,
        new_trouble=len(found.new_trouble()),
        differences=found.differences(),
        one_sided=[
            f"only {side}: {', '.join(sorted(those - both))}"
            for side, those in zip(("before", "after"), chapters, strict=True)
            if those - both
        ],
        entries=[(e.category, e.id, _word(e.before), _word(e.after)) for e in found.entries],
    )


def _only(run: Run, chapters: set[str]) -> Run:
    """The run without chapters that the other side was not asked for."""
    return replace(run, outcomes=tuple(o for o in run.outcomes if o.chapter in chapters))


def _changes(
    entries: list[Entry], before: Column | SiteRun, after: Column | SiteRun
) -> tuple[list[Change], int]:
    """What fits on the page of the tests that changed alike, and how many more there are."""
    groups: dict[tuple[str, str, str, str], list[Entry]] = {}
    for entry in entries:
        key = function_of(entry.id), _word(entry.before), _word(entry.after), _why(entry)
        groups.setdefault(key, []).append(entry)
    found, more, room = [], 0, ROOM // len(Category)
    for (test, was, now, reason), members in sorted(groups.items()):
        if room < 0:
            more += len(members)
            continue
        change = Change(
            test=test,
            before=_mark(was),
            before_word=was,
            after=_mark(now),
            after_word=now,
            why=reason,
            known=members[0].is_known,
            count=len(members),
            variants=[(variant_of(e.id), _link(e, before, after)) for e in members[:_VARIANTS]],
        )
        found.append(change)
        room -= size_of(test, reason, change.variants)
    return found, more


def _word(outcome: Outcome | None) -> str:
    return outcome.outcome if outcome is not None else "not there"


def _mark(word: str) -> Mark:
    return OF_OUTCOME.get(word, NONE)


def _why(entry: Entry) -> str:
    """What is to be read: why it fails now or is skipped, else why it did."""
    if entry.after is not None and entry.after.outcome != "passed":
        return why(entry.after)
    return why(entry.before) if entry.before is not None else ""


def _link(entry: Entry, before: Column | SiteRun, after: Column | SiteRun) -> str:
    now = link_to(after, entry.after) if entry.after is not None else ""
    return now or (link_to(before, entry.before) if entry.before is not None else "")
