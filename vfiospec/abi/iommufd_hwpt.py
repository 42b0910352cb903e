# SPDX-License-Identifier: MIT
"""include/uapi/linux/iommufd.h: hardware page tables (HWPT), what an IOMMU can do, page faults."""

import ctypes

from vfiospec.abi import iommufd
from vfiospec.abi.base import AbiStruct, u8, u32, u64

# enum iommufd_hwpt_alloc_flags
IOMMU_HWPT_ALLOC_NEST_PARENT = 1 << 0
IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 1 << 1
IOMMU_HWPT_FAULT_ID_VALID = 1 << 2
IOMMU_HWPT_ALLOC_PASID = 1 << 3

# enum iommu_hwpt_vtd_s1_flags
IOMMU_VTD_S1_SRE = 1 << 0
IOMMU_VTD_S1_EAFE = 1 << 1
IOMMU_VTD_S1_WPE = 1 << 2


class iommu_hwpt_vtd_s1(AbiStruct):
    """IOMMU_HWPT_DATA_VTD_S1: a first stage table of VT-d."""

    _fields_ = [
        ("flags", u64),  # in: IOMMU_VTD_S1_*
        ("pgtbl_addr", u64),  # in: address of the table
        ("addr_width", u32),  # in: bits of an address
        ("__reserved", u32),
    ]


class iommu_hwpt_arm_smmuv3(AbiStruct):
    """IOMMU_HWPT_DATA_ARM_SMMUV3."""

    _fields_ = [("ste", u64 * 2)]  # in: first two words of the stream table entry, little-endian


class iommu_hwpt_amd_guest(AbiStruct):
    """IOMMU_HWPT_DATA_AMD_GUEST."""

    _fields_ = [("dte", u64 * 4)]  # in: guest device table entry


# enum iommu_hwpt_data_type
IOMMU_HWPT_DATA_NONE = 0
IOMMU_HWPT_DATA_VTD_S1 = 1
IOMMU_HWPT_DATA_ARM_SMMUV3 = 2
IOMMU_HWPT_DATA_AMD_GUEST = 3


