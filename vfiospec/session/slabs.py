# SPDX-License-Identifier: MIT
"""How much of the kernel's memory an action keeps for ever: objects of its caches, counted."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from vfiospec import expect
from vfiospec.device import ops as o
from vfiospec.device.port import Port

SLAB = "/sys/kernel/slab"
ROUNDS = 3  # others take memory too, but not as much each time
TRIES, PAUSE = 10, 0.2  # s: what is given back may take a while to be


def small_caches(names: Sequence[str]) -> list[str]:
    """Of these caches, those that kmalloc takes up to 512 bytes from."""
    sizes = {str(size) for size in (8, 16, 32, 64, 96, 128, 192, 256, 512)}
    return [n for n in names if n.startswith("kmalloc-") and n.rpartition("-")[2] in sizes]


def caches_of_calls(names: Sequence[str]) -> list[str]:
    """Of these caches, all that kmalloc takes from, and that of open files."""
    return [n for n in names if n.startswith("kmalloc-") or n == "filp"]


def _listed(port: Port) -> list[str]:
    return [n.decode() for n in port.do(o.ListDir(SLAB)).bytes.split(b"\0")]


@dataclass(frozen=True)
class Slabs:
    """Some caches of a machine's."""

    port: Port
    caches: Sequence[str]

    @classmethod
    def small(cls, port: Port) -> "Slabs":
        """What structures of the drivers are taken from; skips where SLUB does not tell."""
        return cls.of(port, small_caches(_listed(port)))

    @classmethod
    def of_calls(cls, port: Port) -> "Slabs":
        """What a call may take, files it holds too; skips where SLUB does not tell."""
        return cls.of(port, caches_of_calls(_listed(port)))

    @classmethod
    def of(cls, port: Port, caches: Sequence[str]) -> "Slabs":
        """Those of these names; skips where SLUB does not tell of one."""
        found = port.run([o.ReadFile(f"{SLAB}/{name}/objects") for name in caches])
        if not found or not all(reply.ok for reply in found):
            pytest.skip(f"{SLAB} has no counts: judge a kernel with CONFIG_SLUB_DEBUG")
        return cls(port, caches)

    def objects(self) -> int:
        """How many objects are in use; those that wait to be used again are not."""
        self.port.run([o.WriteFile(f"{SLAB}/{name}/shrink", b"1") for name in self.caches])
        replies = self.port.run([o.ReadFile(f"{SLAB}/{name}/objects") for name in self.caches])
        return sum(int(reply.bytes.split()[0]) for reply in replies)

    def _kept(self, action: Callable[[], object], times: int) -> int:
        before, kept = self.objects(), 0
        for _ in range(times):
            action()
        for _ in range(TRIES):
            kept = self.objects() - before
            if kept < times // 2:
                break
            time.sleep(PAUSE)
        return kept

    def none_kept(self, action: Callable[[], object], times: int) -> None:
        """Hold that an action, taken so many times, does not keep an object each time."""
        kept = []
        for _ in range(ROUNDS):
            kept.append(self._kept(action, times))
            if kept[-1] < times // 2:
                return
        expect.holds(False, "nothing is kept", f"{kept} objects after {times} times each")  # noqa: FBT003
