# SPDX-License-Identifier: MIT
"""A run as the Markdown of a GitHub Actions job summary, within the size GitHub accepts.

Source: GitHub's documentation of workflow commands, "Adding a job summary": at most 1 MiB for each
step, and nothing at all is shown of one that is larger.
"""

import re
from collections import Counter
from collections.abc import Iterator

from vfiospec.report import by_chapter, headline, one_line, printable
from vfiospec.results.model import OUTCOMES, Outcome
from vfiospec.results.reader import Run

LIMIT = 1 << 20
_ROOM = 4096  # for what other commands of the same step add, and for the last line
_CALLS = 8
_LINE = 2000  # characters of one value; the results file has all of it


def github_summary(run: Run, limit: int = LIMIT) -> str:
    """Return Markdown of at most limit bytes; where it is cut, it says how much is left out."""
    parts = [_head(run)]
    size = len(parts[0].encode())
    blocks = [_failure(outcome) for outcome in run.unexpected()]
    for shown, block in enumerate(blocks):
        size += len(block.encode())
        if size > limit - _ROOM:
            left = len(blocks) - shown
            parts.append(f"\n{left} more unexpected outcomes are in `results.jsonl`.\n")
            break
        parts.append(block)
    return "".join(parts)


def _head(run: Run) -> str:
    header = run.header
    where = _code(header.kernel.release)
    if header.topology is not None:
        where += f" with {_code(header.topology.name)}"
    faults = [f"- partial: {_code(reason)}" for reason in run.shortfalls()]
    faults += [f"- problem: {_code(problem)}" for problem in run.problems]
    title = f"### vfiospec: {run.verdict()}, {run.checks()} checks on {where}"
    return "\n".join([title, "", *faults, *([""] if faults else []), *_table(run), ""])


def _table(run: Run) -> Iterator[str]:
    kinds = [kind for kind in OUTCOMES if run.counts()[kind]]
    yield "| chapter | " + " | ".join(kinds) + " |"
    yield "| --- |" + " ---: |" * len(kinds)
    for chapter, outcomes in [*by_chapter(run).items(), ("total", list(run.outcomes))]:
        counted = Counter(outcome.outcome for outcome in outcomes)
        cells = " | ".join(str(counted[kind] or "") for kind in kinds)
        yield f"| {_cell(chapter)} | {cells} |"


def _failure(outcome: Outcome) -> str:
    title = f"{outcome.outcome} <code>{outcome.id}</code>"
    facts = [("device", f"{outcome.device.name} {outcome.device.bdf}")] if outcome.device else []
    facts += [("why", headline(outcome))]
    facts += [(name, text) for name in ("expected", "actual") if (text := getattr(outcome, name))]
    facts += [("promise", promise) for promise in outcome.promises or outcome.rules]
    facts += [("call", call) for call in outcome.calls[-_CALLS:]]
    facts += [("rerun", outcome.rerun)] if outcome.rerun else []
    text = "\n".join(f"{name + ':':9} {one_line(value)[:_LINE]}" for name, value in facts)
    return f"\n<details><summary>{title}</summary>\n\n{_fenced(text)}\n\n</details>\n"


def _fenced(text: str) -> str:
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{printable(text)}\n{fence}"


def _code(text: str) -> str:
    """A code span, which needs a fence longer than any run of backticks in it."""
    text = one_line(text)[:_LINE] or " "
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def _cell(text: str) -> str:
    return _code(text).replace("|", r"\|")
