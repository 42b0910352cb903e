# SPDX-License-Identifier: MIT
"""Relocations of DWARF in objects and modules, those that types need.

pyelftools applies all of every section, one by one: for a vfio-pci-core.ko with DWARF that is
three quarters of the time it takes to read it.
"""

import struct
from collections.abc import Iterator
from typing import Final

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section

_SECTIONS: Final = (".debug_info", ".debug_line", ".debug_str_offsets")
_WIDE: Final = 64
_COMPRESSED: Final = 0x800  # SHF_COMPRESSED
# By size of addresses: kinds of relocation, and the format of what they write.
_KINDS: Final = {64: {1: "<Q", 10: "<I", 11: "<I"}, 32: {1: "<I"}}


def relocated(data: bytes, elf: ELFFile) -> bytes | None:
    """The file with the sections of types relocated; None if that is left to pyelftools."""
    if elf["e_type"] != "ET_REL":
        return data
    sections = list(elf.iter_sections())
    changed = bytearray(data)
    for section in sections:
        if section["sh_type"] not in {"SHT_RELA", "SHT_REL"}:
            continue
        target = sections[section["sh_info"]]
        if target.name not in _SECTIONS:
            continue
        if target["sh_flags"] & _COMPRESSED or section["sh_type"] != _usual(elf):
            return None
        values = _values(_bytes(data, sections[section["sh_link"]]), elf.elfclass)
        for offset, form, symbol, explicit in _entries(_bytes(data, section), elf.elfclass):
            at = target["sh_offset"] + offset
            # i386 has it in place.
            addend = struct.unpack_from(form, data, at)[0] if explicit is None else explicit
            struct.pack_into(form, changed, at, (values[symbol] + addend) & _mask(form))
    return bytes(changed)


def _usual(elf: ELFFile) -> str:
    return "SHT_RELA" if elf.elfclass == _WIDE else "SHT_REL"


def _entries(data: bytes, bits: int) -> Iterator[tuple[int, str, int, int | None]]:
    """Where, in which format, by which symbol, and what is added."""
    kinds = _KINDS[bits]
    if bits == _WIDE:
        for offset, info, addend in struct.iter_unpack("<QQq", data):
            if form := kinds.get(info & 0xFFFFFFFF):
                yield offset, form, info >> 32, addend
    else:
        for offset, info in struct.iter_unpack("<II", data):
            if form := kinds.get(info & 0xFF):
                yield offset, form, info >> 8, None


def _values(data: bytes, bits: int) -> list[int]:
    """The value of each symbol: in an object, its offset in its section."""
    if bits == _WIDE:
        return [entry[4] for entry in struct.iter_unpack("<IBBHQQ", data)]
    return [entry[1] for entry in struct.iter_unpack("<IIIBBH", data)]


def _bytes(data: bytes, section: Section) -> bytes:
    begin = section["sh_offset"]
    return data[begin : begin + section["sh_size"]]


def _mask(form: str) -> int:
    return (1 << 8 * struct.calcsize(form)) - 1
