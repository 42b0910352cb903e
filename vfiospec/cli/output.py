# SPDX-License-Identifier: MIT
"""Where a report goes: stdout, or a file that is never half-written."""

import os
from contextlib import suppress
from pathlib import Path

import typer

from vfiospec.results.model import ResultsError


def put(text: str, path: Path | None) -> None:
    """Print text, or make it the contents of a file at once. ResultsError if that cannot be."""
    if path is None:
        typer.echo(text, nl=False)
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as e:
        with suppress(OSError):
            fresh.unlink()
        raise ResultsError(f"{path} cannot be written: {e.strerror}") from e
