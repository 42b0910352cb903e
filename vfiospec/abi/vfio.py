# SPDX-License-Identifier: MIT
"""include/uapi/linux/vfio.h: extensions, container, group and device; up to DEVICE_IOEVENTFD.

Numbers are those of machines whose _IOC_NONE is 0 (x86, arm, s390, riscv), sizes those of
64-bit ones. What follows DEVICE_FEATURE is in vfio_feature.py, the IOMMU API in vfio_iommu.py.
"""

import ctypes

from vfiospec.abi.base import AbiStruct, s32, u8, u16, u32, u64

VFIO_API_VERSION = 0

# Extensions: for CHECK_EXTENSION, and the IOMMU models among them for SET_IOMMU
VFIO_TYPE1_IOMMU = 1
VFIO_SPAPR_TCE_IOMMU = 2
VFIO_TYPE1v2_IOMMU = 3
VFIO_DMA_CC_IOMMU = 4
VFIO_EEH = 5
VFIO_TYPE1_NESTING_IOMMU = 6  # the name up to v6.12; withdrawn since
__VFIO_RESERVED_TYPE1_NESTING_IOMMU = 6
VFIO_SPAPR_TCE_v2_IOMMU = 7
VFIO_NOIOMMU_IOMMU = 8
VFIO_UNMAP_ALL = 9
VFIO_UPDATE_VADDR = 10

VFIO_TYPE, VFIO_BASE = ord(";"), 100


class vfio_info_cap_header(AbiStruct):
    """Start of each capability in an INFO reply."""

    _fields_ = [
        ("id", u16),  # out: which capability, within this INFO ioctl
        ("version", u16),  # out: revision of the layout behind this header
        ("next", u32),  # out: offset of the next header in the INFO buffer, 0 at the last one
    ]


# Container ioctls
VFIO_GET_API_VERSION = VFIO_TYPE << 8 | VFIO_BASE + 0
VFIO_CHECK_EXTENSION = VFIO_TYPE << 8 | VFIO_BASE + 1
VFIO_SET_IOMMU = VFIO_TYPE << 8 | VFIO_BASE + 2


class vfio_group_status(AbiStruct):
    """Argument of VFIO_GROUP_GET_STATUS."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over
        ("flags", u32),  # out: VFIO_GROUP_FLAGS_*
    ]


VFIO_GROUP_FLAGS_VIABLE = 1 << 0
VFIO_GROUP_FLAGS_CONTAINER_SET = 1 << 1
GROUP_STATUS_MIN = vfio_group_status.end_of("flags")

# Group ioctls
VFIO_GROUP_GET_STATUS = VFIO_TYPE << 8 | VFIO_BASE + 3
VFIO_GROUP_SET_CONTAINER = VFIO_TYPE << 8 | VFIO_BASE + 4
VFIO_GROUP_UNSET_CONTAINER = VFIO_TYPE << 8 | VFIO_BASE + 5
VFIO_GROUP_GET_DEVICE_FD = VFIO_TYPE << 8 | VFIO_BASE + 6


class vfio_device_info(AbiStruct):
    """Argument of VFIO_DEVICE_GET_INFO: 20 bytes in the v6.1 header, 24 in v6.12."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over; out: bytes the kernel wants
        ("flags", u32),  # out: VFIO_DEVICE_FLAGS_*
        ("num_regions", u32),  # out: highest region index + 1
        ("num_irqs", u32),  # out: highest IRQ index + 1
        ("cap_offset", u32),  # out: first capability, counted from the start of this struct
        ("pad", u32),
    ]


