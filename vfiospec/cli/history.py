# SPDX-License-Identifier: MIT
"""`vfiospec report import|history|flaky`: what many runs say together."""

import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from vfiospec.cli.run import ROOT
from vfiospec.report.flaky import flakes
from vfiospec.report.history import FILE, History
from vfiospec.results.model import RESULTS_FILE, ResultsError

Store = Annotated[
    Path,
    typer.Option(
        "--db", metavar="FILE", help="The history.", show_default="reports/history.sqlite"
    ),
]
DEFAULT = ROOT / "reports" / FILE
_SOME_ARE_NONE = 2


def add(app: typer.Typer) -> None:
    """Make each a command of app."""
    app.command("import")(import_runs)
    app.command("history")(history)
    app.command("flaky")(flaky)


def import_runs(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Runs, or folders that hold them.")
    ],
    db: Store = DEFAULT,
) -> None:
    """Take runs into the history; what is in it already is left as it is.

    Exit code: 0, or 2 if one of them is no run; the others are taken in all the same.
    """
    code = 0
    with open_history(db) as store:
        for path in (found for one in runs for found in _runs_in(one)):
            try:
                done = store.add(path)
            except ResultsError as e:
                sys.stderr.write(f"vfiospec: {e}\n")
                code = _SOME_ARE_NONE
                continue
            part = f", partial: {'; '.join(done.run.shortfalls())}" if done.run.partial else ""
            typer.echo(f"{path}: {done.what}, {len(done.run.outcomes)} outcomes{part}")
            for problem in done.run.problems:
                typer.echo(f"{path}: {problem}")
    sys.exit(code)


def history(
    test: Annotated[str, typer.Argument(metavar="TEST", help="A test's id, or its beginning.")],
    db: Store = DEFAULT,
) -> None:
    """Print each outcome of a test, the newest run first."""
    with open_history(db, must_be=True) as store:
        lines = store.lines(test)
        if not lines:
            raise ResultsError(f"no run of {test} in {db}{near(test, store.tests())}")
    for line in lines:
        where = f"{line.release} {line.topology or line.mode}"
        why = f": {line.why}" if line.why else ""
        typer.echo(f"{line.started}  {where}  {line.outcome:7}  {line.test}{why}")


def flaky(
    db: Store = DEFAULT,
    at_least: Annotated[
        int, typer.Option(min=2, metavar="N", help="Only tests judged so often.")
    ] = 2,
) -> None:
    """List the tests that passed and failed on one kernel build with one topology.

    The rate of failure comes with the bounds between which it lies with 95 % confidence.
    """
    with open_history(db, must_be=True) as store:
        found = flakes(store.sightings(), at_least)
    for flake in found:
        where = f"{flake.target.release} {flake.target.topology or flake.target.mode}"
        rate = f"{flake.rate:.0%} ({flake.low:.0%} to {flake.high:.0%})"
        typer.echo(
            f"{flake.test}  {where}: failed {flake.failures} of {flake.runs}, {rate}, "
            f"changed {flake.changes} times, last in the run of {flake.last_changed}"
        )
    typer.echo(f"{len(found)} flaky tests")


def _runs_in(path: Path) -> list[Path]:
    """A run, or the runs below a folder that is none itself."""
    if path.is_dir() and not (path / RESULTS_FILE).exists():
        return sorted(one.parent for one in path.rglob(RESULTS_FILE)) or [path]
    return [path]


def open_history(db: Path, *, must_be: bool = False) -> History:
    """Open the history. ResultsError if it must be there, and is not."""
    if must_be and not db.is_file():
        raise ResultsError(f"{db} is not there yet: `vfiospec report import RUN...` makes it")
    return History(db)


def near(word: str, known: list[str]) -> str:
    """Names that are near to one that is none, for the end of a message."""
    found = get_close_matches(word, known, 3) or known[:3]
    return f"; there is {', '.join(found)}" if found else ""
