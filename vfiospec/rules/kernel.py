# SPDX-License-Identifier: MIT
"""What holds for every call: the kernel stays sound. Asserted after each test, on all of them."""

from vfiospec.rules.model import Source, Strength, rule

QUIET = rule(
    "kernel.quiet",
    "No call makes the kernel log a BUG, WARNING, KASAN, UBSAN, lockdep or hung-task report.",
    Strength.ENFORCED,
    Source("Documentation/process/deprecated.rst", "BUG() and BUG_ON()"),
)

UNTAINTED = rule(
    "kernel.untainted",
    "No call changes the kernel's taint.",
    Strength.ENFORCED,
    Source("Documentation/admin-guide/tainted-kernels.rst", "tainted"),
)

ALIVE = rule(
    "kernel.alive",
    "Every call returns: no panic, no hang.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_main.c", "vfio_device_fops_unl_ioctl"),
)

INSIDE = rule(
    "kernel.inside-the-buffer",
    "No call writes outside of the buffer it was handed.",
    Strength.DOCUMENTED,
    Source(
        "include/uapi/linux/vfio.h",
        "VFIO_TYPE",
        quote="It's *always* the caller's responsibility to indicate the size of the structure "
        "passed by setting argsz appropriately",
    ),
)

RETURN_VALUE = rule(
    "kernel.return-value",
    "A call answers what it may: an ioctl without a result 0, a transfer no more bytes than it was "
    "asked for, a failure an errno that user space knows, below 512.",
    Strength.DOCUMENTED,
    Source(
        "include/uapi/linux/vfio.h",
        "VFIO_DEVICE_GET_INFO",
        quote="Return: 0 on success, -errno on failure.",
    ),
    Source(
        "include/linux/errno.h",
        "ERESTARTSYS",
        quote="These should never be seen by user programs.",
    ),
)

NO_STRAY_FILE = rule(
    "kernel.no-stray-file",
    "No call opens a file without saying which.",
    Strength.ENFORCED,
    Source("drivers/vfio/group.c", "vfio_group_ioctl_get_device_fd"),
)

NOTHING_HELD = rule(
    "kernel.nothing-held",
    "Memory that no mapping holds any more is neither locked nor pinned.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_iommu_type1.c", "vfio_lock_acct"),
)

UNDONE = rule(
    "kernel.undone",
    "What was undone or closed leaves the others as they were: devices, groups and containers "
    "describe themselves as before.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_main.c", "vfio_device_fops_release"),
)

REFUSED_UNCHANGED = rule(
    "kernel.refused-changes-nothing",
    "A call that is refused changes nothing: later calls answer as if it had not been made.",
    Strength.OBSERVED,
    Source("drivers/vfio/vfio_main.c", "vfio_device_fops_unl_ioctl"),
)

DMA_INSIDE = rule(
    "kernel.dma-inside-mappings",
    "A device's DMA reaches no memory that is not mapped for it.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_iommu_type1.c", "vfio_remove_dma"),
)
