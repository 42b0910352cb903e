# SPDX-License-Identifier: MIT
"""Calls that run out of memory, or whose caller's memory is gone: told so, and nothing is left."""

from errno import EBUSY, EFAULT, ENOMEM, ENOSPC

from vfiospec.rules.model import PCI_CORE, Answer, Rule, Source, Strength, rule

_INJECTION = Source(
    "Documentation/fault-injection/fault-injection.rst",
    "proc entries",
    quote="Write to this file of integer N makes N-th call in the task fail.",
)
_GROUP = "drivers/vfio/group.c"
_CONTAINER = "drivers/vfio/container.c"
_CDEV = "drivers/vfio/device_cdev.c"
_INTRS = "drivers/vfio/pci/vfio_pci_intrs.c"
_IOAS = "drivers/iommu/iommufd/ioas.c"


def _fails(name: str, what: str, *sources: Source) -> Rule:
    return rule(
        f"faults.{name}",
        f"{what} that fails because an allocation does, is ENOMEM and leaves nothing behind: the "
        "caller has what it had, and the same call succeeds later.",
        Strength.ENFORCED,
        *sources,
        _INJECTION,
        answer=ENOMEM,
    )


COPY = rule(
    "faults.copy",
    "A call whose argument or answer cannot be copied is EFAULT, and leaves nothing behind.",
    Strength.ENFORCED,
    Source("drivers/vfio/device_cdev.c", "vfio_df_ioctl_attach_pt"),
    _INJECTION,
    answer=EFAULT,
)

OPEN_CONTAINER = _fails(
    "open-container",
    "An open of a container",
    Source(_CONTAINER, "vfio_fops_open"),
)

OPEN_GROUP = _fails(
    "open-group",
    "An open of a group",
    Source(_GROUP, "vfio_group_fops_open"),
)

SET_CONTAINER = _fails(
    "set-container",
    "A SET_CONTAINER",
    Source(_GROUP, "vfio_group_ioctl_set_container"),
    Source(_CONTAINER, "vfio_container_attach_group"),
)

SET_IOMMU = _fails(
    "set-iommu",
    "A SET_IOMMU",
    Source(_CONTAINER, "vfio_ioctl_set_iommu"),
    Source("drivers/vfio/vfio_iommu_type1.c", "vfio_iommu_type1_attach_group"),
)

DEVICE_FD = _fails(
    "get-device-fd",
    "A GET_DEVICE_FD",
    Source(_GROUP, "vfio_group_ioctl_get_device_fd"),
    Source(PCI_CORE, "vfio_pci_core_enable"),
    Source("drivers/vfio/pci/vfio_pci_config.c", "vfio_msi_cap_len"),
)

OPEN_CDEV = _fails(
    "open-cdev",
    "An open of a device's own file",
    Source(_CDEV, "vfio_device_fops_cdev_open"),
)

CREATE_MDEV = _fails(
    "create-mdev",
    "A mediated device's making",
    Source("drivers/vfio/vfio_main.c", "__vfio_register_dev"),
    Source("drivers/vfio/vfio_main.c", "vfio_init_device"),
    Source(_GROUP, "vfio_noiommu_group_alloc"),
)

OPEN_IOMMUFD = _fails(
    "open-iommufd",
    "An open of an iommufd",
    Source("drivers/iommu/iommufd/main.c", "iommufd_fops_open"),
)

BIND = _fails(
    "bind",
    "A BIND_IOMMUFD",
    Source(_CDEV, "vfio_df_ioctl_bind_iommufd"),
)

ATTACH = _fails(
    "attach",
    "An ATTACH_IOMMUFD_PT",
    Source(_CDEV, "vfio_df_ioctl_attach_pt"),
)

IOAS_ALLOC = _fails(
    "ioas-alloc",
    "An IOAS_ALLOC",
    Source(_IOAS, "iommufd_ioas_alloc_ioctl"),
)

IOAS_MAP = _fails(
    "ioas-map",
    "An IOAS_MAP",
    Source(_IOAS, "iommufd_ioas_map"),
)

IOAS_MAP_ANSWER = rule(
    "faults.ioas-map-answer",
    "An IOAS_MAP whose answer cannot be written fails with EFAULT and maps nothing: whoever is "
    "told of a failure has nothing to undo, as with BIND and ATTACH.",
    Strength.ENFORCED,
    Source(_CDEV, "vfio_df_ioctl_attach_pt"),
    Source(_IOAS, "iommufd_ioas_map"),
    answer=EFAULT,
)

MAP_DMA = _fails(
    "map-dma",
    "A MAP_DMA",
    Source("drivers/vfio/vfio_iommu_type1.c", "vfio_dma_do_map"),
)

