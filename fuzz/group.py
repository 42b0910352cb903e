# SPDX-License-Identifier: MIT
"""Groups: opened, attached, asked for devices, detached, in any order."""

from vfiospec.fuzzing.target import Target, operations

TARGET = Target(
    "group",
    "groups and how they lead to devices",
    operations(
        "group",
        also=(
            "race",
            "pause",
            "open container",
            "open group",
            "open iommufd",
            "VFIO_SET_IOMMU",
            "VFIO_DEVICE_GET_INFO",
            "IOMMU_IOAS_ALLOC",
            "IOMMU_VFIO_IOAS",
            "close",
            "dup",
            "unbind",
            "bind",
            "fork",
        ),
    ),
    free=("testdev", "xhci", "virtio-rng", "sdhci", "rtl8139", "mtty"),
)
