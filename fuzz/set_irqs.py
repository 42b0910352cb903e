# SPDX-License-Identifier: MIT
"""Interrupts: every index, action and kind of data, with eventfds that come and go."""

from vfiospec.fuzzing.target import Target, operations

TARGET = Target(
    "set_irqs",
    "SET_IRQS and the eventfds behind it",
    operations(
        also=(
            "race",
            "pause",
            "VFIO_DEVICE_SET_IRQS",
            "VFIO_DEVICE_GET_IRQ_INFO",
            "VFIO_GROUP_GET_DEVICE_FD",
            "eventfd",
            "write register",
            "write config",
            "write",
            "read",
            "close",
            "dup",
            "VFIO_DEVICE_RESET",
        ),
    ),
    held=("edu", "e1000e", "xhci", "virtio-rng", "nvme"),
)
