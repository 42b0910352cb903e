# SPDX-License-Identifier: MIT
"""Layouts out of BTF, the types a running kernel has of itself, which bpftool reads.

bpftool is kept in the kernel's own tree and writes JSON. pahole 1.24, as Debian 12 has it, was
tried: of a 6.18 kernel it skips kinds of types it does not know, and it writes C to be parsed.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Final, Literal

import msgspec

from vfiospec.layout import LayoutError
from vfiospec.layout.declared import declared_structs
from vfiospec.layout.dwarf_types import Type
from vfiospec.layout.model import BYTE, Enum, Kind, Layout, Member, Record
from vfiospec.undecodable import UNDECODABLE

_MAGIC: Final = {b"\x9f\xeb": "little", b"\xeb\x9f": "big"}
_THROUGH: Final = {"CONST", "VOLATILE", "RESTRICT", "TYPE_TAG"}
_POINTER: Final = 8
_BASE: Final = "vmlinux"
_OURS: Final = ("VFIO_", "IOMMU_", "IOMMUFD_")


class _Member(msgspec.Struct):
    name: str
    type_id: int
    bits_offset: int
    bitfield_size: int = 0


class _Value(msgspec.Struct):
    name: str
    val: int


class _Type(msgspec.Struct):
    id: int
    kind: str
    name: str
    size: int = 0
    type_id: int = 0
    nr_elems: int = 0
    encoding: str = ""
    members: list[_Member] = []
    values: list[_Value] = []


class _Dump(msgspec.Struct):
    types: list[_Type]


def is_btf(data: bytes) -> bool:
    """Whether it is raw BTF, of whatever byte order."""
    return data[:2] in _MAGIC


def read_btf(path: Path, *modules: Path) -> Layout:
    """Read a file of raw BTF: a vmlinux, then its modules; or a module with a vmlinux beside it.

    BTF does not tell which header defines a structure: those that vfiospec.abi declares are kept.
    """
    for one in (path, *modules):
        if _MAGIC.get(one.read_bytes()[:2]) != "little":
            raise LayoutError(f"{one}: big-endian, or no BTF; that of x86-64 can be read")
    tool, what, beside = _bpftool(), path, path.parent / _BASE
    if path.name != _BASE and beside.is_file():
        path, modules = beside, (path, *modules)
    base = {found.id: found for found in _dump(tool, [], str(path))}
    structs, enums = _ours(base)
    for module in modules:
        own = {found.id: found for found in _dump(tool, ["-B", str(path)], str(module))}
        more, values = _ours(base | own)
        structs, enums = {**more, **structs}, enums | values
    if not structs:
        raise LayoutError(f"{what}: no structure of VFIO or iommufd in it: is the module loaded?")
    return Layout(source=str(what), partial=True, structs=structs, enums=tuple(enums.values()))


def _ours(types: dict[int, _Type]) -> tuple[dict[str, Record], dict[str, Enum]]:
    """The structures that vfiospec.abi declares, and enums of the user headers, by first value."""
    known, reader = declared_structs(), _Reader(types)
    structs = {t.name: reader.record(t) for t in types.values() if t.name in known and _is_whole(t)}
    enums = {
        t.values[0].name: Enum(
            name="" if t.name == "(anon)" else t.name,
            values={v.name: v.val % (1 << BYTE * t.size) for v in t.values},
            size=t.size,
        )
        for t in types.values()
        if t.kind.startswith("ENUM") and t.values and t.values[0].name.startswith(_OURS)
    }
    return structs, enums


def _is_whole(found: _Type) -> bool:
    return found.kind in {"STRUCT", "UNION"} and found.size > 0


def _bpftool() -> str:
    found = shutil.which("bpftool") or shutil.which("bpftool", path="/usr/sbin:/sbin")
    if found is None:
        raise LayoutError("reading BTF takes bpftool: apt install bpftool")
    return found


def _dump(tool: str, flags: list[str], path: str) -> list[_Type]:
    command = [tool, "-j", *flags, "btf", "dump", "file", path]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    try:
        return msgspec.json.decode(done.stdout, type=_Dump).types
    except UNDECODABLE as e:
        said = (done.stderr or done.stdout).decode(errors="replace").strip() or "nothing"
        raise LayoutError(f"{path}: bpftool cannot read it: {said.splitlines()[-1]}") from e


class _Reader:
    """Types of one dump by their number."""

    def __init__(self, types: dict[int, _Type]) -> None:
        self._types = types

    def record(self, found: _Type) -> Record:
        """A structure or union with its members."""
        members = tuple(self._member(member) for member in found.members)
        align = max((self._type(m.type_id).align for m in found.members), default=1)
        if found.size % align:
            align = 1
        kind: Literal["struct", "union"] = "union" if found.kind == "UNION" else "struct"
        name = "" if found.name == "(anon)" else found.name
        return Record(name=name, size=found.size, align=align, members=members, kind=kind)

    def _member(self, member: _Member) -> Member:
        kind = self._type(member.type_id)
        offset, bits = member.bits_offset // BYTE, None
        if member.bitfield_size:
            bits = (member.bits_offset, member.bitfield_size)
            offset = member.bits_offset // (BYTE * kind.size) * kind.size
        size = kind.size
        for bound in kind.dims:
            size *= bound
        name = "" if member.name == "(anon)" else member.name
        return Member(
            name=name, type=kind.name, offset=offset, size=size, kind=kind.kind,
            signed=kind.signed, dims=kind.dims, bits=bits, body=kind.body,
        )  # fmt: skip

    def _type(self, number: int) -> Type:  # noqa: PLR0911 -- a kind each
        if number not in self._types:
            return Type("void", 0, 1, "int")
        found = self._types[number]
        if found.kind in _THROUGH:
            return self._type(found.type_id)
        if found.kind == "TYPEDEF":
            return self._type(found.type_id)._replace(name=found.name)
        if found.kind == "ARRAY":
            inner = self._type(found.type_id)
            return inner._replace(dims=(found.nr_elems, *inner.dims))
        if found.kind == "PTR":
            return Type(f"{self._name(found.type_id)} *", _POINTER, _POINTER, "pointer")
        if found.kind in {"STRUCT", "UNION"}:
            kind: Kind = "union" if found.kind == "UNION" else "struct"
            made = self.record(found)
            body = None if made.name else made
            return Type(f"{kind} {made.name}".rstrip(), found.size, made.align, kind, body=body)
        if found.kind.startswith("ENUM"):
            signed = found.encoding == "SIGNED"
            return Type(f"enum {found.name}", found.size, found.size, "enum", signed)
        kind = "float" if found.kind == "FLOAT" else "int"
        return Type(found.name, found.size, found.size, kind, found.encoding == "SIGNED")

    def _name(self, number: int) -> str:
        """The name of a pointer's target, which is not looked into: it may point back."""
        found = self._types.get(number)
        while found is not None and found.kind in _THROUGH:
            found = self._types.get(found.type_id)
        return found.name if found is not None else "void"
