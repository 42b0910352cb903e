# SPDX-License-Identifier: MIT
"""How outcomes are shown: by a symbol and a word, so that no colour is needed to read them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from vfiospec.results.model import UNEXPECTED, Outcome


@dataclass(frozen=True, slots=True)
class Mark:
    """A symbol, the word it stands for, and the name of its style."""

    symbol: str
    word: str
    kind: str


PASS = Mark("✓", "pass", "pass")
KNOWN = Mark("△", "known", "known")
FAIL = Mark("✗", "FAIL", "fail")
SKIP = Mark("\N{EN DASH}", "skip", "skip")
NONE = Mark("·", "not run", "none")

LEGEND = (
    (PASS, "every test that came to a judgement passed"),
    (KNOWN, "a promise is broken, and it is known: each is among the findings"),
    (FAIL, "something unexpected: failed, lost with the kernel, or passed although known to fail"),
    (SKIP, "every test was skipped: the kernel or the device has not what it takes"),
    (NONE, "no run of this kernel and topology has it"),
)

OF_OUTCOME = {
    "passed": PASS,
    "xfailed": KNOWN,
    "failed": FAIL,
    "error": FAIL,
    "xpassed": FAIL,
    "skipped": SKIP,
}


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of some tests: the mark that stands for all of them, and how many of each."""

    mark: Mark
    passed: int
    known: int
    unexpected: int
    skipped: int
    href: str = ""

    @property
    def judged(self) -> int:
        """How many came to a judgement."""
        return self.passed + self.known + self.unexpected

    @property
    def short(self) -> str:
        """The number that says most: what is wrong of what was judged, else what is right."""
        if wrong := self.unexpected or self.known:
            return f"{wrong}/{self.judged}"
        return str(self.passed or self.skipped or "")

    @property
    def words(self) -> str:
        """All of it as a sentence part."""
        parts = {
            "passed": self.passed,
            "known deviations": self.known,
            "unexpected": self.unexpected,
            "skipped": self.skipped,
        }
        return ", ".join(f"{n} {word}" for word, n in parts.items() if n) or "not run"


def tally(outcomes: Iterable[Outcome], href: str = "") -> Tally:
    """Count outcomes; the worst that is among them gives the mark."""
    counts = Counter(outcome.outcome for outcome in outcomes)
    unexpected = sum(counts[name] for name in UNEXPECTED)
    passed, known, skipped = counts["passed"], counts["xfailed"], counts["skipped"]
    worst = (
        (unexpected, FAIL), (known, KNOWN), (passed, PASS), (skipped, SKIP), (1, NONE),
    )  # fmt: skip
    mark = next(mark for count, mark in worst if count)
    return Tally(mark, passed, known, unexpected, skipped, href if mark is not NONE else "")
