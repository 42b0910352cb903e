# SPDX-License-Identifier: MIT
"""An iommufd in place of a container: VFIO's own ioctls on it, and where it is not like type1."""

from errno import (
    EBUSY,
    EEXIST,
    EFAULT,
    EINVAL,
    ENODEV,
    ENOENT,
    ENOTTY,
    EOPNOTSUPP,
    EOVERFLOW,
)

from vfiospec.rules.model import HEADER, Source, Strength, rule

_COMPAT = "drivers/iommu/iommufd/vfio_compat.c"
_UAPI = "include/uapi/linux/iommufd.h"
_IOAS = Source(_COMPAT, "iommufd_vfio_ioas")
_SET = Source(_COMPAT, "iommufd_vfio_set_iommu")
_MAP = Source(_COMPAT, "iommufd_vfio_map_dma")
_UNMAP = Source(_COMPAT, "iommufd_vfio_unmap_dma")
_INFO = Source(_COMPAT, "iommufd_vfio_iommu_get_info")
_EXTENSION = Source(_COMPAT, "iommufd_vfio_check_extension")
_CREATE = Source(_COMPAT, "iommufd_vfio_compat_ioas_create")
_TABLE = "drivers/iommu/iommufd/io_pagetable.c"

# IOMMU_VFIO_IOAS

IOAS = rule(
    "iommufd-compat.ioas",
    "The address space that stands for the container's can be set, asked for and cleared; one that "
    "is destroyed no longer stands for it.",
    Strength.DOCUMENTED,
    Source(_UAPI, "iommu_vfio_ioas", quote="The VFIO compatibility support uses a single ioas"),
    _IOAS,
)

IOAS_NONE = rule(
    "iommufd-compat.ioas-none",
    "Without one everything that needs it is refused.",
    Strength.ENFORCED,
    Source(_COMPAT, "get_compat_ioas"),
    answer=ENODEV,
)

IOAS_UNKNOWN = rule(
    "iommufd-compat.ioas-unknown",
    "An id that is no address space cannot be set, and leaves the one that is.",
    Strength.ENFORCED,
    _IOAS,
    answer=ENOENT,
)

IOAS_OP = rule(
    "iommufd-compat.ioas-op",
    "Unknown operations, and what is not 0 in a reserved field, are refused.",
    Strength.ENFORCED,
    _IOAS,
    answer=EOPNOTSUPP,
)

IOAS_GROUP = rule(
    "iommufd-compat.ioas-of-a-group",
    "A group that is set makes one if there is none, and takes the one there is.",
    Strength.DOCUMENTED,
    Source(_UAPI, "iommu_vfio_ioas"),
    _CREATE,
)

IOAS_BUSY = rule(
    "iommufd-compat.ioas-busy",
    "It cannot be destroyed while a device is open through it.",
    Strength.ENFORCED,
    Source("drivers/vfio/iommufd.c", "vfio_iommufd_compat_attach_ioas"),
    answer=EBUSY,
)

# As a container

VERSION = rule(
    "iommufd-compat.version",
    "The API version is the container's.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_GET_API_VERSION"),
    answer=0,
)

EXTENSIONS = rule(
    "iommufd-compat.extensions",
    "Type 1 in both versions, and UNMAP_ALL: no nesting and no UPDATE_VADDR, unlike a container.",
    Strength.ENFORCED,
    _EXTENSION,
)

COHERENT = rule(
    "iommufd-compat.dma-cc",
    "DMA_CC is asked of the address space: 1 without devices, with one what type1 says.",
    Strength.ENFORCED,
    Source(_COMPAT, "iommufd_vfio_cc_iommu"),
)

SET = rule(
    "iommufd-compat.set-iommu",
    "Type 1 in either version may be set, and set again, unlike a container's; type 1 does without "
    "large pages.",
    Strength.ENFORCED,
    _SET,
)

