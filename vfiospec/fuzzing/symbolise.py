# SPDX-License-Identifier: MIT
"""Frames of a stack trace to files and lines, where the kernel and its modules have DWARF.

The addresses of functions are read with pyelftools, and their lines with addr2line of binutils,
which the build of a kernel needs anyway: pyelftools takes minutes for the lines of a kernel.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from vfiospec.fuzzing.frames import Frame, parse

ADDR2LINE = "addr2line"
_FOLDERS = (
    "arch", "block", "crypto", "drivers", "fs", "include", "init", "io_uring", "ipc", "kernel",
    "lib", "mm", "net", "samples", "security", "sound", "virt",
)  # fmt: skip
_IN_TREE = re.compile(rf"^.*?(?:^|/)(?=(?:{'|'.join(_FOLDERS)})/)")
_MODULE = re.compile(r"[-,]")


@dataclass(frozen=True, slots=True)
class Line:
    """A place in the source. Of several, the first was inlined into the next."""

    function: str
    place: str


@dataclass(frozen=True, slots=True)
class _Symbol:
    section: str
    address: int
    size: int


class Symboliser:
    """Looks frames up in one kernel: its vmlinux, and its modules by the names in traces."""

    def __init__(self, vmlinux: Path | None, modules: Mapping[str, Path]) -> None:
        """Files that are not there, packed, or without DWARF only give no lines."""
        self._files: dict[str, Path] = {"": vmlinux} if vmlinux and vmlinux.is_file() else {}
        self._files |= {name: path for name, path in modules.items() if path.suffix == ".ko"}
        self._symbols: dict[str, dict[str, list[_Symbol]]] = {}

    @property
    def able(self) -> bool:
        """Whether there is anything to look up, and something to do it with."""
        return bool(self._files) and shutil.which(ADDR2LINE) is not None

    def lines(self, frame: Frame, *, exact: bool = False) -> list[Line]:
        """Where a frame is, inlined functions first; none if that cannot be told.

        A trace holds return addresses, which belong to the next line; `exact` is for RIP.
        """
        file = self._files.get(_MODULE.sub("_", frame.module))
        symbol = self._symbol(frame)
        if file is None or symbol is None or not self.able:
            return []
        address = symbol.address + frame.offset - (0 if exact else 1)
        command = [ADDR2LINE, "-f", "-i", "-e", str(file)]
        if symbol.section:
            command += ["-j", symbol.section]
        command.append(hex(address))
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        found = done.stdout.splitlines()
        pairs = zip(found[::2], found[1::2], strict=False)
        return [Line(f, _shown(place)) for f, place in pairs if not place.startswith("??")]

    def annotate(self, lines: Iterable[str]) -> Iterator[str]:
        """The lines of a report; behind each frame its place, before it what was inlined."""
        for text in lines:
            frame = parse(text)
            places = self.lines(frame, exact="RIP" in text) if frame else []
            if not places:
                yield text
                continue
            indent = text[: len(text) - len(text.lstrip())] or " "
            for inlined in places[:-1]:
                yield f"{indent}{inlined.function} {inlined.place} [inline]"
            yield f"{text} {places[-1].place}"

    def _symbol(self, frame: Frame) -> _Symbol | None:
        module = _MODULE.sub("_", frame.module)
        if module not in self._files:
            return None
        if module not in self._symbols:
            self._symbols[module] = _read(self._files[module])
        those = self._symbols[module].get(frame.function, [])
        # Several static functions may have one name: the size tells them apart.
        fitting = [one for one in those if one.size == frame.size]
        return (fitting or those)[0] if len(fitting or those) == 1 else None


def _read(path: Path) -> dict[str, list[_Symbol]]:
    """The functions of a file; the sections only where addresses count from their start."""
    found: dict[str, list[_Symbol]] = {}
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            table = elf.get_section_by_name(".symtab")
            if not isinstance(table, SymbolTableSection):
                return {}
            names = [section.name for section in elf.iter_sections()]
            movable = elf["e_type"] == "ET_REL"
            for symbol in table.iter_symbols():
                index = symbol["st_shndx"]
                if symbol["st_info"]["type"] == "STT_FUNC" and isinstance(index, int):
                    section = names[index] if movable else ""
                    one = _Symbol(section, symbol["st_value"], symbol["st_size"])
                    found.setdefault(symbol.name, []).append(one)
    except (OSError, ELFError):
        return {}
    return _padded(found)


def _padded(symbols: dict[str, list[_Symbol]]) -> dict[str, list[_Symbol]]:
    """With sizes as the kernel prints them: up to the next function."""
    flat = sorted(
        ((one.section, one.address, name, one) for name, those in symbols.items() for one in those),
        key=lambda each: each[:2],
    )
    starts: dict[str, list[int]] = {}
    for section, address, _, _ in flat:
        if not starts.get(section) or starts[section][-1] != address:
            starts.setdefault(section, []).append(address)
    following = {
        (section, one): two for section, those in starts.items() for one, two in pairwise(those)
    }
    out: dict[str, list[_Symbol]] = {}
    for section, address, name, one in flat:
        size = following.get((section, address), address + one.size) - address
        out.setdefault(name, []).append(_Symbol(section, address, size))
    return out


def _shown(place: str) -> str:
    return _IN_TREE.sub("", place.split(" (discriminator", 1)[0])
