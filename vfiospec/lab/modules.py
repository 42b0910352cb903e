# SPDX-License-Identifier: MIT
"""Kernel modules in folders: which files a list of names needs, and in which order to load them."""

import lzma
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import zstandard
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from vfiospec.lab.cache import LabError

_SUFFIXES = (".ko", ".ko.xz", ".ko.zst")


@dataclass(frozen=True, slots=True)
class LoadedModule:
    """A module ready to be loaded: data is the decompressed ELF file."""

    name: str
    path: Path
    data: bytes


@dataclass(frozen=True, slots=True)
class _ModInfo:
    """What the .modinfo section of one module says."""

    depends: tuple[str, ...]
    release: str


def normalised(name: str) -> str:
    """Return the name as the kernel shows it: dashes and underscores are the same to it."""
    return name.replace("-", "_")


class ModuleSet:
    """The modules found in some folders, by name; in a later folder they win over earlier ones.

    release is the kernel they must be built for; None accepts any.
    """

    def __init__(self, folders: Sequence[Path] = (), release: str | None = None) -> None:
        self.release = release
        found = [_scan(folder) for folder in folders]
        self._paths: dict[str, Path] = {name: path for one in found for name, path in one.items()}
        self._samples = [min(one.values()) for one in found if one]

    @property
    def paths(self) -> Mapping[str, Path]:
        """The file of each module, by normalised name."""
        return self._paths

    def missing(self, wanted: Iterable[str]) -> list[str]:
        """Return the wanted names that are no module here, so built in or not in this kernel."""
        return [name for name in map(normalised, wanted) if name not in self._paths]

    def check(self) -> None:
        """Raise LabError if a folder holds modules of another kernel; opens one file of each."""
        for path in self._samples:
            self._info(path, _read(path))

    def plan(self, wanted: Sequence[str]) -> list[LoadedModule]:
        """Return the wanted modules and what they depend on, in the order to load them.

        A wanted name that is no module here is left out. Raises LabError on a corrupt module, on
        one for another kernel, on a dependency that is not here, and on a cycle.
        """
        planned: dict[str, LoadedModule] = {}
        for name in map(normalised, wanted):
            if name in self._paths:
                self._visit(name, (), planned)
        return list(planned.values())

    def _visit(self, name: str, above: tuple[str, ...], planned: dict[str, LoadedModule]) -> None:
        if name in planned:
            return
        if name in above:
            cycle = " -> ".join((*above[above.index(name) :], name))
            msg = f"{self._paths[name]}: modules depend on each other in a circle ({cycle})"
            raise LabError(msg)
        path = self._paths[name]
        data = _read(path)
        for needed in self._info(path, data).depends:
            if needed not in self._paths:
                msg = f"{path}: needs module {needed}, which is in none of the module folders"
                raise LabError(msg)
            self._visit(needed, (*above, name), planned)
        planned[name] = LoadedModule(name, path, data)

    def _info(self, path: Path, data: bytes) -> _ModInfo:
        info = _parse(path, data)
        if self.release is not None and info.release != self.release:
            msg = (
                f"{path}: built for kernel {info.release}, but the image is {self.release};"
                " give --modules a folder of that kernel"
            )
            raise LabError(msg)
        return info


def _scan(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for where, folders, files in os.walk(folder):
        # Sorted, so that of two files for one name the same one wins on every machine.
        folders[:] = sorted(name for name in folders if name != ".git")
        for file in sorted(files):
            stem, dot, rest = file.partition(".ko")
            if dot and dot + rest in _SUFFIXES:
                found[normalised(stem)] = Path(where, file)
    return found


def _read(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        if path.suffix == ".xz":
            return lzma.decompress(raw)
        if path.suffix == ".zst":
            return zstandard.ZstdDecompressor().decompressobj().decompress(raw)
    except OSError as error:
        msg = f"{path}: cannot read this module ({error.strerror})"
        raise LabError(msg) from error
    except (lzma.LZMAError, zstandard.ZstdError) as error:
        msg = f"{path}: not a whole {path.suffix[1:]} file ({error}); install it again"
        raise LabError(msg) from error
    return raw


def _parse(path: Path, data: bytes) -> _ModInfo:
    try:
        section = ELFFile(BytesIO(data)).get_section_by_name(".modinfo")
        text = section.data().decode() if section else ""
    # pyelftools lets decoding errors of its own through beside ELFError.
    except (ELFError, UnicodeDecodeError, ValueError, KeyError, IndexError, TypeError) as error:
        msg = f"{path}: not a whole ELF file, so not a kernel module ({error})"
        raise LabError(msg) from error
    facts = dict(entry.partition("=")[::2] for entry in text.split("\0") if entry)
    if "vermagic" not in facts:
        msg = f"{path}: has no vermagic, so it is not a kernel module"
        raise LabError(msg)
    depends = tuple(normalised(name) for name in facts.get("depends", "").split(",") if name)
    return _ModInfo(depends, facts["vermagic"].split(" ", 1)[0])
