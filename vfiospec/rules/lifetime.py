# SPDX-License-Identifier: MIT
"""What lives how long: open files, processes, threads."""

from errno import EBUSY

from vfiospec.rules.model import PCI_CORE, Answer, Source, Strength, rule

_ENABLE = Source(PCI_CORE, "vfio_pci_core_enable")
_DISABLE = Source(PCI_CORE, "vfio_pci_core_disable")

BUS_MASTER = rule(
    "lifetime.bus-master-off",
    "A device is no bus master when it is first opened, whatever the last user left.",
    Strength.ENFORCED,
    _ENABLE,
    Source("drivers/pci/pci.c", "pci_clear_master"),
)

CLEAN_REOPEN = rule(
    "lifetime.clean-reopen",
    "Interrupts, ioeventfds and virtual configuration values end with the last fd of a device.",
    Strength.ENFORCED,
    _DISABLE,
)

LAST_CLOSE = rule(
    "lifetime.last-close",
    "A device stays as its user set it up until the last of the descriptors of its fds is closed.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_main.c", "vfio_device_fops_release"),
)

PROCESS_END = rule(
    "lifetime.process-end",
    "All that a process opened, mapped and pinned is given back when it ends, however it ends.",
    Strength.ENFORCED,
    Source("drivers/vfio/group.c", "vfio_group_fops_release"),
    Source("drivers/vfio/vfio_iommu_type1.c", "vfio_iommu_type1_release"),
)

NOTHING_KEPT = rule(
    "lifetime.nothing-kept",
    "What a device's opening and its calls take of the kernel's memory is given back as they end: "
    "interrupts, ioeventfds, mappings, dma-bufs and low power, and a device that is not taken.",
    Strength.ENFORCED,
    _DISABLE,
    Source("drivers/vfio/pci/vfio_pci_config.c", "vfio_config_free"),
    Source("drivers/vfio/pci/vfio_pci_intrs.c", "vfio_msi_disable"),
    Source("drivers/vfio/virqfd.c", "virqfd_shutdown"),
    Source("drivers/vfio/pci/vfio_pci.c", "vfio_pci_probe"),
)

MODULE_IN_USE = rule(
    "lifetime.module-in-use",
    "The driver of an open device is in use, so that it cannot be unloaded, and is not afterwards.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_main.c", "vfio_df_device_first_open"),
)

AWAKE = rule(
    "lifetime.awake-while-open",
    "A device is powered while it is open, and may sleep when nobody has it open.",
    Strength.ENFORCED,
    _ENABLE,
    _DISABLE,
)

THREADS = rule(
    "lifetime.threads",
    "Calls made on several threads at once each give an answer they could give alone, and leave a "
    "device that works.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_ioctl"),
)

FIRST_READS = rule(
    "lifetime.first-reads",
    "First reads of a BAR on several threads each succeed.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_map_bars"),
    Source("drivers/vfio/pci/vfio_pci_rdwr.c", "vfio_pci_core_setup_barmap"),
    answer=(
        Answer(EBUSY, "<7.2", "the first read takes the BAR, and who comes meanwhile finds it so"),
        Answer(0, ">=7.2", "a BAR is taken when the device is opened"),
    ),
)
