# SPDX-License-Identifier: MIT
"""What changed between two runs, in the seven categories of KernelCI's comparison of two revisions.

Source: the dashboard of KernelCI, dashboard/src/utils/treeCompareDiff.ts (deriveCompareChange) and
backend/kernelCI_app/helpers/treeCompare.py (three statuses, of which the worst stands for a test
that was seen twice). One row of its table is not taken over: there a failure that is skipped the
next time is "fixed". Nothing was seen to be fixed, so here it has "disappeared", as a failure.

The statuses speak of the kernel, not of the expectations it was measured by:

- PASS: passed, and xpassed (the kernel keeps the promise; what it was expected to break is stale).
- FAIL: failed, xfailed (the kernel breaks it, as is known) and error (the kernel died in the test,
  or could not even be prepared for it).
- INCONCLUSIVE: skipped.
- none: the test is not in the run, or the lab failed before the kernel could be judged.

So a finding, or a known issue, that begins or ends to show changes the category like any other
failure. Whether it needs somebody's attention is another question: Entry.is_known answers it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from vfiospec.results.model import Outcome
from vfiospec.results.reader import Run


class Category(StrEnum):
    """How a test changed. The values are KernelCI's words, the order is that of urgency."""

    REGRESSION = "regression"
    NEW_FAILURE = "newFailure"
    STILL_FAILING = "stillFailing"
    FIXED = "fixed"
    NEW_PASS = "newPass"  # noqa: S105 -- no password
    APPEARED = "appeared"
    DISAPPEARED = "disappeared"


class Status(StrEnum):
    """What a run says of the kernel in one test."""

    PASS = "PASS"  # noqa: S105 -- no password
    INCONCLUSIVE = "INCONCLUSIVE"
    FAIL = "FAIL"


_STATUS = {
    "passed": Status.PASS,
    "xpassed": Status.PASS,
    "failed": Status.FAIL,
    "xfailed": Status.FAIL,
    "error": Status.FAIL,
    "skipped": Status.INCONCLUSIVE,
}
_RANK = (None, *Status)  # the worst last
_LAB_FAILED = "LabError: "  # an outcome's message begins with the name of what was raised

_CHANGES: dict[tuple[Status | None, Status | None], Category] = {
    (None, Status.PASS): Category.NEW_PASS,
    (None, Status.FAIL): Category.NEW_FAILURE,
    (None, Status.INCONCLUSIVE): Category.APPEARED,
    (Status.PASS, None): Category.DISAPPEARED,
    (Status.PASS, Status.FAIL): Category.REGRESSION,
    (Status.PASS, Status.INCONCLUSIVE): Category.REGRESSION,
    (Status.FAIL, None): Category.DISAPPEARED,
    (Status.FAIL, Status.PASS): Category.FIXED,
    (Status.FAIL, Status.FAIL): Category.STILL_FAILING,
    (Status.FAIL, Status.INCONCLUSIVE): Category.DISAPPEARED,
    (Status.INCONCLUSIVE, None): Category.DISAPPEARED,
    (Status.INCONCLUSIVE, Status.PASS): Category.NEW_PASS,
    (Status.INCONCLUSIVE, Status.FAIL): Category.NEW_FAILURE,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One test that changed, or fails on; before or after is None where a run has not got it."""

    id: str
    category: Category
    before: Outcome | None
    after: Outcome | None

    @property
    def is_known(self) -> bool:
        """Whether it fails now as a finding or a known issue says it does."""
        return self.after is not None and self.after.outcome == "xfailed"

    @property
    def is_new_trouble(self) -> bool:
        """Whether somebody should look: a regression or a new failure that nobody knows of."""
        bad = self.category in (Category.REGRESSION, Category.NEW_FAILURE)
        return bad and not self.is_known


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is different in the newer of two runs. entries are in the order of category, then id.

    Tests that pass in both, or are skipped in both, are no entries: they are only counted. common
    counts the tests that came to a judgement, pass or fail, in both.
    """

    old: Run
    new: Run
    entries: list[Entry]
    still_passing: int
    still_skipped: int
    common: int

    def counts(self) -> dict[Category, int]:
        """Return how many entries each category has, zeros included."""
        counted = Counter(entry.category for entry in self.entries)
        return {category: counted[category] for category in Category}

    def of(self, category: Category) -> list[Entry]:
        """Return the entries of one category."""
        return [entry for entry in self.entries if entry.category is category]

    def new_trouble(self) -> list[Entry]:
        """Return the regressions and new failures that no finding and no known issue explains."""
        return [entry for entry in self.entries if entry.is_new_trouble]

    def differences(self) -> list[str]:
        """Return what but the kernel differs between the runs, a line each: it may be the cause."""
        sides = [_circumstances(run) for run in (self.old, self.new)]
        return [f"{name}: {sides[0][name]}, then {sides[1][name]}" for name in sides[0]
                if sides[0][name] != sides[1][name]]  # fmt: skip


def status(outcome: Outcome | None) -> Status | None:
    """Return what an outcome says of the kernel; None if it says nothing."""
    if outcome is None or lab_failed(outcome):
        return None
    return _STATUS[outcome.outcome]


def lab_failed(outcome: Outcome) -> bool:
    """Whether the lab failed before the kernel could be judged: no guest came up, say."""
    return outcome.outcome == "error" and (outcome.message or "").startswith(_LAB_FAILED)


def compare(old: Run, new: Run) -> Comparison:
    """Compare two runs, test by test; the worst outcome stands for a test a run has twice."""
    before, after = worst_of_each(old.outcomes), worst_of_each(new.outcomes)
    entries, passing, skipped, common = [], 0, 0, 0
    for test in sorted({*before, *after}):
        was, is_now = before.get(test), after.get(test)
        change = status(was), status(is_now)
        common += Status.INCONCLUSIVE not in change and None not in change
        passing += change == (Status.PASS, Status.PASS)
        skipped += change == (Status.INCONCLUSIVE, Status.INCONCLUSIVE)
        if change in _CHANGES:
            entries.append(Entry(test, _CHANGES[change], was, is_now))
    order = list(Category)
    entries.sort(key=lambda entry: (order.index(entry.category), entry.id))
    return Comparison(old, new, entries, passing, skipped, common)


def worst_of_each(outcomes: Iterable[Outcome]) -> dict[str, Outcome]:
    """Return one outcome for each test id, in the order the ids first appear."""
    worst: dict[str, Outcome] = {}
    for outcome in outcomes:
        known = worst.get(outcome.id)
        if known is None or _RANK.index(status(outcome)) > _RANK.index(status(known)):
            worst[outcome.id] = outcome
    return worst


def _circumstances(run: Run) -> dict[str, str]:
    header = run.header
    topology, qemu = header.topology, header.qemu
    return {
        "suite version": header.suite_version,
        "mode": header.mode,
        "topology": topology.name if topology else "none",
        "contents of the topology": topology.sha256[:12] if topology else "none",
        "left out": " ".join(topology.left_out) or "nothing" if topology else "nothing",
        "QEMU": f"{qemu.version} ({qemu.accel})" if qemu else "none",
    }