UNMAP_DMA = _fails(
    "unmap-dma",
    "An UNMAP_DMA",
    Source("drivers/vfio/vfio_iommu_type1.c", "vfio_dma_do_unmap"),
)

DIRTY_PAGES = _fails(
    "dirty-pages",
    "A VFIO_IOMMU_DIRTY_PAGES",
    Source("drivers/vfio/vfio_iommu_type1.c", "vfio_iommu_type1_dirty_pages"),
    Source("drivers/vfio/vfio_iommu_type1.c", "vfio_dma_bitmap_alloc_all"),
)

IOMMU_INFO = rule(
    "faults.iommu-info",
    "A VFIO_IOMMU_GET_INFO that fails because an allocation does, is ENOMEM; one that succeeds "
    "tells all there is, as ever.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_iommu_type1.c", "vfio_iommu_type1_get_info"),
    Source("drivers/vfio/vfio_iommu_type1.c", "vfio_iommu_iova_build_caps"),
    _INJECTION,
    answer=ENOMEM,
)

IOAS_UNMAP = _fails(
    "ioas-unmap",
    "An IOAS_UNMAP",
    Source(_IOAS, "iommufd_ioas_unmap"),
)

DETACH = _fails(
    "detach",
    "A DETACH_IOMMUFD_PT",
    Source(_CDEV, "vfio_df_ioctl_detach_pt"),
)

SET_IRQS = _fails(
    "set-irqs",
    "A SET_IRQS",
    Source(PCI_CORE, "vfio_pci_ioctl_set_irqs"),
    Source(_INTRS, "vfio_pci_set_irqs_ioctl"),
)

SET_VECTORS = _fails(
    "set-vectors",
    "A SET_IRQS that turns on MSI or MSI-X",
    Source(_INTRS, "vfio_msi_enable"),
    Source(_INTRS, "vfio_msi_set_vector_signal"),
)

NO_VECTORS = rule(
    "faults.no-vectors",
    "SET_IRQS that turns on MSI or MSI-X may say ENOSPC of an allocation that failed: that is what "
    "the kernel's interrupt core says of vectors it cannot have, for whatever reason.",
    Strength.ENFORCED,
    Source("drivers/pci/msi/msi.c", "__pci_enable_msix_range"),
    Source(_INTRS, "vfio_msi_enable"),
    answer=ENOSPC,
)

INFO = _fails(
    "info",
    "A call that asks for information",
    Source(PCI_CORE, "vfio_pci_ioctl_get_info"),
    Source(PCI_CORE, "vfio_pci_ioctl_get_region_info"),
    Source(PCI_CORE, "vfio_pci_ioctl_get_irq_info"),
)

HOT_RESET_INFO = _fails(
    "hot-reset-info",
    "A GET_PCI_HOT_RESET_INFO",
    Source(PCI_CORE, "vfio_pci_ioctl_get_pci_hot_reset_info"),
)

IOEVENTFD = _fails(
    "ioeventfd",
    "An IOEVENTFD",
    Source("drivers/vfio/pci/vfio_pci_rdwr.c", "vfio_pci_ioeventfd"),
)

FEATURE = _fails(
    "feature",
    "A DEVICE_FEATURE",
    Source("drivers/vfio/vfio_main.c", "vfio_ioctl_device_feature"),
)

MMAP = _fails(
    "mmap",
    "A mmap of a BAR",
    Source(PCI_CORE, "vfio_pci_core_mmap"),
)

ACCESS = _fails(
    "region-access",
    "A read or a write of a region",
    Source("drivers/vfio/pci/vfio_pci_rdwr.c", "vfio_pci_bar_rw"),
    Source("drivers/vfio/pci/vfio_pci_config.c", "vfio_pci_config_rw_single"),
)

FIRST_ACCESS = rule(
    "faults.first-access",
    "An access to a BAR that runs out of memory is ENOMEM. Before 7.2 the first one takes the BAR, "
    "and is EBUSY then.",
    Strength.ENFORCED,
    Source("drivers/vfio/pci/vfio_pci_rdwr.c", "vfio_pci_core_setup_barmap"),
    Source(PCI_CORE, "vfio_pci_core_map_bars"),
    answer=(
        Answer(EBUSY, "<7.2", "pci_request_selected_regions says so whatever went wrong"),
        Answer(ENOMEM, ">=7.2", "a BAR is taken when the device is opened"),
    ),
)

SRIOV = _fails(
    "sriov-numvfs",
    "A write to sriov_numvfs of a PF that vfio-pci has",
    Source(PCI_CORE, "vfio_pci_core_sriov_configure"),
)
