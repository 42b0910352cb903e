# SPDX-License-Identifier: MIT
"""Debian's kernels: the newest image of a suite, fetched once and kept unpacked in the cache.

A suite may hold several versions: `SUITE=7.2` is the newest of those that begin with 7.2.
"""

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vfiospec.lab.apt import TRUSTED_SECONDS, Apt
from vfiospec.lab.cache import LabError, atomic_dir, cache_root, locked, make_dir
from vfiospec.lab.sources import SUITES, machine_codename
from vfiospec.undecodable import UNDECODABLE

META_PACKAGE = "linux-image-amd64"
SOURCE_META_PACKAGE = "linux-source"

Progress = Callable[[str], None]

_IMAGE = re.compile(r"linux-image-(?P<release>\d[^\s,:|(]*)")
_SOURCE = re.compile(r"linux-source-\d[\d.]*")
_DEPENDS = re.compile(r"^(?:Pre-)?Depends:(?P<value>.*(?:\n[ \t].*)*)", re.MULTILINE)
_PART = re.compile(r"\d+|\D+")
_MODULE_FOLDERS = ("usr/lib/modules", "lib/modules")


@dataclass(frozen=True, slots=True)
class DebianKernel:
    """A kernel of Debian, unpacked: release as uname says it, version as the archive says it."""

    release: str
    version: str
    vmlinuz: Path
    modules: tuple[Path, ...]
    config: Path | None
    package: str


@dataclass(frozen=True, slots=True)
class DebianSource:
    """A kernel source of Debian: version as the archive says it."""

    version: str
    tarball: Path


class _Record(msgspec.Struct, frozen=True):
    """What one question to a suite was answered with, and when (seconds since the epoch)."""

    when: float
    packages: list[str]
    version: str
    folder: str  # below cache_root(), which may be moved

    def path(self) -> Path:
        return cache_root() / self.folder


def suite_of_this_machine() -> str:
    """Return the suite of the Debian release this machine runs. Raises LabError if none known."""
    codename = machine_codename()
    if codename not in SUITES:
        runs = f"Debian {codename}" if codename else "no Debian with a codename"
        msg = f"debian: this machine runs {runs}; name a suite: debian:{{{','.join(SUITES)}}}"
        raise LabError(msg)
    return codename


def fetch_kernel(suite: str, progress: Progress, *, refresh: bool = False) -> DebianKernel:
    """Return the newest kernel image of suite, from the cache if it was asked for within 24 h.

    suite may be SUITE=VERSION. refresh asks the mirror in any case. Without a mirror, the newest
    cached kernel of that suite is used, and progress hears of it. Raises LabError.
    """
    suite, version = _split(suite)
    record = _obtain(
        suite, f"kernel{version}", lambda apt: _kernel_packages(apt, version), progress,
        refresh=refresh,
    )  # fmt: skip
    return _unpacked_kernel(record)


def fetch_source(suite: str, progress: Progress, *, refresh: bool = False) -> DebianSource:
    """Return the newest kernel source of suite. Cached like fetch_kernel. Raises LabError."""
    suite, version = _split(suite)
    record = _obtain(
        suite, f"source{version}", lambda apt: _source_packages(apt, version), progress,
        refresh=refresh,
    )  # fmt: skip
    found = sorted((record.path() / "usr/src").glob("linux-source-*.tar.*"))
    if not found:
        msg = f"{record.path()}: no tarball in usr/src; the package changed its layout, give a tree"
        raise LabError(msg)
    return DebianSource(record.version, found[0])


def fetch_package(
    suite: str, names: Sequence[str], progress: Progress, *, refresh: bool = False
) -> Path:
    """Return a folder with the named packages of suite unpacked over each other.

    Cached like fetch_kernel. Do not write into it. Raises LabError.
    """
    suite, version = _split(suite)
    key = "+".join(names) + version
    return _obtain(
        suite, key, lambda apt: [_of_version(apt, name, version) for name in names], progress,
        refresh=refresh,
    ).path()  # fmt: skip


def depends(stanza: str) -> str:
    """Return what a control stanza depends on, as it says it, on one line."""
    return ", ".join(" ".join(m["value"].split()) for m in _DEPENDS.finditer(stanza))


def image_release(meta_depends: str) -> str | None:
    """Return the release of the image a meta package depends on; None if it names none."""
    match = _IMAGE.search(meta_depends)
    return match["release"].removesuffix("-unsigned") if match else None


def parts_of_image(release: str, image_depends: str) -> list[str]:
    """Return the packages that make up the kernel of release, the image package first.

    Before 7.2 the image package holds everything; since then it is empty and depends on the
    kernel (linux-binary), its modules and its config (linux-base), all named after the release.
    """
    image = f"linux-image-{release}"
    named = re.findall(r"[a-z0-9][a-z0-9.+-]+", image_depends)
    parts = {f"linux-{part}-{release}" for part in ("binary", "modules", "base")}
    return [image, *sorted(parts.intersection(named))]


def source_package(meta_depends: str) -> str | None:
    """Return the source package a meta package depends on; None if it names none."""
    match = _SOURCE.search(meta_depends)
    return match[0] if match else None


def newest_image(names: Iterable[str], version: str) -> str | None:
    """Return the release of the newest image package whose version begins so; None if none does.

    Images for clouds or real time are no such.
    """
    image = re.compile(rf"linux-image-({re.escape(version)}(?![\d])[^-]*(?:-\d+)?-amd64)")
    releases = [match[1] for name in names if (match := image.fullmatch(name))]
    return max(releases, key=_natural, default=None)


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(p), "") if p.isdigit() else (-1, p) for p in _PART.findall(text)]


