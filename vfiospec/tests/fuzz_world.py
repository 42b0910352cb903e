# SPDX-License-Identifier: MIT
"""A world for programs without a kernel, for tests of what is made of them."""

from vfiospec.fuzzing.model import Subject, World

WORLD = World(
    {"container": (1,), "group": (2,), "device": (3, 4), "eventfd": (5, 6), "memory": (7, 8)},
    (
        Subject("e1000e", "0000:00:14.0", 3, "/dev/vfio/devices/vfio0"),
        Subject("edu", "0000:00:15.0", 4),
    ),
    first=100,
)
