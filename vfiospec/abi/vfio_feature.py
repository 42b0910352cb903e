# SPDX-License-Identifier: MIT
"""include/uapi/linux/vfio.h: DEVICE_FEATURE with all its features, the cdev ioctls, migration.

Function-like macros of the header are functions here.
"""

from vfiospec.abi.base import AbiStruct, s32, u32, u64
from vfiospec.abi.vfio import VFIO_BASE, VFIO_TYPE


class vfio_device_migration_info(AbiStruct):
    """Start of the migration v1 region, which the v6.1 header calls deprecated."""

    _fields_ = [
        ("device_state", u32),  # read and write: VFIO_DEVICE_STATE_V1_*
        ("reserved", u32),
        ("pending_bytes", u64),  # read only: bytes still to be moved
        ("data_offset", u64),  # read only: start of the data within the region
        ("data_size", u64),  # read and write: bytes of data now in the region
    ]


VFIO_DEVICE_STATE_V1_STOP = 0
VFIO_DEVICE_STATE_V1_RUNNING = 1 << 0
VFIO_DEVICE_STATE_V1_SAVING = 1 << 1
VFIO_DEVICE_STATE_V1_RESUMING = 1 << 2
VFIO_DEVICE_STATE_MASK = (
    VFIO_DEVICE_STATE_V1_RUNNING | VFIO_DEVICE_STATE_V1_SAVING | VFIO_DEVICE_STATE_V1_RESUMING
)


def VFIO_DEVICE_STATE_VALID(state: int) -> bool:
    """Whether a v1 state is one a device may be in: RESUMING goes with nothing else."""
    if state & VFIO_DEVICE_STATE_V1_RESUMING:
        return state & VFIO_DEVICE_STATE_MASK == VFIO_DEVICE_STATE_V1_RESUMING
    return True


def VFIO_DEVICE_STATE_IS_ERROR(state: int) -> bool:
    """Whether a v1 state says that the device failed: SAVING and RESUMING, but not RUNNING."""
    failed = VFIO_DEVICE_STATE_V1_SAVING | VFIO_DEVICE_STATE_V1_RESUMING
    return state & VFIO_DEVICE_STATE_MASK == failed


def VFIO_DEVICE_STATE_SET_ERROR(state: int) -> int:
    """Replace the known bits of a v1 state by those that mean failure."""
    failed = VFIO_DEVICE_STATE_V1_SAVING | VFIO_DEVICE_STATE_V1_RESUMING
    return state & ~VFIO_DEVICE_STATE_MASK | failed


class vfio_device_feature(AbiStruct):
    """Argument of VFIO_DEVICE_FEATURE; then u8 data[], laid out by the feature."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over, data included
        ("flags", u32),  # in: feature number and VFIO_DEVICE_FEATURE_GET, _SET, _PROBE
    ]


VFIO_DEVICE_FEATURE_MASK = 0xFFFF
VFIO_DEVICE_FEATURE_GET = 1 << 16
VFIO_DEVICE_FEATURE_SET = 1 << 17
VFIO_DEVICE_FEATURE_PROBE = 1 << 18
FEATURE_MIN = vfio_device_feature.end_of("flags")

VFIO_DEVICE_FEATURE = VFIO_TYPE << 8 | VFIO_BASE + 17


class vfio_device_bind_iommufd(AbiStruct):
    """Argument of VFIO_DEVICE_BIND_IOMMUFD (cdev): 16 bytes in the v6.12 header, 24 in v7.2."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over
        ("flags", u32),  # in: 0 or VFIO_DEVICE_BIND_FLAG_TOKEN
        ("iommufd", s32),  # in: the iommufd to bind to
        ("out_devid", u32),  # out: id of the device within that iommufd
        ("token_uuid_ptr", u64),  # in, with FLAG_TOKEN: address of the 16 byte VF token
    ]


VFIO_DEVICE_BIND_FLAG_TOKEN = 1 << 0
BIND_MIN = vfio_device_bind_iommufd.end_of("out_devid")

VFIO_DEVICE_BIND_IOMMUFD = VFIO_TYPE << 8 | VFIO_BASE + 18


class vfio_device_attach_iommufd_pt(AbiStruct):
    """Argument of VFIO_DEVICE_ATTACH_IOMMUFD_PT: 12 bytes in the v6.12 header, 16 in v7.2."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over
        ("flags", u32),  # in: 0 or VFIO_DEVICE_ATTACH_PASID
        ("pt_id", u32),  # in: IOAS or page table to attach to; out: the one attached
        ("pasid", u32),  # in, with ATTACH_PASID: which address space of the device
    ]


VFIO_DEVICE_ATTACH_PASID = 1 << 0
ATTACH_MIN = vfio_device_attach_iommufd_pt.end_of("pt_id")

VFIO_DEVICE_ATTACH_IOMMUFD_PT = VFIO_TYPE << 8 | VFIO_BASE + 19


class vfio_device_detach_iommufd_pt(AbiStruct):
    """Argument of VFIO_DEVICE_DETACH_IOMMUFD_PT: 8 bytes in the v6.12 header, 12 in v7.2."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over
        ("flags", u32),  # in: 0 or VFIO_DEVICE_DETACH_PASID
        ("pasid", u32),  # in, with DETACH_PASID: which address space of the device
    ]


VFIO_DEVICE_DETACH_PASID = 1 << 0
DETACH_MIN = vfio_device_detach_iommufd_pt.end_of("flags")

VFIO_DEVICE_DETACH_IOMMUFD_PT = VFIO_TYPE << 8 | VFIO_BASE + 20

VFIO_DEVICE_FEATURE_PCI_VF_TOKEN = 0  # data: 16 bytes, a UUID