class iommu_hwpt_alloc(AbiStruct):
    """Argument of IOMMU_HWPT_ALLOC."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("flags", u32),  # in: IOMMU_HWPT_ALLOC_*, IOMMU_HWPT_FAULT_ID_VALID
        ("dev_id", u32),  # in: device that the table is for
        ("pt_id", u32),  # in: IOAS, parent table or vIOMMU
        ("out_hwpt_id", u32),  # out: the new table
        ("__reserved", u32),
        ("data_type", u32),  # in: IOMMU_HWPT_DATA_*
        ("data_len", u32),  # in: bytes at data_uptr
        ("data_uptr", u64),  # in: address of the data of that type
        ("fault_id", u32),  # in, with FAULT_ID_VALID: fault queue
        ("__reserved2", u32),
    ]


IOMMU_HWPT_ALLOC = iommufd.IOMMUFD_TYPE << 8 | iommufd.IOMMUFD_CMD_HWPT_ALLOC

IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 = 1 << 0  # enum iommu_hw_info_vtd_flags


class iommu_hw_info_vtd(AbiStruct):
    """IOMMU_HW_INFO_TYPE_INTEL_VTD."""

    _fields_ = [
        ("flags", u32),  # out: IOMMU_HW_INFO_VTD_*
        ("__reserved", u32),
        ("cap_reg", u64),  # out: capability register
        ("ecap_reg", u64),  # out: extended capability register
    ]


IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI = 1 << 0  # enum iommu_hw_info_arm_smmuv3_flags


class iommu_hw_info_arm_smmuv3(AbiStruct):
    """IOMMU_HW_INFO_TYPE_ARM_SMMUV3."""

    _fields_ = [
        ("flags", u32),  # out: IOMMU_HW_INFO_ARM_SMMUV3_*
        ("__reserved", u32),
        ("idr", u32 * 6),  # out: feature registers IDR0 to IDR5
        ("iidr", u32),  # out: implementer
        ("aidr", u32),  # out: architecture version
    ]


class iommu_hw_info_tegra241_cmdqv(AbiStruct):
    """IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV."""

    _fields_ = [
        ("flags", u32),  # out: 0
        ("version", u8),  # out: version of the unit
        ("log2vcmdqs", u8),  # out: log2 of the virtual queues
        ("log2vsids", u8),  # out: log2 of the stream id replacements
        ("__reserved", u8),
    ]


class iommu_hw_info_amd(AbiStruct):
    """IOMMU_HW_INFO_TYPE_AMD."""

    _fields_ = [
        ("efr", u64),  # out: extended feature register
        ("efr2", u64),  # out: extended feature 2 register
    ]


# enum iommu_hw_info_type
IOMMU_HW_INFO_TYPE_NONE = 0  # as an answer
IOMMU_HW_INFO_TYPE_DEFAULT = 0  # as a request
IOMMU_HW_INFO_TYPE_INTEL_VTD = 1
IOMMU_HW_INFO_TYPE_ARM_SMMUV3 = 2
IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV = 3
IOMMU_HW_INFO_TYPE_AMD = 4

# enum iommufd_hw_capabilities
IOMMU_HW_CAP_DIRTY_TRACKING = 1 << 0
IOMMU_HW_CAP_PCI_PASID_EXEC = 1 << 1
IOMMU_HW_CAP_PCI_PASID_PRIV = 1 << 2
IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED = 1 << 3

IOMMU_HW_INFO_FLAG_INPUT_TYPE = 1 << 0  # enum iommufd_hw_info_flags


class _hw_info_type(ctypes.Union):
    _fields_ = [
        ("in_data_type", u32),  # in, with FLAG_INPUT_TYPE: wanted IOMMU_HW_INFO_TYPE_*
        ("out_data_type", u32),  # out: IOMMU_HW_INFO_TYPE_* of the data
    ]


class iommu_hw_info(AbiStruct):
    """Argument of IOMMU_GET_HW_INFO; the v6.12 header has 4 reserved bytes behind the type."""

    _anonymous_ = ("_type",)
    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("flags", u32),  # in: 0 or IOMMU_HW_INFO_FLAG_INPUT_TYPE
        ("dev_id", u32),  # in: device behind the IOMMU
        ("data_len", u32),  # in: room at data_uptr; out: bytes the kernel has
        ("data_uptr", u64),  # in: address the data of the type goes to
        ("_type", _hw_info_type),
        ("out_max_pasid_log2", u8),  # out: bits of a PASID, 0 for none
        ("__reserved", u8 * 3),
        ("out_capabilities", u64),  # out: IOMMU_HW_CAP_*
    ]


IOMMU_GET_HW_INFO = iommufd.IOMMUFD_TYPE << 8 | iommufd.IOMMUFD_CMD_GET_HW_INFO

IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1  # enum iommufd_hwpt_set_dirty_tracking_flags


class iommu_hwpt_set_dirty_tracking(AbiStruct):
    """Argument of IOMMU_HWPT_SET_DIRTY_TRACKING."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("flags", u32),  # in: IOMMU_HWPT_DIRTY_TRACKING_ENABLE, or 0 to stop
        ("hwpt_id", u32),  # in: which table
        ("__reserved", u32),
    ]


IOMMU_HWPT_SET_DIRTY_TRACKING = (
    iommufd.IOMMUFD_TYPE << 8 | iommufd.IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING
)

IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1  # enum iommufd_hwpt_get_dirty_bitmap_flags


