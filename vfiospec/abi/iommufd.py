# SPDX-License-Identifier: MIT
"""include/uapi/linux/iommufd.h: ioctl numbers, address spaces (IOAS), options, VFIO compatibility.

Every argument begins with its own size. What is nonzero behind the structure that the kernel
knows is E2BIG. Page tables are in iommufd_hwpt.py, virtual IOMMUs in iommufd_viommu.py.
"""

from vfiospec.abi.base import AbiStruct, s32, u16, u32, u64

IOMMUFD_TYPE = ord(";")

IOMMUFD_CMD_BASE = 0x80
IOMMUFD_CMD_DESTROY = 0x80
IOMMUFD_CMD_IOAS_ALLOC = 0x81
IOMMUFD_CMD_IOAS_ALLOW_IOVAS = 0x82
IOMMUFD_CMD_IOAS_COPY = 0x83
IOMMUFD_CMD_IOAS_IOVA_RANGES = 0x84
IOMMUFD_CMD_IOAS_MAP = 0x85
IOMMUFD_CMD_IOAS_UNMAP = 0x86
IOMMUFD_CMD_OPTION = 0x87
IOMMUFD_CMD_VFIO_IOAS = 0x88
IOMMUFD_CMD_HWPT_ALLOC = 0x89
IOMMUFD_CMD_GET_HW_INFO = 0x8A
IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING = 0x8B
IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP = 0x8C
IOMMUFD_CMD_HWPT_INVALIDATE = 0x8D
IOMMUFD_CMD_FAULT_QUEUE_ALLOC = 0x8E
IOMMUFD_CMD_IOAS_MAP_FILE = 0x8F
IOMMUFD_CMD_VIOMMU_ALLOC = 0x90
IOMMUFD_CMD_VDEVICE_ALLOC = 0x91
IOMMUFD_CMD_IOAS_CHANGE_PROCESS = 0x92
IOMMUFD_CMD_VEVENTQ_ALLOC = 0x93
IOMMUFD_CMD_HW_QUEUE_ALLOC = 0x94
IOMMUFD_CMD_IOAS_NOIOMMU_GET_PA = 0x95


class iommu_destroy(AbiStruct):
    """Argument of IOMMU_DESTROY."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("id", u32),  # in: any object that can be destroyed
    ]


IOMMU_DESTROY = IOMMUFD_TYPE << 8 | IOMMUFD_CMD_DESTROY


class iommu_ioas_alloc(AbiStruct):
    """Argument of IOMMU_IOAS_ALLOC."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("flags", u32),  # in: 0
        ("out_ioas_id", u32),  # out: the new IOAS
    ]


IOMMU_IOAS_ALLOC = IOMMUFD_TYPE << 8 | IOMMUFD_CMD_IOAS_ALLOC


class iommu_iova_range(AbiStruct):
    """One range of IO virtual addresses."""

    _fields_ = [
        ("start", u64),  # first address
        ("last", u64),  # last address
    ]


class iommu_ioas_iova_ranges(AbiStruct):
    """Argument of IOMMU_IOAS_IOVA_RANGES."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("ioas_id", u32),  # in: which IOAS
        ("num_iovas", u32),  # in: room in the array; out: ranges there are (EMSGSIZE if too many)
        ("__reserved", u32),
        ("allowed_iovas", u64),  # in: address of iommu_iova_range[num_iovas], filled by the kernel
        ("out_iova_alignment", u64),  # out: what start and length of a mapping are multiples of
    ]


IOMMU_IOAS_IOVA_RANGES = IOMMUFD_TYPE << 8 | IOMMUFD_CMD_IOAS_IOVA_RANGES


class iommu_ioas_allow_iovas(AbiStruct):
    """Argument of IOMMU_IOAS_ALLOW_IOVAS: ranges that later attachments may not take away."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("ioas_id", u32),  # in: which IOAS
        ("num_iovas", u32),  # in: how many ranges
        ("__reserved", u32),
        ("allowed_iovas", u64),  # in: address of iommu_iova_range[num_iovas]
    ]


IOMMU_IOAS_ALLOW_IOVAS = IOMMUFD_TYPE << 8 | IOMMUFD_CMD_IOAS_ALLOW_IOVAS

# enum iommufd_ioas_map_flags
IOMMU_IOAS_MAP_FIXED_IOVA = 1 << 0
IOMMU_IOAS_MAP_WRITEABLE = 1 << 1
IOMMU_IOAS_MAP_READABLE = 1 << 2


