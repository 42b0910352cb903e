# SPDX-License-Identifier: MIT
"""The last programs that were run, in a file that is written before they run.

A ring of slots of one size: a length, then the programs of a batch, each with its length.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import Final

from vfiospec.fuzzing import codec
from vfiospec.fuzzing.model import Program

SLOTS: Final = 64
SLOT: Final = 1 << 18
_HEAD = Struct("<QI")  # number of the batch, bytes that follow
_LENGTH = Struct("<I")


class Journal:
    """Appends batches; the kernel of this machine keeps them even if this process dies."""

    def __init__(self, path: Path) -> None:
        """Begin a new one."""
        self.path = path
        self._file = path.open("w+b", buffering=0)
        self._number = 0

    def write(self, programs: Sequence[Program]) -> None:
        """Keep a batch; the one written SLOTS batches ago goes."""
        body = bytearray()
        for program in programs:
            data = codec.encode(program)
            body += _LENGTH.pack(len(data)) + data
        del body[SLOT - _HEAD.size :]
        self._number += 1
        self._file.seek((self._number % SLOTS) * SLOT)
        self._file.write(_HEAD.pack(self._number, len(body)) + body)

    def copy(self, to: Path) -> None:
        """Keep what is in it now."""
        shutil.copyfile(self.path, to)

    def close(self) -> None:
        """No more."""
        self._file.close()


def read(path: Path) -> Iterator[list[Program]]:
    """The batches of a journal, oldest first."""
    data = path.read_bytes()
    batches: list[tuple[int, list[Program]]] = []
    for at in range(0, len(data), SLOT):
        slot = data[at : at + SLOT]
        if len(slot) < _HEAD.size:
            continue
        number, size = _HEAD.unpack_from(slot)
        body = slot[_HEAD.size : _HEAD.size + size]
        programs = []
        while len(body) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(body)
            programs.append(codec.decode(body[_LENGTH.size : _LENGTH.size + length]))
            body = body[_LENGTH.size + length :]
        if number:
            batches.append((number, programs))
    for _, programs in sorted(batches):
        yield programs
