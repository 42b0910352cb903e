# SPDX-License-Identifier: MIT
"""Migration: states, the arcs between them, and the transfers that carry a device's state."""

from errno import (
    E2BIG,
    EBADF,
    EFAULT,
    EINVAL,
    EMFILE,
    ENODEV,
    ENOMEM,
    ENOMSG,
    ENOTTY,
    EOVERFLOW,
    ESPIPE,
)

from vfiospec.abi.vfio_feature import (
    VFIO_MIGRATION_P2P,
    VFIO_MIGRATION_PRE_COPY,
    VFIO_MIGRATION_STOP_COPY,
)
from vfiospec.rules.model import HEADER, Answer, Source, Strength, rule

MAIN = "drivers/vfio/vfio_main.c"
SAMPLE = "samples/vfio-mdev/mtty.c"
_FSM = Source(HEADER, "vfio_device_mig_state")
_NEXT = Source(MAIN, "vfio_mig_get_next_state")
_STATE = Source(HEADER, "vfio_device_feature_mig_state")
_SET = Source(MAIN, "vfio_ioctl_device_feature_mig_device_state")
_CHECK = Source("include/linux/vfio.h", "vfio_check_feature")
_PRECOPY = Source(HEADER, "VFIO_MIG_GET_PRECOPY_INFO")
_PRECOPY_CHECK = Source("include/linux/vfio.h", "vfio_check_precopy_ioctl")

# Features

PRESENT = rule(
    "migration.features-present",
    "A device with migration has each of its features: a probe succeeds, alone or with an "
    "operation the feature has, and needs no data.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_FEATURE", quote="Probing a feature will return success"),
    _CHECK,
)

PRECOPY_V2 = rule(
    "migration.precopy-info-v2",
    "MIG_PRECOPY_INFOv2 is a feature of every device with pre-copy, and of none where the kernel "
    "does not know it.",
    Strength.ENFORCED,
    Source(HEADER, "VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2"),
    answer=(
        Answer(ENOTTY, "<7.2", "came with 7.2"),
        Answer(0, ">=7.2", "has it"),
    ),
)

OPERATION = rule(
    "migration.operation",
    "An operation that a feature of migration has not is refused, in a probe too; so is none.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_FEATURE", quote="methods are supported."),
    _CHECK,
    answer=EINVAL,
)

DATA = rule(
    "migration.data-too-small",
    "An argsz that does not cover the feature's data is refused, and nothing happens.",
    Strength.ENFORCED,
    _CHECK,
    answer=EINVAL,
)

BAD_ADDRESS = rule(
    "migration.bad-address",
    "Data that cannot be read, or where the answer cannot be written, is a bad address.",
    Strength.ENFORCED,
    _SET,
    answer=EFAULT,
)

ABSENT = rule(
    "migration.absent",
    "A mediated device without migration has none of its features, also when they are probed.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_FEATURE", quote="Probing a feature will return success"),
    Source(MAIN, "vfio_ioctl_device_feature_migration"),
    answer=ENOTTY,
)

FLAGS = rule(
    "migration.flags",
    "STOP_COPY is always among the flags, and no flag is unknown.",
    Strength.DOCUMENTED,
    Source(
        HEADER, "vfio_device_feature_migration", quote="at least VFIO_MIGRATION_STOP_COPY must be"
    ),
)

MTTY_FLAGS = rule(
    "migration.mtty-flags",
    "mtty supports STOP_COPY, P2P and PRE_COPY.",
    Strength.OBSERVED,
    Source(SAMPLE, "mtty_init_dev"),
    answer=VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY,
)

# States

STATE_SHOWN = rule(
    "migration.state-shown",
    "debugfs tells the state a device is in, by the name the header has for it.",
    Strength.DOCUMENTED,
    Source(
        "Documentation/ABI/testing/debugfs-vfio",
        "state",
        quote="Read the live migration status of the vfio device.",
    ),
    Source("drivers/vfio/debugfs.c", "vfio_device_state_read"),
)

FEATURES_SHOWN = rule(
    "migration.features-shown",
    "debugfs tells what of migration a device supports, a line for each.",
    Strength.DOCUMENTED,
    Source(
        "Documentation/ABI/testing/debugfs-vfio",
        "features",
        quote="Read the migration features of the vfio device.",
    ),
    Source("drivers/vfio/debugfs.c", "vfio_device_features_read"),
)

SHOWN = rule(
    "migration.shown",
    "debugfs has a folder for the migration of each device that has any, and of no other.",
    Strength.DOCUMENTED,
    Source(
        "Documentation/ABI/testing/debugfs-vfio",
        "migration",
        quote="of vfio devices that support live migration.",
    ),
    Source("drivers/vfio/debugfs.c", "vfio_device_debugfs_init"),
)

