# SPDX-License-Identifier: MIT
"""A run for LAVA: commands of its test shell, or the signals these commands print.

Source: LAVA's documentation, "Lava-Test Test Definition 1.0", "Using the LAVA test shell helpers".
LAVA has four results, and its users match known failures by name later on. So a known deviation is
a fail here, with a reference to where it is spoken of.
"""

import shlex
import string
from collections.abc import Iterator
from urllib.parse import quote

from vfiospec.report import by_chapter, one_line
from vfiospec.report.compare import Status, status, worst_of_each
from vfiospec.results.model import Outcome
from vfiospec.results.reader import Run

_RESULTS = {
    Status.PASS: "pass",
    Status.FAIL: "fail",
    Status.INCONCLUSIVE: "skip",
    None: "unknown",  # the lab failed
}
_COMPLETE = "run.complete"
_ENDS = {ord(character): None for character in "<>"}


def lava_commands(run: Run) -> str:
    """Return lines for LAVA's test shell, a test set for each chapter; a shell runs them."""
    lines: list[str] = []
    for chapter, outcomes in _sets(run):
        lines.append(shlex.join(["lava-test-set", "start", chapter]))
        lines += [shlex.join(_command(outcome)) for outcome in outcomes]
        lines.append("lava-test-set stop")
    lines.append(f"lava-test-case {_COMPLETE} --result {_completeness(run)}")
    return "\n".join(lines) + "\n"


def lava_signals(run: Run) -> str:
    """Return the signals LAVA looks for on a console, for where its helpers cannot be called."""
    lines: list[str] = []
    for chapter, outcomes in _sets(run):
        lines.append(f"<LAVA_SIGNAL_TESTSET START {chapter}>")
        lines += map(_signal, outcomes)
        lines.append("<LAVA_SIGNAL_TESTSET STOP>")
    lines.append(f"<LAVA_SIGNAL_TESTCASE TEST_CASE_ID={_COMPLETE} RESULT={_completeness(run)}>")
    return "\n".join(lines) + "\n"


def _sets(run: Run) -> Iterator[tuple[str, list[Outcome]]]:
    worst = worst_of_each(run.outcomes)
    for outcomes in by_chapter(run).values():
        once = list(dict.fromkeys(outcome.id for outcome in outcomes))
        # The id's own first part: unlike a chapter's name, its alphabet is one LAVA can take.
        yield once[0].partition(".")[0], [worst[test] for test in once]


def _reference(outcome: Outcome) -> str | None:
    if outcome.outcome != "xfailed" or outcome.known is None or not outcome.known.link:
        return None
    # A signal ends at ">" and its words at blanks.
    return quote(one_line(outcome.known.link), safe=string.punctuation.translate(_ENDS))


def _command(outcome: Outcome) -> list[str]:
    result = _RESULTS[status(outcome)]
    if reference := _reference(outcome):
        words = ["lava-test-reference", outcome.id, "--result", result]
        return [*words, "--reference", reference]
    words = ["lava-test-case", outcome.id, "--result", result]
    return [*words, "--units", "seconds", "--measurement", f"{outcome.duration:.4f}"]


def _signal(outcome: Outcome) -> str:
    result = _RESULTS[status(outcome)]
    if reference := _reference(outcome):
        return f"<LAVA_SIGNAL_TESTREFERENCE {outcome.id} {result} {reference}>"
    words = f"TEST_CASE_ID={outcome.id} RESULT={result} UNITS=seconds"
    return f"<LAVA_SIGNAL_TESTCASE {words} MEASUREMENT={outcome.duration:.4f}>"


def _completeness(run: Run) -> str:
    return "unknown" if run.partial else "pass"
