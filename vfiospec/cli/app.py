# SPDX-License-Identifier: MIT
"""The command line: what there is to do, and how errors reach a person."""

import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated, Final

import typer

from vfiospec import __version__
from vfiospec.device.transcript import TranscriptError
from vfiospec.lab import LabError
from vfiospec.layout import LayoutError
from vfiospec.results.model import ResultsError

# Each word, the module that knows it, and its function there; or `app`, with words of its own.
WORDS: Final = {
    "run": ("run", "run"),
    "bisect-step": ("bisect", "bisect_step"),
    "prove": ("prove", "prove"),
    "replay": ("replay", "replay"),
    "restore": ("machine", "restore"),
    "executor": ("machine", "executor"),
    "topologies": ("machine", "topologies"),
    "bench": ("machine", "bench"),
    "selftests": ("selftests", "selftests"),
    "abi": ("abi", "app"),
    "rules": ("rules", "app"),
    "kernels": ("kernels", "app"),
    "report": ("report", "app"),
    "fuzz": ("fuzz", "app"),
}
_HIDDEN: Final = {"executor"}


def command(words: Iterable[str] = WORDS) -> typer.Typer:
    """The command with these words. Only what they need is imported: all of it takes a second."""
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
    app.callback()(_root)
    for word in words:
        module, name = WORDS[word]
        found = getattr(import_module(f"vfiospec.cli.{module}"), name)
        if name == "app":
            app.add_typer(found, name=word)
        else:
            app.command(word, hidden=word in _HIDDEN)(found)
    return app


def _version(value: bool) -> None:  # noqa: FBT001 -- typer calls it so
    if value:
        typer.echo(f"vfiospec {__version__}")
        raise typer.Exit


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
        first = sys.argv[1] if sys.argv[1:] else ""
        command([first] if first in WORDS else WORDS)()
    except (LabError, LayoutError, ResultsError, TranscriptError) as e:
        sys.stderr.write(f"vfiospec: {e}\n")
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
