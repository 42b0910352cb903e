# SPDX-License-Identifier: MIT
"""`vfiospec report FORMAT RUN`: a run in the formats that other machines read."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vfiospec.cli.output import put
from vfiospec.report.github import github_summary
from vfiospec.report.junit import junit
from vfiospec.report.kcidb import Submission, kcidb
from vfiospec.report.ktap import ktap, ktap_kselftest
from vfiospec.report.lava import lava_commands, lava_signals
from vfiospec.report.tmt import tmt_results
from vfiospec.results.reader import Run, read_run

Where = Annotated[Path, typer.Argument(metavar="RUN", help="results.jsonl or its folder.")]
Out = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write there, not to stdout."),
]


class LavaForm(StrEnum):
    """How LAVA is told."""

    COMMANDS = "commands"
    SIGNALS = "signals"


_SIMPLE: dict[str, tuple[Callable[[Run], str], str]] = {
    "junit": (junit, "JUnit XML, as pytest and surefire write it."),
    "ktap": (ktap, "KTAP version 1, one subtest for each chapter."),
    "kselftest": (ktap_kselftest, "TAP 13 as the kernel's selftest runner prints it."),
    "tmt": (tmt_results, "tmt's results.yaml, for a test with `result: custom`."),
    "github": (github_summary, "Markdown for a job's summary: append it to $GITHUB_STEP_SUMMARY."),
}


def add(app: typer.Typer) -> None:
    """Make each format a command of app."""
    for name, (make, text) in _SIMPLE.items():
        app.command(name, help=f"Print {text}")(_command(make))
    app.command("lava")(_lava)
    app.command("kcidb")(_kcidb)


def _command(make: Callable[[Run], str]) -> Callable[[Path, Path | None], None]:
    def command(run: Where, output: Out = None) -> None:
        put(make(read_run(run)), output)

    return command


def _lava(
    run: Where,
    output: Out = None,
    form: Annotated[
        LavaForm,
        typer.Option(
            help="commands: `lava-test-case ...`, to be run by LAVA's test shell, as in "
            "`vfiospec report lava RUN | sh`. signals: what these print, for a console without it."
        ),
    ] = LavaForm.COMMANDS,
) -> None:
    """Print the results for LAVA, a test set for each chapter."""
    make = lava_commands if form is LavaForm.COMMANDS else lava_signals
    put(make(read_run(run)), output)


def _kcidb(  # noqa: PLR0913, PLR0917 -- each is a choice of the user's
    run: Where,
    output: Out = None,
    origin: Annotated[
        str, typer.Option(metavar="NAME", help="Who submits, by the name KernelCI gave.")
    ] = "vfiospec",
    build: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Attach the tests to this build, which KCIDB has already."),
    ] = None,
    commit: Annotated[
        str | None, typer.Option(metavar="HASH", help="The kernel's commit, 40 digits.")
    ] = None,
    tree_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Its git tree: https://...")
    ] = None,
    *,
    kernel_log: Annotated[
        bool,
        typer.Option(
            "--kernel-log",
            help="Also what the kernel logged. What is submitted is public: look at it first.",
        ),
    ] = False,
) -> None:
    """Print a report in KCIDB's schema v5.3. Nothing is sent: docs/formats.md says how to."""
    how = Submission(
        origin=origin, build=build, commit=commit, tree_url=tree_url, kernel_log=kernel_log
    )
    put(kcidb(read_run(run), how), output)
