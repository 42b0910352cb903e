# SPDX-License-Identifier: MIT
"""`vfiospec report`: a finished run in the formats people already use."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vfiospec.cli import diff, formats, history, site
from vfiospec.report.proof import markdown
from vfiospec.report.terminal import summary
from vfiospec.results.model import ResultsError, schema_text
from vfiospec.results.proof import PROOF_FILE, merged
from vfiospec.results.proof import read as read_proof
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


@app.command("proof")
def as_table(
    proofs: Annotated[
        list[Path],
        typer.Argument(metavar="PROOF", help="prove.json or its folder; of several, all of them."),
    ],
) -> None:
    """Print proofs as a table in Markdown: each rule, and the wrong kernels that proved it."""
    made = []
    for path in (p / PROOF_FILE if p.is_dir() else p for p in proofs):
        try:
            made.append(read_proof(path))
        except (OSError, ValueError) as e:
            why = f"{path}: no proof ({e}); `vfiospec prove --out DIR` makes one"
            raise ResultsError(why) from e
    typer.echo("\n".join(markdown(merged(made, sum(p.seconds for p in made)))))


@app.command("schema")
def as_schema() -> None:
    """Print the JSON Schema of a line of results.jsonl."""
    typer.echo(schema_text(), nl=False)
