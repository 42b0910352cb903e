# SPDX-License-Identifier: MIT
"""The kernel under test: what the user named, resolved to an image, its modules and its config."""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vfiospec.lab.build.record import check_finished
from vfiospec.lab.cache import LabError
from vfiospec.lab.debian import Progress, fetch_kernel, suite_of_this_machine
from vfiospec.lab.modules import ModuleSet

ACCEPTED = (
    "a kernel is `debian`, `debian:SUITE`, `debian:SUITE=VERSION`, the path of an x86 bzImage,"
    " or the path of a built kernel tree"
)

# Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header"
_SETUP_SECTS, _BOOT_FLAG, _MAGIC, _VERSION, _HEADER_END = 0x1F1, 0x1FE, 0x202, 0x20E, 0x210
_SECTOR = 512
_IMAGE_IN_TREE = "arch/x86/boot/bzImage"
_RELEASE_IN_TREE = "include/config/kernel.release"
_SETTING = re.compile(r"(?P<name>CONFIG_\w+)=(?P<value>.*)")
_UNSET = re.compile(r"# (?P<name>CONFIG_\w+) is not set")


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel to boot. config maps CONFIG_ names to y, m, n or a bare value; {} if unknown.

    version_text is the whole line the image carries, origin one line of where it came from, tree
    the built kernel tree if it is one.
    """

    spec: str
    release: str
    version_text: str
    image: Path
    modules: ModuleSet
    config: Mapping[str, str]
    origin: str
    tree: Path | None


@dataclass(frozen=True, slots=True)
class _Found:
    """What a spec points at, before it is read."""

    image: Path
    folders: tuple[Path, ...]
    config: Path | None
    origin: str
    tree: Path | None = None


def resolve(
    spec: str, modules: Path | None, progress: Progress, *, refresh: bool = False
) -> Kernel:
    """Find the kernel spec names; modules is a folder whose .ko files win over its own.

    refresh asks the Debian mirror even if the cache has an answer of today. Raises LabError if
    spec is no kernel, or if the image and its modules are not of the same release.
    """
    found = _find(spec, progress, refresh=refresh)
    version_text = read_version(found.image)
    release = version_text.split(" ", 1)[0]
    folders = found.folders or _beside(found.image, release)
    origin = found.origin
    if modules is not None:
        if not ModuleSet([modules]).paths:
            msg = f"{modules}: no .ko, .ko.xz or .ko.zst file below it; give a folder of modules"
            raise LabError(msg)
        folders = (*folders, modules)
        origin += f", modules of {modules} first"
    loadable = ModuleSet(folders, release)
    loadable.check()
    config = found.config or _config_beside(found.image, release, folders)
    facts = parse_config(_text(config)) if config else {}
    return Kernel(spec, release, version_text, found.image, loadable, facts, origin, found.tree)


def read_version(image: Path) -> str:
    """Return the version line of a bzImage, release first. Raises LabError if it is none."""
    try:
        with image.open("rb") as file:
            head = file.read(_HEADER_END)
            magic = head[_BOOT_FLAG:][:2], head[_MAGIC:][:4]
            is_kernel = magic == (b"\x55\xaa", b"HdrS") and len(head) == _HEADER_END
            setup = head + file.read(max(head[_SETUP_SECTS], 4) * _SECTOR) if is_kernel else b""
    except OSError as error:
        msg = f"{image}: cannot read it ({error.strerror}); {ACCEPTED}"
        raise LabError(msg) from error
    if not is_kernel:
        msg = f"{image}: not an x86 bzImage but {_kind(head)}; {ACCEPTED}"
        raise LabError(msg)
    (offset,) = struct.unpack_from("<H", head, _VERSION)
    text, end, _ = setup[offset + _SECTOR :].partition(b"\0")
    if not offset or not text or not end:
        msg = f"{image}: a bzImage without a version line, so it is damaged; build it again"
        raise LabError(msg)
    return text.decode(errors="replace")


def parse_config(text: str) -> dict[str, str]:
    """Return the settings of a .config: quotes taken off, n for what it says is not set."""
    facts: dict[str, str] = {}
    for line in text.splitlines():
        if match := _SETTING.fullmatch(line):
            facts[match["name"]] = match["value"].strip('"')
        elif match := _UNSET.fullmatch(line):
            facts[match["name"]] = "n"
    return facts


def _find(spec: str, progress: Progress, *, refresh: bool) -> _Found:
    name, colon, suite = spec.partition(":")
    if name == "debian":
        kernel = fetch_kernel(
            suite if colon else suite_of_this_machine(), progress, refresh=refresh
        )
        origin = f"Debian package {kernel.package} {kernel.version}"
        return _Found(kernel.vmlinuz, kernel.modules, kernel.config, origin)
    path = Path(spec).expanduser().absolute()
    if path.is_dir():
        return _tree(path)
    if not path.exists():
        msg = f"{spec}: no such file; {ACCEPTED}"
        raise LabError(msg)
    if not path.is_file():
        msg = f"{spec}: neither a file nor a folder; {ACCEPTED}"
        raise LabError(msg)
    real = path.resolve()
    trees = [tree for tree in real.parents if tree / _IMAGE_IN_TREE == real]
    if trees and (trees[0] / _RELEASE_IN_TREE).is_file():
        return _tree(trees[0])
    return _Found(path, (), None, f"kernel image {path}")


def _tree(tree: Path) -> _Found:
    check_finished(tree)
    for needed in (_IMAGE_IN_TREE, _RELEASE_IN_TREE):
        if not (tree / needed).is_file():
            msg = f"{tree}: a folder without {needed}, so no built x86 kernel tree; {ACCEPTED}"
            raise LabError(msg)
    built, image = _text(tree / _RELEASE_IN_TREE).strip(), tree / _IMAGE_IN_TREE
    release = read_version(image).split(" ", 1)[0]
    if release != built:
        msg = f"{tree}: the tree is at {built}, but its bzImage is {release}; build it again"
        raise LabError(msg)
    config = tree / ".config"
    origin = f"built kernel tree {tree}"
    return _Found(image, (tree,), config if config.is_file() else None, origin, tree)


def _beside(image: Path, release: str) -> tuple[Path, ...]:
    """Return the module folder that was installed with an image, if there is one."""
    root = image.parent.parent
    places = [root / "lib/modules" / release, root / "usr/lib/modules" / release]
    if image.parent.name == release:
        places.insert(0, image.parent)
    return tuple(place for place in places if place.is_dir())[:1]


def _config_beside(image: Path, release: str, folders: tuple[Path, ...]) -> Path | None:
    places = [image.parent / f"config-{release}", *(folder / "config" for folder in folders)]
    return next((place for place in places if place.is_file()), None)


def _kind(head: bytes) -> str:
    known = {
        b"\x7fELF": "an ELF file (a vmlinux, perhaps: the bzImage is in arch/x86/boot)",
        b"!<ar": "an archive (a .deb, perhaps: unpack it)",
        b"\x1f\x8b": "a gzip file",
        b"MZ": "an EFI program without a Linux boot header",
    }
    if not head:
        return "an empty file"
    return next((text for magic, text in known.items() if head.startswith(magic)), "other data")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        msg = f"{path}: cannot read it ({error.strerror}); make it readable for this user"
        raise LabError(msg) from error
