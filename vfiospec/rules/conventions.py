# SPDX-License-Identifier: MIT
"""What every call keeps to: argsz, bad addresses, flags, capabilities, numbers nobody knows."""

from errno import EFAULT, EINVAL, ENOTTY
from typing import Final

from vfiospec.rules.model import HEADER, PCI_CORE, Answer, Source, Strength, Thread, rule

_MAIN: Final = "drivers/vfio/vfio_main.c"
_CALLERS_DUTY: Final = Source(
    HEADER,
    "VFIO_TYPE",
    quote="It's *always* the caller's responsibility to indicate the size of the structure passed "
    "by setting argsz appropriately.",
)
_INFO_IOCTLS: Final = (
    Source(PCI_CORE, "vfio_pci_ioctl_get_info"),
    Source(_MAIN, "vfio_get_region_info"),
    Source(PCI_CORE, "vfio_pci_ioctl_get_irq_info"),
)
_NO_CAPS_ROOM: Final = Source(
    HEADER,
    "vfio_info_cap_header",
    quote="Callers of INFO ioctls passing insufficiently sized buffers will see the capability "
    "chain flag bit set, a zero value for the first capability offset (if available within the "
    "provided argsz), and argsz will be updated to report the necessary buffer size.",
)
_AER_THREAD: Final = Thread(
    "[v2,2/3] VFIO-AER: Vfio-pci driver changes for supporting AER",
    "Alex Williamson",
    "2013-01-28",
    quote="I guess the original intention was was to probe up to num_foo-1 and unavailable "
    "indexes return <0.",
)
_RETURN_VALUES: Final = Thread(
    "[PATCH v6 2/3] drivers/vfio: EEH support for VFIO PCI device",
    "Alexander Graf",
    "2014-05-23",
    quote="< 0 means error == 0 means success > 0 means return payload",
)

ARGSZ_TOO_SMALL = rule(
    "conventions.argsz-too-small",
    "An INFO ioctl whose argsz ends before the last field of the structure's first version fails "
    "with EINVAL and writes nothing.",
    Strength.ENFORCED,
    *_INFO_IOCTLS,
    _CALLERS_DUTY,
    answer=EINVAL,
)

ARGSZ_MINIMUM = rule(
    "conventions.argsz-minimum",
    "An argsz that covers the structure's first version is enough, in a buffer of just that size.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_TYPE", quote="As structure fields are added, argsz will increase"),
    Thread(
        "Re: [RFC PATCH v3 1/4] vfio: Define device specific irq type capability",
        "Alex Williamson",
        "2019-06-27",
        quote="it breaks compatibility with all existing userspace binaries.",
    ),
)

ARGSZ_LIMIT = rule(
    "conventions.argsz-limit",
    "No INFO ioctl reads or writes a byte of the buffer at or behind argsz.",
    Strength.DOCUMENTED,
    _CALLERS_DUTY,
)

ARGSZ_BEYOND = rule(
    "conventions.argsz-beyond",
    "An argsz beyond the structure is accepted, however large: the reply is the same, and what "
    "lies behind the structure is neither needed nor touched.",
    Strength.ENFORCED,
    *_INFO_IOCTLS,
)

ARGSZ_KEPT = rule(
    "conventions.argsz-kept",
    "argsz comes back as it was, unless there are capabilities that do not fit.",
    Strength.DOCUMENTED,
    _NO_CAPS_ROOM,
)

DEVICE_INFO_SIZE = rule(
    "conventions.size-of-device-info",
    "GET_INFO fills the structure up to the last field this kernel has.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_ioctl_get_info"),
    answer=(
        Answer(24, ">=6.6", 'pad, since commit a881b496941f ("vfio: align capability structures")'),
        Answer(20, "<6.6", "cap_offset was the last field"),
    ),
)

REGION_INFO_SIZE = rule(
    "conventions.size-of-region-info",
    "GET_REGION_INFO fills the structure up to `offset`.",
    Strength.ENFORCED,
    Source(_MAIN, "vfio_get_region_info"),
    answer=32,
)

IRQ_INFO_SIZE = rule(
    "conventions.size-of-irq-info",
    "GET_IRQ_INFO fills the structure up to `count`.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_ioctl_get_irq_info"),
    answer=16,
)

SIZES: Final = {
    "get-info": DEVICE_INFO_SIZE,
    "get-region-info": REGION_INFO_SIZE,
    "get-irq-info": IRQ_INFO_SIZE,
}
"""By the name of the INFO ioctl."""

CUT_FIELD = rule(
    "conventions.cut-field",
    "What argsz leaves room for behind the structure's first version is written in steps of so "
    "many bytes.",
    Strength.OBSERVED,
    Source(PCI_CORE, "vfio_pci_ioctl_get_info"),
    answer=(
        Answer(1, ">=6.6", "all bytes before argsz"),
        Answer(4, "<6.6", "whole fields: cap_offset or nothing of it"),
    ),
)

BAD_ADDRESS = rule(
    "conventions.bad-address",
    "An INFO ioctl whose argument cannot be read fails with EFAULT and changes nothing.",
    Strength.ENFORCED,
    *_INFO_IOCTLS,
    answer=EFAULT,
)

READ_ONLY_ADDRESS = rule(
    "conventions.read-only-address",
    "An INFO ioctl whose argument can be read and not written fails with EFAULT.",
    Strength.ENFORCED,
    *_INFO_IOCTLS,
    answer=EFAULT,
)

