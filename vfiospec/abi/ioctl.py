# SPDX-License-Identifier: MIT
"""What an ioctl number means on which kind of fd, for transcripts.

Numbers alone are ambiguous: 0x3b70 is GET_PCI_HOT_RESET_INFO on a device, IOMMU_GET_INFO on a
container. A cdev is a "device". Where type1 and sPAPR share a number, the type1 meaning is here.
"""

from types import ModuleType

from vfiospec.abi import iommufd, iommufd_hwpt, iommufd_viommu, vfio, vfio_feature, vfio_iommu
from vfiospec.abi.base import AbiStruct

# The struct is None where the argument is a value, a pointer to one, a string or nothing.
_Entry = tuple[ModuleType, str, type[AbiStruct] | None]

_CONTAINER: list[_Entry] = [
    (vfio, "VFIO_GET_API_VERSION", None),
    (vfio, "VFIO_CHECK_EXTENSION", None),
    (vfio, "VFIO_SET_IOMMU", None),
    (vfio_iommu, "VFIO_IOMMU_GET_INFO", vfio_iommu.vfio_iommu_type1_info),
    (vfio_iommu, "VFIO_IOMMU_MAP_DMA", vfio_iommu.vfio_iommu_type1_dma_map),
    (vfio_iommu, "VFIO_IOMMU_UNMAP_DMA", vfio_iommu.vfio_iommu_type1_dma_unmap),
    (vfio_iommu, "VFIO_IOMMU_ENABLE", None),
    (vfio_iommu, "VFIO_IOMMU_DISABLE", None),
    (vfio_iommu, "VFIO_IOMMU_DIRTY_PAGES", vfio_iommu.vfio_iommu_type1_dirty_bitmap),
    (vfio_iommu, "VFIO_EEH_PE_OP", vfio_iommu.vfio_eeh_pe_op),
    (
        vfio_iommu,
        "VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY",
        vfio_iommu.vfio_iommu_spapr_register_memory,
    ),
    (vfio_iommu, "VFIO_IOMMU_SPAPR_TCE_CREATE", vfio_iommu.vfio_iommu_spapr_tce_create),
    (vfio_iommu, "VFIO_IOMMU_SPAPR_TCE_REMOVE", vfio_iommu.vfio_iommu_spapr_tce_remove),
]

_GROUP: list[_Entry] = [
    (vfio, "VFIO_GROUP_GET_STATUS", vfio.vfio_group_status),
    (vfio, "VFIO_GROUP_SET_CONTAINER", None),
    (vfio, "VFIO_GROUP_UNSET_CONTAINER", None),
    (vfio, "VFIO_GROUP_GET_DEVICE_FD", None),
]