SET_LATE = rule(
    "iommufd-compat.set-iommu-late",
    "While a device has pages mapped type 1 cannot be set: large pages may be in use. Version 2 "
    "can, and so can type 1 once nothing is mapped.",
    Strength.ENFORCED,
    _SET,
    Source(_TABLE, "iopt_disable_large_pages"),
    answer=EINVAL,
)

SET_UNKNOWN = rule(
    "iommufd-compat.set-iommu-unknown",
    "Another model cannot be set, with or without an address space.",
    Strength.ENFORCED,
    _SET,
    answer=EINVAL,
)

UNSUPPORTED = rule(
    "iommufd-compat.unsupported",
    "DIRTY_PAGES, and what else type1 does not know, is refused.",
    Strength.DOCUMENTED,
    Source(_UAPI, "General ioctl format", quote="ENOTTY: The IOCTL number itself is not supported"),
    Source(_COMPAT, "iommufd_vfio_ioctl"),
    answer=ENOTTY,
)

# VFIO_IOMMU_GET_INFO

INFO = rule(
    "iommufd-compat.info",
    "Page sizes and capabilities are told; argsz is rewritten to what all of it takes whatever it "
    "was, unlike type1's.",
    Strength.ENFORCED,
    _INFO,
)

INFO_ROOM = rule(
    "iommufd-compat.info-room",
    "cap_offset is 0 unless all capabilities have room; nothing is written behind argsz.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_IOMMU_GET_INFO"),
    _INFO,
)

INFO_AVAIL = rule(
    "iommufd-compat.info-dma-avail",
    "The number of mappings is not limited: U32_MAX are available, where type1 counts down.",
    Strength.ENFORCED,
    Source(_COMPAT, "iommufd_fill_cap_dma_avail"),
    answer=(1 << 32) - 1,
)

INFO_RANGES = rule(
    "iommufd-compat.info-ranges",
    "All addresses may be mapped without a device; with one, what type1 allows it.",
    Strength.ENFORCED,
    Source(_COMPAT, "iommufd_fill_cap_iova"),
)

ARGSZ = rule(
    "iommufd-compat.argsz",
    "An argsz that does not reach behind the first version of the structure is refused.",
    Strength.ENFORCED,
    _INFO,
    _MAP,
    _UNMAP,
    answer=EINVAL,
)

ADDRESS = rule(
    "iommufd-compat.bad-address",
    "A structure that cannot be read, or not be written where it is an answer, is a fault.",
    Strength.ENFORCED,
    _INFO,
    _MAP,
    _UNMAP,
    answer=EFAULT,
)

# MAP_DMA, UNMAP_DMA

MAP = rule(
    "iommufd-compat.map",
    "What is mapped is what the device reaches, with the access that was asked for.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_IOMMU_MAP_DMA"),
    _MAP,
)

MAP_FLAGS = rule(
    "iommufd-compat.map-flags",
    "READ and WRITE alone are known: VADDR is not, unlike type1's.",
    Strength.ENFORCED,
    _MAP,
    answer=EINVAL,
)

MAP_NEITHER = rule(
    "iommufd-compat.map-neither",
    "A mapping for neither reading nor writing is refused, as a container's and an address space's "
    "is, and the kernel's log says nothing of it.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_iommu_type1.c", "vfio_dma_do_map"),
    Source("drivers/iommu/iommufd/ioas.c", "iommufd_ioas_map"),
    answer=EINVAL,
)

MAP_OVERLAP = rule(
    "iommufd-compat.map-overlap",
    "An address that is mapped cannot be mapped again.",
    Strength.ENFORCED,
    Source(_TABLE, "iopt_check_iova"),
    answer=EEXIST,
)

MAP_EMPTY = rule(
    "iommufd-compat.map-empty",
    "Nothing cannot be mapped.",
    Strength.ENFORCED,
    Source(_TABLE, "iopt_alloc_area_pages"),
    answer=EINVAL,
)

MAP_WRAP = rule(
    "iommufd-compat.map-wrap",
    "A range that wraps around, of addresses or of memory, is refused.",
    Strength.ENFORCED,
    Source(_TABLE, "iopt_check_iova"),
    answer=EOVERFLOW,
)

