# SPDX-License-Identifier: MIT
"""VFIO_DEVICE_RESET: the reset of one function, and what outlives it."""

from errno import EINVAL

from vfiospec.rules.model import HEADER, PCI_CORE, Source, Strength, Thread, rule

_HEADER = Source(HEADER, "VFIO_DEVICE_RESET", quote="Reset a device.")
_HANDLER = Source(PCI_CORE, "vfio_pci_ioctl_reset")
_ENABLE = Source(PCI_CORE, "vfio_pci_core_enable")
_LAYOUT = "Re: [Qemu-devel] RFC [v2]: vfio / device assignment -- layout of device fd files"

FLAG = rule(
    "reset.flag",
    "A device that says it can be reset can be: as often as one likes.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_FLAGS_RESET", quote="Device supports reset"),
    _HANDLER,
)

UNSUPPORTED = rule(
    "reset.unsupported",
    "A device that does not say so cannot be reset alone.",
    Strength.ENFORCED,
    Source(HEADER, "VFIO_DEVICE_FLAGS_RESET", quote="Device supports reset"),
    _HANDLER,
    answer=EINVAL,
)

FLR = rule(
    "reset.function-level-reset",
    "A device with a function level reset says that it can be reset.",
    Strength.ENFORCED,
    _ENABLE,
    Source("include/uapi/linux/pci_regs.h", "PCI_EXP_DEVCAP_FLR"),
)

NO_METHOD = rule(
    "reset.no-method",
    "A device that the PCI core knows no way to reset does not say that it can be.",
    Strength.ENFORCED,
    _ENABLE,
    Source("drivers/pci/pci.c", "pci_init_reset_methods"),
)

ARGUMENT = rule(
    "reset.no-argument",
    "The argument is not used.",
    Strength.DOCUMENTED,
    _HEADER,
    Thread(_LAYOUT, "Alex Williamson", "2011-09-30", quote="Reset the device"),
)

DEVICE = rule(
    "reset.device-state",
    "A function level reset reaches the device: its registers are as after power-on.",
    Strength.DOCUMENTED,
    _HEADER,
    _HANDLER,
)

CONFIG = rule(
    "reset.config-kept",
    "Configuration space is after the reset as the user had left it: commands, BARs, and what "
    "the device really has.",
    Strength.ENFORCED,
    _HANDLER,
    Source("drivers/pci/pci.c", "pci_dev_restore"),
)

MEMORY_OFF = rule(
    "reset.memory-stays-off",
    "Memory decoding that the user turned off is off after the reset too.",
    Strength.ENFORCED,
    _HANDLER,
    Source("drivers/pci/pci.c", "pci_dev_restore"),
)

ZAPPED = rule(
    "reset.mappings-withdrawn",
    "Mapped pages are withdrawn for the reset, and come back with the next access to them.",
    Strength.ENFORCED,
    _HANDLER,
    Source(PCI_CORE, "vfio_pci_zap_and_down_write_memory_lock"),
    Source("drivers/vfio/pci/vfio_pci_config.c", "vfio_exp_config_write"),
)

INTERRUPTS = rule(
    "reset.interrupts-kept",
    "Interrupts stay set up, with their eventfds.",
    Strength.ENFORCED,
    _HANDLER,
    Source("drivers/pci/pci.c", "pci_dev_restore"),
)

IOEVENTFDS = rule(
    "reset.ioeventfds-kept",
    "Writes bound to an eventfd stay bound, and reach the device.",
    Strength.ENFORCED,
    _HANDLER,
)

POWER = rule(
    "reset.to-full-power",
    "A device in D3hot is in D0 after the reset, and answers.",
    Strength.ENFORCED,
    _HANDLER,
    Source(PCI_CORE, "vfio_pci_set_power_state"),
)

CLOSE_MASTER = rule(
    "reset.close-stops-dma",
    "The first open finds the device with bus mastering off, whatever the last user left.",
    Strength.ENFORCED,
    _ENABLE,
    Source(PCI_CORE, "vfio_pci_core_disable"),
)

CLOSE_DEVICE = rule(
    "reset.close-resets",
    "The last close resets a device that can be reset: the next user finds nothing of it.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_disable"),
    _ENABLE,
)

OPEN_DEVICE = rule(
    "reset.open-resets",
    "The first open resets a device that can be reset: nothing is left of what the host did.",
    Strength.ENFORCED,
    _ENABLE,
)

CLOSE_CONFIG = rule(
    "reset.close-restores-config",
    "The last close puts configuration space back to what it was before the first open.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_disable"),
)
