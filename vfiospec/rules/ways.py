# SPDX-License-Identifier: MIT
"""What does not depend on how a device was reached. Where it does: ways_differences."""

from vfiospec.rules.model import HEADER, PCI_CORE, Source, Strength, rule

_MAIN = "drivers/vfio/vfio_main.c"
_ONE_TABLE = Source(_MAIN, "vfio_device_fops_unl_ioctl")
_COMPAT = "drivers/iommu/iommufd/vfio_compat.c"
_SAME_CALLS = Source(
    HEADER, "VFIO_DEVICE_BIND_IOMMUFD", quote="Bind a vfio_device to the specified iommufd."
)

DEVICE_INFO = rule(
    "ways.device-info",
    "GET_INFO says the same of a device in each way it was reached.",
    Strength.ENFORCED,
    _ONE_TABLE,
    Source(PCI_CORE, "vfio_pci_ioctl_get_info"),
)

REGION_INFO = rule(
    "ways.region-info",
    "GET_REGION_INFO says the same of each region in each way.",
    Strength.ENFORCED,
    _ONE_TABLE,
    Source(PCI_CORE, "vfio_pci_ioctl_get_region_info"),
)

IRQ_INFO = rule(
    "ways.irq-info",
    "GET_IRQ_INFO says the same of each interrupt index in each way.",
    Strength.ENFORCED,
    _ONE_TABLE,
    Source(PCI_CORE, "vfio_pci_ioctl_get_irq_info"),
)

CONFIG_SPACE = rule(
    "ways.config-space",
    "Configuration space reads the same, and takes the same writes, in each way.",
    Strength.ENFORCED,
    Source(_MAIN, "vfio_device_fops_read"),
    Source("drivers/vfio/pci/vfio_pci_config.c", "vfio_pci_config_rw"),
)

SET_IRQS = rule(
    "ways.set-irqs",
    "SET_IRQS takes and refuses the same, and signals the same eventfds, in each way.",
    Strength.ENFORCED,
    _ONE_TABLE,
    Source("drivers/vfio/pci/vfio_pci_intrs.c", "vfio_pci_set_irqs_ioctl"),
)

MMAP = rule(
    "ways.mmap",
    "The same regions can be mapped in each way, and fault while memory is off.",
    Strength.ENFORCED,
    Source(_MAIN, "vfio_device_fops_mmap"),
    Source(PCI_CORE, "vfio_pci_core_mmap"),
)

RESET = rule(
    "ways.reset",
    "A reset is given or refused alike in each way, and leaves the same behind.",
    Strength.ENFORCED,
    _ONE_TABLE,
    Source(PCI_CORE, "vfio_pci_ioctl_reset"),
)

FEATURES = rule(
    "ways.features",
    "A device has the same features in each way.",
    Strength.ENFORCED,
    Source(_MAIN, "vfio_ioctl_device_feature"),
)

IOCTLS = rule(
    "ways.ioctls",
    "A device refuses the same ioctls in each way.",
    Strength.ENFORCED,
    _ONE_TABLE,
)

CLOSE = rule(
    "ways.close",
    "The last close of a device leaves the same to the next user in each way.",
    Strength.ENFORCED,
    Source(_MAIN, "vfio_df_close"),
    Source(PCI_CORE, "vfio_pci_core_close_device"),
)

DMA = rule(
    "ways.dma",
    "In each way a device reaches what is mapped for it, as it is mapped, and nothing else.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_IOMMU_MAP_DMA"),
    _SAME_CALLS,
)

MAP = rule(
    "ways.map",
    "The same can be mapped in each way.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_iommu_type1.c", "vfio_dma_do_map"),
    Source("drivers/iommu/iommufd/io_pagetable.c", "iopt_map_user_pages"),
)

MAP_BAR = rule(
    "ways.map-bar",
    "A BAR that is mapped into memory can be mapped for DMA.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_iommu_type1.c", "follow_fault_pfn"),
)

UNMAP = rule(
    "ways.unmap",
    "Unmapping takes the same away in each way, and says how much.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_IOMMU_UNMAP_DMA", quote="The actual unmapped size is returned"),
    Source("drivers/iommu/iommufd/io_pagetable.c", "iopt_unmap_iova_range"),
)

RANGES = rule(
    "ways.iova-ranges",
    "The same addresses may be mapped in each way, in the same steps.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_iommu_type1.c", "vfio_iommu_iova_build_caps"),
    Source("drivers/iommu/iommufd/io_pagetable.c", "iopt_table_enforce_dev_resv_regions"),
)

INFO = rule(
    "ways.container-info",
    "An iommufd in place of a container tells what the container tells.",
    Strength.ENFORCED,
    Source(_COMPAT, "iommufd_vfio_iommu_get_info"),
    Source(_COMPAT, "iommufd_vfio_check_extension"),
)

CALLS = rule(
    "ways.container-calls",
    "An iommufd in place of a container takes and refuses what the container does.",
    Strength.ENFORCED,
    Source(_COMPAT, "iommufd_vfio_ioctl"),
)
