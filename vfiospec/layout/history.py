# SPDX-License-Identifier: MIT
"""The ABI of several kernels in one small file: each thing once for all kernels that have it so.

Layouts come back out of it as they went in, so tests need neither headers nor a compiler.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec

from vfiospec.layout import LayoutError
from vfiospec.layout.model import Abi, Constant, Enum, Layout, Record, Text
from vfiospec.undecodable import UNDECODABLE

HISTORY: Final = Path("corpora/abi/history.json")  # in a checkout

T = TypeVar("T")
_NARROW: Final = 32


class Version(msgspec.Struct, frozen=True):
    """A kernel, as 6.12, and the source whose headers were read."""

    kernel: str
    source: str


class Era(msgspec.Struct, Generic[T], frozen=True):
    """A thing as some kernels have it: their places among the versions."""

    kernels: tuple[int, ...]
    what: T


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Every thing by name; `narrow` has structures that are others for 32-bit programs."""

    versions: tuple[Version, ...]
    structs: dict[str, tuple[Era[Record], ...]]
    narrow: dict[str, tuple[Era[Record], ...]]
    enums: dict[str, tuple[Era[Enum], ...]]
    constants: dict[str, tuple[Era[Constant], ...]]
    strings: dict[str, tuple[Era[Text], ...]]
    functions: dict[str, tuple[Era[str], ...]]

    def abi(self, kernel: str) -> Abi:
        """What a kernel has. LayoutError if it is none of these."""
        kernels = [version.kernel for version in self.versions]
        if kernel not in kernels:
            raise LayoutError(f"no kernel {kernel} in the history; it has {', '.join(kernels)}")
        at = kernels.index(kernel)
        source = self.versions[at].source
        wide = Layout(
            source=f"{kernel} ({source})",
            structs=_at(self.structs, at),
            enums=tuple(_at(self.enums, at).values()),
            constants=_at(self.constants, at),
            strings=_at(self.strings, at),
            functions=_at(self.functions, at),
        )
        structs = {**wide.structs, **_at(self.narrow, at)}
        return Abi(wide, msgspec.structs.replace(wide, bits=_NARROW, structs=structs))

    def first(self, eras: Iterable[Era[Any]]) -> str:
        """The first kernel that has one of them."""
        return self.versions[min(min(era.kernels) for era in eras)].kernel

    def last(self, eras: Iterable[Era[Any]]) -> str:
        """The last kernel that has one of them; empty if it is the newest."""
        at = max(max(era.kernels) for era in eras)
        return "" if at == len(self.versions) - 1 else self.versions[at].kernel


def collect(abis: Mapping[str, tuple[str, Abi]]) -> History:
    """The history of kernels, oldest first: of each its source and what it has."""
    wide = [abi.wide for _, abi in abis.values()]
    narrow = [
        {k: v for k, v in abi.narrow.structs.items() if v != abi.wide.structs.get(k)}
        if abi.narrow
        else {}
        for _, abi in abis.values()
    ]
    return History(
        versions=tuple(Version(kernel, source) for kernel, (source, _) in abis.items()),
        structs=_eras(layout.structs for layout in wide),
        narrow=_eras(narrow),
        enums=_eras({enum.tag: enum for enum in layout.enums} for layout in wide),
        constants=_eras(layout.constants for layout in wide),
        strings=_eras(layout.strings for layout in wide),
        functions=_eras(layout.functions for layout in wide),
    )


def load(data: bytes) -> History:
    """Read it back. LayoutError if it is none."""
    try:
        history = msgspec.json.decode(data, type=History)
    except UNDECODABLE as e:
        raise LayoutError(f"not a history of layouts: {e}") from e
    count = len(history.versions)
    groups = (
        history.structs, history.narrow, history.enums, history.constants, history.strings,
        history.functions,
    )  # fmt: skip
    places = [
        at
        for group in groups
        for eras in group.values()
        for era in eras
        for at in era.kernels or (-1,)
    ]
    if any(not 0 <= at < count for at in places) or not all(
        eras for group in groups for eras in group.values()
    ):
        raise LayoutError("not a history of layouts: an era of kernels that it has not")
    return history


def read(path: Path) -> History:
    """Read a file. LayoutError if it cannot be read."""
    try:
        return load(path.read_bytes())
    except OSError as e:
        raise LayoutError(f"{path}: cannot read it ({e.strerror})") from e


def dump(history: History) -> bytes:
    """The history as JSON, a line for each thing: what changes is then easy to see."""
    parts = []
    for name in history.__struct_fields__:
        group = getattr(history, name)
        if isinstance(group, dict):
            lines = [f"{_json(key)}: {_json(eras)}" for key, eras in group.items()]
            parts.append(f'"{name}": {{\n' + ",\n".join(lines) + "\n}")
        else:
            parts.append(f'"{name}": [\n' + ",\n".join(map(_json, group)) + "\n]")
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()


def _json(what: object) -> str:
    return msgspec.json.encode(what).decode()


def _eras(layouts: Iterable[Mapping[str, T]]) -> dict[str, tuple[Era[T], ...]]:
    found: dict[str, list[tuple[list[int], T]]] = {}
    for at, layout in enumerate(layouts):
        for name, what in layout.items():
            eras = found.setdefault(name, [])
            same = next((kernels for kernels, other in eras if other == what), None)
            if same is None:
                eras.append(([at], what))
            else:
                same.append(at)
    return {
        name: tuple(Era(tuple(kernels), what) for kernels, what in eras)
        for name, eras in found.items()
    }


def _at(group: Mapping[str, tuple[Era[T], ...]], at: int) -> dict[str, T]:
    return {name: era.what for name, eras in group.items() for era in eras if at in era.kernels}