class iommu_ioas_map(AbiStruct):
    """Argument of IOMMU_IOAS_MAP."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("flags", u32),  # in: IOMMU_IOAS_MAP_*
        ("ioas_id", u32),  # in: which IOAS
        ("__reserved", u32),
        ("user_va", u64),  # in: address in our memory
        ("length", u64),  # in: bytes
        ("iova", u64),  # in with FIXED_IOVA, else out: address the device will use
    ]


IOMMU_IOAS_MAP = IOMMUFD_TYPE << 8 | IOMMUFD_CMD_IOAS_MAP


class iommu_ioas_noiommu_get_pa(AbiStruct):
    """Argument of IOMMU_IOAS_NOIOMMU_GET_PA, new in v7.3."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("flags", u32),  # in: 0
        ("ioas_id", u32),  # in: which IOAS
        ("__reserved", u32),
        ("iova", u64),  # in: start of a mapped range
        ("length", u64),  # in: most bytes to look at, not 0; out: contiguous bytes from out_phys
        ("out_phys", u64),  # out: physical address of iova
    ]


IOMMU_IOAS_NOIOMMU_GET_PA = IOMMUFD_TYPE << 8 | IOMMUFD_CMD_IOAS_NOIOMMU_GET_PA


class iommu_ioas_map_file(AbiStruct):
    """Argument of IOMMU_IOAS_MAP_FILE."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("flags", u32),  # in: IOMMU_IOAS_MAP_*
        ("ioas_id", u32),  # in: which IOAS
        ("fd", s32),  # in: memfd, or a dma-buf that the kernel accepts
        ("start", u64),  # in: first byte within the file
        ("length", u64),  # in: bytes
        ("iova", u64),  # in with FIXED_IOVA, else out: address the device will use
    ]


IOMMU_IOAS_MAP_FILE = IOMMUFD_TYPE << 8 | IOMMUFD_CMD_IOAS_MAP_FILE


class iommu_ioas_copy(AbiStruct):
    """Argument of IOMMU_IOAS_COPY."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("flags", u32),  # in: IOMMU_IOAS_MAP_*
        ("dst_ioas_id", u32),  # in: IOAS that gets the mapping
        ("src_ioas_id", u32),  # in: IOAS that has it
        ("length", u64),  # in: bytes, as they were mapped
        ("dst_iova", u64),  # in with FIXED_IOVA, else out: address in the destination
        ("src_iova", u64),  # in: address in the source, as it was mapped
    ]


IOMMU_IOAS_COPY = IOMMUFD_TYPE << 8 | IOMMUFD_CMD_IOAS_COPY


class iommu_ioas_unmap(AbiStruct):
    """Argument of IOMMU_IOAS_UNMAP: whole mappings only; 0 and U64_MAX unmap everything."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("ioas_id", u32),  # in: which IOAS
        ("iova", u64),  # in: start of the range
        ("length", u64),  # in: bytes in the range; out: bytes that were unmapped
    ]


IOMMU_IOAS_UNMAP = IOMMUFD_TYPE << 8 | IOMMUFD_CMD_IOAS_UNMAP

# enum iommufd_option, enum iommufd_option_ops
IOMMU_OPTION_RLIMIT_MODE = 0
IOMMU_OPTION_HUGE_PAGES = 1
IOMMU_OPTION_OP_SET = 0
IOMMU_OPTION_OP_GET = 1


class iommu_option(AbiStruct):
    """Argument of IOMMU_OPTION."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("option_id", u32),  # in: IOMMU_OPTION_RLIMIT_MODE or _HUGE_PAGES
        ("op", u16),  # in: IOMMU_OPTION_OP_*
        ("__reserved", u16),
        ("object_id", u32),  # in: the IOAS for HUGE_PAGES, 0 for RLIMIT_MODE
        ("val64", u64),  # in on set, out on get: 0 or 1
    ]


IOMMU_OPTION = IOMMUFD_TYPE << 8 | IOMMUFD_CMD_OPTION

# enum iommufd_vfio_ioas_op
IOMMU_VFIO_IOAS_GET = 0
IOMMU_VFIO_IOAS_SET = 1
IOMMU_VFIO_IOAS_CLEAR = 2


class iommu_vfio_ioas(AbiStruct):
    """Argument of IOMMU_VFIO_IOAS: which IOAS stands for the container of the VFIO ioctls."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("ioas_id", u32),  # in on set, out on get: which IOAS
        ("op", u16),  # in: IOMMU_VFIO_IOAS_*
        ("__reserved", u16),
    ]


IOMMU_VFIO_IOAS = IOMMUFD_TYPE << 8 | IOMMUFD_CMD_VFIO_IOAS


class iommu_ioas_change_process(AbiStruct):
    """Argument of IOMMU_IOAS_CHANGE_PROCESS: pinned pages are charged to the caller from now on."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("__reserved", u32),
    ]


IOMMU_IOAS_CHANGE_PROCESS = IOMMUFD_TYPE << 8 | IOMMUFD_CMD_IOAS_CHANGE_PROCESS