VFIO_DEVICE_FLAGS_RESET = 1 << 0
VFIO_DEVICE_FLAGS_PCI = 1 << 1
VFIO_DEVICE_FLAGS_PLATFORM = 1 << 2
VFIO_DEVICE_FLAGS_AMBA = 1 << 3
VFIO_DEVICE_FLAGS_CCW = 1 << 4
VFIO_DEVICE_FLAGS_AP = 1 << 5
VFIO_DEVICE_FLAGS_FSL_MC = 1 << 6
VFIO_DEVICE_FLAGS_CAPS = 1 << 7
VFIO_DEVICE_FLAGS_CDX = 1 << 8
DEVICE_INFO_MIN = vfio_device_info.end_of("num_irqs")

VFIO_DEVICE_GET_INFO = VFIO_TYPE << 8 | VFIO_BASE + 7

# What a mediated device type may say in its device_api attribute
VFIO_DEVICE_API_PCI_STRING = "vfio-pci"
VFIO_DEVICE_API_PLATFORM_STRING = "vfio-platform"
VFIO_DEVICE_API_AMBA_STRING = "vfio-amba"
VFIO_DEVICE_API_CCW_STRING = "vfio-ccw"
VFIO_DEVICE_API_AP_STRING = "vfio-ap"

# Capabilities of GET_INFO; the zPCI structures are in vfio_zdev.py
VFIO_DEVICE_INFO_CAP_ZPCI_BASE = 1
VFIO_DEVICE_INFO_CAP_ZPCI_GROUP = 2
VFIO_DEVICE_INFO_CAP_ZPCI_UTIL = 3
VFIO_DEVICE_INFO_CAP_ZPCI_PFIP = 4
VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP = 5


class vfio_device_info_cap_pci_atomic_comp(AbiStruct):
    """VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP: AtomicOp widths the root completes."""

    _fields_ = [
        ("header", vfio_info_cap_header),
        ("flags", u32),  # out: VFIO_PCI_ATOMIC_COMP*
        ("reserved", u32),
    ]


VFIO_PCI_ATOMIC_COMP32 = 1 << 0
VFIO_PCI_ATOMIC_COMP64 = 1 << 1
VFIO_PCI_ATOMIC_COMP128 = 1 << 2


