# SPDX-License-Identifier: MIT
"""`vfiospec kernels`: which kernels can be judged, and fetching them ahead of time."""

from typing import Annotated

import typer

from vfiospec.lab.cache import cache_root
from vfiospec.lab.debian import suite_of_this_machine
from vfiospec.lab.kernel import ACCEPTED, resolve
from vfiospec.lab.sources import SUITES

app = typer.Typer(help="Kernels that can be judged.")


@app.command("list")
def list_kernels() -> None:
    """Print where kernels can come from and which are in the cache."""
    typer.echo(f"{ACCEPTED}.")
    typer.echo(f"`debian` is debian:{suite_of_this_machine()} on this machine.")
    for suite in SUITES:
        folder = cache_root() / "packages" / suite
        cached = sorted(p.name for p in folder.glob("linux-*")) if folder.is_dir() else []
        typer.echo(f"debian:{suite}" + "".join(f"\n    cached {name}" for name in cached))


@app.command()
def fetch(
    source: Annotated[str, typer.Argument(help="As --kernel of `vfiospec run`.")] = "debian",
    refresh: Annotated[bool, typer.Option(help="Ask the mirror even if asked today.")] = False,  # noqa: FBT002
) -> None:
    """Fetch a kernel into the cache and say what it is."""
    kernel = resolve(source, None, lambda text: typer.echo(text, err=True), refresh=refresh)
    typer.echo(f"{kernel.release}  {kernel.origin}\n{kernel.version_text}\n{kernel.image}")
