# SPDX-License-Identifier: MIT
"""Values as C says them: numbers, bytes, the header's constants, structures by their fields."""

import ctypes
import os
import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from vfiospec.abi import iommufd, iommufd_hwpt, iommufd_viommu, vfio, vfio_feature, vfio_iommu
from vfiospec.abi.base import AbiStruct
from vfiospec.abi.ioctl import IOCTLS

_MODULES: tuple[ModuleType, ...] = (
    vfio, vfio_feature, vfio_iommu, iommufd, iommufd_hwpt, iommufd_viommu,
)  # fmt: skip
CONSTANTS: dict[str, int] = {
    name: value
    for module in _MODULES
    for name, value in vars(module).items()
    if re.fullmatch(r"(VFIO|IOMMU)_\w+", name) and isinstance(value, int)
}

# The bits or the values a field may hold, by the beginning of their names; "|" joins bits.
_FIELDS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("vfio_irq_set", "flags"): ("|", r"VFIO_IRQ_SET_(DATA|ACTION)_(?!TYPE)\w+"),
    ("vfio_irq_set", "index"): ("=", r"VFIO_PCI_\w+_IRQ_INDEX"),
    ("vfio_irq_info", "index"): ("=", r"VFIO_PCI_\w+_IRQ_INDEX"),
    ("vfio_region_info", "index"): ("=", r"VFIO_PCI_\w+_REGION_INDEX"),
    ("vfio_iommu_type1_dma_map", "flags"): ("|", r"VFIO_DMA_MAP_FLAG_\w+"),
    ("vfio_iommu_type1_dma_unmap", "flags"): ("|", r"VFIO_DMA_UNMAP_FLAG_\w+"),
    ("vfio_iommu_type1_dirty_bitmap", "flags"): ("|", r"VFIO_IOMMU_DIRTY_PAGES_FLAG_\w+"),
    ("vfio_device_ioeventfd", "flags"): ("|", r"VFIO_DEVICE_IOEVENTFD_\d+"),
    ("vfio_device_feature", "flags"): (
        "|",
        r"VFIO_DEVICE_FEATURE_(?!MASK|CLEAR_MASTER|SET_MASTER)\w+",
    ),
    ("vfio_device_gfx_plane_info", "flags"): ("|", r"VFIO_GFX_PLANE_TYPE_\w+"),
    ("vfio_device_bind_iommufd", "flags"): ("|", r"VFIO_DEVICE_BIND_FLAG_\w+"),
    ("vfio_device_attach_iommufd_pt", "flags"): ("|", r"VFIO_DEVICE_ATTACH_PASID"),
    ("vfio_device_detach_iommufd_pt", "flags"): ("|", r"VFIO_DEVICE_DETACH_PASID"),
    ("iommu_ioas_map", "flags"): ("|", r"IOMMU_IOAS_MAP_(FIXED_IOVA|WRITEABLE|READABLE)"),
    ("iommu_ioas_map_file", "flags"): ("|", r"IOMMU_IOAS_MAP_(FIXED_IOVA|WRITEABLE|READABLE)"),
    ("iommu_ioas_copy", "flags"): ("|", r"IOMMU_IOAS_MAP_(FIXED_IOVA|WRITEABLE|READABLE)"),
    ("iommu_hwpt_alloc", "flags"): ("|", r"IOMMU_HWPT_(ALLOC_\w+|FAULT_ID_VALID)"),
    ("iommu_hwpt_alloc", "data_type"): ("=", r"IOMMU_HWPT_DATA_\w+"),
    ("iommu_option", "option_id"): ("=", r"IOMMU_OPTION_(RLIMIT_MODE|HUGE_PAGES)"),
    ("iommu_option", "op"): ("=", r"IOMMU_OPTION_OP_\w+"),
    ("iommu_vfio_ioas", "op"): ("=", r"IOMMU_VFIO_IOAS_(GET|SET|CLEAR)"),
}
# Arguments that are numbers and no structures.
_NUMBERS: Mapping[str, str] = {
    "VFIO_SET_IOMMU": r"VFIO_(TYPE1v2|TYPE1|SPAPR_TCE|SPAPR_TCE_v2|NOIOMMU)_IOMMU",
    "VFIO_CHECK_EXTENSION": r"VFIO_(\w+_IOMMU|EEH|UNMAP_ALL|UPDATE_VADDR)",
}
# Features are numbers in the low half of the flags, not bits of their own.
_FEATURE = vfio_feature.VFIO_DEVICE_FEATURE_MASK

_OPEN_FLAGS = ("O_APPEND", "O_CLOEXEC", "O_CREAT", "O_EXCL", "O_NONBLOCK", "O_TRUNC")
_SIMPLE = {
    ctypes.c_uint8: "__u8", ctypes.c_uint16: "__u16", ctypes.c_uint32: "__u32",
    ctypes.c_uint64: "__u64", ctypes.c_int8: "__s8", ctypes.c_int16: "__s16",
    ctypes.c_int32: "__s32", ctypes.c_int64: "__s64",
}  # fmt: skip
_SMALL = 100  # up to here numbers are counted, above they are read by their bits
_RUN = 16  # bytes of one value in a row that become a memset


def number(value: int) -> str:
    """An integer constant wide enough for its value."""
    text = str(value) if abs(value) < _SMALL else hex(value)
    if value >= 1 << 63:
        return f"{text}ULL"
    if 1 << 31 <= value < 1 << 32:
        return f"{text}U"
    return f"{text}LL" if value >= 1 << 31 or value < -(1 << 31) else text


