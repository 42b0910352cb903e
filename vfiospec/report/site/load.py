# SPDX-License-Identifier: MIT
"""Finds the runs a site is made of, and reads each once."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vfiospec.results.model import RESULTS_FILE, ResultsError
from vfiospec.results.reader import Run, read_run


@dataclass(frozen=True, slots=True)
class Loaded:
    """A run, the hash of its file, and the name of the folder it was in."""

    run: Run
    sha256: str
    folder: str


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that is no run, and why."""

    folder: str
    why: str


def load(paths: Iterable[Path], on_run: Callable[[str], None]) -> tuple[list[Loaded], list[Unread]]:
    """Read runs: results files, their folders, or folders of such folders.

    One that was named is read or ResultsError says why not; among those found in a folder of
    folders one that cannot be read is set aside and told. Copies of one file count once. The order
    is that of the runs' beginnings, whatever the order of the paths.
    """
    found: dict[str, Loaded] = {}
    unread: list[Unread] = []
    for path in paths:
        for file, was_named in _files(path):
            on_run(file.parent.name)
            try:
                run = read_run(file)
            except ResultsError as error:
                if was_named:
                    raise
                unread.append(Unread(file.parent.name, _without_path(str(error), file)))
                continue
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            copy = Loaded(run, digest, file.resolve().parent.name)
            if digest not in found or copy.folder < found[digest].folder:
                found[digest] = copy
    runs = sorted(found.values(), key=lambda one: (one.run.header.started, one.sha256))
    return runs, sorted(set(unread), key=lambda one: (one.folder, one.why))


def _files(path: Path) -> Iterator[tuple[Path, bool]]:
    if not path.exists():
        raise ResultsError(f"{path}: there is no such file or folder")
    if path.is_file():
        yield path, True
    elif (path / RESULTS_FILE).is_file():
        yield path / RESULTS_FILE, True
    else:
        inside = sorted(path.glob(f"*/{RESULTS_FILE}"))
        if not inside:
            raise ResultsError(
                f"{path} holds no run: neither it nor a folder in it has a {RESULTS_FILE}"
            )
        yield from ((file, False) for file in inside)


def _without_path(message: str, file: Path) -> str:
    return message.replace(str(file), file.name)