class vfio_region_info(AbiStruct):
    """Argument of VFIO_DEVICE_GET_REGION_INFO."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over; out: bytes the kernel wants
        ("flags", u32),  # out: VFIO_REGION_INFO_FLAG_*
        ("index", u32),  # in: which region
        ("cap_offset", u32),  # out: first capability, counted from the start of this struct
        ("size", u64),  # out: bytes in the region, 0 if it is not implemented
        ("offset", u64),  # out: where the region starts in the device fd
    ]


VFIO_REGION_INFO_FLAG_READ = 1 << 0
VFIO_REGION_INFO_FLAG_WRITE = 1 << 1
VFIO_REGION_INFO_FLAG_MMAP = 1 << 2
VFIO_REGION_INFO_FLAG_CAPS = 1 << 3
REGION_INFO_MIN = vfio_region_info.end_of("offset")

VFIO_DEVICE_GET_REGION_INFO = VFIO_TYPE << 8 | VFIO_BASE + 8

VFIO_REGION_INFO_CAP_SPARSE_MMAP = 1


class vfio_region_sparse_mmap_area(AbiStruct):
    """One part of a region that may be mapped."""

    _fields_ = [
        ("offset", u64),  # out: start of the part within the region
        ("size", u64),  # out: bytes in the part
    ]


class vfio_region_info_cap_sparse_mmap(AbiStruct):
    """VFIO_REGION_INFO_CAP_SPARSE_MMAP; then vfio_region_sparse_mmap_area areas[nr_areas]."""

    _fields_ = [
        ("header", vfio_info_cap_header),
        ("nr_areas", u32),  # out: how many areas follow
        ("reserved", u32),
    ]


VFIO_REGION_INFO_CAP_TYPE = 2


class vfio_region_info_cap_type(AbiStruct):
    """VFIO_REGION_INFO_CAP_TYPE: what a region without a fixed index is."""

    _fields_ = [
        ("header", vfio_info_cap_header),
        ("type", u32),  # out: VFIO_REGION_TYPE_*
        ("subtype", u32),  # out: VFIO_REGION_SUBTYPE_* of that type
    ]


VFIO_REGION_TYPE_PCI_VENDOR_TYPE = 1 << 31  # u32 where it is used; negative in C
VFIO_REGION_TYPE_PCI_VENDOR_MASK = 0xFFFF
VFIO_REGION_TYPE_GFX = 1
VFIO_REGION_TYPE_CCW = 2
VFIO_REGION_TYPE_MIGRATION_DEPRECATED = 3

# Vendor 8086
VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION = 1
VFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG = 2
VFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG = 3
# Vendors 10de and 1014; no kernel has these regions any more
VFIO_REGION_SUBTYPE_NVIDIA_NVLINK2_RAM = 1
VFIO_REGION_SUBTYPE_IBM_NVLINK2_ATSD = 1

VFIO_REGION_SUBTYPE_GFX_EDID = 1


class vfio_region_gfx_edid(AbiStruct):
    """Start of an EDID region: memory of the device, not an ioctl argument."""

    _fields_ = [
        ("edid_offset", u32),  # read only: start of the EDID blob within the region
        ("edid_max_size", u32),  # read only: largest blob in bytes
        ("edid_size", u32),  # read and write: bytes in the blob
        ("max_xres", u32),  # read only: widest mode, 0 for no limit
        ("max_yres", u32),  # read only: highest mode, 0 for no limit
        ("link_state", u32),  # read and write: VFIO_DEVICE_GFX_LINK_STATE_*
    ]


VFIO_DEVICE_GFX_LINK_STATE_UP = 1
VFIO_DEVICE_GFX_LINK_STATE_DOWN = 2

VFIO_REGION_SUBTYPE_CCW_ASYNC_CMD = 1
VFIO_REGION_SUBTYPE_CCW_SCHIB = 2
VFIO_REGION_SUBTYPE_CCW_CRW = 3

# Migration v1 is a region; its states are in vfio_feature.py beside those of v2
VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED = 1

VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3  # a header alone
VFIO_REGION_INFO_CAP_NVLINK2_SSATGT = 4


class vfio_region_info_cap_nvlink2_ssatgt(AbiStruct):
    """VFIO_REGION_INFO_CAP_NVLINK2_SSATGT; no kernel gives it any more."""

    _fields_ = [
        ("header", vfio_info_cap_header),
        ("tgt", u64),  # out: compressed address of the GPU memory
    ]


VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD = 5


class vfio_region_info_cap_nvlink2_lnkspd(AbiStruct):
    """VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD; no kernel gives it any more."""

    _fields_ = [
        ("header", vfio_info_cap_header),
        ("link_speed", u32),  # out: the device tree's ibm,nvlink-speed
        ("__pad", u32),
    ]


class vfio_irq_info(AbiStruct):
    """Argument of VFIO_DEVICE_GET_IRQ_INFO."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over
        ("flags", u32),  # out: VFIO_IRQ_INFO_*
        ("index", u32),  # in: which interrupt index
        ("count", u32),  # out: interrupts in this index, 0 if it is not implemented
    ]


VFIO_IRQ_INFO_EVENTFD = 1 << 0
VFIO_IRQ_INFO_MASKABLE = 1 << 1
VFIO_IRQ_INFO_AUTOMASKED = 1 << 2
VFIO_IRQ_INFO_NORESIZE = 1 << 3
IRQ_INFO_MIN = vfio_irq_info.end_of("count")

VFIO_DEVICE_GET_IRQ_INFO = VFIO_TYPE << 8 | VFIO_BASE + 9


