# SPDX-License-Identifier: MIT
"""Old and 32-bit programs on this kernel: they get what they were built for."""

from vfiospec.rules.model import HEADER, Source, Strength, Thread, rule

OLD_HEADER = rule(
    "compatibility.old-header",
    "A program built with an older header, whose structures are shorter, gets the same answers in "
    "the fields it knows, and nothing is written behind them.",
    Strength.DOCUMENTED,
    Thread(
        "Re: [RFC PATCH v3 1/4] vfio: Define device specific irq type capability",
        "Alex Williamson",
        "2019-06-27",
        quote="it breaks compatibility with all existing userspace binaries.",
    ),
    Source(HEADER, "vfio_device_info"),
)

I386 = rule(
    "compatibility.i386",
    "A 32-bit program gets the same answer as a 64-bit one, in the same layout.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_main.c", "vfio_device_fops"),
    Source("drivers/vfio/group.c", "vfio_group_fops"),
    Source("drivers/vfio/container.c", "vfio_fops"),
)

KERNEL_LAYOUT = rule(
    "compatibility.kernel-layout",
    "What a kernel is compiled with has the layout of the user headers, as far as it knows them.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_TYPE",
        quote="The IOCTL interface is designed for extensibility by embedding the structure length "
        "(argsz) and flags into structures passed between kernel and userspace.",
    ),
)
