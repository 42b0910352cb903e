# SPDX-License-Identifier: MIT
"""Frames of a stack trace to files and lines, where the kernel and its modules have DWARF.

By addr2line and nm of binutils, which the build of a kernel needs anyway: pyelftools, which reads
the modules here, takes minutes for the lines of a kernel.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from vfiospec.fuzzing.frames import Frame, parse

ADDR2LINE, NM = "addr2line", "nm"
_FOLDERS = (
    "arch", "block", "crypto", "drivers", "fs", "include", "init", "io_uring", "ipc", "kernel",
    "lib", "mm", "net", "samples", "security", "sound", "virt",
)  # fmt: skip
_IN_TREE = re.compile(rf"^.*?(?:^|/)(?=(?:{'|'.join(_FOLDERS)})/)")
_BUILT_FROM = re.compile(rf"(?<!\S)/\S*?/(?=(?:{'|'.join(_FOLDERS)})/\S+\.[chS]:\d)")
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
        return bool(self._files) and all(shutil.which(tool) for tool in (ADDR2LINE, NM))

    def lines(self, frame: Frame, *, exact: bool = False) -> list[Line]:
        """Where a frame is, inlined functions first; none if that cannot be told.

        A trace holds return addresses, which belong to the next line; `exact` is for RIP.
        """
        return self._looked_up([(frame, exact)])[0]

    def annotate(self, lines: Iterable[str]) -> Iterator[str]:
        """The lines of a report; behind each frame its place, before it what was inlined.

        Frames the kernel is not sure of are left alone: there are many, and they say little.
        """
        texts = list(lines)
        frames = [frame if (frame := parse(text)) and not frame.guess else None for text in texts]
        asked = [(f, "RIP" in text) for f, text in zip(frames, texts, strict=True) if f]
        found = iter(self._looked_up(asked))
        for frame, text in zip(frames, texts, strict=True):
            places = next(found) if frame else []
            if not places:
                yield text
                continue
            indent = text[: len(text) - len(text.lstrip())] or " "
            for inlined in places[:-1]:
                yield f"{indent}{inlined.function} {inlined.place} [inline]"
            yield f"{text} {places[-1].place}"

    def _looked_up(self, asked: Sequence[tuple[Frame, bool]]) -> list[list[Line]]:
        """All frames at once: one call for each file and section."""
        by_file: dict[tuple[Path, str], list[int]] = {}
        places: list[tuple[tuple[Path, str], int] | None] = []
        for frame, exact in asked:
            file = self._files.get(_MODULE.sub("_", frame.module))
            symbol = self._symbol(frame) if self.able else None
            if file is None or symbol is None:
                places.append(None)
                continue
            address = symbol.address + frame.offset - (0 if exact else 1)
            by_file.setdefault((file, symbol.section), []).append(address)
            places.append(((file, symbol.section), address))
        answers = {where: _addr2line(*where, those) for where, those in by_file.items()}
        return [answers[p[0]].get(p[1], []) if p else [] for p in places]

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


def _addr2line(file: Path, section: str, addresses: Sequence[int]) -> dict[int, list[Line]]:
    """The lines of some addresses of one file, inlined functions first."""
    command = [ADDR2LINE, "-a", "-f", "-i", "-e", str(file)]
    command += ["-j", section] if section else []
    command += [hex(address) for address in dict.fromkeys(addresses)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    found: dict[int, list[Line]] = {}
    function, address = "", 0
    for text in done.stdout.splitlines():
        if re.fullmatch(r"0x[0-9a-f]+", text):
            address, function = int(text, 16), ""
            found[address] = []
        elif not function:
            function = text
        else:
            if not text.startswith("??"):
                found[address].append(Line(function, _shown(text)))
            function = ""
    return found


def _read(path: Path) -> dict[str, list[_Symbol]]:
    """The functions of a file; the sections only where addresses count from their start."""
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            return _padded(_of_module(elf) if elf["e_type"] == "ET_REL" else _of_kernel(path))
    except (OSError, ELFError):
        return {}


def _of_module(elf: ELFFile) -> dict[str, list[_Symbol]]:
    found: dict[str, list[_Symbol]] = {}
    table = elf.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        return {}
    names = [section.name for section in elf.iter_sections()]
    for symbol in table.iter_symbols():
        index = symbol["st_shndx"]
        if symbol["st_info"]["type"] == "STT_FUNC" and isinstance(index, int):
            one = _Symbol(names[index], symbol["st_value"], symbol["st_size"])
            found.setdefault(symbol.name, []).append(one)
    return found


def _of_kernel(path: Path) -> dict[str, list[_Symbol]]:
    """The same of a linked file, by nm: 70,000 symbols in half a second and not in fifteen."""
    found: dict[str, list[_Symbol]] = {}
    command = [NM, "--defined-only", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    for text in done.stdout.splitlines():
        address, kind, name = text.split(" ", 2)
        if kind in "tTwW":
            found.setdefault(name, []).append(_Symbol("", int(address, 16), 0))
    return found


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


def in_tree(text: str) -> str:
    """A line without the folder the kernel was built from, which means nothing elsewhere."""
    return _BUILT_FROM.sub("", text)


def _shown(place: str) -> str:
    return _IN_TREE.sub("", place.split(" (discriminator", 1)[0])
