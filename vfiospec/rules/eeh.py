# SPDX-License-Identifier: MIT
"""EEH and the sPAPR IOMMU API where there is neither: on type1."""

from errno import EINVAL, ENOTTY

from vfiospec.rules.model import HEADER, Source, Strength, Thread, rule

_TYPE1 = "drivers/vfio/vfio_iommu_type1.c"
_SUBJECT = "[PATCH v6 2/3] drivers/vfio: EEH support for VFIO PCI device"
_RETURNS = Thread(_SUBJECT, "Alexander Graf", "2014-05-23", quote="> 0 means return payload")
_ENCODING = Thread(
    _SUBJECT,
    "Alex Williamson",
    "2014-05-23",
    quote="using _IO with an argsz and flags field we can maintain compatibility without bumping "
    "the ioctl number",
)

EXTENSION = rule(
    "eeh.extension",
    "Where there is no EEH, CHECK_EXTENSION of VFIO_EEH is 0, with an IOMMU and before.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_EEH", quote="Check if EEH is supported"),
    answer=0,
)

SPAPR = rule(
    "eeh.spapr-extension",
    "Where there is no sPAPR IOMMU, CHECK_EXTENSION of its two models is 0.",
    Strength.ENFORCED,
    Source("drivers/vfio/container.c", "vfio_ioctl_check_extension"),
    answer=0,
)

BEFORE_IOMMU = rule(
    "eeh.before-set-iommu",
    "EEH_PE_OP and what is sPAPR's own is EINVAL on a container without an IOMMU.",
    Strength.ENFORCED,
    Source("drivers/vfio/container.c", "vfio_fops_unl_ioctl"),
    answer=EINVAL,
)

TYPE1 = rule(
    "eeh.on-type1",
    "EEH_PE_OP and what is sPAPR's own is ENOTTY on type1, whatever the argument.",
    Strength.ENFORCED,
    Source(_TYPE1, "vfio_iommu_type1_ioctl"),
    answer=ENOTTY,
)

ALIAS = rule(
    "eeh.shared-number",
    "The number that sPAPR calls REGISTER_MEMORY is type1's DIRTY_PAGES: an argument that is "
    "none for it is EINVAL.",
    Strength.ENFORCED,
    Source(HEADER, "VFIO_IOMMU_DIRTY_PAGES"),
    Source(HEADER, "VFIO_IOMMU_SPAPR_REGISTER_MEMORY"),
    answer=EINVAL,
)

ENCODING = rule(
    "eeh.plain-numbers",
    "Every VFIO ioctl is an _IO() number: no size and no direction, so that it stays the same "
    "when a structure grows.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_TYPE",
        quote="We therefore use the _IO() macro for these defines to avoid implicitly embedding "
        "a size into the ioctl request.",
    ),
    _ENCODING,
    answer=ENOTTY,
)

OPERATION = rule(
    "eeh.operation",
    "On sPAPR, EEH_PE_OP with too small an argsz, flags, or an unknown operation is EINVAL; "
    "GET_STATE returns the state, from 0 to 5.",
    Strength.DOCUMENTED,
    _RETURNS,
    Source("drivers/vfio/vfio_spapr_eeh.c", "vfio_spapr_iommu_eeh_ioctl"),
    untested="a ppc64 guest with EEH (pseries) and a lab that boots one",
)