def text(data: bytes) -> str:
    """Bytes as a string literal."""
    body = data.decode("ascii", "replace")
    if body.isascii() and body.replace("\n", "").replace("\t", "").isprintable():
        body = body.replace("\\", r"\\").replace('"', r"\"").replace("?", r"\?")
        return f'"{body}"'.replace("\n", r"\n").replace("\t", r"\t")
    return '"' + "".join(f"\\x{byte:02x}" for byte in data) + '"'


def open_flags(flags: int) -> str:
    """The flags of open(2) by their names."""
    names = [{0: "O_RDONLY", 1: "O_WRONLY", 2: "O_RDWR"}.get(flags & 3, "3")]
    left = flags & ~3
    for name in _OPEN_FLAGS:
        bit = getattr(os, name)
        if left & bit == bit:
            names.append(name)
            left &= ~bit
    return " | ".join([*names, *([hex(left)] if left else [])])


def bits(value: int, names: Mapping[str, int]) -> str:
    """A number by names: `=`-like if one name is all of it, else joined; hex for what is left."""
    for name, known in names.items():
        if value == known:
            return name
    found = [(name, bit) for name, bit in names.items() if bit and value & bit == bit]
    left = value
    for _, bit in found:
        left &= ~bit
    return " | ".join([*(name for name, _ in found), *([number(left)] if left else [])]) or "0"


def call_of(kind: str, request: int) -> tuple[str, type[AbiStruct] | None]:
    """The name of an ioctl on a kind of file, and the structure it takes; hex if unknown."""
    if (kind, request) in IOCTLS:
        return IOCTLS[kind, request]
    known = {entry for (_, asked), entry in IOCTLS.items() if asked == request}
    return known.pop() if len(known) == 1 else (hex(request), None)


def field(struct: type[AbiStruct], name: str, value: int) -> str:
    """The value of a field, by the header's names where it has some."""
    how, pattern = _FIELDS.get((struct.__name__, name), ("", ""))
    if not how:
        return number(value)
    names = {n: v for n, v in CONSTANTS.items() if re.fullmatch(pattern, n)}
    if struct.__name__ == "vfio_device_feature":
        ways = {n: v for n, v in names.items() if v > _FEATURE}
        features = {n: v for n, v in names.items() if v <= _FEATURE}
        which = bits(value & ~_FEATURE, ways) if value & ~_FEATURE else ""
        feature = next((n for n, v in features.items() if v == value & _FEATURE), "")
        return " | ".join(part for part in (which, feature or number(value & _FEATURE)) if part)
    if how == "=":
        return next((n for n, v in names.items() if v == value), number(value))
    return bits(value, names) if value else "0"


def argument(call: str, value: int) -> str:
    """The argument of an ioctl that takes a number."""
    pattern = _NUMBERS.get(call)
    named = [n for n, v in CONSTANTS.items() if pattern and re.fullmatch(pattern, n) and v == value]
    return named[0] if named else number(value) if value < 1 << 31 else f"{value:#x}UL"


def scalars(struct: type[AbiStruct], data: bytes) -> dict[str, tuple[int, int, int]] | None:
    """Fields that are not zero: name -> (value, offset, size). None if some are no plain numbers.

    Or if bytes lie where no field is, so that the fields do not say all.
    """
    filled = struct.unpack(data)
    out: dict[str, tuple[int, int, int]] = {}
    covered: set[int] = set()
    again = struct()
    for member in struct.members():
        place = range(member.offset, member.offset + member.size)
        if covered.intersection(place):
            continue  # the next arm of a union
        covered.update(place)
        value = getattr(filled, member.name)
        if not isinstance(value, int):
            if any(data[member.offset : member.offset + member.size]):
                return None
            continue
        setattr(again, member.name, value)
        if value:
            out[member.name] = value, member.offset, member.size
    return out if again.pack() == data[: struct.sizeof()] else None


def runs(data: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """Pieces of data that are not zero: (offset, bytes, whether it is one value over and over)."""
    pattern = re.compile(rb"(.)\1{%d,}" % (_RUN - 1), re.DOTALL)
    at = 0
    for match in pattern.finditer(data):
        yield from _piece(at, data[at : match.start()])
        if match[1] != b"\0":
            yield match.start(), match[0], True
        at = match.end()
    yield from _piece(at, data[at:])


def _piece(at: int, data: bytes) -> Iterator[tuple[int, bytes, bool]]:
    if data.strip(b"\0"):
        yield at, data, False


def declaration(struct: type[Any]) -> list[str]:
    """A structure of the header, after those it is made of."""
    before: list[str] = []
    lines = [f"struct {struct.__name__} {{", *_members(struct, before, 1), "};"]
    return [*before, *lines]


def _members(struct: type[Any], before: list[str], depth: int) -> Iterator[str]:
    tab = "\t" * depth
    anonymous = getattr(struct, "_anonymous_", ())
    for name, ctype in struct._fields_:
        if name in anonymous:
            word = "union" if issubclass(ctype, ctypes.Union) else "struct"
            yield f"{tab}{word} {{"
            yield from _members(ctype, before, depth + 1)
            yield f"{tab}}};"
            continue
        dimensions = ""
        base = ctype
        while issubclass(base, ctypes.Array):
            dimensions += f"[{base._length_}]"
            base = base._type_
        if base in _SIMPLE:
            yield f"{tab}{_SIMPLE[base]} {name}{dimensions};"
            continue
        inner = declaration(base)
        if inner[0] not in before:
            before += inner
        yield f"{tab}struct {base.__name__} {name}{dimensions};"
