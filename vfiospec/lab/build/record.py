# SPDX-License-Identifier: MIT
"""What lies beside a built kernel: what it was made of, and whether it was ever finished."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from vfiospec.lab.cache import LabError, cache_root
from vfiospec.undecodable import UNDECODABLE

RECORD = "vfiospec-build.json"
LOG = "vfiospec-build.log"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A build. Times are seconds since the epoch; finished is None until all of it is there."""

    spec: str
    source: str
    tree: str
    profile: str
    compiler: str
    variables: Mapping[str, str]
    started: float
    finished: float | None = None
    seconds: float = 0.0
    objects: int = 0


def built_root() -> Path:
    """The folder of the built kernels, which may not exist yet."""
    return cache_root() / "kernels-built"


def lock_of(folder: Path) -> Path:
    """The lock to hold while a build folder changes."""
    return folder.parent / ".locks" / folder.name


def read(folder: Path) -> Record | None:
    """The record of a build folder; None if it has none that can be read."""
    try:
        return msgspec.json.decode((folder / RECORD).read_bytes(), type=Record)
    except (OSError, *UNDECODABLE):
        return None


def write(folder: Path, record: Record) -> None:
    """Replace the record of a build folder at once."""
    fresh = folder / f".{RECORD}.new"
    fresh.write_bytes(msgspec.json.encode(record))
    fresh.replace(folder / RECORD)


def check_finished(folder: Path) -> None:
    """LabError if a folder is a build of ours that was interrupted or failed."""
    if not (folder / RECORD).exists():
        return
    record = read(folder)
    if record is None or record.finished is None:
        what = f" {record.spec} --profile {record.profile}" if record else ""
        raise LabError(
            f"{folder}: this build was not finished; run `vfiospec kernels build{what}` again"
        )


def builds() -> list[tuple[Path, Record]]:
    """Every build in the cache, the newest first."""
    root = built_root()
    folders = sorted(root.iterdir()) if root.is_dir() else []
    found = [(folder, record) for folder in folders if (record := read(folder)) is not None]
    return sorted(found, key=lambda one: -one[1].started)
