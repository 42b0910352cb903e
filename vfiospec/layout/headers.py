# SPDX-License-Identifier: MIT
"""Layouts of headers, as the C compiler sees them: compiled with -g and never run.

Layouts come out of DWARF, numbers and alignments out of a table in the object.
"""

import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from vfiospec.layout import LayoutError
from vfiospec.layout.dwarf import HEADERS, Chooser, dwarf_of, open_elf, read_units
from vfiospec.layout.includes import Includes
from vfiospec.layout.macros import Macros, read_macros
from vfiospec.layout.model import Abi, Constant, Enum, Layout, Record, Text

_TABLE: Final = "vfiospec_values"
# pci_regs.h uses __GENMASK() and leaves it to its user to include what defines it.
_PREAMBLE: Final = (
    "#if __has_include(<linux/bits.h>)",
    "#include <asm/bitsperlong.h>",
    "#include <linux/const.h>",
    "#include <linux/bits.h>",
    "#endif",
)
# Errors in what a macro stands for are reported where it is used: in our table.
_AT_MACRO: Final = "-ftrack-macro-expansion=0"
_ERROR_LINE: Final = re.compile(r"header\.c:(\d+):\d+: error:")
_WIDE, _NARROW = 64, 32


def compiler() -> str:
    """Find a C compiler. LayoutError if there is none."""
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        raise LayoutError("no C compiler, which layouts of headers need: apt install gcc")
    return found


def compiles_narrow() -> bool:
    """Whether the compiler makes code for i386 too."""
    command = [compiler(), "-m32", "-x", "c", "-c", "-o", "/dev/null", "-"]
    done = subprocess.run(command, input=b"int x;", capture_output=True, check=False)  # noqa: S603
    return done.returncode == 0


def read_abi(includes: Includes, names: Sequence[str] = HEADERS) -> Abi:
    """The headers as programs of 64 bits see them and, if the compiler can, of 32."""
    wide = read_headers(includes, names)
    narrow = read_headers(includes, names, bits=_NARROW) if compiles_narrow() else None
    return Abi(wide, narrow)


def read_headers(
    includes: Includes, names: Sequence[str] = HEADERS, *, bits: int = _WIDE
) -> Layout:
    """Compile those of the headers that are there. LayoutError if they do not compile."""
    present = [name for name in names if includes.find(name)]
    if not present:
        raise LayoutError(f"{includes.source}: no {names[0]} in it; give a folder of headers")
    command = [compiler(), f"-m{bits}", *includes.options()]
    with tempfile.TemporaryDirectory(prefix="vfiospec-headers-") as folder:
        source = Path(folder) / "header.c"
        head = [*_PREAMBLE, *(f"#include <{name}>" for name in present)]
        source.write_text("\n".join(head) + "\n")
        text = _run([*command, "-E", "-dD", str(source)], includes.source)
        files = {str(includes.find(name)): name for name in present}
        macros = read_macros(text, files)
        elf, numbers = _compiled(command, head, macros, source, includes.source)
        return _layout(elf, numbers, macros, files, includes.source)


def _layout(
    elf: ELFFile, numbers: list[str], macros: Macros, files: dict[str, str], what: str
) -> Layout:
    def choose(path: str) -> str | None:
        return files.get(path)

    def chooser(_paths: list[str]) -> Chooser:
        return choose

    structs, enums = read_units(dwarf_of(elf), chooser)
    values = _table(elf, 2 * len(numbers) + len(macros.tags))
    constants = {
        name: Constant(
            value=value % (1 << 8 * width), width=width,
            owner=macros.numbers[name].owner, header=macros.numbers[name].header,
        )
        for name, value, width in zip(
            numbers, values[0 : 2 * len(numbers) : 2], values[1 : 2 * len(numbers) : 2], strict=True
        )
    }  # fmt: skip
    aligns = dict(zip(macros.tags, values[2 * len(numbers) :], strict=True))
    return Layout(
        source=what,
        bits=elf.elfclass,
        structs={name: _aligned(record, aligns) for name, record in structs.items()},
        enums=tuple(sorted(enums, key=_place)),
        constants=constants,
        strings={k: Text(value=v.body, header=v.header) for k, v in macros.strings.items()},
        functions={k: v.header for k, v in macros.functions.items()},
    )


def _place(enum: Enum) -> tuple[str, str]:
    return enum.header, enum.name


def _aligned(record: Record, aligns: dict[str, int]) -> Record:
    """The record with the alignment the compiler gives it, which DWARF does not tell."""
    return msgspec.structs.replace(record, align=aligns.get(record.tag, record.align))


def _compiled(
    command: list[str], head: list[str], macros: Macros, source: Path, what: str
) -> tuple[ELFFile, list[str]]:
    """Compile the table; without those macros of it that are no numbers after all."""
    numbers = list(macros.numbers)
    binary = source.with_suffix(".o")
    options = ["-w", "-g", "-fno-eliminate-unused-debug-types", _AT_MACRO, "-c"]
    while True:
        table = [f"(unsigned long long)({macro}), sizeof({macro})," for macro in numbers]
        table += [f"_Alignof({tag})," for tag in macros.tags]
        begin = [*head, f"const unsigned long long {_TABLE}[] = {{"]
        # Without an entry a header that has no macros would give an empty array.
        source.write_text("\n".join([*begin, *table, "0};"]) + "\n")
        done = _try([*command, *options, str(source), "-o", str(binary)])
        if done.returncode == 0:
            return open_elf(binary.read_bytes(), what), numbers
        wrong = {int(n) - len(begin) - 1 for n in _ERROR_LINE.findall(done.stderr)}
        if not wrong or not wrong <= set(range(len(numbers))):
            raise _does_not_compile(done.stderr, what)
        numbers = [macro for at, macro in enumerate(numbers) if at not in wrong]


def _try(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603


def _run(command: list[str], what: str) -> str:
    done = _try(command)
    if done.returncode != 0:
        raise _does_not_compile(done.stderr, what)
    return done.stdout


def _does_not_compile(stderr: str, what: str) -> LayoutError:
    """What the compiler found first, in a line."""
    lines = [line for line in stderr.splitlines() if "error:" in line] or stderr.splitlines()
    first = lines[0].strip() if lines else "the compiler said nothing"
    return LayoutError(f"{what}: the headers do not compile: {first}")


def _table(elf: ELFFile, count: int) -> tuple[int, ...]:
    symbols = elf.get_section_by_name(".symtab")
    if not isinstance(symbols, SymbolTableSection):
        raise LayoutError("the compiler writes no symbols")
    symbol = next(found for found in symbols.iter_symbols() if found.name == _TABLE)
    data = elf.get_section(symbol["st_shndx"]).data()
    return struct.unpack_from(f"<{count}Q", data, symbol["st_value"])
