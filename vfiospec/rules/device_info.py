# SPDX-License-Identifier: MIT
"""GET_INFO: what kind of device this is, and how far its indexes go."""

from errno import EFAULT, EINVAL
from typing import Final

from vfiospec.rules.model import HEADER, PCI_CORE, Source, Strength, Thread, rule

_GET_INFO: Final = Source(PCI_CORE, "vfio_pci_ioctl_get_info")
_SUBJECT: Final = "[v2,2/3] VFIO-AER: Vfio-pci driver changes for supporting AER"

BUS_FLAG = rule(
    "device-info.bus-flag",
    "The flags name one bus, PCI for vfio-pci, and beyond that only RESET and CAPS may be set.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_FLAGS_PCI", quote="vfio-pci device"),
    _GET_INFO,
)

RESET_FLAG = rule(
    "device-info.reset-flag",
    "RESET is set if and only if DEVICE_RESET works; without it DEVICE_RESET fails with EINVAL.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_FLAGS_RESET", quote="Device supports reset"),
    Source(PCI_CORE, "vfio_pci_ioctl_reset"),
    answer=EINVAL,
)

RESET_KNOWN_TO_PCI = rule(
    "device-info.reset-known-to-pci",
    "RESET is set if and only if the PCI core can reset the function by itself: such a device has "
    "a file `reset` in sysfs.",
    Strength.OBSERVED,
    Source(PCI_CORE, "vfio_pci_core_enable"),
)

NUM_REGIONS = rule(
    "device-info.num-regions",
    "vfio-pci has the nine fixed regions on every device, holes included.",
    Strength.ENFORCED,
    _GET_INFO,
    Source(HEADER, "VFIO_PCI_NUM_REGIONS"),
    answer=9,
)

NUM_REGIONS_MAXIMUM = rule(
    "device-info.num-regions-is-a-maximum",
    "num_regions is the highest region index plus one, not a count of regions: all regions that "
    "answer lie below it, and those behind the fixed ones reach up to it.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_info", quote="Max region index + 1"),
    Thread(
        _SUBJECT,
        "Alex Williamson",
        "2013-01-28",
        quote="num_foo indicates a count, however the comment clearly states this is a max index.",
    ),
)

NUM_IRQS = rule(
    "device-info.num-irqs",
    "vfio-pci has five interrupt indexes on every device, holes included.",
    Strength.DOCUMENTED,
    Thread(
        _SUBJECT,
        "Alex Williamson",
        "2013-01-28",
        quote="DEVICE_INFO should just return num_irqs = VFIO_PCI_NUM_IRQS regardless of whether "
        "ERR_IRQ_INDEX is supported.",
    ),
    _GET_INFO,
    answer=5,
)

NUM_IRQS_MAXIMUM = rule(
    "device-info.num-irqs-is-a-maximum",
    "num_irqs is the highest interrupt index plus one, not a count: the last index below it "
    "answers and none at or above it does.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_info", quote="Max IRQ index + 1"),
    Thread(
        _SUBJECT,
        "Alex Williamson",
        "2013-01-28",
        quote="it's easier for userspace to know to stop searching at index 10 instead of "
        "probing indexes it may not understand trying to find the full count.",
    ),
)

NO_CAPABILITIES = rule(
    "device-info.no-capabilities",
    "Without capabilities cap_offset and the padding are 0 and argsz is kept.",
    Strength.ENFORCED,
    _GET_INFO,
)

CAPS_FLAG = rule(
    "device-info.caps-flag",
    "CAPS is set if and only if a buffer large enough gets a chain of capabilities.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_FLAGS_CAPS", quote="Info supports caps"),
    Source(
        HEADER,
        "vfio_info_cap_header",
        quote="This field is only valid when the corresponding bit in the flags bitmap is set.",
    ),
)

ATOMIC_COMPLETION = rule(
    "device-info.atomic-completion",
    "PCI_ATOMIC_COMP reports widths that the device's PCI Express capability completes, and is "
    "absent where there is none.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP",
        quote="reports support for PCIe AtomicOp completion to the root bus with supported "
        "widths provided via flags.",
    ),
    Source(PCI_CORE, "vfio_pci_info_atomic_cap"),
)

COMPLETE = rule(
    "device-info.complete",
    "GET_INFO writes the whole of the structure: it fails with EFAULT if the last byte of it has "
    "no memory behind.",
    Strength.ENFORCED,
    _GET_INFO,
    answer=EFAULT,
)

CONSTANT = rule(
    "device-info.constant",
    "The answer does not depend on what the device is doing: decoding switched off, low power, "
    "after a reset, after all fds were closed.",
    Strength.ENFORCED,
    _GET_INFO,
)

POLICY_SHOWN = rule(
    "device-info.policy-shown",
    "debugfs tells of each device which nointxmask and disable_idle_d3 hold for it: those of the "
    "moment vfio-pci took it, whatever the module's parameters became since.",
    Strength.DOCUMENTED,
    Source(
        "Documentation/ABI/testing/debugfs-vfio",
        "nointxmask",
        quote="Read the nointxmask policy latched for this device.",
    ),
    Source(PCI_CORE, "vfio_pci_core_debugfs_init"),
)

SHOWN_WHILE_BOUND = rule(
    "device-info.shown-while-bound",
    "debugfs has a folder of each device, by its name, until its driver lets go of it.",
    Strength.ENFORCED,
    Source("drivers/vfio/debugfs.c", "vfio_device_debugfs_init"),
    Source("drivers/vfio/debugfs.c", "vfio_device_debugfs_exit"),
)
