# SPDX-License-Identifier: MIT
"""The operations that are no ioctl of the header: files, memory, accesses to a device."""

import mmap
from collections.abc import Sequence
from typing import Final

from vfiospec.device import edu
from vfiospec.fuzzing.description import SLOW, Description
from vfiospec.fuzzing.fields import PAGE, Choice, Field, numbers

REGION_SHIFT: Final = 40  # vfio-pci: which region a file offset is in
_WIDTHS = numbers(4, 1, 2, 8, 3, 0, 16, 64, PAGE, PAGE + 1)
_REGIONS = numbers(7, 0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 255, (1 << 23) - 1)
_REGISTERS = numbers(
    0, 4, 6, 8, 0xC, 0x10, 0x14, 0x18, 0x20, 0x24, 0x2C, 0x30, 0x34, 0x3C, 0x3D, 0x3E, 0x40,
    0x44, 0x48, 0x4C, 0x50, 0x54, 0x58, 0x60, 0x70, 0x80, 0x84, 0x90, 0x98, 0xA0, 0xA2, 0xB0,
    0xC8, 0xCC, 0xD0, 0xD2, 0xE0, 0xE4, 0xFC, 0xFF, 0x100, 0x104, 0x108, 0x140, 0x150, 0x160,
    0xFFC, 0xFFF, PAGE, 0x3B0, 0x3C0, 0x3C5, 0x3DF, 0xA0000, 0xBFFFF, 0x2000, 0x3000, 0x20000,
    (1 << 40) - 1,
)  # fmt: skip
_DATA = numbers(
    0, 0xFFFFFFFF, 1, 2, 4, 6, 7, 0x400, 0x406, 0x407, 3, 8, 0x10, 0x80, 0x8000, 0xC000, 0x100,
    0xFFFF, 0xFEE00000, 0xFFFFFFFFFFFFFFFF, 0x8000000000000000,
)  # fmt: skip
_LENGTHS = numbers(PAGE, 2 * PAGE, 16 * PAGE, 0x20000, 0, 1, 1 << 30, 1 << 40, (1 << 64) - PAGE)
_OFFSETS = numbers(0, PAGE, 2 * PAGE, 0x3000, 0x10000, 1, 0x800, (1 << 40) - PAGE, 1 << 40)
_PROTECTIONS = numbers(
    mmap.PROT_READ | mmap.PROT_WRITE,
    mmap.PROT_READ,
    mmap.PROT_WRITE,
    0,
    mmap.PROT_READ | mmap.PROT_EXEC,
)
_SHARING = numbers(mmap.MAP_SHARED, mmap.MAP_PRIVATE, 0, 3, mmap.MAP_SHARED | mmap.MAP_POPULATE)
_ADVICE = numbers(4, 8, 9, 10, 14, 15, 21, 22, 23)  # DONTNEED, FREE, REMOVE, DONTFORK, ...


def _call(
    shape: str, kind: str, fields: Sequence[tuple[str, Sequence[Choice]]] = (), **more: object
) -> Description:
    made = tuple(Field(name, 0, 8, tuple(choices)) for name, choices in fields)
    return Description(str(more.pop("name", shape)), kind, made, shape=shape, **more)  # type: ignore[arg-type]


_FLAGS = numbers(0o2, 0o2000002, 0, 1, 0o2 | 0o4000)
_WHICH = numbers(*range(12))
_EDU = numbers(edu.RAISE, edu.ACKNOWLEDGE, edu.DMA_FROM, edu.DMA_TO, edu.DMA_COUNT,
               edu.STATUS, edu.LIVENESS, edu.FACTORIAL)  # fmt: skip

DEBUGFS_FILES: Final = (
    "migration/state", "migration/features", "pci/nointxmask", "pci/disable_idle_d3",
)  # fmt: skip