_DEVICE: list[_Entry] = [
    (vfio, "VFIO_DEVICE_GET_INFO", vfio.vfio_device_info),
    (vfio, "VFIO_DEVICE_GET_REGION_INFO", vfio.vfio_region_info),
    (vfio, "VFIO_DEVICE_GET_IRQ_INFO", vfio.vfio_irq_info),
    (vfio, "VFIO_DEVICE_SET_IRQS", vfio.vfio_irq_set),
    (vfio, "VFIO_DEVICE_RESET", None),
    (vfio, "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", vfio.vfio_pci_hot_reset_info),
    (vfio, "VFIO_DEVICE_PCI_HOT_RESET", vfio.vfio_pci_hot_reset),
    (vfio, "VFIO_DEVICE_QUERY_GFX_PLANE", vfio.vfio_device_gfx_plane_info),
    (vfio, "VFIO_DEVICE_GET_GFX_DMABUF", None),
    (vfio, "VFIO_DEVICE_IOEVENTFD", vfio.vfio_device_ioeventfd),
    (vfio_feature, "VFIO_DEVICE_FEATURE", vfio_feature.vfio_device_feature),
    (vfio_feature, "VFIO_DEVICE_BIND_IOMMUFD", vfio_feature.vfio_device_bind_iommufd),
    (vfio_feature, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", vfio_feature.vfio_device_attach_iommufd_pt),
    (vfio_feature, "VFIO_DEVICE_DETACH_IOMMUFD_PT", vfio_feature.vfio_device_detach_iommufd_pt),
]

_MIGRATION: list[_Entry] = [
    (vfio_feature, "VFIO_MIG_GET_PRECOPY_INFO", vfio_feature.vfio_precopy_info),
]

# An iommufd can stand for a container, so it answers the container's numbers too.
_IOMMUFD: list[_Entry] = [
    *_CONTAINER,
    (iommufd, "IOMMU_DESTROY", iommufd.iommu_destroy),
    (iommufd, "IOMMU_IOAS_ALLOC", iommufd.iommu_ioas_alloc),
    (iommufd, "IOMMU_IOAS_ALLOW_IOVAS", iommufd.iommu_ioas_allow_iovas),
    (iommufd, "IOMMU_IOAS_COPY", iommufd.iommu_ioas_copy),
    (iommufd, "IOMMU_IOAS_IOVA_RANGES", iommufd.iommu_ioas_iova_ranges),
    (iommufd, "IOMMU_IOAS_MAP", iommufd.iommu_ioas_map),
    (iommufd, "IOMMU_IOAS_UNMAP", iommufd.iommu_ioas_unmap),
    (iommufd, "IOMMU_OPTION", iommufd.iommu_option),
    (iommufd, "IOMMU_VFIO_IOAS", iommufd.iommu_vfio_ioas),
    (iommufd_hwpt, "IOMMU_HWPT_ALLOC", iommufd_hwpt.iommu_hwpt_alloc),
    (iommufd_hwpt, "IOMMU_GET_HW_INFO", iommufd_hwpt.iommu_hw_info),
    (
        iommufd_hwpt,
        "IOMMU_HWPT_SET_DIRTY_TRACKING",
        iommufd_hwpt.iommu_hwpt_set_dirty_tracking,
    ),
    (iommufd_hwpt, "IOMMU_HWPT_GET_DIRTY_BITMAP", iommufd_hwpt.iommu_hwpt_get_dirty_bitmap),
    (iommufd_hwpt, "IOMMU_HWPT_INVALIDATE", iommufd_hwpt.iommu_hwpt_invalidate),
    (iommufd_hwpt, "IOMMU_FAULT_QUEUE_ALLOC", iommufd_hwpt.iommu_fault_alloc),
    (iommufd, "IOMMU_IOAS_MAP_FILE", iommufd.iommu_ioas_map_file),
    (iommufd_viommu, "IOMMU_VIOMMU_ALLOC", iommufd_viommu.iommu_viommu_alloc),
    (iommufd_viommu, "IOMMU_VDEVICE_ALLOC", iommufd_viommu.iommu_vdevice_alloc),
    (iommufd, "IOMMU_IOAS_CHANGE_PROCESS", iommufd.iommu_ioas_change_process),
    (iommufd_viommu, "IOMMU_VEVENTQ_ALLOC", iommufd_viommu.iommu_veventq_alloc),
    (iommufd_viommu, "IOMMU_HW_QUEUE_ALLOC", iommufd_viommu.iommu_hw_queue_alloc),
    (iommufd, "IOMMU_IOAS_NOIOMMU_GET_PA", iommufd.iommu_ioas_noiommu_get_pa),
]

IOCTLS: dict[tuple[str, int], tuple[str, type[AbiStruct] | None]] = {
    (kind, getattr(module, name)): (name, struct)
    for kind, entries in (
        ("container", _CONTAINER),
        ("group", _GROUP),
        ("device", _DEVICE),
        ("migration", _MIGRATION),
        ("iommufd", _IOMMUFD),
    )
    for module, name, struct in entries
}
"""(fd kind, ioctl number) -> (header name, struct of the argument or None)."""
