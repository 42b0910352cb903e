# SPDX-License-Identifier: MIT
"""What the description of an operation is."""

import zlib
from dataclasses import dataclass
from typing import Final

from vfiospec.fuzzing.fields import Field, numbers


@dataclass(frozen=True)
class Description:
    """An operation. `kind` is that of the file it is made on; `returns` that of the one it opens.

    An ioctl's argument is a buffer of `size` bytes with `fields` in it, or (size 0) a number.
    `undo` names what a program that made it on the world's own files has to put back. Operations
    that are no ioctls have a `shape`, which vfiospec.fuzzing.materialise knows.
    """

    name: str
    kind: str
    fields: tuple[Field, ...]
    request: int = 0
    size: int = 0
    returns: str = ""
    undo: tuple[str, ...] = ()
    shape: str = "ioctl"
    weight: float = 4
    template: bytes = b""

    @property
    def code(self) -> int:
        """The number that stands for it in a corpus."""
        return zlib.crc32(self.name.encode())


# How often what takes milliseconds, such as a reset, is made; others have 4 and more.
SLOW: Final = 0.2

# Behind an ioctl's own fields: where the buffer lies, and how much room is behind its structure.
PLACES: Final = 5  # inline; at the end of a page; NULL; nowhere; memory that ends too early
ROOMS: Final = (0, 8, 64, 256, 4096)
PLACE: Final = Field("place", -1, 0, numbers(*range(PLACES)))
ROOM: Final = Field("room", -1, 0, numbers(*ROOMS))