class iommu_hwpt_get_dirty_bitmap(AbiStruct):
    """Argument of IOMMU_HWPT_GET_DIRTY_BITMAP."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("hwpt_id", u32),  # in: which table
        ("flags", u32),  # in: 0 or IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR
        ("__reserved", u32),
        ("iova", u64),  # in: address of the first bit
        ("length", u64),  # in: bytes in the range
        ("page_size", u64),  # in: bytes per bit
        ("data", u64),  # in: address of the bitmap
    ]


IOMMU_HWPT_GET_DIRTY_BITMAP = iommufd.IOMMUFD_TYPE << 8 | iommufd.IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP

# enum iommu_hwpt_invalidate_data_type
IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 = 0
IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 = 1

IOMMU_VTD_INV_FLAGS_LEAF = 1 << 0  # enum iommu_hwpt_vtd_s1_invalidate_flags


class iommu_hwpt_vtd_s1_invalidate(AbiStruct):
    """IOMMU_HWPT_INVALIDATE_DATA_VTD_S1."""

    _fields_ = [
        ("addr", u64),  # in: start, a multiple of 4096
        ("npages", u64),  # in: pages of 4096 bytes; U64_MAX with addr 0 for everything
        ("flags", u32),  # in: 0 or IOMMU_VTD_INV_FLAGS_LEAF
        ("__reserved", u32),
    ]


class iommu_viommu_arm_smmuv3_invalidate(AbiStruct):
    """IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3."""

    _fields_ = [("cmd", u64 * 2)]  # in: one command of the SMMU's queue, little-endian


class iommu_hwpt_invalidate(AbiStruct):
    """Argument of IOMMU_HWPT_INVALIDATE."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("hwpt_id", u32),  # in: nested table or vIOMMU
        ("data_uptr", u64),  # in: address of the requests
        ("data_type", u32),  # in: IOMMU_*_INVALIDATE_DATA_*
        ("entry_len", u32),  # in: bytes per request
        ("entry_num", u32),  # in: requests, 0 to ask whether the type is known; out: those done
        ("__reserved", u32),
    ]


IOMMU_HWPT_INVALIDATE = iommufd.IOMMUFD_TYPE << 8 | iommufd.IOMMUFD_CMD_HWPT_INVALIDATE

# enum iommu_hwpt_pgfault_flags, enum iommu_hwpt_pgfault_perm
IOMMU_PGFAULT_FLAGS_PASID_VALID = 1 << 0
IOMMU_PGFAULT_FLAGS_LAST_PAGE = 1 << 1
IOMMU_PGFAULT_PERM_READ = 1 << 0
IOMMU_PGFAULT_PERM_WRITE = 1 << 1
IOMMU_PGFAULT_PERM_EXEC = 1 << 2
IOMMU_PGFAULT_PERM_PRIV = 1 << 3


class iommu_hwpt_pgfault(AbiStruct):
    """One page fault, as it is read from the fd of a fault queue."""

    _fields_ = [
        ("flags", u32),  # out: IOMMU_PGFAULT_FLAGS_*
        ("dev_id", u32),  # out: device that faulted
        ("pasid", u32),  # out, with FLAGS_PASID_VALID: its address space
        ("grpid", u32),  # out: page request group index
        ("perm", u32),  # out: IOMMU_PGFAULT_PERM_*
        ("__reserved", u32),
        ("addr", u64),  # out: address that faulted
        ("length", u32),  # out: bytes the device would like, 0 if it does not say
        ("cookie", u32),  # out: what the response to the last fault of a group repeats
    ]


# enum iommufd_page_response_code
IOMMUFD_PAGE_RESP_SUCCESS = 0
IOMMUFD_PAGE_RESP_INVALID = 1


class iommu_hwpt_page_response(AbiStruct):
    """One response, as it is written to the fd of a fault queue."""

    _fields_ = [
        ("cookie", u32),  # in: cookie of the fault
        ("code", u32),  # in: IOMMUFD_PAGE_RESP_*
    ]


class iommu_fault_alloc(AbiStruct):
    """Argument of IOMMU_FAULT_QUEUE_ALLOC."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("flags", u32),  # in: 0
        ("out_fault_id", u32),  # out: the new queue
        ("out_fault_fd", u32),  # out: fd to read faults from and write responses to
    ]


IOMMU_FAULT_QUEUE_ALLOC = iommufd.IOMMUFD_TYPE << 8 | iommufd.IOMMUFD_CMD_FAULT_QUEUE_ALLOC
