# SPDX-License-Identifier: MIT
"""A run as the results.yaml of a tmt test with `result: custom`.

Source: tmt's documentation, spec/results and spec/tests, "result". A plan is green as long as its
results are pass, info and skip; so a known deviation is an info, and one that is gone a warn.
"""

import json
from collections.abc import Iterator
from typing import Any

from vfiospec.report import headline, printable
from vfiospec.report.compare import worst_of_each
from vfiospec.results.model import Outcome, OutcomeName
from vfiospec.results.reader import Run

_RESULTS: dict[OutcomeName, str] = {
    "passed": "pass",
    "failed": "fail",
    "error": "error",
    "xfailed": "info",
    "xpassed": "warn",
    "skipped": "skip",
}


def tmt_results(run: Run) -> str:
    """Return the YAML list of results; a partial run carries the result /run.complete in error."""
    results = list(map(_result, worst_of_each(run.outcomes).values()))
    if run.partial:
        notes = [printable(reason) for reason in [*run.shortfalls(), *run.problems]]
        results.append({"name": "/run.complete", "result": "error", "note": notes})
    # Each item is JSON, which YAML includes: so no text can be taken for anything but text.
    lines = [f"- {json.dumps(result, ensure_ascii=False)}" for result in results]
    return "\n".join(["---", *(lines or ["[]"])]) + "\n"


def _result(outcome: Outcome) -> dict[str, Any]:
    result: dict[str, Any] = {"name": f"/{outcome.id}", "result": _RESULTS[outcome.outcome]}
    if outcome.outcome != "passed":
        result["note"] = [printable(note) for note in _notes(outcome)]
    return result | {"duration": _clock(outcome.duration)}


def _notes(outcome: Outcome) -> Iterator[str]:
    yield headline(outcome)
    if outcome.outcome == "skipped":
        return
    yield from outcome.promises or (f"rule: {rule}" for rule in outcome.rules)
    if outcome.rerun:
        yield f"rerun: {outcome.rerun}"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
