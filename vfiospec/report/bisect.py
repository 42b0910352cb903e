# SPDX-License-Identifier: MIT
"""What runs of one test say to `git bisect run`.

Source: git-bisect(1), "Bisect run": 0 is good, 125 cannot be tested, 1 to 127 otherwise is bad, and
anything above ends the bisection.
"""

from collections.abc import Iterable
from enum import IntEnum

from vfiospec.report import headline, one_line
from vfiospec.report.compare import Status, status
from vfiospec.results.model import Outcome
from vfiospec.results.reader import Run


class Answer(IntEnum):
    """Exit codes."""

    GOOD = 0
    BAD = 1
    CANNOT_TELL = 125
    STOP = 128  # asked wrongly: the answer would be the same for every commit


def judge(runs: Iterable[Run]) -> tuple[Answer, str]:
    """Return the answer and why, in a line. One failure in one run is bad; skips say nothing.

    A failure that is known is one all the same: the question is where it begins.
    """
    passed, why = 0, "no test was judged"
    for run in runs:
        for outcome in run.outcomes:
            match status(outcome):
                case Status.FAIL:
                    return Answer.BAD, f"{outcome.id}: {_broken(outcome)}"
                case Status.PASS:
                    passed += 1
                case _:
                    why = f"{outcome.id}: {outcome.outcome}: {one_line(headline(outcome))}"
        if run.started_only:
            why = f"{run.started_only[-1]}: started and never finished"
            passed = 0
            break
    if not passed:
        return Answer.CANNOT_TELL, why
    return Answer.GOOD, f"{passed} passed"


def _broken(outcome: Outcome) -> str:
    if outcome.expected is None and outcome.actual is None:
        return one_line(outcome.message or outcome.outcome)
    return one_line(f"expected {outcome.expected}, actual {outcome.actual}")
