# SPDX-License-Identifier: MIT
"""VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: which devices one reset of a bus or slot touches."""

from errno import EFAULT, EINVAL, ENOSPC

from vfiospec.rules.model import HEADER, PCI_CORE, Source, Strength, rule

_INFO = Source(PCI_CORE, "vfio_pci_ioctl_get_pci_hot_reset_info")
_ARGSZ = Source(
    HEADER, "VFIO_TYPE", quote="It's *always* the caller's responsibility to indicate the size of"
)

INFO_ARGSZ = rule(
    "hot-reset.info-argsz-too-small",
    "GET_PCI_HOT_RESET_INFO with an argsz that ends before `count` is refused, on any device.",
    Strength.ENFORCED,
    _INFO,
    _ARGSZ,
    answer=EINVAL,
)

INFO_NO_SPACE = rule(
    "hot-reset.info-no-space",
    "With too little room for the devices, `count` says how many there are, and none is written.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", quote="-enospc = insufficient buffer"),
    _INFO,
    answer=ENOSPC,
)

INFO_DEVICES = rule(
    "hot-reset.info-devices",
    "All devices of the bus or slot are named once, each with its group, whoever drives them.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO",
        quote="This command always reports the segment, bus, and devfn information for",
    ),
    Source(PCI_CORE, "vfio_pci_fill_devs"),
)

INFO_FLAGS = rule(
    "hot-reset.info-flags",
    "On a device opened through its group there are no flags: it is group ids that are told.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_PCI_HOT_RESET_FLAG_DEV_ID"),
    Source(HEADER, "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", quote="group_id is reported."),
    answer=0,
)

INFO_BAD_ADDRESS = rule(
    "hot-reset.info-bad-address",
    "A buffer that cannot be read, or whose devices cannot be written, is a bad address.",
    Strength.ENFORCED,
    _INFO,
    answer=EFAULT,
)
