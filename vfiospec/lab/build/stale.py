# SPDX-License-Identifier: MIT
"""Whether the VFIO sources of a built tree have changed since, by what kbuild itself wrote down."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("drivers/vfio", "drivers/iommu", "samples/vfio-mdev")
# Beside these folders, the headers that VFIO's interfaces are in.
_OURS = re.compile(rf"(?:^|/)(?:(?:{'|'.join(FOLDERS)})/|include/.*(?:vfio|iommu|mdev)[^/]*\.h$)")
_DEPENDENCY = re.compile(r"^ +(\S+\.[chS])(?: \\)?$", re.MULTILINE)
_SOURCE = re.compile(r"^source_\S+ := (\S+)$", re.MULTILINE)


def changed(tree: Path) -> list[Path]:
    """The sources in drivers/vfio and drivers/iommu that are newer than what was made of them.

    Also those that are gone. Empty for a tree without kbuild's .cmd files: nothing can be said.
    """
    found: set[Path] = set()
    times: dict[Path, float | None] = {}
    for path, built in _objects(tree):
        text = path.read_text(encoding="utf-8", errors="replace")
        for name in {*_SOURCE.findall(text), *_DEPENDENCY.findall(text)}:
            if not _OURS.search(name):
                continue
            source = tree / name  # O= builds name their sources in full
            if source not in times:
                times[source] = _time(source)
            time = times[source]
            if time is None or time > built:
                found.add(source)
    return sorted(found)


def _objects(tree: Path) -> Iterator[tuple[Path, float]]:
    for folder in FOLDERS:
        for where, _, files in os.walk(tree / folder):
            for file in files:
                if file.startswith(".") and file.endswith(".o.cmd"):
                    built = _time(Path(where, file[1:].removesuffix(".cmd")))
                    if built is not None:
                        yield Path(where, file), built


def _time(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None
