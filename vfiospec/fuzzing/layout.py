# SPDX-License-Identifier: MIT
"""Where a kernel's modules lie in memory, so that an address tells which one it is in."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import msgspec

from vfiospec.device import ops as o
from vfiospec.device.port import Port

_LOW = (1 << 32) - 1
KERNEL = "kernel"  # what is in no module


@dataclass(frozen=True)
class Layout:
    """Modules by name: the low 32 bits of where each begins, and its size.

    `sections` are where the sections of code of each module begin.
    """

    modules: dict[str, tuple[int, int]]
    sections: dict[str, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, port: Port) -> Self:
        """As the running kernel says."""
        reply = port.exchange([o.ReadFile("/proc/modules")])[0]
        modules, sections = {}, {}
        for line in reply.bytes.decode().splitlines():
            name, size, *_, address = line.split()[:6]
            modules[name] = (int(address, 16) & _LOW, int(size))
            sections[name] = _sections(port, name)
        return cls(modules, sections)

    @classmethod
    def load(cls, path: Path) -> Self:
        """As it was saved."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def save(self, path: Path) -> None:
        """Keep it beside the addresses it explains."""
        path.write_bytes(msgspec.json.encode(self))

    def count(self, places: Iterable[int]) -> Counter[str]:
        """How many of these addresses are in each module."""
        return Counter(self.module(place) for place in places)

    @cached_property
    def _starts(self) -> list[tuple[int, int, str]]:
        return sorted((start, size, name) for name, (start, size) in self.modules.items())

    def module(self, place: int) -> str:
        """The module an address is in."""
        starts = self._starts
        at = bisect_right(starts, (place, 1 << 62, "")) - 1
        if at >= 0 and starts[at][0] <= place < starts[at][0] + starts[at][1]:
            return starts[at][2]
        return KERNEL


def _sections(port: Port, module: str) -> dict[str, int]:
    folder = f"/sys/module/{module}/sections"
    names = port.exchange([o.ListDir(folder)])[0].bytes.decode().split("\0")
    code = [name for name in names if name.startswith((".text", ".noinstr.text"))]
    replies = port.exchange([o.ReadFile(f"{folder}/{name}") for name in code])
    return {n: int(r.bytes, 16) & _LOW for n, r in zip(code, replies, strict=True) if r.bytes}
