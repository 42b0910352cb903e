# SPDX-License-Identifier: MIT
"""Config space of one device laid out: which register is where, and how it is virtualised."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from vfiospec.abi import pci
from vfiospec.rules import config_space_map as registers
from vfiospec.rules.config_space_lengths import extended_length, length, number
from vfiospec.rules.config_space_map import Register

_MOST = 48  # capabilities that fit behind the header
_EXTENDED_MOST = (pci.PCI_CFG_SPACE_EXP_SIZE - pci.PCI_CFG_SPACE_SIZE) // pci.PCI_CAP_SIZEOF
_NEXT = Register("next", pci.PCI_CAP_LIST_NEXT, 1, kept=registers.BYTE)
_EXTENDED_HEADER = Register("header", 0, 4, kept=registers.DWORD)


@dataclass(frozen=True)
class Area:
    """The header, a capability, or what lies between them."""

    name: str
    start: int
    size: int
    kind: int = 0
    raw: bool = False
    registers: tuple[Register, ...] = ()

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.start + self.size


@dataclass
class Layout:
    """All of a device's config space. Masks hold a byte for each byte of it."""

    size: int
    areas: list[Area] = field(default_factory=list)
    capabilities: list[tuple[int, int]] = field(default_factory=list)  # shown: kind, offset
    extended: list[tuple[int, int]] = field(default_factory=list)
    has_extended: bool = False  # whether a list of extended ones begins at all

    def __post_init__(self) -> None:
        self.kept = bytearray(self.size)
        self.writable = bytearray(self.size)
        self.raw = bytearray(self.size)  # 0xff where writes go to the device, held or not
        self.swept = bytearray(b"\xff" * self.size)  # 0xff where a sweep may write

    def name(self, offset: int) -> str:
        """The register at an offset, in words."""
        area = next(a for a in self.areas if a.start <= offset < a.end)
        for r in area.registers:
            if r.at <= offset - area.start < r.at + r.width:
                return f"{area.name} {r.name} ({offset:#x})"
        return f"{area.name}+{offset - area.start:#x} ({offset:#x})"

    def find(self, name: str) -> Area | None:
        """The first area of this name."""
        return next((a for a in self.areas if a.name == name), None)

    def add(self, area: Area) -> None:
        """Lay out an area; its bytes become its own."""
        self.areas.append(area)
        ones = b"\xff" * area.size
        self.raw[area.start : area.end] = ones if area.raw else bytes(area.size)
        self.kept[area.start : area.end] = bytes(area.size)
        self.writable[area.start : area.end] = ones if area.raw else bytes(area.size)
        for r in area.registers:
            at = slice(area.start + r.at, area.start + r.at + r.width)
            self.kept[at] = r.kept.to_bytes(r.width, "little")
            self.writable[at] = r.writable.to_bytes(r.width, "little")
            if r.own_tests:
                self.swept[at] = bytes(r.width)

    def fill(self) -> None:
        """Whatever is in no area passes through."""
        taken = bytearray(self.size)
        for area in self.areas:
            taken[area.start : area.end] = b"\x01" * area.size
        start = 0
        while (start := taken.find(0, start)) >= 0:
            end = taken.find(1, start)
            end = self.size if end < 0 else end
            self.add(Area("unassigned", start, end - start, raw=True))
            start = end
        self.areas.sort(key=lambda a: a.start)


def _names(prefix: str) -> dict[int, str]:
    return {
        value: name.removeprefix(prefix)
        for name, value in vars(pci).items()
        if name.startswith(prefix) and not name.endswith("MASK")
    }


_CAP, _EXT = _names("PCI_CAP_ID_"), _names("PCI_EXT_CAP_ID_")


def walk(config: bytes) -> Iterator[tuple[int, int]]:
    """Kind and offset of each capability, as the list says."""
    if not number(config, pci.PCI_STATUS, 2) & pci.PCI_STATUS_CAP_LIST:
        return
    at = config[pci.PCI_CAPABILITY_LIST] & ~3
    for _ in range(_MOST):
        if at < pci.PCI_STD_HEADER_SIZEOF:
            return
        yield config[at], at
        at = config[at + pci.PCI_CAP_LIST_NEXT] & ~3


