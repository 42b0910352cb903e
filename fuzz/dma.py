# SPDX-License-Identifier: MIT
"""DMA: mappings of every shape, dirty pages, and a device that really does it."""

from vfiospec.fuzzing.target import Target, operations

TARGET = Target(
    "dma",
    "mappings for DMA, and DMA",
    operations(
        also=(
            "race",
            "pause",
            "VFIO_IOMMU_",
            "VFIO_SET_IOMMU",
            "VFIO_CHECK",
            "open container",
            "open group",
            "VFIO_GROUP",
            "write register",
            "edu dma",
            "write config",
            "memfd",
            "munmap",
            "madvise",
            "fork",
            "close",
        ),
        without=("VFIO_IOMMU_SPAPR", "VFIO_IOMMU_ENABLE", "VFIO_IOMMU_DISABLE"),
    ),
    held=("edu", "e1000e"),
    free=("testdev", "sdhci"),
)