class vfio_device_feature_migration(AbiStruct):
    """Data of VFIO_DEVICE_FEATURE_MIGRATION (get)."""

    _fields_ = [("flags", u64)]  # out: VFIO_MIGRATION_*


VFIO_MIGRATION_STOP_COPY = 1 << 0
VFIO_MIGRATION_P2P = 1 << 1
VFIO_MIGRATION_PRE_COPY = 1 << 2
VFIO_DEVICE_FEATURE_MIGRATION = 1


class vfio_device_feature_mig_state(AbiStruct):
    """Data of VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE (get and set)."""

    _fields_ = [
        ("device_state", u32),  # in on set, out on get: VFIO_DEVICE_STATE_*
        ("data_fd", s32),  # out: fd of the transfer that the new state begins, else -1
    ]


VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE = 2

# enum vfio_device_mig_state
VFIO_DEVICE_STATE_ERROR = 0
VFIO_DEVICE_STATE_STOP = 1
VFIO_DEVICE_STATE_RUNNING = 2
VFIO_DEVICE_STATE_STOP_COPY = 3
VFIO_DEVICE_STATE_RESUMING = 4
VFIO_DEVICE_STATE_RUNNING_P2P = 5
VFIO_DEVICE_STATE_PRE_COPY = 6
VFIO_DEVICE_STATE_PRE_COPY_P2P = 7
VFIO_DEVICE_STATE_NR = 8


class vfio_precopy_info(AbiStruct):
    """Argument of VFIO_MIG_GET_PRECOPY_INFO, an ioctl of the transfer's data_fd."""

    _fields_ = [
        ("argsz", u32),  # in: bytes we hand over
        ("flags", u32),  # out, only after MIG_PRECOPY_INFOv2 was set: VFIO_PRECOPY_INFO_REINIT
        ("initial_bytes", u64),  # out: estimate of the first data still to be read
        ("dirty_bytes", u64),  # out: estimate of what changed since it was read
    ]


VFIO_PRECOPY_INFO_REINIT = 1 << 0
PRECOPY_INFO_MIN = vfio_precopy_info.end_of("dirty_bytes")

VFIO_MIG_GET_PRECOPY_INFO = VFIO_TYPE << 8 | VFIO_BASE + 21

VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3  # no data


class vfio_device_low_power_entry_with_wakeup(AbiStruct):
    """Data of VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP (set)."""

    _fields_ = [
        ("wakeup_eventfd", s32),  # in: eventfd to signal when the device is woken
        ("reserved", u32),
    ]


VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4
VFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 5  # no data


class vfio_device_feature_dma_logging_control(AbiStruct):
    """Data of VFIO_DEVICE_FEATURE_DMA_LOGGING_START (set)."""

    _fields_ = [
        ("page_size", u64),  # in: wanted granularity in bytes; out: the one the device uses
        ("num_ranges", u32),  # in: how many ranges to log
        ("__reserved", u32),
        ("ranges", u64),  # in: address of vfio_device_feature_dma_logging_range[num_ranges]
    ]


class vfio_device_feature_dma_logging_range(AbiStruct):
    """One range of IO virtual addresses to log."""

    _fields_ = [
        ("iova", u64),  # in: start of the range
        ("length", u64),  # in: bytes in the range
    ]


VFIO_DEVICE_FEATURE_DMA_LOGGING_START = 6
VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 7  # no data


class vfio_device_feature_dma_logging_report(AbiStruct):
    """Data of VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT (get): reads the log and clears it."""

    _fields_ = [
        ("iova", u64),  # in: start of the range to report
        ("length", u64),  # in: bytes in the range
        ("page_size", u64),  # in: bytes per bit of the bitmap, a power of two
        ("bitmap", u64),  # in: address of u64 words; bits are set there, never cleared
    ]


VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT = 8


class vfio_device_feature_mig_data_size(AbiStruct):
    """Data of VFIO_DEVICE_FEATURE_MIG_DATA_SIZE (get)."""

    _fields_ = [("stop_copy_length", u64)]  # out: estimate of the bytes STOP_COPY will give


VFIO_DEVICE_FEATURE_MIG_DATA_SIZE = 9


class vfio_device_feature_bus_master(AbiStruct):
    """Data of VFIO_DEVICE_FEATURE_BUS_MASTER (set); only CDX devices have it."""

    _fields_ = [("op", u32)]  # in: VFIO_DEVICE_FEATURE_CLEAR_MASTER or _SET_MASTER


VFIO_DEVICE_FEATURE_CLEAR_MASTER = 0
VFIO_DEVICE_FEATURE_SET_MASTER = 1
VFIO_DEVICE_FEATURE_BUS_MASTER = 10

VFIO_DEVICE_FEATURE_DMA_BUF = 11


class vfio_region_dma_range(AbiStruct):
    """One slice of a region for a dma-buf."""

    _fields_ = [
        ("offset", u64),  # in: start of the slice within the region
        ("length", u64),  # in: bytes in the slice
    ]


class vfio_device_feature_dma_buf(AbiStruct):
    """Data of VFIO_DEVICE_FEATURE_DMA_BUF (get); then vfio_region_dma_range dma_ranges[nr_ranges].

    The ioctl returns the fd of the dma-buf.
    """

    _fields_ = [
        ("region_index", u32),  # in: region that all slices are in
        ("open_flags", u32),  # in: as for open(2)
        ("flags", u32),  # in: 0
        ("nr_ranges", u32),  # in: how many slices follow
    ]


VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 = 12  # no data


class vfio_device_feature_zpci_err(AbiStruct):
    """Data of VFIO_DEVICE_FEATURE_ZPCI_ERROR (get), new in v7.3; only s390 has it."""

    _fields_ = [("data", u64)]  # see the zPCI base capability for the length of the error record


VFIO_DEVICE_FEATURE_ZPCI_ERROR = 13
