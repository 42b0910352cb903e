# SPDX-License-Identifier: MIT
"""Kernel sources: a Debian suite's, a tarball's or a tree of the user's, ready to build from."""

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from vfiospec.lab.cache import LabError, atomic_dir, cache_root, locked
from vfiospec.lab.debian import Progress, fetch_source

ACCEPTED = "a source is `debian:SUITE[=VERSION]`, a tarball of Linux, or the path of a source tree"
# Whichever of these is there, kbuild refuses to build outside of that tree.
_BUILT_IN_PLACE = (".config", "include/config", "arch/x86/include/generated")
_MAKEFILE = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *=[ \t]*(.*)$", re.MULTILINE)
_KEY = 12


@dataclass(frozen=True, slots=True)
class Source:
    """A source tree. key names its content, unless the user may edit it: then it is its path.

    name is for people and folders, version what its Makefile says.
    """

    spec: str
    name: str
    key: str
    version: tuple[int, ...]
    tree: Path
    editable: bool


def sources_root() -> Path:
    """The folder of the unpacked sources, which may not exist yet."""
    return cache_root() / "kernel-sources"


def open_source(spec: str, progress: Progress, *, refresh: bool = False) -> Source:
    """Find the source spec names, and unpack it if need be. LabError if it is none."""
    kind, colon, suite = spec.partition(":")
    if kind == "debian" and colon:
        package = fetch_source(suite, progress, refresh=refresh)
        return _unpacked(spec, f"linux-{package.version}", package.tarball, progress)
    path = Path(spec).expanduser().absolute()
    if path.is_dir():
        return _tree(spec, path)
    if not path.is_file():
        raise LabError(f"{spec}: no such file; {ACCEPTED}")
    return _unpacked(spec, path.name.partition(".tar")[0], path, progress)


def _unpacked(spec: str, name: str, tarball: Path, progress: Progress) -> Source:
    key = _digest(tarball)
    target = sources_root() / f"{name}-{key[:_KEY]}"

    def waiting() -> None:
        progress(f"{name}: another vfiospec is unpacking it; waiting")

    with locked(sources_root() / ".locks" / target.name, waiting):
        if not target.is_dir():
            progress(f"unpacking {tarball.name}")
            # A killed run left it, and we hold the lock.
            for left in sources_root().glob(f".{target.name}.*"):
                shutil.rmtree(left, ignore_errors=True)
            with atomic_dir(target) as filling:
                _unpack(spec, tarball, filling)
    return Source(spec, name, key, tuple(version_numbers(target)), target, editable=False)


def _unpack(spec: str, tarball: Path, into: Path) -> None:
    command = ["tar", "-xf", str(tarball), "-C", str(into), "--strip-components=1"]
    command += ["--no-same-owner"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError as e:
        raise LabError("no tar: apt install tar xz-utils") from e
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["tar said nothing"]
        raise LabError(f"{spec}: {tarball} cannot be unpacked: {lines[0]}")
    version_numbers(into)


def _tree(spec: str, tree: Path) -> Source:
    version = version_numbers(tree)
    for name in _BUILT_IN_PLACE:
        if (tree / name).exists():
            raise LabError(
                f"{tree}: built in place ({name} is there), so nothing else can be built from it; "
                f"judge it as it is with `vfiospec run --kernel {tree}`, or run make mrproper in it"
            )
    name = f"{tree.name}-{version_text(tree)}"
    return Source(spec, name, str(tree.resolve()), tuple(version), tree, editable=True)


def version_text(tree: Path) -> str:
    """The version a source tree has, as in 6.12.117. LabError if it is no Linux source."""
    try:
        text = (tree / "Makefile").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    facts = {match[1]: match[2].strip() for match in _MAKEFILE.finditer(text)}
    if not {"VERSION", "PATCHLEVEL"} <= set(facts) or not (tree / "Kconfig").is_file():
        raise LabError(f"{tree}: no source of Linux (no Makefile with its version); {ACCEPTED}")
    parts = [facts[part] for part in ("VERSION", "PATCHLEVEL", "SUBLEVEL") if facts.get(part)]
    return ".".join(parts) + facts.get("EXTRAVERSION", "")


def version_numbers(tree: Path) -> list[int]:
    """Version and patch level of a source tree, to compare. LabError if it is no Linux source."""
    return [int(part) for part in re.findall(r"\d+", version_text(tree))[:2]]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