FLAGS_NOT_READ = rule(
    "conventions.flags-not-read",
    "The flags of an INFO ioctl are an answer: what the caller had there, as in every field but "
    "argsz and index, has no influence.",
    Strength.ENFORCED,
    *_INFO_IOCTLS,
)

INDEX_KEPT = rule(
    "conventions.index-kept",
    "The index comes back as it was.",
    Strength.ENFORCED,
    Source(_MAIN, "vfio_get_region_info"),
    Source(PCI_CORE, "vfio_pci_ioctl_get_irq_info"),
)

INDEX_OUT_OF_RANGE = rule(
    "conventions.index-out-of-range",
    "An index at or above num_regions or num_irqs fails with EINVAL and writes nothing.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_ioctl_get_region_info"),
    Source(PCI_CORE, "vfio_pci_ioctl_get_irq_info"),
    _AER_THREAD,
    answer=EINVAL,
)

UNSUPPORTED_IRQ = rule(
    "conventions.unsupported-irq",
    "The error interrupt of a device that is not PCI Express fails with EINVAL: an unsupported "
    "index is answered with a negative errno, never with silence.",
    Strength.DOCUMENTED,
    Thread(
        "[v2,2/3] VFIO-AER: Vfio-pci driver changes for supporting AER",
        "Alex Williamson",
        "2013-01-28",
        quote="However IRQ_INFO should still return <0 if the device is not pcie.",
    ),
    Source(PCI_CORE, "vfio_pci_ioctl_get_irq_info"),
    answer=EINVAL,
)

CAPS_DO_NOT_FIT = rule(
    "conventions.caps-do-not-fit",
    "With an argsz too small for the capabilities an INFO ioctl succeeds: the flag is set, "
    "cap_offset is 0, argsz is the size needed, and nothing is written behind the structure.",
    Strength.DOCUMENTED,
    _NO_CAPS_ROOM,
    Source(_MAIN, "vfio_get_region_info"),
)

CAPS_FIT = rule(
    "conventions.caps-fit",
    "With the argsz that was asked for, or more, the capabilities are there: cap_offset points "
    "behind the structure, argsz is kept, and nothing is written behind the last one.",
    Strength.DOCUMENTED,
    _NO_CAPS_ROOM,
    Source(_MAIN, "vfio_get_region_info"),
    Source(_MAIN, "vfio_info_add_capability"),
)

CAPS_CHAIN = rule(
    "conventions.caps-chain",
    "Capabilities form a chain from cap_offset: `next` counts from the start of the structure, "
    "leads forward within argsz, and is 0 in the last.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "vfio_info_cap_header",
        quote="This offset field is relative to the start of the INFO buffer, as is the next "
        "field within each capability header.",
    ),
    Source(_MAIN, "vfio_info_cap_shift"),
)

CAPS_BAD_ADDRESS = rule(
    "conventions.caps-bad-address",
    "Capabilities that cannot be written to where argsz says there is room fail with EFAULT.",
    Strength.ENFORCED,
    Source(_MAIN, "vfio_get_region_info"),
    answer=EFAULT,
)

UNKNOWN_DEVICE_IOCTL = rule(
    "conventions.unknown-device-ioctl",
    "A number that is no device ioctl of vfio-pci fails with ENOTTY on a device fd and touches "
    "nothing.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_ioctl"),
    Source(_MAIN, "vfio_device_fops_unl_ioctl"),
    answer=ENOTTY,
)

ENCODED_IOCTL = rule(
    "conventions.encoded-ioctl",
    "A device ioctl is its plain _IO() number: with a size or a direction in it, or another type "
    "byte, it fails with ENOTTY.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_TYPE",
        quote="We therefore use the _IO() macro for these defines to avoid implicitly embedding "
        "a size into the ioctl request.",
    ),
    Source(PCI_CORE, "vfio_pci_core_ioctl"),
    answer=ENOTTY,
)

UNKNOWN_GROUP_IOCTL = rule(
    "conventions.unknown-group-ioctl",
    "A number that is no group ioctl fails with ENOTTY on a group fd.",
    Strength.ENFORCED,
    Source("drivers/vfio/group.c", "vfio_group_fops_unl_ioctl"),
    answer=ENOTTY,
)

UNKNOWN_CONTAINER_IOCTL = rule(
    "conventions.unknown-container-ioctl",
    "A number that type1 does not know fails with ENOTTY on a container that uses type1.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_iommu_type1.c", "vfio_iommu_type1_ioctl"),
    answer=ENOTTY,
)

CONTAINER_WITHOUT_IOMMU = rule(
    "conventions.container-without-iommu",
    "While no IOMMU model is set, a container answers EINVAL to every number but its own three.",
    Strength.ENFORCED,
    Source("drivers/vfio/container.c", "vfio_fops_unl_ioctl"),
    answer=EINVAL,
)

SUCCESS_IS_ZERO = rule(
    "conventions.success-is-zero",
    "An INFO ioctl returns 0 or a negative errno, nothing else.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_GET_INFO", quote="Return: 0 on success, -errno on failure."),
    _RETURN_VALUES,
)

REPEATABLE = rule(
    "conventions.repeatable",
    "INFO ioctls only look: asked again, or through another fd of the device, they answer the "
    "same.",
    Strength.ENFORCED,
    *_INFO_IOCTLS,
)

FAILURE_CHANGES_NOTHING = rule(
    "conventions.failure-changes-nothing",
    "After calls that failed, a device answers as before.",
    Strength.ENFORCED,
    *_INFO_IOCTLS,
)
