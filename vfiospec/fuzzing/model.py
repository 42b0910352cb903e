# SPDX-License-Identifier: MIT
"""What a fuzzer works on: programs, and the world of open files and memory they run in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from vfiospec.device.ops import AnyOp, Handle, WriteFile

# A value of an operation says which of its field's own choices is taken; from RAW on, RAW + n is
# the number n itself.
RAW: Final = 1 << 8
CHOICES: Final = 240  # a field has at most so many
MAX_OPERATIONS: Final = 24  # of one program
ANY_KIND: Final = 0x80  # in `on`: not a file of the operation's own kind, but any


class Operation(NamedTuple):
    """One step of a program: which operation, on which file, with which value for each field."""

    name: str
    on: int = 0
    values: tuple[int, ...] = ()


Program = tuple[Operation, ...]


@dataclass(frozen=True)
class Subject:
    """A device as programs see it. `bdf` is a mediated device's UUID.

    `folder` is its own in sysfs. `taken` and `given` are what takes it from its driver and gives it
    back: what is written to which file.
    """

    name: str
    bdf: str
    group: int
    cdev: str = ""
    folder: str = ""
    fragile: bool = False  # a driver that guards no access but those to its first region
    taken: WriteFile | None = None
    given: WriteFile | None = None


@dataclass(frozen=True)
class World:
    """What every program finds open, and may not close.

    The first `loose` of the subjects are open nowhere. `handles` are by kind, as vfiospec.abi.ioctl
    names files, with "memory" and "eventfd" beside. `undo` are operations that bring one thing back
    to how programs find it, by its name. `dma` is a device that does DMA at our word (edu), and its
    container. `removal` takes away what was made for programs, once its files are closed.
    """

    handles: Mapping[str, tuple[Handle, ...]]
    subjects: tuple[Subject, ...]
    first: Handle  # of the handles a program makes
    undo: Mapping[str, tuple[AnyOp, ...]] = field(default_factory=dict)
    dma: tuple[Handle, Handle] | None = None
    loose: int = 0
    fragile: frozenset[Handle] = frozenset()  # files of devices that are
    removal: tuple[AnyOp, ...] = ()
