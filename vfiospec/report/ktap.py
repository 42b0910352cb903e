# SPDX-License-Identifier: MIT
"""A run as KTAP version 1 (nested), and as the TAP 13 that the kselftest runner prints.

Source: Documentation/dev-tools/ktap.rst and tools/testing/selftests/kselftest/runner.sh.
"""

import re
from collections.abc import Iterator

from vfiospec.report import by_chapter, one_line, printable, short_name
from vfiospec.results.model import OUTCOMES, Outcome
from vfiospec.results.reader import Run

_TOTALS = dict(zip(OUTCOMES, ("pass", "fail", "skip", "error", "xfail", "xpass"), strict=True))


def ktap(run: Run) -> str:
    """Return KTAP version 1: one test per chapter, one subtest per outcome.

    A partial run ends in a failing test run.complete.
    """
    chapters = by_chapter(run)
    lines = ["KTAP version 1", f"1..{len(chapters) + run.partial}", f"# {_target(run)}"]
    for number, (chapter, outcomes) in enumerate(chapters.items(), 1):
        lines += [f"  {line}" for line in ("KTAP version 1", f"1..{len(outcomes)}")]
        for n, outcome in enumerate(outcomes, 1):
            if outcome.outcome != "skipped":  # its directive says it all
                lines += [f"  # {line}" for line in _diagnostics(outcome)]
            lines.append(f"  {_result(n, outcome)}{_directive(outcome)}")
        status, directive = _of_all(outcomes)
        lines.append(f"{status} {number} {_name(chapter)}{directive}")
    if run.partial:
        reasons = one_line("; ".join(run.shortfalls()))
        lines.append(f"not ok {len(chapters) + 1} run.complete # ERROR {reasons}")
    return "\n".join(lines) + "\n"


def ktap_kselftest(run: Run) -> str:
    """Return TAP version 13 as the kselftest runner prints it, each chapter one program.

    The outcomes are in the comments, `# ok N name`, where openQA and Linaro's parser look for
    them. Both put what follows a directive into the test's name, so the reason stands above it.
    """
    chapters = by_chapter(run)
    lines = ["TAP version 13", f"1..{len(chapters) + run.partial}", f"# {_tame(_target(run))}"]
    for number, (chapter, outcomes) in enumerate(chapters.items(), 1):
        group = f"selftests: vfio: {_name(chapter)}"
        lines += [f"# {group}", "# TAP version 13", f"# 1..{len(outcomes)}"]
        for n, outcome in enumerate(outcomes, 1):
            lines += [f"# # {_tame(line)}" for line in _diagnostics(outcome)]
            lines.append(f"# {_result(n, outcome)}{_directive(outcome, with_reason=False)}")
        lines.append(f"# # {_totals(outcomes)}")
        status, directive = _of_all(outcomes)
        directive = directive or (" # exit=1" if status == "not ok" else "")
        lines.append(f"{status} {number} {group}{directive}")
    if run.partial:
        lines += ["# selftests: vfio: run", "# TAP version 13", "# 1..1"]
        lines += [f"# # message: {_tame(one_line(reason))}" for reason in run.shortfalls()]
        lines.append("# not ok 1 complete # ERROR")
        lines.append(f"not ok {len(chapters) + 1} selftests: vfio: run # exit=1")
    return "\n".join(lines) + "\n"


def _target(run: Run) -> str:
    header = run.header
    return one_line(f"vfiospec {header.suite_version} on {header.kernel.release} ({header.mode})")


def _result(number: int, outcome: Outcome) -> str:
    status = "ok" if outcome.outcome in ("passed", "skipped", "xfailed") else "not ok"
    return f"{status} {number} {_name(short_name(outcome))}"


def _directive(outcome: Outcome, *, with_reason: bool = True) -> str:
    match outcome.outcome:
        case "skipped":
            text = f" # SKIP {outcome.message or ''}"
        case "xfailed":
            text = f" # XFAIL {outcome.finding or outcome.message or ''}"
        case "error":
            text = f" # ERROR {outcome.message or ''}"
        case _:
            return ""
    return f" {one_line(text)}" if with_reason else text[: text.index(" ", len(" # "))]


def _diagnostics(outcome: Outcome) -> Iterator[str]:
    if outcome.outcome == "passed":
        return
    named: list[tuple[str, str | None]] = [
        ("outcome", "unexpected pass" if outcome.outcome == "xpassed" else None),
        ("device", f"{outcome.device.name} {outcome.device.bdf}" if outcome.device else None),
        ("expected", outcome.expected),
        ("actual", outcome.actual),
        *(("rule", rule) for rule in outcome.rules),
        ("finding", outcome.finding),
        ("message", outcome.message),
        ("rerun", outcome.rerun),
    ]
    for name, value in named:
        # Each line carries the name, so none of them can read as a result line.
        for line in printable(value or "").split("\n"):
            if line.strip():
                yield f"{name}: {line.strip()}"


def _of_all(outcomes: list[Outcome]) -> tuple[str, str]:
    if any(outcome.outcome in ("failed", "error", "xpassed") for outcome in outcomes):
        return "not ok", ""
    return "ok", " # SKIP" if all(o.outcome == "skipped" for o in outcomes) else ""


def _totals(outcomes: list[Outcome]) -> str:
    counts = dict.fromkeys(("pass", "fail", "xfail", "xpass", "skip", "error"), 0)
    for outcome in outcomes:
        counts[_TOTALS[outcome.outcome]] += 1
    return "Totals: " + " ".join(f"{name}:{count}" for name, count in counts.items())


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_./-]+", "-", text).strip("-") or "unnamed"


def _tame(text: str) -> str:
    # Linaro's parser takes "ok 15 " anywhere in a line for a result, as in "it took 15 s".
    return re.sub(r"ok (?=\d)", "ok  ", text)
