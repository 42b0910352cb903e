# SPDX-License-Identifier: MIT
"""A world for programs without a kernel, for tests of what is made of them."""

from vfiospec.device.ops import WriteFile
from vfiospec.fuzzing.model import Subject, World

_DRIVER = "/sys/bus/pci/drivers/vfio-pci"


def _loose(name: str, bdf: str, group: int, cdev: str) -> Subject:
    taken, given = (WriteFile(f"{_DRIVER}/{what}", bdf.encode()) for what in ("unbind", "bind"))
    return Subject(name, bdf, group, cdev, f"/sys/bus/pci/devices/{bdf}", False, taken, given)


WORLD = World(
    {"container": (1,), "group": (2,), "device": (3, 4), "eventfd": (5, 6), "memory": (7, 8)},
    (
        _loose("e1000e", "0000:00:14.0", 3, "/dev/vfio/devices/vfio0"),
        Subject("edu", "0000:00:15.0", 4),
    ),
    first=100,
    loose=1,
)
