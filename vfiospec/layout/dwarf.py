# SPDX-License-Identifier: MIT
"""Layouts out of DWARF: a compiled header, an object, a module or a vmlinux, by pyelftools."""

import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from struct import error as StructError  # noqa: N812 -- it is one
from typing import Final

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct.core import ConstructError
from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE
from elftools.dwarf.dwarfinfo import DWARFInfo
from elftools.elf.elffile import ELFFile

from vfiospec.layout import LayoutError
from vfiospec.layout.dwarf_types import Types, name_of
from vfiospec.layout.model import Enum, Layout, Record
from vfiospec.layout.relocate import relocated

# The user headers of VFIO and iommufd, as an #include names them.
HEADERS: Final = ("linux/vfio.h", "linux/vfio_zdev.h", "linux/vfio_ccw.h", "linux/iommufd.h")

_MACHINES: Final = {("EM_X86_64", 64), ("EM_386", 32)}
_RECORDS: Final = {"DW_TAG_structure_type", "DW_TAG_union_type"}
_UAPI: Final = re.compile(r"(?:^|/)uapi/(linux/\w+\.h)$")
_INSTALLED: Final = re.compile(r"(?:^|/)include/(linux/\w+\.h)$")
# What pyelftools lets through of a damaged file, besides errors of its own.
_DAMAGE: Final = (
    ELFError, DWARFError, ConstructError, AssertionError, AttributeError, IndexError, KeyError,
    TypeError, ValueError, UnicodeDecodeError, OverflowError, StructError,
)  # fmt: skip

Chooser = Callable[[str], str | None]  # path of a file -> name of the header, None to leave it out


def uapi_headers(paths: list[str]) -> Chooser:
    """Choose what the user headers define; a kernel has others of the same names."""
    pattern = _UAPI if any(_UAPI.search(path) for path in paths) else _INSTALLED

    def choose(path: str) -> str | None:
        match = pattern.search(path)
        return match[1] if match and match[1] in HEADERS else None

    return choose


def open_elf(data: bytes, what: str) -> ELFFile:
    """Open an ELF file of a machine whose layouts are known. LayoutError if it is none."""
    if not data.startswith(b"\x7fELF"):
        raise LayoutError(f"{what}: not an ELF file; give an object, a module or a vmlinux")
    try:
        elf = ELFFile(BytesIO(data))
        machine, little = (elf["e_machine"], elf.elfclass), elf.little_endian
        sections = elf.num_sections()
        end = elf["e_shoff"] + sections * elf["e_shentsize"]
        if end <= len(data):
            end = max((s["sh_offset"] + _in_file(s) for s in elf.iter_sections()), default=0)
    except _DAMAGE as e:
        raise LayoutError(f"{what}: a damaged ELF file; build or fetch it again") from e
    if not little:
        raise LayoutError(f"{what}: big-endian; layouts of x86-64 and i386 can be read")
    if machine not in _MACHINES:
        name = str(machine[0]).removeprefix("EM_").lower()
        raise LayoutError(f"{what}: for {name}; layouts of x86-64 and i386 can be read")
    if not sections or end > len(data):
        raise LayoutError(f"{what}: a truncated ELF file; build or fetch it again")
    return elf


def read_object(data: bytes, what: str) -> Layout:
    """Read the user ABI out of an object's DWARF. LayoutError where there is none."""
    elf = open_elf(data, what)
    try:
        if not elf.has_dwarf_info(strict=True):
            raise LayoutError(f"{what}: no DWARF in it; compile it with -g (CONFIG_DEBUG_INFO)")
        structs, enums = read_units(dwarf_of(elf), uapi_headers)
    except _DAMAGE as e:
        raise LayoutError(f"{what}: its DWARF cannot be read: {e or type(e).__name__}") from e
    if not structs:
        raise LayoutError(f"{what}: its DWARF has no structure of the user headers of VFIO")
    return Layout(source=what, bits=elf.elfclass, partial=True, structs=structs, enums=enums)


def dwarf_of(elf: ELFFile) -> DWARFInfo:
    """The DWARF of an ELF file, ready to be read."""
    elf.stream.seek(0)
    data = elf.stream.read()
    ready = relocated(data, elf)
    if ready is None:
        return elf.get_dwarf_info()
    return ELFFile(BytesIO(ready)).get_dwarf_info(relocate_dwarf_sections=False)


def read_file(path: Path, what: str = "") -> Layout:
    """Like read_object, of a file."""
    return read_object(path.read_bytes(), what or str(path))


def read_units(
    dwarf: DWARFInfo, chooser: Callable[[list[str]], Chooser]
) -> tuple[dict[str, Record], tuple[Enum, ...]]:
    """Structures and enums of the chosen headers, the first definition of each."""
    structs: dict[str, Record] = {}
    enums: dict[tuple[str, ...], Enum] = {}
    for unit in dwarf.iter_CUs():
        paths = _paths(dwarf, unit)
        choose = chooser(list(paths.values()))
        headers = {number: found for number, path in paths.items() if (found := choose(path))}
        if not headers:
            continue
        types = Types()
        for die, header in _chosen(unit, headers):
            name = name_of(die)
            if die.tag == "DW_TAG_enumeration_type":
                enum = types.enum(die, header)
                enums.setdefault((name, *enum.values), enum)
            elif name and name not in structs:
                structs[name] = types.record(die, header)
    return structs, tuple(enums.values())


def _chosen(unit: CompileUnit, headers: dict[int, str]) -> Iterator[tuple[DIE, str]]:
    """The definitions of a unit that stand in one of the headers."""
    for die in unit.get_top_DIE().iter_children():
        if die.tag not in _RECORDS and die.tag != "DW_TAG_enumeration_type":
            continue
        place = die.attributes.get("DW_AT_decl_file")
        if place and place.value in headers and "DW_AT_declaration" not in die.attributes:
            yield die, headers[place.value]


def _paths(dwarf: DWARFInfo, unit: CompileUnit) -> dict[int, str]:
    """The files of a unit by their number."""
    program = dwarf.line_program_for_CU(unit)
    if program is None:
        return {}
    # Up to DWARF 4, files and folders count from 1, and folder 0 is the unit's own.
    first = 0 if program["version"] >= 5 else 1  # noqa: PLR2004 -- DWARF 5
    folders = [_text(folder) for folder in program["include_directory"]]
    if first:
        folders.insert(0, "")
    found = {}
    for number, entry in enumerate(program["file_entry"], first):
        folder = folders[entry.dir_index] if entry.dir_index < len(folders) else ""
        found[number] = f"{folder}/{_text(entry.name)}".removeprefix("/" if not folder else "")
    return found


def _text(name: bytes | str) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name


def _in_file(section: object) -> int:
    """Bytes a section has in the file."""
    header = section.header  # type: ignore[attr-defined]
    return 0 if header["sh_type"] == "SHT_NOBITS" else int(header["sh_size"])
