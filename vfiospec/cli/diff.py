# SPDX-License-Identifier: MIT
"""`vfiospec report diff`: what changed from a run to another, or from a kernel to another."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from vfiospec.cli.history import DEFAULT, Store, near, open_history
from vfiospec.report import one_line
from vfiospec.report.compare import Category, Comparison, Entry, compare
from vfiospec.results.model import Outcome, ResultsError
from vfiospec.results.reader import Run, read_run

_NOTHING_NEW, _REGRESSIONS, _CANNOT_JUDGE = 0, 1, 2
_SEVERITY = (_NOTHING_NEW, _CANNOT_JUDGE, _REGRESSIONS)
_TOLD = (Category.REGRESSION, Category.NEW_FAILURE)
_NAMED = (Category.FIXED, Category.STILL_FAILING)


def diff(
    old: Annotated[str, typer.Argument(metavar="A", help="A run, or a kernel of the history.")],
    new: Annotated[str, typer.Argument(metavar="B", help="What is compared with it.")],
    db: Store = DEFAULT,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also name what appeared, disappeared and newly passes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, all of it.")] = False,
) -> None:
    """Say what changed from A to B, in KernelCI's seven categories.

    A kernel is named by its release or as --kernel named it; of its newest build, runs with the
    same topology are compared. Exit code: 0 nothing new, 1 regressions or new failures that nobody
    knows of, 2 it could not be judged: no test in common, or B is not complete.
    """
    pairs = _pairs(old, new, db)
    if as_json:
        typer.echo(json.dumps([_as_json(pair) for pair in pairs], indent=1))
    else:
        for pair in pairs:
            typer.echo("\n".join(_told(pair, everything=everything)))
    sys.exit(max((_code(pair) for pair in pairs), key=_SEVERITY.index))


def _pairs(old: str, new: str, db: Path) -> list[Comparison]:
    sides = [_side(word, db) for word in (old, new)]
    before, after = sides
    if isinstance(before, Run) or isinstance(after, Run):
        olds = [before] if isinstance(before, Run) else list(before.values())
        news = [after] if isinstance(after, Run) else list(after.values())
        if len(olds) == len(news) == 1:
            return [compare(olds[0], news[0])]
        before, after = _by_kind(olds), _by_kind(news)
    kinds = [kind for kind in before if kind in after]
    if not kinds:
        raise ResultsError(f"{old} and {new} have no topology in common: nothing to compare")
    return [compare(before[kind], after[kind]) for kind in kinds]


def _side(word: str, db: Path) -> Run | dict[tuple[str, str], Run]:
    if Path(word).exists():
        return read_run(Path(word))
    if not db.is_file():
        raise ResultsError(f"{word}: no such run, and there is no history yet ({db})")
    with open_history(db) as store:
        if found := store.of_kernel(word):
            return found
        raise ResultsError(
            f"{word}: neither a run nor a kernel in {db}{near(word, store.kernels())}"
        )


def _by_kind(runs: list[Run]) -> dict[tuple[str, str], Run]:
    return {
        (run.header.mode, run.header.topology.name if run.header.topology else ""): run
        for run in runs
    }


def _code(pair: Comparison) -> int:
    if pair.new_trouble():
        return _REGRESSIONS
    return _CANNOT_JUDGE if pair.new.partial or not pair.common else _NOTHING_NEW


def _name(run: Run) -> str:
    topology = f" with {run.header.topology.name}" if run.header.topology else ""
    return f"{run.header.kernel.release}{topology} of {run.header.started}"


def _told(pair: Comparison, *, everything: bool) -> Iterator[str]:
    yield f"from {_name(pair.old)}"
    yield f"to   {_name(pair.new)}"
    yield from (f"also different: {one_line(line)}" for line in pair.differences())
    yield from (f"A is partial: {reason}" for reason in pair.old.shortfalls())
    yield from (f"B is partial: {reason}" for reason in pair.new.shortfalls())
    counts = ", ".join(f"{count} {category}" for category, count in pair.counts().items() if count)
    same = f"{pair.still_passing} pass and {pair.still_skipped} are skipped in both"
    yield f"{counts or 'nothing changed'}; {same}"
    for entry in pair.entries:
        if entry.category in _TOLD:
            yield from _trouble(entry)
        elif everything or entry.category in _NAMED:
            yield f"{entry.category}  {entry.id}"


def _trouble(entry: Entry) -> Iterator[str]:
    after = entry.after
    known = f"  (known: {after.finding})" if entry.is_known and after else ""
    yield f"{entry.category}  {entry.id}{known}"
    if after is None:
        return
    for name in ("expected", "actual"):
        if (value := getattr(after, name)) is not None:
            yield f"  {name:9} {one_line(value)}"
    if after.expected is None and after.message:
        yield f"  {after.outcome:9} {one_line(after.message)}"
    if after.rerun and not entry.is_known:
        yield f"  {'rerun':9} {one_line(after.rerun)}"


def _as_json(pair: Comparison) -> dict[str, Any]:
    def side(run: Run) -> dict[str, Any]:
        header: dict[str, Any] = msgspec.to_builtins(run.header)
        return {"header": header, "partial": run.shortfalls()}

    def outcome(one: Outcome | None) -> dict[str, Any] | None:
        return None if one is None else msgspec.to_builtins(one)

    return {
        "old": side(pair.old),
        "new": side(pair.new),
        "counts": {category.value: count for category, count in pair.counts().items()},
        "still_passing": pair.still_passing,
        "still_skipped": pair.still_skipped,
        "entries": [
            {
                "id": entry.id,
                "category": entry.category.value,
                "known": entry.is_known,
                "before": outcome(entry.before),
                "after": outcome(entry.after),
            }
            for entry in pair.entries
        ],
    }
