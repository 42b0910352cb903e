# SPDX-License-Identifier: MIT
"""What of a driver's code was reached: places, functions, lines, out of those that are traced.

The compiler puts a call of the tracer into every block of code; where those calls are is read from
the relocations of a module, so what was not reached is known as exactly as what was.
"""

import shutil
import subprocess
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from vfiospec.fuzzing.layout import Layout

TRACER = "__sanitizer_cov_trace_pc"
ADDR2LINE = "addr2line"
_CALL = 4  # bytes of a call's operand: what is traced is where the call returns to
_INSIDE = 1  # a return address belongs to the next line


class Function(msgspec.Struct, kw_only=True):
    """A function: how many places of it are traced, how many were reached."""

    name: str
    file: str = ""
    traced: int = 0
    reached: int = 0


class Module(msgspec.Struct, kw_only=True):
    """A module. `lines` are those with traced code, by file: whether each was reached."""

    name: str
    traced: int = 0
    reached: int = 0
    functions: list[Function] = []
    lines: dict[str, dict[int, bool]] = {}


class Coverage(msgspec.Struct, kw_only=True):
    """The modules of a kernel that are traced."""

    release: str = ""
    modules: list[Module] = []
    elsewhere: int = 0  # places reached outside of all of them

    @property
    def traced(self) -> int:
        """Places in all modules."""
        return sum(m.traced for m in self.modules)

    @property
    def reached(self) -> int:
        """Places reached in all modules."""
        return sum(m.reached for m in self.modules)


@dataclass
class Traced:
    """What is read from a module's file: places and functions, by section."""

    places: dict[str, list[int]] = field(default_factory=dict)
    functions: dict[str, list[tuple[int, int, str]]] = field(default_factory=dict)


def read_places(files: Iterable[Path]) -> set[int]:
    """The places that jobs wrote down, one in a line, in hexadecimal."""
    return {int(line, 16) for file in files for line in file.read_text().split()}


def measure(
    places: set[int], layout: Layout, modules: Mapping[str, Path], release: str = ""
) -> Coverage:
    """What was reached of each loaded module that is traced."""
    found, known = [], set[int]()
    for name in sorted(layout.modules):
        path = modules.get(name)
        if path is None or path.suffix != ".ko":
            continue
        file = read_traced(path)
        if file is None or not any(file.places.values()):
            continue
        found.append(_module(name, path, file, layout.sections.get(name, {}), places, known))
    return Coverage(release=release, modules=found, elsewhere=len(places - known))


def _module(  # noqa: PLR0913, PLR0917 -- the two sides of a comparison
    name: str, path: Path, file: Traced, bases: Mapping[str, int], places: set[int], known: set[int]
) -> Module:
    module = Module(name=name)
    for section, offsets in file.places.items():
        base = bases.get(section)
        if base is None:
            continue  # code of the start, gone by now
        hit = {at for at in offsets if base + at in places}
        known |= {base + at for at in hit}
        module.traced += len(offsets)
        module.reached += len(hit)
        lines = _lines(path, section, offsets)
        for offset in offsets:
            where, line = lines.get(offset, ("", 0))
            if line:
                of_file = module.lines.setdefault(where, {})
                of_file[line] = of_file.get(line, False) or offset in hit
        module.functions += _functions(file.functions.get(section, []), offsets, hit, lines)
    module.functions.sort(key=lambda f: (f.file, f.name))
    return module


def _functions(
    known: list[tuple[int, int, str]],
    offsets: list[int],
    hit: set[int],
    lines: Mapping[int, tuple[str, int]],
) -> list[Function]:
    found: dict[str, Function] = {}
    starts = [start for start, _, _ in known]
    for offset in offsets:
        at = bisect_right(starts, offset - _INSIDE) - 1
        name = known[at][2] if at >= 0 and offset <= known[at][0] + known[at][1] else "?"
        one = found.setdefault(name, Function(name=name, file=lines.get(offset, ("", 0))[0]))
        one.traced += 1
        one.reached += offset in hit
    return list(found.values())


def read_traced(path: Path) -> Traced | None:
    """Where a module's file calls the tracer; None if it is no such file."""
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            table = elf.get_section_by_name(".symtab")
            if not isinstance(table, SymbolTableSection):
                return None
            names = [section.name for section in elf.iter_sections()]
            found = Traced()
            symbols = list(table.iter_symbols())
            for symbol in symbols:
                index = symbol["st_shndx"]
                if symbol["st_info"]["type"] == "STT_FUNC" and isinstance(index, int):
                    where = (symbol["st_value"], symbol["st_size"], symbol.name)
                    found.functions.setdefault(names[index], []).append(where)
            for section in elf.iter_sections():
                if isinstance(section, RelocationSection) and section.name.startswith(".rela.text"):
                    found.places[section.name.removeprefix(".rela")] = sorted(
                        r["r_offset"] + _CALL
                        for r in section.iter_relocations()
                        if symbols[r["r_info_sym"]].name == TRACER
                    )
    except (OSError, ELFError):
        return None
    for those in found.functions.values():
        those.sort()
    return found


def _lines(path: Path, section: str, offsets: list[int]) -> dict[int, tuple[str, int]]:
    """The file and line of each place; none without DWARF, or without addr2line."""
    if not offsets or shutil.which(ADDR2LINE) is None:
        return {}
    asked = "".join(f"{offset - _INSIDE:#x}\n" for offset in offsets)
    command = [ADDR2LINE, "-e", str(path), "-j", section]
    done = subprocess.run(  # noqa: S603 -- of binutils
        command, input=asked, capture_output=True, text=True, check=False
    )
    found = {}
    for offset, text in zip(offsets, done.stdout.splitlines(), strict=False):
        where, _, line = text.split(" (")[0].rpartition(":")
        if line.isdigit() and int(line):
            found[offset] = (_short(where), int(line))
    return found


def _short(path: str) -> str:
    """A path as the kernel's sources have it."""
    parts = Path(path).parts
    for start in ("drivers", "samples", "include", "virt", "arch", "kernel", "lib", "mm"):
        if start in parts:
            return "/".join(parts[parts.index(start) :])
    return path
