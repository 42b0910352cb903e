# SPDX-License-Identifier: MIT
"""Makes a program that crashes a kernel as small as it can be and still do so.

First whole operations are left out (ddmin), then arguments are made plain. What was tried is
remembered, so that an interrupted search goes on where it stopped: the same trials come in the
same order, and those with a known answer cost nothing.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from vfiospec.device.ops import AnyOp
from vfiospec.fuzzing.simpler import inner_lists, simpler, with_inner
from vfiospec.undecodable import UNDECODABLE

Crashes = Callable[[Sequence[AnyOp]], str | None]
Ops = tuple[AnyOp, ...]
T = TypeVar("T")


class Trial(msgspec.Struct, frozen=True):
    """One line of the memory: which program, and how it crashed."""

    program: str
    title: str | None


class Memory:
    """What was tried before; on disk where a file is given."""

    def __init__(self, file: Path | None = None) -> None:
        """Read the file, if it is there; half a line at its end is what an interruption left."""
        self._file = file
        self.known: dict[str, str | None] = {}
        if file is not None and file.exists():
            lines = file.read_bytes()
            if lines and not lines.endswith(b"\n"):
                with file.open("ab") as more:
                    more.write(b"\n")
            for line in lines.splitlines():
                try:
                    trial = msgspec.json.decode(line, type=Trial)
                except UNDECODABLE:
                    continue
                self.known[trial.program] = trial.title

    @staticmethod
    def key(ops: Sequence[AnyOp]) -> str:
        """The name of a program."""
        return hashlib.sha256(msgspec.msgpack.encode(list(ops))).hexdigest()[:24]

    def keep(self, key: str, title: str | None) -> None:
        """Remember an answer at once."""
        self.known[key] = title
        if self._file is not None:
            with self._file.open("ab") as file:
                file.write(msgspec.json.encode(Trial(key, title)) + b"\n")


@dataclass(slots=True)
class Found:
    """The smallest program so far. `complete`: nothing smaller was left to try."""

    ops: Ops
    title: str
    trials: int = 0
    complete: bool = False


class _EnoughError(Exception):
    """All trials are used up."""


@dataclass
class Minimiser:
    """One search. `crashes` runs a program and gives the title of its crash, or None."""

    crashes: Crashes
    trials: int = 400
    memory: Memory = field(default_factory=Memory)
    say: Callable[[str], None] = lambda _: None

    def run(self, ops: Sequence[AnyOp], title: str | None = None) -> Found | None:
        """The smallest program with this title, by default that of the first run.

        None if the whole program does not crash so: there is nothing to make smaller.
        """
        self._used = 0
        first = self._title_of(tuple(ops))
        wanted = first if title is None else title
        if wanted is None or first != wanted:
            return None
        self._found = Found(tuple(ops), wanted)
        try:
            before = None
            while before != self._found.ops:
                before = self._found.ops
                self._drop_operations()
                self._drop_inside()
                self._make_plain()
            self._found.complete = True
        except _EnoughError:
            self.say(f"all {self.trials} trials are used up")
        self._found.trials = self._used
        return self._found

    def _title_of(self, ops: Ops) -> str | None:
        key = self.memory.key(ops)
        if key not in self.memory.known:
            if self._used >= self.trials:
                raise _EnoughError
            self._used += 1
            self.memory.keep(key, self.crashes(ops))
        return self.memory.known[key]

    def _try(self, ops: Ops) -> bool:
        """Whether a program still crashes in the same way; then it is the smallest so far."""
        if not ops or self._title_of(ops) != self._found.title:
            return False
        self._found.ops = ops
        self.say(f"{len(ops)} operations after {self._used} trials")
        return True

    def _drop_operations(self) -> None:
        ddmin(self._found.ops, self._try)

    def _drop_inside(self) -> None:
        """The same for the lists inside of operations: programs of a race, of a second process."""
        at = 0
        while at < len(self._found.ops):
            for which in range(len(inner_lists(self._found.ops[at]))):

                def fits(inner: Ops, at: int = at, which: int = which) -> bool:
                    ops = self._found.ops
                    changed = with_inner(ops[at], which, inner)
                    return self._try((*ops[:at], changed, *ops[at + 1 :]))

                ddmin(inner_lists(self._found.ops[at])[which], fits)
            at += 1

    def _make_plain(self) -> None:
        at = 0
        while at < len(self._found.ops):
            while self._plainer(at):
                pass
            at += 1

    def _plainer(self, at: int) -> bool:
        ops = self._found.ops
        tried = ((*ops[:at], each, *ops[at + 1 :]) for each in simpler(ops[at]))
        return any(self._try(each) for each in tried)


def ddmin(items: tuple[T, ...], fits: Callable[[tuple[T, ...]], bool]) -> tuple[T, ...]:
    """Leave out ever smaller pieces while what is left fits, the last first.

    What comes behind the crash was never run, and is gone after a few trials.
    """
    size = max(len(items) // 2, 1)
    while items:
        removed = False
        for start in _starts(len(items), size):
            if start >= len(items):
                continue
            rest = (*items[:start], *items[start + size :])
            if rest and fits(rest):
                items, removed = rest, True
        if size == 1 and not removed:
            break
        size = max(size // 2, 1)
    return items


def _starts(length: int, size: int) -> Iterator[int]:
    yield from reversed(range(0, length, size))
