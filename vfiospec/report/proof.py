# SPDX-License-Identifier: MIT
"""A proof as a person reads it: the table rule by proof, and what was missed."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vfiospec.report import one_line
from vfiospec.results.proof import PROOF_FILE, Proof

_ALSO = 4  # other rules that are named in the table


def summary(proof: Proof, folder: Path, console: Console) -> None:
    """Print what came of a proof."""
    caught, missed = proof.of("caught"), [*proof.of("missed"), *proof.of("lost")]
    asserted, proven = proof.asserted, proof.proven
    share = 100 * len(proven) / len(asserted) if asserted else 0.0
    verdict = ("PROVEN", "MISSED", "NOT JUDGED")[proof.exit_code()]
    _say(
        console,
        f"{verdict} {len(proven)} of {len(asserted)} asserted rules ({share:.1f} %) on "
        f"{proof.release}: {len(caught)} wrong kernels caught, {len(missed)} missed, "
        f"{len(proof.of('silent'))} do not apply here",
    )
    _say(
        console,
        f"mutation score {100 * proof.score:.1f} %, median {proof.breadth:g} rules fail for one "
        f"wrong kernel, {len(proof.false_alarms)} false alarms in {proof.tests} tests untouched",
    )
    _say(console, f"{proof.seconds:.1f} s, {proof.boots} boot(s), {proof.runs} test runs")
    console.print(_chapters(proof))
    for result in missed:
        _say(console, f"{result.verdict.upper()} {result.id} ({result.rule}): {result.what}")
        if result.actual:
            _say(console, f"  {result.actual}")
    for alarm in proof.false_alarms:
        _say(console, f"FALSE ALARM {alarm.test}: {alarm.outcome}, {alarm.message}")
    unproven = [r for r in asserted if not r.proven_by]
    for rule in unproven:
        _say(console, f"not proven: {rule.id}: {rule.why}")
    _say(console, f"Results: {folder / PROOF_FILE}")


def _say(console: Console, text: str) -> None:
    console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)


def _chapters(proof: Proof) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("chapter", "rules", "asserted", "proven", "wrong", "caught"):
        table.add_column(name, justify="left" if name == "chapter" else "right")
    rules = Counter(r.chapter for r in proof.rules)
    asserted = Counter(r.chapter for r in proof.asserted)
    proven = Counter(r.chapter for r in proof.proven)
    wrongs = Counter(w.rule.partition(".")[0] for w in proof.wrongs)
    caught = Counter(w.rule.partition(".")[0] for w in proof.of("caught"))
    for chapter in sorted(rules):
        counts = (c[chapter] for c in (rules, asserted, proven, wrongs, caught))
        table.add_row(chapter, *(str(n) for n in counts))
    return table


def markdown(proof: Proof) -> Iterator[str]:
    """The table rule by proof, for docs/proof.md."""
    wrongs = {w.id: w for w in proof.wrongs}
    yield "| rule | proven by | also fails |"
    yield "|---|---|---|"
    for rule in proof.rules:
        by = ", ".join(f"`{w}`" for w in rule.proven_by) or f"not yet: {one_line(rule.why)}"
        also = sorted({a for w in rule.proven_by for a in wrongs[w].also})
        more = f" and {len(also) - _ALSO} more" if len(also) > _ALSO else ""
        yield f"| {rule.id} | {by} | {', '.join(also[:_ALSO]) or '-'}{more} |"
