# SPDX-License-Identifier: MIT
"""VFIO_DEVICE_GET_IRQ_INFO: which interrupts a vfio-pci device has, and what they can do."""

from vfiospec.abi import vfio
from vfiospec.rules.model import HEADER, PCI_CORE, Answer, Source, Strength, Thread, rule

_HANDLER = Source(PCI_CORE, "vfio_pci_ioctl_get_irq_info")
_COUNT = Source(PCI_CORE, "vfio_pci_get_irq_count")
_HEADER = Source(HEADER, "VFIO_DEVICE_GET_IRQ_INFO")
_STRUCT = Source(HEADER, "vfio_irq_info")
_NORESIZE = Source(
    HEADER, "VFIO_DEVICE_GET_IRQ_INFO", quote="are setup as a set and new subindexes cannot be"
)
_AER = "[v2,2/3] VFIO-AER: Vfio-pci driver changes for supporting AER"
_AS_A_SET = vfio.VFIO_IRQ_INFO_EVENTFD | vfio.VFIO_IRQ_INFO_NORESIZE
_LINE = vfio.VFIO_IRQ_INFO_EVENTFD | vfio.VFIO_IRQ_INFO_MASKABLE | vfio.VFIO_IRQ_INFO_AUTOMASKED

# Each kind: the flags are the answer

INTX = rule(
    "irq-info.intx",
    "INTx is level triggered: it can be masked and masks itself.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_GET_IRQ_INFO", quote="automatically masked by VFIO and the user"),
    _HANDLER,
    answer=_LINE,
)

INTX_COUNT = rule(
    "irq-info.intx-count",
    "There is one INTx if the device has an interrupt pin, and none if it has not.",
    Strength.ENFORCED,
    _COUNT,
    Source("drivers/vfio/pci/vfio_pci_config.c", "vfio_config_init"),
)

MSI = rule(
    "irq-info.msi",
    "MSI is set up as a set.",
    Strength.DOCUMENTED,
    _NORESIZE,
    _HANDLER,
    answer=_AS_A_SET,
)

MSI_COUNT = rule(
    "irq-info.msi-count",
    "There are as many MSI vectors as the capability says the device is capable of.",
    Strength.ENFORCED,
    _COUNT,
    Source("include/uapi/linux/pci_regs.h", "PCI_MSI_FLAGS_QMASK"),
)

MSIX = rule(
    "irq-info.msix",
    "MSI-X is set up as a set, unless the kernel can add vectors one by one.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_GET_IRQ_INFO", quote="Absence of the NORESIZE flag indicates"),
    _HANDLER,
    Source(PCI_CORE, "vfio_pci_core_enable"),
    answer=(
        Answer(_AS_A_SET, "<6.5", "the kernel allocates all vectors at once"),
        Answer(vfio.VFIO_IRQ_INFO_EVENTFD, ">=6.5", "vfio-pci adds vectors while MSI-X is on"),
    ),
)

MSIX_COUNT = rule(
    "irq-info.msix-count",
    "There are as many MSI-X vectors as the device's table has entries.",
    Strength.ENFORCED,
    _COUNT,
    Source("include/uapi/linux/pci_regs.h", "PCI_MSIX_FLAGS_QSIZE"),
)

ABSENT = rule(
    "irq-info.absent-is-zero-count",
    "MSI or MSI-X that the device lacks has count 0, and the flags of a set.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_GET_IRQ_INFO", quote="Zero count irq blocks may be used"),
    _COUNT,
    answer=_AS_A_SET,
)

ERR = rule(
    "irq-info.err",
    "A PCI Express device reports errors by one interrupt.",
    Strength.DOCUMENTED,
    Thread(_AER, "Alex Williamson", "2013-01-28", quote="IRQ_INFO should still return <0 if"),
    _HANDLER,
    _COUNT,
    answer=_AS_A_SET,
)

REQ = rule(
    "irq-info.req",
    "Each device has one interrupt that asks for its release.",
    Strength.ENFORCED,
    _HANDLER,
    _COUNT,
    answer=_AS_A_SET,
)

EVENTFD = rule(
    "irq-info.eventfd",
    "Each index can be signalled by eventfd.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_GET_IRQ_INFO", quote="The EVENTFD flag indicates"),
    _HANDLER,
    answer=vfio.VFIO_IRQ_INFO_EVENTFD,
)

# Over time

STABLE = rule(
    "irq-info.stable",
    "An index's info stays the same: on each fd, while interrupts are on, after refused calls, "
    "after a reset.",
    Strength.OBSERVED,
    _COUNT,
    _HEADER,
)
