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