class vfio_irq_set(AbiStruct):
    """Argument of VFIO_DEVICE_SET_IRQS; then u8 data[]: none, a u8 or an s32 per interrupt."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over, data included
        ("flags", u32),  # in: one VFIO_IRQ_SET_DATA_* and one VFIO_IRQ_SET_ACTION_*
        ("index", u32),  # in: which interrupt index
        ("start", u32),  # in: first interrupt of the range
        ("count", u32),  # in: interrupts in the range
    ]


VFIO_IRQ_SET_DATA_NONE = 1 << 0
VFIO_IRQ_SET_DATA_BOOL = 1 << 1
VFIO_IRQ_SET_DATA_EVENTFD = 1 << 2
VFIO_IRQ_SET_ACTION_MASK = 1 << 3
VFIO_IRQ_SET_ACTION_UNMASK = 1 << 4
VFIO_IRQ_SET_ACTION_TRIGGER = 1 << 5
IRQ_SET_MIN = vfio_irq_set.end_of("count")

VFIO_DEVICE_SET_IRQS = VFIO_TYPE << 8 | VFIO_BASE + 10

VFIO_IRQ_SET_DATA_TYPE_MASK = (
    VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_DATA_EVENTFD
)
VFIO_IRQ_SET_ACTION_TYPE_MASK = (
    VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_ACTION_TRIGGER
)

VFIO_DEVICE_RESET = VFIO_TYPE << 8 | VFIO_BASE + 11

# Region and interrupt indexes of vfio-pci, vfio-ccw and vfio-ap
VFIO_PCI_BAR0_REGION_INDEX = 0
VFIO_PCI_BAR1_REGION_INDEX = 1
VFIO_PCI_BAR2_REGION_INDEX = 2
VFIO_PCI_BAR3_REGION_INDEX = 3
VFIO_PCI_BAR4_REGION_INDEX = 4
VFIO_PCI_BAR5_REGION_INDEX = 5
VFIO_PCI_ROM_REGION_INDEX = 6
VFIO_PCI_CONFIG_REGION_INDEX = 7
VFIO_PCI_VGA_REGION_INDEX = 8
VFIO_PCI_NUM_REGIONS = 9  # from here on a region says what it is in CAP_TYPE

VFIO_PCI_INTX_IRQ_INDEX = 0
VFIO_PCI_MSI_IRQ_INDEX = 1
VFIO_PCI_MSIX_IRQ_INDEX = 2
VFIO_PCI_ERR_IRQ_INDEX = 3
VFIO_PCI_REQ_IRQ_INDEX = 4
VFIO_PCI_NUM_IRQS = 5

VFIO_CCW_CONFIG_REGION_INDEX = 0
VFIO_CCW_NUM_REGIONS = 1

VFIO_CCW_IO_IRQ_INDEX = 0
VFIO_CCW_CRW_IRQ_INDEX = 1
VFIO_CCW_REQ_IRQ_INDEX = 2
VFIO_CCW_NUM_IRQS = 3

VFIO_AP_REQ_IRQ_INDEX = 0
VFIO_AP_CFG_CHG_IRQ_INDEX = 1
VFIO_AP_NUM_IRQS = 2


class _dependent_device_id(ctypes.Union):
    _fields_ = [
        ("group_id", u32),  # out: IOMMU group, for a device opened through its group
        ("devid", u32),  # out: iommufd id or VFIO_PCI_DEVID_*, for a device opened as cdev
    ]


class vfio_pci_dependent_device(AbiStruct):
    """One device that a hot reset touches; the v6.1 header knows group_id only."""

    _anonymous_ = ("_id",)
    _fields_ = [
        ("_id", _dependent_device_id),
        ("segment", u16),  # out: PCI domain
        ("bus", u8),  # out: bus number
        ("devfn", u8),  # out: slot << 3 | function
    ]


VFIO_PCI_DEVID_OWNED = 0
VFIO_PCI_DEVID_NOT_OWNED = 0xFFFFFFFF  # -1 in C, but the field is a u32


class vfio_pci_hot_reset_info(AbiStruct):
    """Argument of GET_PCI_HOT_RESET_INFO; then vfio_pci_dependent_device devices[count]."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over, devices included
        ("flags", u32),  # out: VFIO_PCI_HOT_RESET_FLAG_*
        ("count", u32),  # out: devices that a reset touches
    ]