MAP_RESERVED = rule(
    "iommufd-compat.map-reserved",
    "Addresses that a device cannot use for DMA cannot be mapped once it is open.",
    Strength.ENFORCED,
    Source(_TABLE, "iopt_check_iova"),
    answer=EINVAL,
)

UNMAP = rule(
    "iommufd-compat.unmap",
    "Whole mappings within the range are unmapped, and their size is told; with none it is 0.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_IOMMU_UNMAP_DMA", quote="The actual unmapped size is returned"),
    _UNMAP,
)

UNMAP_PART = rule(
    "iommufd-compat.unmap-part",
    "A part of a mapping is refused without an answer of EINVAL as type1 v2's, and the size told "
    "is what was unmapped before it.",
    Strength.ENFORCED,
    Source(_TABLE, "iopt_unmap_iova_range"),
    answer=ENOENT,
)

UNMAP_CUT = rule(
    "iommufd-compat.unmap-cut",
    "After type 1 was set a part is unmapped, and just the part, where a container's type1 would "
    "take the whole mapping.",
    Strength.ENFORCED,
    _UNMAP,
    Source(_TABLE, "iopt_cut_iova"),
)

UNMAP_ALL = rule(
    "iommufd-compat.unmap-all",
    "ALL unmaps everything and tells its size.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DMA_UNMAP_FLAG_ALL"),
    _UNMAP,
)

UNMAP_FLAGS = rule(
    "iommufd-compat.unmap-flags",
    "ALL alone is known, and takes neither address nor size: GET_DIRTY_BITMAP and VADDR are not, "
    "unlike type1's.",
    Strength.ENFORCED,
    _UNMAP,
    answer=EINVAL,
)

# The group

NO_MODEL = rule(
    "iommufd-compat.no-model-needed",
    "A device can be had before SET_IOMMU, unlike with a container.",
    Strength.ENFORCED,
    Source("drivers/vfio/group.c", "vfio_df_group_open"),
)

UNSET = rule(
    "iommufd-compat.unset-while-open",
    "The group can be taken out while a device is open, unlike a container's: it serves on, and no "
    "other can be had.",
    Strength.ENFORCED,
    Source("drivers/vfio/group.c", "vfio_group_ioctl_unset_container"),
    answer=EINVAL,
)

NO_IOAS = rule(
    "iommufd-compat.no-ioas-for-a-device",
    "A device is not had while no address space stands for the container's, and is not left "
    "enabled.",
    Strength.ENFORCED,
    Source("drivers/vfio/iommufd.c", "vfio_iommufd_compat_attach_ioas"),
    answer=ENODEV,
)

DETACHED = rule(
    "iommufd-compat.detached",
    "With the last fd of the device its page table is gone, and the address space is free.",
    Strength.ENFORCED,
    Source("drivers/vfio/iommufd.c", "vfio_iommufd_physical_unbind"),
)

AS_OPENED = rule(
    "iommufd-compat.closed-as-opened",
    "A device that is open through an iommufd is given back to that, whatever its group was put "
    "into since: the group's file stays open, and the kernel's log says nothing.",
    Strength.ENFORCED,
    Source("drivers/vfio/group.c", "vfio_df_group_close"),
    Source("drivers/vfio/vfio_main.c", "vfio_df_device_last_close"),
    Source("drivers/vfio/container.c", "vfio_group_unuse_container"),
)

RELEASED = rule(
    "iommufd-compat.released",
    "With the last file of an iommufd, and out of the group, it is gone, and all memory it pinned "
    "is free. A group that is closed has left it; one that SET_CONTAINER refuses was never in it.",
    Strength.ENFORCED,
    Source("drivers/vfio/group.c", "vfio_group_fops_release"),
    Source("drivers/vfio/group.c", "vfio_group_ioctl_unset_container"),
    Source("drivers/vfio/group.c", "vfio_group_ioctl_set_container"),
)
