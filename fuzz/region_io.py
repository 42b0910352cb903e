# SPDX-License-Identifier: MIT
"""Regions: read, written, mapped and touched; configuration space; ioeventfds."""

from vfiospec.fuzzing.target import Target, operations

TARGET = Target(
    "region_io",
    "reads, writes and mappings of a device's regions",
    operations(
        "mapping",
        also=(
            "race",
            "pause",
            "pread",
            "pwrite",
            "mmap",
            "write config",
            "write register",
            "VFIO_DEVICE_GET_REGION_INFO",
            "VFIO_DEVICE_IOEVENTFD",
            "VFIO_GROUP_GET_DEVICE_FD",
            "VFIO_DEVICE_RESET",
            "VFIO_DEVICE_FEATURE/dma_buf",
            "VFIO_DEVICE_FEATURE/low",
            "eventfd",
            "write",
            "close",
        ),
    ),
    held=("e1000e", "edu", "virtio-rng", "vga", "rtl8139", "nvme"),
)
