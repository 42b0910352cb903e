# SPDX-License-Identifier: MIT
"""`vfiospec report`: a finished run in the formats people already use."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vfiospec.report.junit import junit
from vfiospec.report.ktap import ktap, ktap_kselftest
from vfiospec.report.terminal import summary
from vfiospec.results.model import schema_text
from vfiospec.results.reader import read_run

app = typer.Typer(help="A run as text, JUnit XML, KTAP or TAP 13, from its results.jsonl alone.")
Where = Annotated[Path, typer.Argument(metavar="RUN", help="results.jsonl or its folder.")]


@app.command("summary")
def show(run: Where) -> None:
    """Print the verdict and everything unexpected."""
    folder = run if run.is_dir() else run.parent
    summary(read_run(run), folder, Console())


@app.command("junit")
def as_junit(run: Where) -> None:
    """Print JUnit XML."""
    typer.echo(junit(read_run(run)), nl=False)


@app.command("ktap")
def as_ktap(run: Where) -> None:
    """Print KTAP version 1, one subtest for each chapter."""
    typer.echo(ktap(read_run(run)), nl=False)


@app.command("kselftest")
def as_kselftest(run: Where) -> None:
    """Print TAP 13 as the kernel's selftest runner does."""
    typer.echo(ktap_kselftest(read_run(run)), nl=False)


@app.command("schema")
def as_schema() -> None:
    """Print the JSON Schema of a line of results.jsonl."""
    typer.echo(schema_text(), nl=False)
