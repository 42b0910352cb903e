# SPDX-License-Identifier: MIT
"""What addresses a device leaves to be mapped while it is attached, by its own file."""

from errno import EADDRINUSE, EINVAL

from vfiospec.rules.model import Source, Strength, rule

_UAPI = "include/uapi/linux/iommufd.h"
_TABLE = "drivers/iommu/iommufd/io_pagetable.c"
_RANGES = Source(_UAPI, "iommu_ioas_iova_ranges")
_ALLOW = "iommu_ioas_allow_iovas"
_RESERVE = Source(_TABLE, "iopt_table_enforce_dev_resv_regions")

LEFT = rule(
    "cdev.ranges",
    "While a device is attached its reserved regions, and what its IOMMU does not reach, are in no "
    "range that may be mapped; once it is detached or has moved all addresses may be again.",
    Strength.DOCUMENTED,
    Source(_UAPI, _ALLOW, quote="as devices are attached the IOVA will narrow"),
    _RANGES,
    _RESERVE,
    Source(_TABLE, "iopt_table_add_domain"),
)

ALIGNED = rule(
    "cdev.alignment",
    "What a mapping is aligned to is told as the devices that are attached ask for it, and no "
    "longer once they are not.",
    Strength.DOCUMENTED,
    _RANGES,
    Source(_TABLE, "iopt_calculate_iova_alignment"),
)

OUTSIDE = rule(
    "cdev.map-outside",
    "An address that is in no range cannot be mapped.",
    Strength.ENFORCED,
    Source(_TABLE, "iopt_check_iova"),
    answer=EINVAL,
)

IN_USE = rule(
    "cdev.ranges-in-use",
    "A device cannot be attached where what is mapped, or allowed, is not for it: neither what it "
    "reserves nor what it asks to be aligned. It stays where it was.",
    Strength.DOCUMENTED,
    Source(_UAPI, _ALLOW, quote="any narrowing will be refused"),
    _RESERVE,
    Source(_TABLE, "iopt_check_iova_alignment"),
    answer=EADDRINUSE,
)

ALLOW_OUTSIDE = rule(
    "cdev.allow-outside",
    "Addresses that are in no range cannot be allowed; those that were allowed before still are.",
    Strength.DOCUMENTED,
    Source(_UAPI, _ALLOW, quote="currently narrower than the given ranges"),
    Source(_TABLE, "iopt_set_allow_iova"),
    answer=EADDRINUSE,
)
