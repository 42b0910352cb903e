# SPDX-License-Identifier: MIT
"""VFIO_DEVICE_PCI_HOT_RESET: who may reset a bus or slot, and what it does."""

from errno import EBADF, EFAULT, EINVAL, ENODEV, ENOTTY

from vfiospec.rules.model import HEADER, PCI_CORE, Answer, Source, Strength, rule

_INFO = Source(PCI_CORE, "vfio_pci_ioctl_get_pci_hot_reset_info")
_RESET = Source(PCI_CORE, "vfio_pci_ioctl_pci_hot_reset")
_GROUPS = Source(PCI_CORE, "vfio_pci_ioctl_pci_hot_reset_groups")
_SET = Source(PCI_CORE, "vfio_pci_dev_set_hot_reset")
_HEADER_INFO = Source(HEADER, "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO")
_HEADER_RESET = Source(HEADER, "VFIO_DEVICE_PCI_HOT_RESET")
_ARGSZ = Source(
    HEADER, "VFIO_TYPE", quote="It's *always* the caller's responsibility to indicate the size of"
)

NO_DEVICE = rule(
    "hot-reset.unsupported",
    "On a device whose bus cannot be reset, such as a root bus, neither ioctl is supported.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO", quote="-enodev = unsupported for device."),
    _INFO,
    _RESET,
    answer=ENODEV,
)

# What PCI_HOT_RESET refuses

ARGSZ = rule(
    "hot-reset.argsz-too-small",
    "PCI_HOT_RESET with an argsz that ends before `count` is refused, on any device.",
    Strength.ENFORCED,
    _RESET,
    _ARGSZ,
    answer=EINVAL,
)

ARGSZ_FDS = rule(
    "hot-reset.argsz-covers-fds",
    "An argsz that does not cover the group fds it claims to hand over is refused.",
    Strength.DOCUMENTED,
    _ARGSZ,
    _GROUPS,
    answer=EINVAL,
)

FLAGS = rule(
    "hot-reset.flags",
    "There are no flags: any bit is refused.",
    Strength.ENFORCED,
    _RESET,
    answer=EINVAL,
)

COUNT_ZERO = rule(
    "hot-reset.no-groups",
    "Without a group fd a device opened through its group cannot be reset.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_DEVICE_PCI_HOT_RESET",
        quote="group interface, the user is required to provide proof of ownership",
    ),
    _RESET,
    answer=EINVAL,
)

COUNT_ZERO_ROOT = rule(
    "hot-reset.no-groups-first",
    "On a device whose bus cannot be reset, no group fd at all is the error that is told.",
    Strength.ENFORCED,
    _RESET,
    answer=(
        Answer(ENODEV, "<6.6", "the bus was looked at first"),
        Answer(EINVAL, ">=6.6", "since cdev, an empty array is judged before the bus"),
    ),
)

TOO_MANY = rule(
    "hot-reset.too-many-groups",
    "More group fds than there are devices are refused before any is looked at.",
    Strength.ENFORCED,
    _GROUPS,
    answer=EINVAL,
)

BAD_ADDRESS = rule(
    "hot-reset.bad-address",
    "A header or fds that cannot be read are a bad address.",
    Strength.ENFORCED,
    _RESET,
    _GROUPS,
    answer=EFAULT,
)

BAD_FD = rule(
    "hot-reset.bad-fd",
    "A number that is no open file is refused, also behind one that is.",
    Strength.ENFORCED,
    _GROUPS,
    answer=EBADF,
)

NOT_A_GROUP = rule(
    "hot-reset.not-a-group",
    "A file that is no group is refused, also behind one that is.",
    Strength.ENFORCED,
    _GROUPS,
    answer=EINVAL,
)

NOT_OWNED = rule(
    "hot-reset.not-owned",
    "Who does not show the groups of all affected devices may not reset them.",
    Strength.DOCUMENTED,
    Source(
        HEADER, "VFIO_DEVICE_PCI_HOT_RESET", quote="ownership of the full set of affected devices"
    ),
    _SET,
    answer=EINVAL,
)

UNBOUND = rule(
    "hot-reset.unbound-sibling",
    "A device of the bus that no VFIO driver has prevents the reset.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_dev_set_resettable"),
    answer=EINVAL,
)

# What PCI_HOT_RESET does

RESETS = rule(
    "hot-reset.resets",
    "It resets all devices of the bus or slot, open or not.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_DEVICE_PCI_HOT_RESET",
        quote="A PCI hot reset results in either a bus or slot reset",
    ),
    _SET,
)

SAME_GROUP_TWICE = rule(
    "hot-reset.same-group-twice",
    "One group may be shown several times, up to the number of devices.",
    Strength.OBSERVED,
    _GROUPS,
)

ANY_GROUP = rule(
    "hot-reset.any-group-may-own",
    "The groups shown count in any order, also behind one that owns none of the devices.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_dev_in_groups"),
    _SET,
)

CONFIG = rule(
    "hot-reset.config-kept",
    "Configuration space of each device is afterwards as the user had left it.",
    Strength.ENFORCED,
    _SET,
    Source("drivers/pci/pci.c", "pci_bus_restore_locked"),
)

ZAPPED = rule(
    "hot-reset.mappings-withdrawn",
    "Mapped pages of all affected devices are withdrawn, and come back with the next access.",
    Strength.ENFORCED,
    _SET,
    Source(PCI_CORE, "vfio_pci_zap_bars"),
)

INTERRUPTS = rule(
    "hot-reset.interrupts-kept",
    "Interrupts stay set up, with their eventfds.",
    Strength.ENFORCED,
    _SET,
)

AWAKE = rule(
    "hot-reset.wakes",
    "A device that sleeps is woken for the reset, and goes back to sleep.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_dev_set_pm_runtime_get"),
    _SET,
)

POWER = rule(
    "hot-reset.to-full-power",
    "A device in D3hot is in D0 after the reset.",
    Strength.ENFORCED,
    _SET,
)

RELEASED = rule(
    "hot-reset.groups-released",
    "The groups that were shown are not held: closed, they can be opened again.",
    Strength.ENFORCED,
    _GROUPS,
)

REFUSED_UNCHANGED = rule(
    "hot-reset.refused-changes-nothing",
    "A reset that is refused touches no device, and leaves each usable.",
    Strength.ENFORCED,
    _SET,
    _HEADER_RESET,
)

HARDWARE = rule(
    "hot-reset.hardware-failure",
    "A reset that the hardware does not complete fails with what the PCI core says of it.",
    Strength.OBSERVED,
    _SET,
    Source("drivers/pci/pci.c", "pci_reset_bus"),
    answer=ENOTTY,
    untested="needs a port whose link stays down after a reset: a pcie-root-port of full speed",
)

# The last close

CLOSE_RESETS = rule(
    "hot-reset.last-close-resets-bus",
    "Once the last open device of a bus is closed, all of them are reset together.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_dev_set_try_reset"),
    _HEADER_INFO,
)

CLOSE_SPARES = rule(
    "hot-reset.close-spares-sibling",
    "While another device of the bus is open, a close resets none of them.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_dev_set_needs_reset"),
)
