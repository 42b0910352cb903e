# SPDX-License-Identifier: MIT
"""Where a kernel's modules lie in memory, so that an address tells which one it is in."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec

from vfiospec.device import ops as o
from vfiospec.device.port import Port

_LOW = (1 << 32) - 1
KERNEL = "kernel"  # what is in no module


@dataclass(frozen=True)
class Layout:
    """Modules by name, with the low 32 bits of where each begins, and its size."""

    modules: dict[str, tuple[int, int]]

    @classmethod
    def of(cls, port: Port) -> "Layout":
        """As the running kernel says."""
        reply = port.exchange([o.ReadFile("/proc/modules")])[0]
        found = {}
        for line in reply.bytes.decode().splitlines():
            name, size, *_, address = line.split()[:6]
            found[name] = (int(address, 16) & _LOW, int(size))
        return cls(found)

    @classmethod
    def load(cls, path: Path) -> "Layout":
        """As it was saved."""
        return cls(msgspec.json.decode(path.read_bytes(), type=dict[str, tuple[int, int]]))

    def save(self, path: Path) -> None:
        """Keep it beside the addresses it explains."""
        path.write_bytes(msgspec.json.encode(self.modules))

    def count(self, places: Iterable[int]) -> dict[str, int]:
        """How many of these addresses are in each module."""
        return dict(Counter(name for name, _ in map(self.find, places)))

    @cached_property
    def _starts(self) -> list[tuple[int, int, str]]:
        return sorted((start, size, name) for name, (start, size) in self.modules.items())

    def find(self, place: int) -> tuple[str, int]:
        """The module an address is in, and how far behind its start."""
        starts = self._starts
        at = bisect_right(starts, (place, 1 << 62, "")) - 1
        if at >= 0 and starts[at][0] <= place < starts[at][0] + starts[at][1]:
            return starts[at][2], place - starts[at][0]
        return KERNEL, place
