# SPDX-License-Identifier: MIT
"""An apt of our own for one suite: private state, this machine's mirrors and keys, no root."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vfiospec.lab.cache import LabError, make_dir
from vfiospec.lab.sources import choose_mirrors, machine_codename, machine_sources

TRUSTED_SECONDS = 24 * 3600

_INSTEAD = "give the path of a kernel image or of a built kernel tree instead"
# How this machine reaches its mirrors (proxies, timeouts) holds for us; what it fetches does not.
_NOT_OURS = re.compile(r"Acquire::(IndexTargets|CompressionTypes|Changelogs|Languages|Allow)")
_URI_LINE = re.compile(r"'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+)(?: \S+)?")


@dataclass(frozen=True, slots=True)
class Deb:
    """A package file in the archive; size in bytes."""

    file: str
    size: int

    @property
    def version(self) -> str:
        """The package version; apt escapes the colon of an epoch in the file name."""
        return self.file.split("_")[1].replace("%3a", ":")


class Apt:
    """The packages of one suite. Not safe in two processes at once: the caller holds a lock.

    Every method raises LabError with apt's own words if apt fails.
    """

    def __init__(self, suite: str, folder: Path) -> None:
        for tool in ("apt-get", "apt-cache", "apt-config", "dpkg-deb"):
            if shutil.which(tool) is None:
                msg = f"debian:{suite}: no {tool} on this machine; {_INSTEAD}"
                raise LabError(msg)
        self._suite = suite
        self._folder = folder
        self._stamp = folder / "updated"
        self._configure()

    def update(self) -> None:
        """Fetch the package lists."""
        self._run("apt-get", "update")
        self._stamp.touch()

    def is_fresh(self) -> bool:
        """Tell whether the package lists are less than 24 h old."""
        try:
            age = time.time() - self._stamp.stat().st_mtime
        except FileNotFoundError:
            return False
        return 0 <= age < TRUSTED_SECONDS

    def show(self, package: str) -> str:
        """Return the control stanza of the newest version of package."""
        return self._run("apt-cache", "--no-all-versions", "show", package)

    def names(self, prefix: str) -> list[str]:
        """Return the names of all packages that begin so."""
        return self._run("apt-cache", "pkgnames", prefix).split()

    def versions(self, package: str) -> list[str]:
        """Return the versions there are of package, the newest first."""
        lines = self._run("apt-cache", "madison", package).splitlines()
        return [line.split("|")[1].strip() for line in lines if line.count("|") > 1]

    def locate(self, packages: Sequence[str]) -> list[Deb]:
        """Return the newest files of packages, which are asked of the lists, not of the mirror."""
        out = self._run("apt-get", "download", "--print-uris", *packages)
        return [
            Deb(match["file"], int(match["size"]))
            for match in map(_URI_LINE.fullmatch, out.splitlines())
            if match
        ]

    def unpack(self, packages: Sequence[str], into: Path) -> None:
        """Download packages, which apt checks against the signed lists, and unpack them."""
        archives = make_dir(into / ".debs")
        self._run("apt-get", "download", *packages, cwd=archives)
        for deb in sorted(archives.glob("*.deb")):
            self._run("dpkg-deb", "-x", str(deb), str(into))
        shutil.rmtree(archives)

    def _configure(self) -> None:
        for name in ("state/lists/partial", "cache/archives/partial"):
            make_dir(self._folder / name)
        mirrors = choose_mirrors(machine_sources(), machine_codename())
        _write(self._folder / "status", "")
        _write(self._folder / "sources.list", mirrors.lines(self._suite))
        _write(self._folder / "apt.conf", self._config())

    def _config(self) -> str:
        folder = self._folder
        machine = _output(["apt-config", "dump"], self._suite).splitlines()
        ours = {
            "Dir::State": folder / "state",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder / "cache",
            "Dir::Cache::pkgcache": "pkgcache.bin",
            "Dir::Cache::srcpkgcache": "",
            "Dir::Etc::SourceList": folder / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            # Without these two, the machine's hooks would run after our update.
            "Dir::Etc::Main": "/dev/null",
            "Dir::Etc::Parts": "/dev/null",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Update::Error-Mode": "any",
            # For root only: the sandbox user cannot enter a home directory.
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
        }
        kept = [
            line
            for line in machine
            if line.startswith("Acquire::") and not _NOT_OURS.match(line) and '""' not in line
        ]
        return "".join(f"{line}\n" for line in (*kept, *(f'{k} "{v}";' for k, v in ours.items())))

    def _run(self, *command: str, cwd: Path | None = None) -> str:
        env = {**os.environ, "APT_CONFIG": str(self._folder / "apt.conf"), "LC_ALL": "C"}
        return _output(list(command), self._suite, env, cwd)


def _write(path: Path, text: str) -> None:
    # A file that is newer than apt's own cache makes apt build that again.
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.touch(mode=0o600)  # A proxy may carry a password.
        path.write_text(text, encoding="utf-8")


def _output(
    command: list[str], suite: str, env: dict[str, str] | None = None, cwd: Path | None = None
) -> str:
    result = subprocess.run(  # noqa: S603 -- a fixed program, no shell
        command, env=env, cwd=cwd, capture_output=True, text=True, errors="replace", check=False
    )
    if result.returncode != 0:
        msg = f"debian:{suite}: {' '.join(command[:2])} failed: {_reason(result.stderr)}"
        raise LabError(msg)
    return result.stdout


def _reason(stderr: str) -> str:
    """Return the line that tells most: the last failed fetch, else the last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    fetches = [line for line in lines if "Failed to fetch" in line]
    return (fetches or lines or ["it said nothing"])[-1]
