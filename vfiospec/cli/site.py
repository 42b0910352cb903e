# SPDX-License-Identifier: MIT
"""`vfiospec report build`: a site from runs."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vfiospec.report.site.build import build as build_site


def build(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="results.jsonl, its folder, or a folder of runs."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the site goes.")],
    proof: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="prove.json: what shows that tests can fail."),
    ] = None,
    fuzz: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="The folder of a fuzz campaign. Repeatable."),
    ] = None,
) -> None:
    """Build a site from any number of runs; open DIR/index.html, no server needed.

    Features by kernel, the matrix of kernels, topologies and chapters, each rule, each result that
    is no pass, what changed, the findings, what is flaky. Beside each page lies its data as JSON.
    A site that is in DIR already is replaced once the new one is whole. Exit code: 0 it is built,
    2 it could not be.
    """
    began = time.monotonic()
    console = Console(stderr=True)
    with console.status("reading") as status:
        built = build_site(runs, out, proof=proof, fuzz=fuzz or (), say=status.update)
    for line in built.unread:
        typer.echo(f"left out: {line}", err=True)
    files = [path for path in out.rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    typer.echo(
        f"{built.runs} runs, {built.pages} pages, "
        f"{sum(path.stat().st_size for path in files) / 1e6:.1f} MB in "
        f"{time.monotonic() - began:.1f} s; the largest is {largest.relative_to(out)}, "
        f"{largest.stat().st_size / 1e3:.0f} kB"
    )
    typer.echo(out / "index.html")