def _split(suite: str) -> tuple[str, str]:
    name, equals, version = suite.partition("=")
    if equals and not re.match(r"\d", version):
        raise LabError(f"debian:{suite}: behind = stands a version, as in {name}=7.2")
    return name, version


def _of_version(apt: Apt, package: str, version: str) -> str:
    """Name a package for apt: the newest, or the newest of a version."""
    if not version:
        return package
    fitting = [v for v in apt.versions(package) if re.match(rf"{re.escape(version)}(?!\d)", v)]
    if not fitting:
        raise LabError(f"no {package} of a version {version} is in that suite")
    return f"{package}={fitting[0]}"


def _kernel_packages(apt: Apt, version: str) -> list[str]:
    if version:
        newest = newest_image(apt.names("linux-image-"), version)
        if newest is None:
            raise LabError(f"no kernel image of a version {version} is in that suite")
        return parts_of_image(newest, depends(apt.show(f"linux-image-{newest}")))
    meta = depends(apt.show(META_PACKAGE))
    release = image_release(meta)
    if release is None:
        msg = f"{META_PACKAGE} depends on no kernel image ({meta}); name another suite"
        raise LabError(msg)
    return parts_of_image(release, depends(apt.show(f"linux-image-{release}")))


def _source_packages(apt: Apt, version: str) -> list[str]:
    if version:
        numbers = ".".join(version.split(".")[:2])
        return [_of_version(apt, f"linux-source-{numbers}", version)]
    meta = depends(apt.show(SOURCE_META_PACKAGE))
    package = source_package(meta)
    if package is None:
        msg = f"{SOURCE_META_PACKAGE} depends on no source ({meta}); name another suite"
        raise LabError(msg)
    return [package]


def _unpacked_kernel(record: _Record) -> DebianKernel:
    package, folder = record.packages[0], record.path()
    release = package.removeprefix("linux-image-")
    modules = tuple(
        folder / at / release for at in _MODULE_FOLDERS if (folder / at / release).is_dir()
    )
    images = [folder / f"boot/vmlinuz-{release}", *(at / "vmlinuz" for at in modules)]
    configs = [folder / f"boot/config-{release}", *(at / "config" for at in modules)]
    found = [image for image in images if image.is_file()]
    if not found or not modules:
        msg = (
            f"{folder}: no kernel image and modules of {release} in {', '.join(record.packages)};"
            " the packages changed their layout, give the path of a kernel image instead"
        )
        raise LabError(msg)
    config = next((path for path in configs if path.is_file()), None)
    return DebianKernel(release, record.version, found[0], modules, config, package)


def _obtain(
    suite: str,
    key: str,
    choose: Callable[[Apt], list[str]],
    progress: Progress,
    *,
    refresh: bool,
) -> _Record:
    if suite not in SUITES:
        msg = f"debian:{suite}: unknown suite; known are {', '.join(SUITES)}"
        raise LabError(msg)
    home = make_dir(cache_root() / "apt" / suite)
    answer = home / f"{_digest(key)}.json"

    def waiting() -> None:
        progress(f"debian:{suite}: another vfiospec is fetching it; waiting")

    with locked(home / "lock", waiting):
        known = _recall(answer)
        if known and not refresh and 0 <= time.time() - known.when < TRUSTED_SECONDS:
            return known
        try:
            record = _ask(Apt(suite, home), suite, choose, progress, refresh=refresh)
        except LabError as error:
            if known is None:
                raise
            progress(f"{error}; using {known.packages[0]} {known.version} from the cache")
            return known
        answer.write_bytes(msgspec.json.encode(record))
        return record


def _ask(
    apt: Apt, suite: str, choose: Callable[[Apt], list[str]], progress: Progress, *, refresh: bool
) -> _Record:
    if not refresh and apt.is_fresh():
        try:
            return _fetch(apt, suite, choose(apt), progress)
        except LabError as error:
            # The mirror may have replaced what a list of yesterday names: ask it anew, once.
            progress(str(error))
    progress(f"debian:{suite}: fetching the package lists")
    apt.update()
    return _fetch(apt, suite, choose(apt), progress)


def _fetch(apt: Apt, suite: str, packages: list[str], progress: Progress) -> _Record:
    debs = apt.locate(packages)
    if not debs:
        msg = f"debian:{suite}: apt has no file for {', '.join(packages)}; check the names"
        raise LabError(msg)
    files = " ".join(sorted(deb.file for deb in debs))
    folder = f"packages/{suite}/{packages[0].partition('=')[0]}-{_digest(files)}"
    target = cache_root() / folder
    first = packages[0].partition("=")[0]
    version = next(deb.version for deb in debs if deb.file.startswith(f"{first}_"))
    if not target.is_dir():
        size = sum(deb.size for deb in debs) / 1e6
        progress(f"debian:{suite}: fetching {packages[0]} {version} ({size:.0f} MB)")
        for left in target.parent.glob(".*"):  # A killed run left it: we hold the suite's lock.
            shutil.rmtree(left, ignore_errors=True)
        with atomic_dir(target) as filling:
            apt.unpack(packages, filling)
    return _Record(time.time(), packages, version, folder)


def _recall(answer: Path) -> _Record | None:
    try:
        record = msgspec.json.decode(answer.read_bytes(), type=_Record)
    except (FileNotFoundError, *UNDECODABLE):
        return None
    return record if record.path().is_dir() else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
