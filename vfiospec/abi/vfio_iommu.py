# SPDX-License-Identifier: MIT
"""include/uapi/linux/vfio.h: the IOMMU API of a container, type1 and sPAPR TCE, and EEH.

The two IOMMU models share ioctl numbers: which one a number means depends on SET_IOMMU.
"""

from vfiospec.abi.base import AbiStruct, u32, u64
from vfiospec.abi.vfio import VFIO_BASE, VFIO_TYPE, vfio_info_cap_header


class vfio_iommu_type1_info(AbiStruct):
    """Argument of VFIO_IOMMU_GET_INFO; pad has no name in the v6.1 header."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over; out: bytes the kernel wants
        ("flags", u32),  # out: VFIO_IOMMU_INFO_*
        ("iova_pgsizes", u64),  # out: bit n set means that pages of 1 << n bytes can be mapped
        ("cap_offset", u32),  # out: first capability, counted from the start of this struct
        ("pad", u32),
    ]


VFIO_IOMMU_INFO_PGSIZES = 1 << 0
VFIO_IOMMU_INFO_CAPS = 1 << 1
TYPE1_INFO_MIN = vfio_iommu_type1_info.end_of("iova_pgsizes")

VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1


class vfio_iova_range(AbiStruct):
    """One range of IO virtual addresses that may be mapped."""

    _fields_ = [
        ("start", u64),  # out: first address
        ("end", u64),  # out: last address
    ]


class vfio_iommu_type1_info_cap_iova_range(AbiStruct):
    """VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE; then vfio_iova_range iova_ranges[nr_iovas]."""

    _fields_ = [
        ("header", vfio_info_cap_header),
        ("nr_iovas", u32),  # out: how many ranges follow
        ("reserved", u32),
    ]


VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 2


class vfio_iommu_type1_info_cap_migration(AbiStruct):
    """VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION: the container can log dirty pages."""

    _fields_ = [
        ("header", vfio_info_cap_header),
        ("flags", u32),  # out: none defined
        ("pgsize_bitmap", u64),  # out: bit n set means that 1 << n bytes per dirty bit are possible
        ("max_dirty_bitmap_size", u64),  # out: largest bitmap in bytes
    ]


VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3


class vfio_iommu_type1_info_dma_avail(AbiStruct):
    """VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL."""

    _fields_ = [
        ("header", vfio_info_cap_header),
        ("avail", u32),  # out: how many more mappings are allowed now
    ]


VFIO_IOMMU_GET_INFO = VFIO_TYPE << 8 | VFIO_BASE + 12


class vfio_iommu_type1_dma_map(AbiStruct):
    """Argument of VFIO_IOMMU_MAP_DMA."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over
        ("flags", u32),  # in: VFIO_DMA_MAP_FLAG_*
        ("vaddr", u64),  # in: address in our memory
        ("iova", u64),  # in: address the device will use
        ("size", u64),  # in: bytes
    ]


VFIO_DMA_MAP_FLAG_READ = 1 << 0
VFIO_DMA_MAP_FLAG_WRITE = 1 << 1
VFIO_DMA_MAP_FLAG_VADDR = 1 << 2
DMA_MAP_MIN = vfio_iommu_type1_dma_map.end_of("size")

VFIO_IOMMU_MAP_DMA = VFIO_TYPE << 8 | VFIO_BASE + 13


class vfio_bitmap(AbiStruct):
    """Where a dirty bitmap goes."""

    _fields_ = [
        ("pgsize", u64),  # in: bytes per bit
        ("size", u64),  # in: bytes in the bitmap
        ("data", u64),  # in: address of the bitmap, a __u64 * in C
    ]


class vfio_iommu_type1_dma_unmap(AbiStruct):
    """Argument of VFIO_IOMMU_UNMAP_DMA; then u8 data[]: vfio_bitmap if GET_DIRTY_BITMAP is set."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over, data included
        ("flags", u32),  # in: VFIO_DMA_UNMAP_FLAG_*
        ("iova", u64),  # in: start, 0 with FLAG_ALL
        ("size", u64),  # in: bytes, 0 with FLAG_ALL; out: bytes that were unmapped
    ]


VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1 << 0
VFIO_DMA_UNMAP_FLAG_ALL = 1 << 1
VFIO_DMA_UNMAP_FLAG_VADDR = 1 << 2
DMA_UNMAP_MIN = vfio_iommu_type1_dma_unmap.end_of("size")

VFIO_IOMMU_UNMAP_DMA = VFIO_TYPE << 8 | VFIO_BASE + 14

# sPAPR only, no argument
VFIO_IOMMU_ENABLE = VFIO_TYPE << 8 | VFIO_BASE + 15
VFIO_IOMMU_DISABLE = VFIO_TYPE << 8 | VFIO_BASE + 16


class vfio_iommu_type1_dirty_bitmap(AbiStruct):
    """Argument of VFIO_IOMMU_DIRTY_PAGES; then u8 data[]: dirty_bitmap_get for GET_BITMAP."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over, data included, the bitmap itself not
        ("flags", u32),  # in: exactly one of VFIO_IOMMU_DIRTY_PAGES_FLAG_*
    ]


