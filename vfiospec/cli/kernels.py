# SPDX-License-Identifier: MIT
"""`vfiospec kernels`: which kernels can be judged, fetching them ahead of time, building them."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from vfiospec.cli.building import Building, interrupts_raise
from vfiospec.lab.build import builder, profiles, prune, record
from vfiospec.lab.cache import cache_root
from vfiospec.lab.debian import suite_of_this_machine
from vfiospec.lab.kernel import ACCEPTED, resolve
from vfiospec.lab.sources import SUITES

app = typer.Typer(help="Kernels that can be judged.")


@app.command("list")
def list_kernels() -> None:
    """Print where kernels can come from, which are in the cache, and which were built."""
    typer.echo(f"{ACCEPTED}.")
    typer.echo(f"`debian` is debian:{suite_of_this_machine()} on this machine.")
    for suite in SUITES:
        folder = cache_root() / "packages" / suite
        cached = sorted(p.name for p in folder.glob("linux-*")) if folder.is_dir() else []
        typer.echo(f"debian:{suite}" + "".join(f"\n    cached {name}" for name in cached))
    typer.echo(f"built, with the profiles {', '.join(profiles.known())}:")
    for folder, one in record.builds():
        typer.echo(f"    {folder}\n        {_described(one)}, {prune.size_of(folder) >> 20} MiB")


@app.command()
def fetch(
    source: Annotated[str, typer.Argument(help="As --kernel of `vfiospec run`.")] = "debian",
    refresh: Annotated[bool, typer.Option(help="Ask the mirror even if asked today.")] = False,  # noqa: FBT002
) -> None:
    """Fetch a kernel into the cache and say what it is."""
    kernel = resolve(source, None, lambda text: typer.echo(text, err=True), refresh=refresh)
    typer.echo(f"{kernel.release}  {kernel.origin}\n{kernel.version_text}\n{kernel.image}")


@app.command()
def build(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="`debian:SUITE[=VERSION]`, a tarball of Linux, or a source tree."
        ),
    ],
    profile: Annotated[
        str, typer.Option(metavar="NAME", help=f"One of {', '.join(profiles.known())}.")
    ] = profiles.known()[0],
    jobs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Compilers at once. Default: all CPUs.")
    ] = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="From nothing, even if it is in the cache.")
    ] = False,
) -> None:
    """Build a kernel for testing, and print the path for `vfiospec run --kernel`.

    The source is left as it is; the build is kept in the cache, and one that was interrupted goes
    on where it stopped. Exit code: 0 it is built, 2 it could not be.
    """
    wanted = profiles.load(profile)
    with Building(builder.expected_objects(profile)) as shown, interrupts_raise():
        folder = builder.build_kernel(
            source, wanted, shown, jobs=jobs or builder.cpus(), force=force
        )
    typer.echo(folder)


@app.command("prune")
def prune_kernels(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Every built kernel and unpacked source.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Remove built kernels that newer ones replaced, unfinished ones, and sources of none."""
    freed = prune.prune(typer.echo, everything=everything, dry_run=dry_run)
    typer.echo(f"{freed >> 20} MiB {'would be ' if dry_run else ''}freed")


def _described(one: record.Record) -> str:
    when = datetime.fromtimestamp(one.finished or one.started, UTC).strftime("%Y-%m-%d %H:%M")
    state = "built" if one.finished else "not finished, begun"
    return f"{one.profile} of {one.spec} ({one.source}), {state} {when} UTC with {one.compiler}"
