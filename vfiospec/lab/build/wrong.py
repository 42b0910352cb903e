# SPDX-License-Identifier: MIT
"""Builds VFIO's modules with edits, against a kernel that is built, without touching either.

The sources of VFIO are copied once for each kernel, and only what an edit changes is compiled
anew. The modules of each set of edits are kept by content.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from vfiospec.lab.build import profiles, record
from vfiospec.lab.build.builder import cpus
from vfiospec.lab.build.make import Make, check_tools, compiler, own_environment
from vfiospec.lab.build.source import version_text
from vfiospec.lab.cache import LabError, atomic_dir, cache_root, locked, make_dir
from vfiospec.lab.debian import Progress
from vfiospec.wrong.edits import Edit, EditError, edited

# Folders that are built, each with what its sources include from beside it.
FOLDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "drivers/vfio": (),
    "drivers/iommu/iommufd": ("drivers/iommu/*.h",),
    "samples/vfio-mdev": (),
}
_SOURCES = ("*.c", "*.h", "*.S", "Makefile", "Kbuild", "Kconfig")
_KEY = 16


def wrong_root() -> Path:
    """The folder of modules built with edits, which may not exist yet."""
    return cache_root() / "kernels-wrong"


def build_modules(tree: Path, edits: Sequence[Edit], progress: Progress) -> Path:
    """Build the modules that edits touch; return their folder, for `vfiospec run --modules`.

    `tree` is a finished `kernels build`, or any built kernel tree. LabError says which edit does
    not fit, or what the compiler said.
    """
    if not edits:
        raise LabError("no edit, so no module to build: judge the kernel as it is")
    tree = tree.absolute()
    source = _source_of(tree)
    folders = sorted({_folder_of(edit) for edit in edits})
    try:
        texts = edited(edits, source)
    except EditError as e:
        raise LabError(str(e)) from e
    check_tools()
    target = wrong_root() / _named(tree, source, folders, texts)
    if target.is_dir():
        return target
    work = wrong_root() / ".work" / _digest(str(tree), str(source))

    def waiting() -> None:
        progress("another vfiospec is building modules for this kernel; waiting")

    with locked(work.with_suffix(".lock"), waiting):
        if not target.is_dir():
            progress(f"building {', '.join(folders)} with {len(edits)} edit(s)")
            _refresh(work, source, texts)
            for folder in folders:
                _make(tree, work, folder)
            _keep(work, folders, target)
    return target


def _source_of(tree: Path) -> Path:
    record.check_finished(tree)
    made = record.read(tree)
    for place in (Path(made.tree) if made else tree / "source", tree):
        if (place / "drivers/vfio/vfio_main.c").exists() or (
            place / "drivers/vfio/vfio.c"
        ).exists():
            break
    else:
        raise LabError(f"{tree}: its source is not there, so nothing can be edited")
    if not (tree / "Module.symvers").is_file():
        raise LabError(f"{tree}: no Module.symvers: build its modules first")
    return place.resolve()


def _folder_of(edit: Edit) -> str:
    for folder in FOLDERS:
        if Path(edit.file).is_relative_to(folder):
            return folder
    raise LabError(f"{edit}: only files below {', '.join(FOLDERS)} are built with edits")


def _named(tree: Path, source: Path, folders: Sequence[str], texts: Mapping[str, str]) -> str:
    facts = [
        str(tree), _time(tree / "Module.symvers"), version_text(source), compiler(), *folders,
        *(f"{name}={value}" for name, value in sorted(_variables(tree).items())),
    ]  # fmt: skip
    return _digest(*facts, *(f"{file}\0{text}" for file, text in sorted(texts.items())))


def _digest(*facts: str) -> str:
    return hashlib.sha256("\0\0".join(facts).encode()).hexdigest()[:_KEY]


def _time(path: Path) -> str:
    return str(path.stat().st_mtime_ns)


def _refresh(work: Path, source: Path, texts: Mapping[str, str]) -> None:
    """Have the copied sources be those of the kernel, but for what edits change.

    A file that is right already is not written: make goes by its time.
    """
    for folder, beside in FOLDERS.items():
        if not (source / folder).is_dir():
            continue
        found = {path for pattern in _SOURCES for path in (source / folder).rglob(pattern)}
        found |= {path for pattern in beside for path in source.glob(pattern)}
        for path in found:
            name = str(path.relative_to(source))
            wanted = texts[name].encode() if name in texts else path.read_bytes()
            copy = work / name
            if not copy.exists() or copy.read_bytes() != wanted:
                make_dir(copy.parent)
                copy.write_bytes(wanted)


def _make(tree: Path, work: Path, folder: str) -> None:
    log = work / f"{folder.replace('/', '-')}.log"
    log.unlink(missing_ok=True)
    Make(
        tree=tree,
        build=None,
        log=log,
        jobs=cpus(),
        variables={**_variables(tree), "M": str(work / folder)},
        environment=own_environment() if record.read(tree) else os.environ,
    ).run("modules")


def _variables(tree: Path) -> dict[str, str]:
    """What the tree itself was built with."""
    made = record.read(tree)
    return profiles.of_a_folder(made.profile, made.variables) if made else {}


def _keep(work: Path, folders: Sequence[str], target: Path) -> None:
    modules = [path for folder in folders for path in sorted((work / folder).rglob("*.ko"))]
    if not modules:
        raise LabError(f"{work}: make built no module; is VFIO modular in this kernel?")
    with atomic_dir(target) as filling:
        for module in modules:
            shutil.copyfile(module, filling / module.name)
