# SPDX-License-Identifier: MIT
"""Removes built kernels and unpacked sources that are of no more use."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from vfiospec.lab.build.record import Record, builds, built_root, lock_of
from vfiospec.lab.build.source import sources_root
from vfiospec.lab.cache import LabError, locked

Say = Callable[[str], None]
_BLOCK = 512


def prune(say: Say, *, everything: bool = False, dry_run: bool = False) -> int:
    """Remove, or with dry_run only name, what is of no more use; return the bytes it took.

    That is every build that a newer one replaced or that was never finished, or every build at
    all; then the sources that no build is left of. What another process works on stays.
    """
    freed = 0
    gone = set()
    for folder, why in _useless_builds(everything=everything):
        taken = _remove(folder, why, say, dry_run=dry_run)
        if taken is not None:
            freed += taken
            gone.add(folder)
    used = {Path(record.tree) for folder, record in builds() if folder not in gone}
    for tree in _below(sources_root()):
        if tree not in used:
            freed += _remove(tree, "no build needs it", say, dry_run=dry_run) or 0
    return freed


def size_of(folder: Path) -> int:
    """The bytes a folder takes on disk."""
    total = 0
    for where, _, files in os.walk(folder):
        for file in files:
            total += Path(where, file).lstat().st_blocks * _BLOCK
    return total


def _useless_builds(*, everything: bool) -> Iterator[tuple[Path, str]]:
    newest: set[tuple[str, str]] = set()
    recorded = builds()
    for folder, record in recorded:
        why = "all were asked for" if everything else _why(record, newest)
        if record.finished is not None:
            newest.add((record.spec, record.profile))
        if why:
            yield folder, why
    known = {folder for folder, _ in recorded}
    for folder in _below(built_root()):
        if folder not in known:
            yield folder, "it has no record"


def _why(record: Record, newer: set[tuple[str, str]]) -> str:
    if record.finished is None:
        return "it was never finished"
    if (record.spec, record.profile) in newer:
        return f"there is a newer {record.profile} of {record.spec}"
    return ""


def _remove(folder: Path, why: str, say: Say, *, dry_run: bool) -> int | None:
    """Remove a folder unless it is in use, in which case the answer is None."""
    try:
        with locked(lock_of(folder), _in_use):
            size = size_of(folder)
            if not dry_run:
                shutil.rmtree(folder)
    except LabError as error:
        say(f"{folder}: kept ({error})")
        return None
    except OSError as error:
        msg = f"{folder}: cannot be removed ({error.strerror}); remove it by hand"
        raise LabError(msg) from error
    say(f"{folder}: {'would be ' if dry_run else ''}removed, {size >> 20} MiB ({why})")
    return size


def _below(root: Path) -> list[Path]:
    found = root.iterdir() if root.is_dir() else ()
    return sorted(at for at in found if at.is_dir() and not at.name.startswith("."))


def _in_use() -> None:
    raise LabError("another process has it")