VFIO_IOMMU_DIRTY_PAGES_FLAG_START = 1 << 0
VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 1 << 1
VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 1 << 2
DIRTY_BITMAP_MIN = vfio_iommu_type1_dirty_bitmap.end_of("flags")


class vfio_iommu_type1_dirty_bitmap_get(AbiStruct):
    """Data of VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP."""

    _fields_ = [
        ("iova", u64),  # in: start of the range
        ("size", u64),  # in: bytes in the range
        ("bitmap", vfio_bitmap),  # in: where the bits go
    ]


VFIO_IOMMU_DIRTY_PAGES = VFIO_TYPE << 8 | VFIO_BASE + 17


class vfio_iommu_spapr_tce_ddw_info(AbiStruct):
    """What dynamic DMA windows a sPAPR platform can have."""

    _fields_ = [
        ("pgsizes", u64),  # out: bit n set means that pages of 1 << n bytes are possible
        ("max_dynamic_windows_supported", u32),  # out: most windows
        ("levels", u32),  # out: most levels of a table
    ]


class vfio_iommu_spapr_tce_info(AbiStruct):
    """Argument of VFIO_IOMMU_SPAPR_TCE_GET_INFO."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over
        ("flags", u32),  # out: VFIO_IOMMU_SPAPR_INFO_DDW
        ("dma32_window_start", u32),  # out: bus address of the 32-bit window
        ("dma32_window_size", u32),  # out: its bytes
        ("ddw", vfio_iommu_spapr_tce_ddw_info),  # out: only with INFO_DDW
    ]


VFIO_IOMMU_SPAPR_INFO_DDW = 1 << 0

VFIO_IOMMU_SPAPR_TCE_GET_INFO = VFIO_TYPE << 8 | VFIO_BASE + 12


class vfio_eeh_pe_err(AbiStruct):
    """Which error VFIO_EEH_PE_INJECT_ERR injects."""

    _fields_ = [
        ("type", u32),  # in: 32-bit or 64-bit error
        ("func", u32),  # in: which operation fails
        ("addr", u64),  # in: bus address
        ("mask", u64),  # in: mask of that address
    ]


class vfio_eeh_pe_op(AbiStruct):
    """Argument of VFIO_EEH_PE_OP; err is the one member of an unnamed union in C."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over
        ("flags", u32),  # in: 0
        ("op", u32),  # in: VFIO_EEH_PE_*
        ("err", vfio_eeh_pe_err),  # in: only for INJECT_ERR
    ]


EEH_MIN = vfio_eeh_pe_op.end_of("op")

VFIO_EEH_PE_DISABLE = 0
VFIO_EEH_PE_ENABLE = 1
VFIO_EEH_PE_UNFREEZE_IO = 2
VFIO_EEH_PE_UNFREEZE_DMA = 3
VFIO_EEH_PE_GET_STATE = 4  # returns one of the five states
VFIO_EEH_PE_STATE_NORMAL = 0
VFIO_EEH_PE_STATE_RESET = 1
VFIO_EEH_PE_STATE_STOPPED = 2
VFIO_EEH_PE_STATE_STOPPED_DMA = 4
VFIO_EEH_PE_STATE_UNAVAIL = 5
VFIO_EEH_PE_RESET_DEACTIVATE = 5
VFIO_EEH_PE_RESET_HOT = 6
VFIO_EEH_PE_RESET_FUNDAMENTAL = 7
VFIO_EEH_PE_CONFIGURE = 8
VFIO_EEH_PE_INJECT_ERR = 9

VFIO_EEH_PE_OP = VFIO_TYPE << 8 | VFIO_BASE + 21


class vfio_iommu_spapr_register_memory(AbiStruct):
    """Argument of VFIO_IOMMU_SPAPR_REGISTER_MEMORY and of UNREGISTER_MEMORY."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over
        ("flags", u32),  # in: 0
        ("vaddr", u64),  # in: address in our memory
        ("size", u64),  # in: bytes
    ]


VFIO_IOMMU_SPAPR_REGISTER_MEMORY = VFIO_TYPE << 8 | VFIO_BASE + 17
VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY = VFIO_TYPE << 8 | VFIO_BASE + 18


class vfio_iommu_spapr_tce_create(AbiStruct):
    """Argument of VFIO_IOMMU_SPAPR_TCE_CREATE: a new DMA window."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over
        ("flags", u32),  # in: 0
        ("page_shift", u32),  # in: pages have 1 << page_shift bytes
        ("__resv1", u32),
        ("window_size", u64),  # in: bytes
        ("levels", u32),  # in: levels of the table
        ("__resv2", u32),
        ("start_addr", u64),  # out: bus address of the window
    ]


VFIO_IOMMU_SPAPR_TCE_CREATE = VFIO_TYPE << 8 | VFIO_BASE + 19


class vfio_iommu_spapr_tce_remove(AbiStruct):
    """Argument of VFIO_IOMMU_SPAPR_TCE_REMOVE."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over
        ("flags", u32),  # in: 0
        ("start_addr", u64),  # in: bus address of the window
    ]


VFIO_IOMMU_SPAPR_TCE_REMOVE = VFIO_TYPE << 8 | VFIO_BASE + 20
