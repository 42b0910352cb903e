# SPDX-License-Identifier: MIT
"""The one way to the files of a machine under test: this one, a guest's or a lab machine's.

Everything else in `lab` that reads sysfs or procfs takes a `Sysfs`, so it runs in all three.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Sysfs(Protocol):
    """Absolute paths only. Every method raises OSError with the errno of that machine."""

    def read(self, path: str) -> str:
        """Return the text of a file without its trailing newline."""

    def write(self, path: str, text: str) -> None:
        """Hand `text` to an existing file in one system call; no file is created."""

    def listdir(self, path: str) -> list[str]:
        """Return the names in a folder, sorted."""

    def readlink(self, path: str) -> str:
        """Return where a symbolic link points, as written."""

    def exists(self, path: str) -> bool:
        """Tell whether something lies at `path`, links followed."""


@dataclass(frozen=True)
class LocalSysfs:
    """The files of this machine, or a tree under `root` laid out like them."""

    root: Path = Path("/")

    def at(self, path: str) -> Path:
        """Return where `path` lies on this machine."""
        return self.root / path.lstrip("/")

    def read(self, path: str) -> str:
        """Return the text of a file without its trailing newline."""
        return self.at(path).read_bytes().decode(errors="replace").rstrip("\n")

    def write(self, path: str, text: str) -> None:
        """Hand `text` to an existing file in one system call; no file is created."""
        file = os.open(self.at(path), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)

    def listdir(self, path: str) -> list[str]:
        """Return the names in a folder, sorted."""
        return sorted(entry.name for entry in self.at(path).iterdir())

    def readlink(self, path: str) -> str:
        """Return where a symbolic link points, as written."""
        return str(self.at(path).readlink())

    def exists(self, path: str) -> bool:
        """Tell whether something lies at `path`, links followed."""
        return self.at(path).exists()


def read_or_none(fs: Sysfs, path: str) -> str | None:
    """Return the text of `path`, or None where there is no such file."""
    try:
        return fs.read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def names_in(fs: Sysfs, path: str) -> list[str]:
    """Return the names in `path`; a folder that is not there is empty."""
    try:
        return fs.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []


def link_name(fs: Sysfs, path: str) -> str | None:
    """Return the last part of where `path` points, or None where there is no such link."""
    try:
        return fs.readlink(path).rpartition("/")[2]
    except (FileNotFoundError, NotADirectoryError):
        return None


def processes(fs: Sysfs) -> list[int]:
    """Return the ids of the processes the machine shows."""
    return [int(name) for name in fs.listdir("/proc") if name.isdecimal()]


def open_nodes(fs: Sysfs) -> dict[str, set[int]]:
    """Return which device nodes are open, by path, with the ids of the processes.

    Processes whose descriptors we may not read (another user's) are left out.
    """
    nodes: dict[str, set[int]] = {}
    for pid in processes(fs):
        # A process may end, or close a descriptor, while we look.
        with suppress(OSError):
            for fd in fs.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    path = fs.readlink(f"/proc/{pid}/fd/{fd}")
                    if path.startswith("/dev/"):
                        nodes.setdefault(path, set()).add(pid)
    return nodes


def vfio_nodes(fs: Sysfs, bdf: str) -> list[str]:
    """Return the device nodes through which VFIO hands out a device: group and cdev."""
    base = f"/sys/bus/pci/devices/{bdf}"
    group = link_name(fs, f"{base}/iommu_group")
    nodes = [] if group is None else [f"/dev/vfio/{group}", f"/dev/vfio/noiommu-{group}"]
    return nodes + [f"/dev/vfio/devices/{name}" for name in names_in(fs, f"{base}/vfio-dev")]