VFIO_PCI_HOT_RESET_FLAG_DEV_ID = 1 << 0
VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED = 1 << 1
HOT_RESET_INFO_MIN = vfio_pci_hot_reset_info.end_of("count")

VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = VFIO_TYPE << 8 | VFIO_BASE + 12


class vfio_pci_hot_reset(AbiStruct):
    """Argument of VFIO_DEVICE_PCI_HOT_RESET; then s32 group_fds[count]."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over, fds included
        ("flags", u32),  # in: 0
        ("count", u32),  # in: group fds that prove what we own; 0 on a cdev
    ]


HOT_RESET_MIN = vfio_pci_hot_reset.end_of("count")

VFIO_DEVICE_PCI_HOT_RESET = VFIO_TYPE << 8 | VFIO_BASE + 13


class _gfx_plane_source(ctypes.Union):
    _fields_ = [
        ("region_index", u32),  # out: region with the pixels, for PLANE_TYPE_REGION
        ("dmabuf_id", u32),  # out: id for GET_GFX_DMABUF, for PLANE_TYPE_DMABUF
    ]


class vfio_device_gfx_plane_info(AbiStruct):
    """Argument of VFIO_DEVICE_QUERY_GFX_PLANE."""

    _anonymous_ = ("_source",)
    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over
        ("flags", u32),  # in: VFIO_GFX_PLANE_TYPE_*
        ("drm_plane_type", u32),  # in: DRM_PLANE_TYPE_*
        ("drm_format", u32),  # out: DRM fourcc, 0 while the plane is off
        ("drm_format_mod", u64),  # out: DRM tiling modifier
        ("width", u32),  # out: pixels, 0 while the plane is off
        ("height", u32),  # out: lines, 0 while the plane is off
        ("stride", u32),  # out: bytes per line
        ("size", u32),  # out: bytes in whole pages, 0 while the plane is off
        ("x_pos", u32),  # out: column of the cursor plane
        ("y_pos", u32),  # out: line of the cursor plane
        ("x_hot", u32),  # out: column of the cursor's hot spot, all ones if unknown
        ("y_hot", u32),  # out: line of the cursor's hot spot, all ones if unknown
        ("_source", _gfx_plane_source),
        ("reserved", u32),
    ]


VFIO_GFX_PLANE_TYPE_PROBE = 1 << 0
VFIO_GFX_PLANE_TYPE_DMABUF = 1 << 1
VFIO_GFX_PLANE_TYPE_REGION = 1 << 2

VFIO_DEVICE_QUERY_GFX_PLANE = VFIO_TYPE << 8 | VFIO_BASE + 14
VFIO_DEVICE_GET_GFX_DMABUF = VFIO_TYPE << 8 | VFIO_BASE + 15


class vfio_device_ioeventfd(AbiStruct):
    """Argument of VFIO_DEVICE_IOEVENTFD: write data at offset whenever fd is signalled."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over
        ("flags", u32),  # in: one of VFIO_DEVICE_IOEVENTFD_8 to _64
        ("offset", u64),  # in: where to write, in the device fd
        ("data", u64),  # in: what to write
        ("fd", s32),  # in: eventfd, -1 to take the write away
        ("reserved", u32),
    ]


VFIO_DEVICE_IOEVENTFD_8 = 1 << 0
VFIO_DEVICE_IOEVENTFD_16 = 1 << 1
VFIO_DEVICE_IOEVENTFD_32 = 1 << 2
VFIO_DEVICE_IOEVENTFD_64 = 1 << 3
VFIO_DEVICE_IOEVENTFD_SIZE_MASK = 0xF
IOEVENTFD_MIN = vfio_device_ioeventfd.end_of("fd")

VFIO_DEVICE_IOEVENTFD = VFIO_TYPE << 8 | VFIO_BASE + 16
