# SPDX-License-Identifier: MIT
"""The results of a proof: which wrong kernel broke which rule, and whether the suites said so."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final, Literal

import msgspec

PROOF_FILE: Final = "prove.json"

# lost: the kernel died of it. silent: no test makes the call it changes on this kernel.
Verdict = Literal["caught", "missed", "silent", "lost"]


class WrongResult(msgspec.Struct, frozen=True, kw_only=True):
    """One wrong kernel. `also` are the rules that failed beside its own."""

    id: str
    kind: Literal["port", "kernel"]
    rule: str
    what: str
    verdict: Verdict
    tests: int = 0  # how many were run on it
    failed: tuple[str, ...] = ()
    expected: str = ""
    actual: str = ""
    also: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def breadth(self) -> int:
        """How many rules failed."""
        return (self.verdict == "caught") + len(self.also)


class RuleProof(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: what proved it, or why nothing did."""

    id: str
    chapter: str
    asserted: bool  # by a test that passes on the untouched kernel
    proven_by: tuple[str, ...] = ()
    why: str = ""


class FalseAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """A test that fails on the untouched kernel."""

    test: str
    outcome: str
    message: str


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    version: int = 1
    kernel: str
    release: str
    topology: str
    started: str
    seconds: float
    boots: int
    tests: int  # on the untouched kernel
    runs: int  # of tests, in all
    rules: tuple[RuleProof, ...]
    wrongs: tuple[WrongResult, ...]
    false_alarms: tuple[FalseAlarm, ...] = ()
    problem: str = ""

    def of(self, verdict: Verdict) -> list[WrongResult]:
        """The wrong kernels with one verdict."""
        return [w for w in self.wrongs if w.verdict == verdict]

    @property
    def asserted(self) -> list[RuleProof]:
        """The rules that a test asserts here."""
        return [r for r in self.rules if r.asserted]

    @property
    def proven(self) -> list[RuleProof]:
        """Those of them that a wrong kernel proved."""
        return [r for r in self.asserted if r.proven_by]

    @property
    def score(self) -> float:
        """The mutation score: the share of wrong kernels that were caught, of those that apply."""
        judged = [w for w in self.wrongs if w.verdict != "silent"]
        return len(self.of("caught")) / len(judged) if judged else 0.0

    @property
    def breadth(self) -> float:
        """The median number of rules that fail for one wrong kernel."""
        caught = [w.breadth for w in self.of("caught")]
        return float(median(caught)) if caught else 0.0

    def exit_code(self) -> int:
        """0: every wrong kernel was caught. 1: one was missed, or a test fails untouched."""
        if self.problem or not any(w.verdict != "silent" for w in self.wrongs):
            return 2
        return 1 if self.of("missed") or self.of("lost") or self.false_alarms else 0


def merged(parts: Sequence[Proof], seconds: float) -> Proof:
    """Proofs of several parts of the suites, on one kernel, as one."""
    rules: dict[str, RuleProof] = {}
    for rule in (rule for part in parts for rule in part.rules):
        before = rules.get(rule.id, rule)
        proven = tuple(dict.fromkeys((*before.proven_by, *rule.proven_by)))
        told = rule if rule.asserted or rule.proven_by else before
        rules[rule.id] = msgspec.structs.replace(
            told, asserted=before.asserted or rule.asserted, proven_by=proven,
            why="" if proven else told.why,
        )  # fmt: skip
    return msgspec.structs.replace(
        parts[0],
        seconds=seconds,
        boots=sum(p.boots for p in parts),
        tests=sum(p.tests for p in parts),
        runs=sum(p.runs for p in parts),
        rules=tuple(rules.values()),
        wrongs=tuple(w for p in parts for w in p.wrongs),
        false_alarms=tuple(a for p in parts for a in p.false_alarms),
        problem="; ".join(dict.fromkeys(p.problem for p in parts if p.problem)),
    )


def save(proof: Proof, folder: Path) -> Path:
    """Write it; it is there whole or not at all."""
    path = folder / PROOF_FILE
    draft = path.with_suffix(".tmp")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(proof), indent=1))
    draft.replace(path)
    return path


def read(path: Path) -> Proof:
    """Read it back; ValueError for a file that is none."""
    return msgspec.json.decode(path.read_bytes(), type=Proof)