def walk_extended(config: bytes) -> Iterator[tuple[int, int]]:
    """Kind and offset of each extended capability; nothing if the first header is empty."""
    at = pci.PCI_CFG_SPACE_SIZE
    for _ in range(_EXTENDED_MOST):
        if not at <= len(config) - 4 or at < pci.PCI_CFG_SPACE_SIZE:
            return
        header = number(config, at, 4)
        if not header:
            return
        yield header & registers.WORD, at
        at = header >> 20 & ~3


def _capability(config: bytes, kind: int, at: int, size: int) -> Area:
    known = registers.CAPABILITIES.get(kind, ())
    if kind == pci.PCI_CAP_ID_MSI:
        known = registers.msi(number(config, at + pci.PCI_MSI_FLAGS, 2))
    inside = tuple(r for r in (_NEXT, *known) if r.at < size)
    if kind in registers.RAW_CAPABILITIES:
        inside = (replace(_NEXT, own_tests=True),)  # held for reads, passed through for writes
    name = _CAP.get(kind, f"capability {kind:#x}")
    return Area(name, at, size, kind, kind in registers.RAW_CAPABILITIES, inside)


def layout(config: bytes) -> Layout:
    """Lay out what a device's real config space holds."""
    made = Layout(len(config))
    made.add(Area("header", 0, pci.PCI_STD_HEADER_SIZEOF, registers=registers.HEADER))
    for kind, at in walk(config):
        if size := length(config, kind, at):
            made.capabilities.append((kind, at))
            made.add(_capability(config, kind, at, size))
    for kind, at in walk_extended(config):
        size = extended_length(config, kind, at)
        made.has_extended = True
        if size:
            made.extended.append((kind, at))
            inside = (_EXTENDED_HEADER, *registers.EXTENDED.get(kind, ()))
            if kind in registers.RAW_EXTENDED:  # held for reads, passed through for writes
                inside = (replace(_EXTENDED_HEADER, writable=registers.DWORD, own_tests=True),)
            name = _EXT.get(kind, f"extended capability {kind:#x}")
            made.add(Area(name, at, size, kind, kind in registers.RAW_EXTENDED, inside))
        elif at == pci.PCI_CFG_SPACE_SIZE:
            made.add(Area("hidden", at, pci.PCI_CAP_SIZEOF, registers=(_EXTENDED_HEADER,)))
    made.fill()
    if config[pci.PCI_BIST] & pci.PCI_BIST_CAPABLE:
        made.swept[pci.PCI_BIST] = 0
    return made


def visible(config: bytes) -> bytes:
    """A device's config space with what is hidden taken out of its two lists."""
    shown = bytearray(config)
    before, any_shown = pci.PCI_CAPABILITY_LIST, False
    for kind, at in walk(config):
        if length(config, kind, at):
            shown[before] = at
            before, any_shown = at + pci.PCI_CAP_LIST_NEXT, True
        else:
            shown[before] = config[at + pci.PCI_CAP_LIST_NEXT] & ~3
    if not any_shown:
        shown[pci.PCI_STATUS] &= ~pci.PCI_STATUS_CAP_LIST
    _thin_out(config, shown)
    return bytes(shown)


def _thin_out(config: bytes, shown: bytearray) -> None:
    """The extended list; a hidden capability at its start leaves an empty one in its place."""
    first = pci.PCI_CFG_SPACE_SIZE
    chain = list(walk_extended(config))
    kept = [at for kind, at in chain if at == first or extended_length(config, kind, at)]
    for at, following in zip(kept, [*kept[1:], 0][: len(kept)], strict=True):
        header = number(config, at, 4) & 0xFFFFF | following << 20
        if not extended_length(config, header & registers.WORD, at):
            header = following << 20
        shown[at : at + 4] = header.to_bytes(4, "little")