INITIAL = rule(
    "migration.initial-state",
    "A device that was just made is RUNNING.",
    Strength.ENFORCED,
    Source(HEADER, "vfio_device_mig_state"),
    Source(SAMPLE, "mtty_init_dev"),
)

CLOSED = rule(
    "migration.closed",
    "Closing the device ends its transfer. mtty keeps the state, until it is reset.",
    Strength.OBSERVED,
    Source(SAMPLE, "mtty_close"),
    answer=ENODEV,
)

GET = rule(
    "migration.get-state",
    "GET tells the state, with a data_fd of -1, and changes nothing.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_feature_mig_state", quote="data_fd will be -1."),
)

ARCS = rule(
    "migration.arcs",
    "A change between states that arcs lead to, one or several, succeeds and is complete.",
    Strength.DOCUMENTED,
    _FSM,
    Source(HEADER, "vfio_device_feature_mig_state", quote="must fully transition the device"),
    _NEXT,
)

NO_ARC = rule(
    "migration.no-arc",
    "From STOP_COPY to PRE_COPY or PRE_COPY_P2P leads nothing, nor to ERROR or to a number that "
    "is no state: it is refused, and the state stays.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_mig_state", quote="ERROR cannot be specified as a device state"),
    _NEXT,
    answer=EINVAL,
)

DATA_FD = rule(
    "migration.data-fd",
    "data_fd is a new file where the change begins a transfer, and -1 where it does not, also "
    "when it is refused.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_feature_mig_state", quote="is returned in data_fd"),
    _SET,
)

DATA_FD_KIND = rule(
    "migration.data-fd-kind",
    "The file of a transfer is closed by execve, and open for reading alone or writing alone.",
    Strength.ENFORCED,
    Source(MAIN, "vfio_ioct_mig_return_fd"),
    Source(SAMPLE, "mtty_save_device_data"),
)

WRONG_WAY = rule(
    "migration.wrong-way",
    "The file of a saved state cannot be written, nor that of a new one read.",
    Strength.ENFORCED,
    Source(SAMPLE, "mtty_save_device_data"),
    answer=EBADF,
)

NO_OFFSET = rule(
    "migration.no-offset",
    "The file of a transfer is a stream: it has no offset to read at, write at or seek to.",
    Strength.ENFORCED,
    Source(SAMPLE, "mtty_save_read"),
    answer=ESPIPE,
)

SESSION = rule(
    "migration.session",
    "PRE_COPY, PRE_COPY_P2P and STOP_COPY share one transfer: its file goes on.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_mig_state", quote="does not terminate or otherwise affect"),
)

ENDED = rule(
    "migration.session-ended",
    "The file of a transfer that a change of state or a reset has ended gives and takes nothing.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_mig_state", quote="will terminate a data transfer session"),
    Source(SAMPLE, "mtty_disable_file"),
    answer=ENODEV,
)

FILES = rule(
    "migration.no-file-free",
    "With no number left for the file of a transfer, there is none, and nothing is leaked.",
    Strength.ENFORCED,
    Source(MAIN, "vfio_ioct_mig_return_fd"),
    answer=EMFILE,
)

RESET = rule(
    "migration.reset",
    "A reset brings the device back to RUNNING from any state.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_mig_state", quote="must be used to return the"),
)

# The data

END = rule(
    "migration.end-of-data",
    "In STOP_COPY the file is read until a read gives nothing, and then it gives nothing again.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_MIG_GET_PRECOPY_INFO", quote="by read() always returning 0"),
)

PARTS = rule(
    "migration.parts",
    "The same data comes in parts of any size, and may be written in parts of any size.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_feature_mig_state", quote="not required to preserve buffer"),
)

SIZE = rule(
    "migration.data-size",
    "In each state MIG_DATA_SIZE tells how much STOP_COPY gives; mtty knows it exactly.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_feature_mig_data_size", quote="on each device state"),
    Source(SAMPLE, "mtty_get_data_size"),
)

CARRIED = rule(
    "migration.state-carried",
    "A second device of the same type that was given the data is in the state of the first.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_mig_state", quote="a process of restoring the device state"),
)

INVALID = rule(
    "migration.invalid-data",
    "Leaving RESUMING with less data than a state has is refused, and goes no further.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_mig_state", quote="must fail the SET_STATE ioctl"),
    Source(SAMPLE, "mtty_load_state"),
    answer=EINVAL,
)

