# SPDX-License-Identifier: MIT
"""The command line: what there is to do, and how errors reach a person."""

import sys
from typing import Annotated

import typer

from vfiospec import __version__
from vfiospec.cli import (
    abi,
    bisect,
    fuzz,
    kernels,
    machine,
    prove,
    replay,
    report,
    rules,
    run,
    selftests,
)
from vfiospec.device.transcript import TranscriptError
from vfiospec.lab import LabError
from vfiospec.layout import LayoutError
from vfiospec.results.model import ResultsError

app = typer.Typer(
    name="vfiospec",
    help="Conformance and fuzz suite for the Linux VFIO user ABI.\n\n"
    "`vfiospec run` boots a kernel with emulated PCI devices and judges its VFIO drivers; "
    "with --device it judges a device of this machine instead.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("bisect-step")(bisect.bisect_step)
app.command("prove")(prove.prove)
app.command("replay")(replay.replay)
app.command("restore")(machine.restore)
app.command("executor", hidden=True)(machine.executor)
app.command("topologies")(machine.topologies)
app.command("bench")(machine.bench)
app.add_typer(abi.app, name="abi")
app.command("selftests")(selftests.selftests)
app.add_typer(rules.app, name="rules")
app.add_typer(kernels.app, name="kernels")
app.add_typer(report.app, name="report")
app.add_typer(fuzz.app, name="fuzz")


def _version(value: bool) -> None:  # noqa: FBT001 -- typer calls it so
    if value:
        typer.echo(f"vfiospec {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command; one clear line on stderr and exit code 2 for what cannot be done."""
    try:
        app()
    except (LabError, LayoutError, ResultsError, TranscriptError) as e:
        sys.stderr.write(f"vfiospec: {e}\n")
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
