# SPDX-License-Identifier: MIT
"""What a device says of itself: its regions, interrupts, hot reset, features."""

from vfiospec.fuzzing.target import Target, operations

TARGET = Target(
    "device_info",
    "the info ioctls of a device",
    operations(
        also=(
            "VFIO_DEVICE_GET_",
            "VFIO_DEVICE_QUERY_",
            "VFIO_DEVICE_FEATURE",
            "VFIO_GROUP_GET_DEVICE_FD",
            "close",
        ),
    ),
    held=("e1000e", "nvme", "xhci", "edu", "virtio-rng", "vga", "rtl8139"),
)