FOREIGN = rule(
    "migration.foreign-data",
    "Data that begins as no state of such a device does is refused as it is written.",
    Strength.OBSERVED,
    Source(SAMPLE, "mtty_resume_write"),
    answer=EFAULT,
)

TOO_MUCH = rule(
    "migration.too-much-data",
    "More data than a state has is not taken.",
    Strength.OBSERVED,
    Source(SAMPLE, "mtty_resume_write"),
    answer=ENOMEM,
)

# Before the device stops

PRECOPY_INFO = rule(
    "migration.precopy-info",
    "In PRE_COPY and PRE_COPY_P2P the file tells how much there is to read: initial_bytes is not "
    "zero at first and falls as data is read; dirty_bytes is zero at first.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_MIG_GET_PRECOPY_INFO", quote="should have a non-zero initial"),
)

PRECOPY_STATE = rule(
    "migration.precopy-info-elsewhere",
    "In any other state it tells nothing.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_MIG_GET_PRECOPY_INFO", quote="return -EINVAL from any other"),
    answer=EINVAL,
)

PRECOPY_ARGSZ = rule(
    "migration.precopy-info-argsz",
    "An argsz that ends before dirty_bytes is refused; a larger one changes nothing.",
    Strength.ENFORCED,
    _PRECOPY_CHECK,
    answer=EINVAL,
)

PRECOPY_ADDRESS = rule(
    "migration.precopy-info-address",
    "A structure that cannot be read is a bad address.",
    Strength.ENFORCED,
    _PRECOPY_CHECK,
    answer=EFAULT,
)

PRECOPY_FLAGS = rule(
    "migration.precopy-info-flags",
    "flags comes back as it was, until MIG_PRECOPY_INFOv2 is set: then it is the kernel's.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_MIG_GET_PRECOPY_INFO", quote="Without this opt-in, the flags field"),
    Source(HEADER, "VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2"),
    _PRECOPY_CHECK,
)

PRECOPY_OPT_IN = rule(
    "migration.precopy-info-opt-in-ends",
    "Whoever opens the device next has not set MIG_PRECOPY_INFOv2.",
    Strength.ENFORCED,
    Source(MAIN, "vfio_df_device_first_open"),
)

PRECOPY_IOCTL = rule(
    "migration.data-fd-ioctls",
    "The file of a transfer knows no other ioctl.",
    Strength.ENFORCED,
    _PRECOPY_CHECK,
    answer=ENOTTY,
)

PRECOPY_END = rule(
    "migration.precopy-end-of-data",
    "In PRE_COPY, where all there is was read, a read is told that there is no message.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_MIG_GET_PRECOPY_INFO", quote="should return ENOMSG from read()"),
    answer=ENOMSG,
)

# Logging of DMA

_START = Source(MAIN, "vfio_ioctl_device_feature_logging_start")
_REPORT = Source(MAIN, "vfio_ioctl_device_feature_logging_report")

LOG_NONE = rule(
    "migration.log-no-range",
    "Logging is not started of no range at all.",
    Strength.ENFORCED,
    _START,
    answer=EINVAL,
)

LOG_MANY = rule(
    "migration.log-too-many-ranges",
    "As many ranges as fit into a page can be logged, and no more.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_feature_dma_logging_control", quote="into a single kernel page"),
    _START,
    answer=E2BIG,
)

LOG_ALIGNED = rule(
    "migration.log-unaligned",
    "A range that does not begin and end where a page does is refused.",
    Strength.ENFORCED,
    _START,
    answer=EINVAL,
)

LOG_OVERLAP = rule(
    "migration.log-overlap",
    "Ranges that overlap are refused; those that touch are not.",
    Strength.ENFORCED,
    _START,
    answer=EINVAL,
)

LOG_END = rule(
    "migration.log-overflow",
    "A range that ends beyond the last address is refused, when logging and when reporting.",
    Strength.ENFORCED,
    _START,
    _REPORT,
    answer=EOVERFLOW,
)

LOG_ADDRESS = rule(
    "migration.log-bad-address",
    "Ranges that are not there are a bad address.",
    Strength.ENFORCED,
    _START,
    answer=EFAULT,
)

LOG_PAGE = rule(
    "migration.log-page-size",
    "A report is by pages of a power of two, 4096 bytes or more.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_feature_dma_logging_report", quote="can be any power of two value"),
    _REPORT,
    answer=EINVAL,
)

LOG = rule(
    "migration.log",
    "Logging is started, reported and stopped; what mtty, which does no DMA, reports is nothing, "
    "and no bit that was set is cleared.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_feature_dma_logging_report", quote="and never clear or"),
    Source(SAMPLE, "mtty_log_read_and_clear"),
)
