# SPDX-License-Identifier: MIT
"""All operations on all kinds of files, on devices of every kind."""

from vfiospec.fuzzing.describe import chosen
from vfiospec.fuzzing.target import Target

TARGET = Target(
    "everything",
    "all operations on all kinds of files",
    chosen(lambda _: True),
    held=("edu", "e1000e", "nvme", "vga", "mtty"),
    free=("testdev", "xhci", "virtio-rng", "sdhci", "rtl8139", "mtty"),
)
