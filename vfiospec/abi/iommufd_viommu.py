# SPDX-License-Identifier: MIT
"""include/uapi/linux/iommufd.h: virtual IOMMUs, their devices, event queues and hardware queues."""

from vfiospec.abi import iommufd
from vfiospec.abi.base import AbiStruct, u32, u64

# enum iommu_viommu_type
IOMMU_VIOMMU_TYPE_DEFAULT = 0
IOMMU_VIOMMU_TYPE_ARM_SMMUV3 = 1
IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV = 2


class iommu_viommu_tegra241_cmdqv(AbiStruct):
    """Data of IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV."""

    _fields_ = [
        ("out_vintf_mmap_offset", u64),  # out: offset for mmap of the interface's page
        ("out_vintf_mmap_length", u64),  # out: bytes for that mmap
    ]


class iommu_viommu_alloc(AbiStruct):
    """Argument of IOMMU_VIOMMU_ALLOC."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("flags", u32),  # in: 0
        ("type", u32),  # in: IOMMU_VIOMMU_TYPE_*
        ("dev_id", u32),  # in: device whose IOMMU backs it
        ("hwpt_id", u32),  # in: parent table for nesting
        ("out_viommu_id", u32),  # out: the new vIOMMU
        ("data_len", u32),  # in: bytes at data_uptr
        ("__reserved", u32),
        ("data_uptr", u64),  # in: address of the data of that type
    ]


IOMMU_VIOMMU_ALLOC = iommufd.IOMMUFD_TYPE << 8 | iommufd.IOMMUFD_CMD_VIOMMU_ALLOC


class iommu_vdevice_alloc(AbiStruct):
    """Argument of IOMMU_VDEVICE_ALLOC."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("viommu_id", u32),  # in: vIOMMU the device appears behind
        ("dev_id", u32),  # in: the physical device
        ("out_vdevice_id", u32),  # out: the new virtual device
        ("virt_id", u64),  # in: id of the device for the guest's IOMMU
    ]


IOMMU_VDEVICE_ALLOC = iommufd.IOMMUFD_TYPE << 8 | iommufd.IOMMUFD_CMD_VDEVICE_ALLOC

IOMMU_VEVENTQ_FLAG_LOST_EVENTS = 1 << 0  # enum iommu_veventq_flag


class iommufd_vevent_header(AbiStruct):
    """Before each event that is read from an event queue; no event follows LOST_EVENTS."""

    _fields_ = [
        ("flags", u32),  # out: 0 or IOMMU_VEVENTQ_FLAG_LOST_EVENTS
        ("sequence", u32),  # out: number of the event, 0 after INT_MAX
    ]


# enum iommu_veventq_type
IOMMU_VEVENTQ_TYPE_DEFAULT = 0
IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 = 1
IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV = 2


class iommu_vevent_arm_smmuv3(AbiStruct):
    """IOMMU_VEVENTQ_TYPE_ARM_SMMUV3."""

    _fields_ = [("evt", u64 * 4)]  # out: event record, little-endian


class iommu_vevent_tegra241_cmdqv(AbiStruct):
    """IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV."""

    _fields_ = [("lvcmdq_err_map", u64 * 2)]  # out: queues in error, little-endian


class iommu_veventq_alloc(AbiStruct):
    """Argument of IOMMU_VEVENTQ_ALLOC."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("flags", u32),  # in: 0
        ("viommu_id", u32),  # in: which vIOMMU
        ("type", u32),  # in: IOMMU_VEVENTQ_TYPE_*
        ("veventq_depth", u32),  # in: most events that wait
        ("out_veventq_id", u32),  # out: the new queue
        ("out_veventq_fd", u32),  # out: fd to read events from
        ("__reserved", u32),
    ]


IOMMU_VEVENTQ_ALLOC = iommufd.IOMMUFD_TYPE << 8 | iommufd.IOMMUFD_CMD_VEVENTQ_ALLOC

# enum iommu_hw_queue_type
IOMMU_HW_QUEUE_TYPE_DEFAULT = 0
IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV = 1


class iommu_hw_queue_alloc(AbiStruct):
    """Argument of IOMMU_HW_QUEUE_ALLOC."""

    _fields_ = [
        ("size", u32),  # in: bytes we hand over
        ("flags", u32),  # in: 0
        ("viommu_id", u32),  # in: which vIOMMU
        ("type", u32),  # in: IOMMU_HW_QUEUE_TYPE_*
        ("index", u32),  # in: which queue of that type
        ("out_hw_queue_id", u32),  # out: the new queue
        ("nesting_parent_iova", u64),  # in: guest physical address of the queue memory
        ("length", u64),  # in: bytes of queue memory
    ]


IOMMU_HW_QUEUE_ALLOC = iommufd.IOMMUFD_TYPE << 8 | iommufd.IOMMUFD_CMD_HW_QUEUE_ALLOC
