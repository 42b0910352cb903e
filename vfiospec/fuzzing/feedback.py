# SPDX-License-Identifier: MIT
"""What an execution showed, as numbers: a program with one never seen is worth keeping.

On a kernel with KCOV they are places in its code. Elsewhere they are made of what is visible: which
operation gave which answer, which flags came back, which operation came before.
"""

import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.fuzzing.model import Program

_WORD: Final = 4
_FLAGS_SHOWN: Final = 12  # bytes at the start of an answer that hold flags and counts
VISIBLE: Final = 1 << 40  # above every place in the code


def places(reply: Reply) -> set[int]:
    """Where a traced program has been: the low 32 bits of each address."""
    return set(array("I", reply.bytes[: len(reply.bytes) // _WORD * _WORD]))


def comparisons(reply: Reply) -> Iterator[tuple[int, int, int]]:
    """What a program traced for comparisons had compared: (bytes, one, other)."""
    data = array("Q", reply.bytes[: len(reply.bytes) // 24 * 24])
    for n in range(0, len(data), 3):
        yield 1 << ((data[n] >> 1) & 3), data[n + 1], data[n + 2]


def visible(
    program: Program, ops: Sequence[AnyOp], origin: Sequence[int], replies: Sequence[Reply]
) -> set[int]:
    """What can be seen of a program from outside."""
    found = set()
    before = 0
    for op, step, reply in zip(ops, origin, replies, strict=False):
        shape = _shape(program[step].name, op, reply)
        found.add(VISIBLE + shape)
        found.add(VISIBLE + zlib.crc32(b"%d>%d" % (before, shape)))
        before = shape
    return found


def _shape(name: str, op: AnyOp, reply: Reply) -> int:
    parts = [name, str(reply.errno), str(reply.signal), "fault" if reply.fault else ""]
    if reply.ret >= 0 and isinstance(op, o.Ioctl) and reply.data:
        changed = bytes(
            b for a, b in zip(op.data or b"", reply.data[:_FLAGS_SHOWN], strict=False) if a != b
        )
        parts.append(changed.hex())
    elif reply.ret > 0 and isinstance(op, o.Pread | o.Pwrite):
        parts.append(str(min(reply.ret, 16)))
    return zlib.crc32("/".join(parts).encode())


class Counters:
    """Gives each number one of `size` counters, in the order in which they are first seen."""

    def __init__(self, size: int) -> None:
        """Counter 0 is left for what is always there."""
        self.size = size
        self._index: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._index)

    @property
    def seen(self) -> Iterable[int]:
        """Every number that has a counter."""
        return self._index.keys()

    def unseen(self, features: set[int]) -> set[int]:
        """Which of these have no counter yet."""
        return features - self._index.keys()

    def of(self, features: Iterable[int]) -> list[int]:
        """The counters of these."""
        index, size = self._index, self.size
        found = []
        for feature in features:
            at = index.get(feature)
            if at is None:
                at = index[feature] = 1 + len(index) % (size - 1)
            found.append(at)
        return found
