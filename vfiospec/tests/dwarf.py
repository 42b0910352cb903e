# SPDX-License-Identifier: MIT
"""What a C compiler makes of a kernel header: its structures, constants and macro names.

The header is compiled, never run: layouts come out of DWARF, values out of a table in the object.
"""

import platform
import re
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

_MACHINE = platform.machine()
_TABLE = "vfiospec_values"
# pci_regs.h uses __GENMASK() and leaves it to its user to include what defines it.
_PREAMBLE = (
    "#if __has_include(<linux/bits.h>)",
    "#include <asm/bitsperlong.h>",
    "#include <linux/const.h>",
    "#include <linux/bits.h>",
    "#endif",
)
_DEFINE = re.compile(r"#define (\w+)(\(?)[^\S\n]*(.*)")
_MARKER = re.compile(r'# \d+ "([^"]*)"')
_WRAPPERS = {"DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type"}
_SIGNED = {5, 6}  # DW_ATE_signed, DW_ATE_signed_char


@dataclass(frozen=True, slots=True)
class Field:
    """A named member; size 0 is a flexible array, signed and struct only where they apply."""

    name: str
    offset: int
    size: int
    signed: bool = False
    struct: str = ""


@dataclass(frozen=True, slots=True)
class Struct:
    """A structure: members of unnamed unions count as its own."""

    name: str
    size: int
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """A header as compiled; a constant is (value modulo its width, width in bytes)."""

    path: Path
    structs: dict[str, Struct]
    constants: dict[str, tuple[int, int]]
    strings: dict[str, str]
    functions: frozenset[str]


def compiler() -> str | None:
    """Find a C compiler, or None."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def read_header(cc: str, include: Path, name: str, work: Path) -> Header:
    """Compile <name> of the include root in the folder work; CalledProcessError if it does not."""
    path = include / name
    numbers, strings, functions = _macros(cc, include, name)
    code = [*_PREAMBLE, f"#include <{name}>", f"const unsigned long long {_TABLE}[] = {{"]
    code += [f"(unsigned long long)({macro}), sizeof({macro})," for macro in numbers]
    # Without an entry a header that has no macros would give an empty array.
    code += ["0};"]
    source, binary = work / "header.c", work / "header.o"
    source.write_text("\n".join(code) + "\n")
    _run(
        cc, *_search(include), "-g", "-fno-eliminate-unused-debug-types", "-c", source, "-o", binary
    )
    with binary.open("rb") as stream:
        elf = ELFFile(stream)
        values = _table(elf, 2 * len(numbers))
        constants = dict(zip(numbers, zip(values[::2], values[1::2], strict=True), strict=True))
        structs = {}
        for unit in elf.get_dwarf_info().iter_CUs():
            for die in unit.get_top_DIE().iter_children():
                if die.tag == "DW_TAG_structure_type" and "DW_AT_name" in die.attributes:
                    found = _struct(die)
                    structs[found.name] = found
                elif die.tag == "DW_TAG_enumeration_type":
                    constants |= _enumerators(die)
    masked = {key: (value % (1 << 8 * width), width) for key, (value, width) in constants.items()}
    return Header(path, structs, masked, strings, functions)


def _macros(cc: str, include: Path, name: str) -> tuple[list[str], dict[str, str], frozenset[str]]:
    """Macros that the header itself defines: numbers, strings, and those with arguments."""
    wanted = (include / name).resolve()
    numbers, strings, functions, here = [], {}, set(), False
    text = _run(cc, *_search(include), "-E", "-dD", "-include", name, "-x", "c", "/dev/null")
    for line in text.splitlines():
        if marker := _MARKER.match(line):
            here = Path(marker[1]).resolve() == wanted
        elif here and (define := _DEFINE.match(line)):
            macro, parameters, body = define.groups()
            if parameters:
                functions.add(macro)
            elif body.startswith('"'):
                strings[macro] = body.strip('"')
            elif body:  # the guard has none
                numbers.append(macro)
    return numbers, strings, frozenset(functions)


def _search(include: Path) -> tuple[str, ...]:
    """Options that put the include root, and the asm folder of this machine in it, first."""
    machine = include / f"{_MACHINE}-linux-gnu"
    return ("-I", str(include), "-I", str(machine))


def _run(*command: str | Path) -> str:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def _table(elf: ELFFile, count: int) -> tuple[int, ...]:
    symbols = elf.get_section_by_name(".symtab")
    assert isinstance(symbols, SymbolTableSection)
    symbol = next(found for found in symbols.iter_symbols() if found.name == _TABLE)
    data = elf.get_section(symbol["st_shndx"]).data()
    return struct.unpack_from(
        f"{'<' if elf.little_endian else '>'}{count}Q", data, symbol["st_value"]
    )


def _enumerators(die: DIE) -> dict[str, tuple[int, int]]:
    width = die.attributes["DW_AT_byte_size"].value
    return {
        _name(child): (child.attributes["DW_AT_const_value"].value, width)
        for child in die.iter_children()
    }


def _struct(die: DIE) -> Struct:
    return Struct(_name(die), die.attributes["DW_AT_byte_size"].value, tuple(_fields(die, 0)))


def _fields(die: DIE, base: int) -> list[Field]:
    fields: list[Field] = []
    for child in die.iter_children():
        if child.tag != "DW_TAG_member":
            continue
        location = child.attributes.get("DW_AT_data_member_location")
        offset = base + (location.value if location else 0)
        kind = _type(child)
        if "DW_AT_name" not in child.attributes:
            fields += _fields(kind, offset)
            continue
        size, signed, nested = _shape(kind)
        fields.append(Field(_name(child), offset, size, signed, nested))
    return fields


def _shape(kind: DIE) -> tuple[int, bool, str]:
    """Size in bytes, whether it is a signed number, and the name if it is a structure."""
    if kind.tag == "DW_TAG_array_type":
        size, signed, nested = _shape(_type(kind))
        for bound in kind.iter_children():
            upper = bound.attributes.get("DW_AT_upper_bound")
            size *= upper.value + 1 if upper else 0
        return size, signed, nested
    size = kind.attributes["DW_AT_byte_size"].value
    if kind.tag == "DW_TAG_structure_type":
        return size, False, _name(kind)
    encoding = kind.attributes.get("DW_AT_encoding")
    return size, bool(encoding and encoding.value in _SIGNED), ""


def _type(die: DIE) -> DIE:
    kind = die.get_DIE_from_attribute("DW_AT_type")
    while kind.tag in _WRAPPERS:
        kind = kind.get_DIE_from_attribute("DW_AT_type")
    return kind


def _name(die: DIE) -> str:
    return str(die.attributes["DW_AT_name"].value.decode())
