# SPDX-License-Identifier: MIT
"""Features: low power, DMA buffers, VF tokens, and all of migration."""

from vfiospec.fuzzing.target import Target, operations

TARGET = Target(
    "feature_migration",
    "DEVICE_FEATURE, migration and its data",
    operations(
        "migration",
        also=(
            "race",
            "pause",
            "VFIO_DEVICE_FEATURE",
            "VFIO_GROUP_GET_DEVICE_FD",
            "VFIO_DEVICE_RESET",
            "eventfd",
            "debugfs",
            "read",
            "write",
            "pread",
            "mmap",
            "load",
            "munmap",
            "close",
        ),
    ),
    held=("e1000e", "nvme", "edu", "mtty"),
)
