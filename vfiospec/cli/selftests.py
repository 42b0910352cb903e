# SPDX-License-Identifier: MIT
"""`vfiospec selftests`: the kernel's own tests of VFIO, on the devices that we judge."""

import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from vfiospec.cli.coverage import present
from vfiospec.lab import LabError, coverage, gcov
from vfiospec.lab.kernel import resolve
from vfiospec.lab.selftests.guest import LINES, NOTHING, PLACES, Counts, reached
from vfiospec.lab.selftests.host import run


def selftests(
    kernel: Annotated[
        str, typer.Option(metavar="TREE", help="A built kernel tree, as of `vfiospec kernels`.")
    ],
    topology: Annotated[
        str, typer.Option(metavar="NAME", help="The guest's devices: a name or a TOML file.")
    ] = "default",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Results. Default: selftests-DATE-TIME.")
    ] = None,
    *,
    count: Annotated[
        bool, typer.Option("--coverage", help="Count which lines of the kernel run.")
    ] = False,
    places: Annotated[
        bool,
        typer.Option("--places", help="Count the places that `vfiospec fuzz` counts: needs KCOV."),
    ] = False,
) -> None:
    """Run the kernel's own tools/testing/selftests/vfio in a guest, to compare with the suites.

    Each program runs on each device. Exit code: 0 they ran, whatever they found, 2 they could not.
    """
    folder = out or Path(f"selftests-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    if folder.exists() and any(folder.iterdir()):
        raise LabError(f"--out {folder} holds something already: choose another")
    found = resolve(kernel, None, _say)
    if count and places:
        raise LabError("--coverage or --places: one kernel counts lines, another one places")
    if count:
        coverage.check_tools()
        gcov.check(found)
    if places and found.config.get("CONFIG_KCOV") != "y":
        raise LabError(f"{found.release} has no KCOV: build one with --profile fuzz")
    told = run(found, topology, folder, _say, LINES if count else PLACES if places else NOTHING)
    Console().print(_table(told))
    if places:
        been = reached(folder)
        each = " ".join(f"{name} {n}" for name, n in sorted(been.items()))
        Console().print(f"{sum(been.values())} places: {each}")
    if count and found.tree is not None:
        present(folder, found.tree, Console())


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _table(told: dict[str, Counts]) -> Table:
    programs: defaultdict[str, Counts] = defaultdict(Counts)
    for name, counts in told.items():
        whole = programs[name.partition(".")[0]]
        whole.passed += counts.passed
        whole.failed += counts.failed
        whole.skipped += counts.skipped
    table = Table("program", "passed", "failed", "skipped", box=None)
    for name, whole in sorted(programs.items()):
        table.add_row(name, str(whole.passed), str(whole.failed), str(whole.skipped))
    return table
