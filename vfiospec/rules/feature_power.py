# SPDX-License-Identifier: MIT
"""The low power features: a device that may sleep while nobody touches it."""

from errno import EBADF, EINVAL

from vfiospec.rules.model import HEADER, PCI_CORE, Answer, Source, Strength, rule

_ENTRY = Source(PCI_CORE, "vfio_pci_runtime_pm_entry")
_WAKEUP = Source(PCI_CORE, "vfio_pci_core_pm_entry_with_wakeup")
_RESUME = Source(PCI_CORE, "vfio_pci_core_runtime_resume")
_SUSPEND = Source(PCI_CORE, "vfio_pci_core_runtime_suspend")
_EXIT = Source(PCI_CORE, "vfio_pci_core_pm_exit")

ENTRY = rule(
    "feature.low-power-entry",
    "After LOW_POWER_ENTRY the kernel lets the device sleep.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY", quote="allow the device to be moved"),
    _ENTRY,
)

AGAIN = rule(
    "feature.low-power-entry-again",
    "A device that may sleep already cannot be told so again, in either way.",
    Strength.ENFORCED,
    _ENTRY,
    answer=EINVAL,
)

EXIT = rule(
    "feature.low-power-exit",
    "After LOW_POWER_EXIT the device stays awake; on a device that may not sleep it does nothing.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_FEATURE_LOW_POWER_EXIT", quote="disallow use of device low power"),
    _EXIT,
)

ACCESS = rule(
    "feature.low-power-access",
    "An access wakes the device and is answered as ever; then it may sleep again.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY",
        quote="device may re-enter the low power state",
    ),
    Source("drivers/vfio/vfio_main.c", "vfio_device_pm_runtime_get"),
)

MAPPED = rule(
    "feature.low-power-mapped",
    "Mapped regions are out of reach until the exit, and within reach after it.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY",
        quote="device regions is disabled on LOW_POWER_ENTRY and may only be resumed after",
    ),
    _ENTRY,
)

WAKEUP = rule(
    "feature.low-power-wakeup",
    "The eventfd is signalled once, by the access that wakes the device, which then stays awake.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "vfio_device_low_power_entry_with_wakeup",
        quote="The notification through the provided eventfd will be generated only when",
    ),
    _RESUME,
)

WAKEUP_EXIT = rule(
    "feature.low-power-wakeup-by-exit",
    "LOW_POWER_EXIT wakes a sleeping device, and is notified like any other access.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_DEVICE_FEATURE_LOW_POWER_EXIT",
        quote="This device feature IOCTL may itself generate a wakeup eventfd notification",
    ),
    _RESUME,
)

WAKEUP_MAPPED = rule(
    "feature.low-power-no-wakeup-by-mapping",
    "A touch of a mapped region wakes nothing.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "vfio_device_low_power_entry_with_wakeup",
        quote="The access to mmap'd device regions will not trigger low power",
    ),
    _RESUME,
)

WAKEUP_FD = rule(
    "feature.low-power-wakeup-bad-fd",
    "A number that is no open file is refused.",
    Strength.ENFORCED,
    _WAKEUP,
    answer=EBADF,
)

WAKEUP_NOT_EVENTFD = rule(
    "feature.low-power-wakeup-no-eventfd",
    "A negative number, or a file that is no eventfd, is refused.",
    Strength.ENFORCED,
    _WAKEUP,
    answer=EINVAL,
)

WAKEUP_HELD = rule(
    "feature.low-power-wakeup-held",
    "The kernel holds the eventfd until the device is woken, told to stay awake or closed, and no "
    "longer; one that it refused it does not hold.",
    Strength.ENFORCED,
    Source(PCI_CORE, "__vfio_pci_runtime_pm_exit"),
    _WAKEUP,
)

STATE = rule(
    "feature.low-power-state-kept",
    "Configuration space and registers are after the sleep what they were before it.",
    Strength.ENFORCED,
    _SUSPEND,
    _RESUME,
)

D3 = rule(
    "feature.low-power-from-d3hot",
    "A device that its user had put into D3hot wakes in D0.",
    Strength.ENFORCED,
    _SUSPEND,
)

INTX = rule(
    "feature.low-power-intx",
    "INTx works after the sleep as before: masked by the user it stays masked, else it does not.",
    Strength.ENFORCED,
    _SUSPEND,
    _RESUME,
)

CLOSED = rule(
    "feature.low-power-closed",
    "A device that nobody has open sleeps; open, it is awake until its user says otherwise.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_enable"),
    Source(PCI_CORE, "vfio_pci_core_disable"),
)

CLOSE = rule(
    "feature.low-power-close",
    "The last close ends what was entered, without a notification; the next user starts awake.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_disable"),
)

GIVEN_BACK = rule(
    "feature.low-power-given-back",
    "A device that is taken from vfio-pci is awake, and may not sleep until somebody allows it.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_unregister_device"),
)

KEPT_AWAKE = rule(
    "feature.low-power-kept-awake",
    "A device that vfio-pci took while disable_idle_d3 was set stays awake also while nobody has "
    "it open, before the first use and after it.",
    Strength.DOCUMENTED,
    Source(
        "Documentation/ABI/testing/debugfs-vfio",
        "disable_idle_d3",
        quote="Read the disable_idle_d3 policy latched for this device.",
    ),
    Source(PCI_CORE, "vfio_pci_core_register_device"),
    Source(PCI_CORE, "vfio_pci_core_disable"),
    answer=(
        Answer(0, "<7.2", "the parameter counted as it was when the module was loaded"),
        Answer(1, ">=7.2", "it counts as it is when a device is taken"),
    ),
)
