# SPDX-License-Identifier: MIT
"""`vfiospec report`: a finished run in the formats people already use."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vfiospec.cli import diff, formats, history, site
from vfiospec.report.terminal import summary
from vfiospec.results.model import schema_text
from vfiospec.results.reader import read_run

app = typer.Typer(help="What runs say, from their results.jsonl alone.")
formats.add(app)
history.add(app)
app.command("diff")(diff.diff)
app.command("build")(site.build)
Where = Annotated[Path, typer.Argument(metavar="RUN", help="results.jsonl or its folder.")]


@app.command("summary")
def show(run: Where) -> None:
    """Print the verdict and everything unexpected."""
    folder = run if run.is_dir() else run.parent
    summary(read_run(run), folder, Console())


@app.command("schema")
def as_schema() -> None:
    """Print the JSON Schema of a line of results.jsonl."""
    typer.echo(schema_text(), nl=False)
