# SPDX-License-Identifier: MIT
"""What came of a proof: for each rule what proved it, or why nothing did."""

from collections.abc import Mapping, Sequence

import pytest

from vfiospec.results import model
from vfiospec.results.proof import FalseAlarm, Proof, RuleProof, WrongResult
from vfiospec.rules import all_rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import rules_of
from vfiospec.session.outcome import Judged
from vfiospec.session.proof_run import ProofRun
from vfiospec.wrong.beyond import BEYOND


def is_asserted(rule: str, passed: Sequence[pytest.Item]) -> bool:
    """Whether a test asserts a rule here; what holds of the kernel itself, every test does."""
    if rule.startswith("kernel."):
        return bool(passed)
    return any(r.id == rule for i in passed for r in rules_of(i))


def made_of(  # noqa: PLR0913 -- all that a proof is made of
    run: ProofRun,
    baseline: Mapping[str, Judged],
    passed: Sequence[pytest.Item],
    results: Sequence[WrongResult],
    *,
    seconds: float,
    runs: int,
    problem: str,
) -> Proof:
    """All of it."""
    alarms = [j for j in baseline.values() if j.outcome in model.UNEXPECTED]
    return Proof(
        kernel=run.options.kernel,
        release=run.bench.booted.release,
        topology=run.options.topology,
        started=run.started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        seconds=round(seconds, 1),
        boots=run.bench.boots,
        tests=len(baseline),
        runs=runs,
        rules=tuple(
            _of_rule(rule, results, baseline, asserted=is_asserted(rule.id, passed))
            for rule in all_rules().values()
        ),
        wrongs=tuple(results),
        false_alarms=tuple(
            FalseAlarm(test=j.id, outcome=j.outcome, message=j.message or "") for j in alarms
        ),
        problem=problem,
    )


def _of_rule(
    rule: Rule, results: Sequence[WrongResult], baseline: Mapping[str, Judged], *, asserted: bool
) -> RuleProof:
    proven = tuple(r.id for r in results if r.rule == rule.id and r.verdict == "caught")
    why = "" if proven else _why(rule, results, baseline)
    return RuleProof(id=rule.id, chapter=rule.chapter, asserted=asserted, proven_by=proven, why=why)


def _why(rule: Rule, results: Sequence[WrongResult], baseline: Mapping[str, Judged]) -> str:
    if rule.untested:
        return f"no test: {rule.untested}"
    if rule.id in BEYOND:
        return BEYOND[rule.id]
    missed = [r.id for r in results if r.rule == rule.id and r.verdict in ("missed", "lost")]
    if missed:
        return f"not seen by its tests: {', '.join(missed)}"
    own = [j for j in baseline.values() if any(r.id == rule.id for r in rules_of(j.item))]
    if not own:
        return "no test of it was chosen, or only dangerous ones"
    if not any(j.outcome == "passed" for j in own):
        first = next((j for j in own if j.message), own[0])
        return f"{first.outcome} here: {first.message or ''}"
    return "no wrong kernel breaks it yet"
