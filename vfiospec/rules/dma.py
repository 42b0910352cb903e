# SPDX-License-Identifier: MIT
"""DMA that really happens: what a device reaches through the mappings of its container."""

from vfiospec.rules.model import HEADER, Source, Strength, rule

TYPE1 = "drivers/vfio/vfio_iommu_type1.c"
_MAP = Source(TYPE1, "vfio_dma_do_map")
_IOMMU_MAP = Source(TYPE1, "vfio_iommu_map")
_UNMAP = Source(TYPE1, "vfio_unmap_unpin")
_DIRECTION = Source(HEADER, "VFIO_DMA_MAP_FLAG_READ", quote="readable from device")
_WRITABLE = Source(HEADER, "VFIO_DMA_MAP_FLAG_WRITE", quote="writable from device")

MAPPED = rule(
    "dma.mapped",
    "A device reads and writes mapped memory: just the bytes at the IOVA it uses.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_IOMMU_MAP_DMA", quote="Map process virtual addresses to IO virtual"),
    _MAP,
    _IOMMU_MAP,
)

READ_ONLY = rule(
    "dma.read-only",
    "A device cannot write to a mapping without WRITE.",
    Strength.DOCUMENTED,
    _WRITABLE,
    _IOMMU_MAP,
)

WRITE_ONLY = rule(
    "dma.write-only",
    "A device cannot read from a mapping without READ.",
    Strength.DOCUMENTED,
    _DIRECTION,
    _IOMMU_MAP,
)

UNMAPPED = rule(
    "dma.unmapped",
    "A device reaches nothing where nothing is mapped, or no longer is, even if a transfer was "
    "begun before.",
    Strength.ENFORCED,
    Source(HEADER, "VFIO_IOMMU_UNMAP_DMA", quote="Unmap IO virtual addresses"),
    _UNMAP,
)

CLOSED = rule(
    "dma.closed",
    "When its files are closed a device reaches the memory of the process no more.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_iommu_type1_detach_group"),
    Source("drivers/vfio/pci/vfio_pci_core.c", "vfio_pci_core_disable"),
)

BUS_MASTER = rule(
    "dma.bus-master",
    "A device is not bus master when it is opened, and reaches nothing until it is.",
    Strength.ENFORCED,
    Source("drivers/vfio/pci/vfio_pci_core.c", "vfio_pci_core_enable"),
)

GROUPS = rule(
    "dma.groups",
    "Each device of each group in a container reaches all its mappings, made before the group "
    "came or after, until its group leaves.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_iommu_type1_attach_group"),
    Source(TYPE1, "vfio_iommu_type1_detach_group"),
)

INVALID_VADDR = rule(
    "dma.invalid-vaddr",
    "While the address of a mapping is invalid, and after it is restored, DMA goes on.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "vfio_iommu_type1_dma_unmap",
        quote="DMA to already-mapped pages continues.",
    ),
    Source(TYPE1, "vfio_dma_do_unmap"),
)

OTHER_PROCESS = rule(
    "dma.other-process",
    "A mapping is of the memory of the process that made it.",
    Strength.ENFORCED,
    _MAP,
)