CALLS: Final[tuple[Description, ...]] = (
    _call("open", "", [("flags", _FLAGS)], name="open container", returns="container", weight=4),
    _call("open", "", [("flags", _FLAGS)], name="open iommufd", returns="iommufd", weight=4),
    _call(
        "open",
        "",
        [("flags", _FLAGS), ("device", _WHICH)],
        name="open group",
        returns="group",
        weight=6,
    ),
    _call(
        "open",
        "",
        [("flags", _FLAGS), ("device", _WHICH)],
        name="open cdev",
        returns="device",
        weight=6,
    ),
    _call("eventfd", "", [("count", numbers(0, 1, 0xFFFFFFFF))], returns="eventfd", weight=2),
    _call("memfd", "", [("pages", numbers(1, 16, 64))], returns="mapping", weight=1),
    _call("close", "*", weight=5),
    _call("dup", "*", weight=1),
    _call("read", "*", [("size", numbers(8, 4, 0, 16, PAGE))], weight=1),
    _call(
        "write", "*", [("data", numbers(1, 0, (1 << 64) - 2)), ("size", numbers(8, 4, 0))], weight=2
    ),
    _call(
        "raw ioctl",
        "*",
        [
            ("request", numbers(*range(0x3B64, 0x3B80), *range(0x3B80, 0x3B98), 0x5421)),
            ("value", numbers(0, 1, (1 << 64) - 1)),
        ],
        weight=2,
    ),
    _call(
        "pread",
        "device",
        [("region", _REGIONS), ("offset", _REGISTERS), ("size", _WIDTHS)],
        weight=8,
    ),
    _call(
        "pwrite",
        "device",
        [("region", _REGIONS), ("offset", _REGISTERS), ("size", _WIDTHS), ("data", _DATA)],
        undo=("config",),
        weight=6,
    ),
    _call(
        "pwrite",
        "device",
        [("region", numbers(7)), ("offset", _REGISTERS), ("size", _WIDTHS), ("data", _DATA)],
        name="write config",
        undo=("config",),
        weight=6,
    ),
    _call(
        "pwrite",
        "device",
        [("region", numbers(0)), ("offset", _EDU), ("size", numbers(4, 8)), ("data", _DATA)],
        name="write register",
        undo=("config",),
        weight=4,
    ),
    _call(
        "edu dma",
        "device",
        [
            ("iova", numbers(0x100000, 0x101000, 0x110000, 0x200000, 0, 0xFEE00000)),
            ("size", numbers(2048, 8, 1, 256)),
            ("from device", numbers(1, 0)),
        ],
        weight=1,
    ),
    _call(
        "mmap",
        "device",
        [
            ("region", _REGIONS),
            ("offset", _OFFSETS),
            ("length", _LENGTHS),
            ("protection", _PROTECTIONS),
            ("sharing", _SHARING),
        ],
        returns="mapping",
        weight=6,
    ),
    _call("munmap", "mapping", weight=2),
    _call("load", "mapping", [("offset", _OFFSETS), ("width", numbers(4, 1, 2, 8))], weight=4),
    _call(
        "store",
        "mapping",
        [("offset", _OFFSETS), ("width", numbers(4, 1, 2, 8)), ("value", _DATA)],
        weight=3,
    ),
    _call(
        "madvise",
        "mapping",
        [("offset", _OFFSETS), ("length", _LENGTHS), ("advice", _ADVICE)],
        weight=1,
    ),
    _call(
        "mprotect",
        "mapping",
        [("offset", _OFFSETS), ("length", _LENGTHS), ("protection", _PROTECTIONS)],
        weight=1,
    ),
    _call("fork", "", [("signal", numbers(9, 0))], weight=SLOW),
    _call("race", "", [("rounds", numbers(8, 2, 40)), ("other", numbers(0, 1, 2))], weight=0.5),
    _call("pause", "", [("ms", numbers(20, 1, 60))], weight=SLOW),
    _call("unbind", "", [("device", _WHICH)], weight=SLOW),
    _call("bind", "", [("device", _WHICH)], weight=SLOW),
    _call("sriov", "", [("device", _WHICH), ("count", numbers(1, 0, 2, 3))], weight=SLOW / 4),
    _call(
        "debugfs",
        "",
        [("device", _WHICH), ("file", numbers(*range(len(DEBUGFS_FILES))))],
        weight=0.5,
    ),
)
