# SPDX-License-Identifier: MIT
"""Containers: extensions, models, the type1 IOMMU, groups that come and go."""

from vfiospec.fuzzing.target import Target, operations

TARGET = Target(
    "container",
    "containers and the type1 IOMMU behind them",
    operations(
        "container", also=("open container", "open group", "VFIO_GROUP", "close", "dup", "fork")
    ),
    held=("e1000e",),
    free=("testdev", "xhci", "sdhci", "rtl8139"),
)
