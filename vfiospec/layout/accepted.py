# SPDX-License-Identifier: MIT
"""Changes that would be breaks and that kernels have made nevertheless, each with the reason.

None of them is a licence for another: an entry holds for one change of one thing.
"""

from dataclasses import dataclass, replace
from typing import Final

from vfiospec.layout.finding import Finding, Verdict
from vfiospec.rules import layout as rules
from vfiospec.rules.model import Rule

_S390: Final = (
    "only s390 has it, and header.version was raised for it: a program that knows the older "
    "version reads its fields alone"
)
_NO_I386: Final = "only s390 has it, and s390 runs no i386 programs"
_ALIGNED: Final = (
    "since v6.6, __aligned_u64 gives 32-bit programs the layout that 64-bit ones have: no field of "
    "theirs moved"
)
_V1: Final = (
    "migration protocol v1, replaced in v5.18: its states were "
    "bits in a region, and feature MIGRATION tells a program that the new protocol is there"
)
_INTERRUPTS: Final = (
    "the bus driver has no index of its own behind it: GET_INFO's num_irqs says how many there are"
)
_NESTING: Final = "since v6.13 no IOMMU model has it; the reserved name keeps its number from reuse"
_ALIAS: Final = "a second name for the same value: the type that is asked for is the default one"


@dataclass(frozen=True)
class Accepted:
    """One known change: the finding's rule, subject and item, and how its change begins."""

    rule: Rule
    subject: str
    item: str
    change: str
    reason: str

    def matches(self, finding: Finding) -> bool:
        """Whether it is this one."""
        same = (finding.rule, finding.subject, finding.item) == (self.rule, self.subject, self.item)
        return same and finding.change.startswith(self.change)


def _aligned(*names: str) -> tuple[Accepted, ...]:
    change = "alignment 4 became 8"
    return tuple(Accepted(rules.ALIGNMENT, f"struct {n}", "", change, _ALIGNED) for n in names)


_ZPCI_BASE: Final = "struct vfio_device_info_cap_zpci_base"
_ZPCI_GROUP: Final = "struct vfio_device_info_cap_zpci_group"

ACCEPTED: Final = (
    Accepted(rules.TAIL_GROWTH, _ZPCI_BASE, "fh", "added at the tail at 32", _S390),
    Accepted(rules.TAIL_GROWTH, _ZPCI_GROUP, "imaxstbl", "added at the tail at 40", _S390),
    Accepted(rules.TAIL_GROWTH, _ZPCI_BASE, "ccdf_err_length", "added at the tail at 36", _S390),
    Accepted(
        rules.RESERVED_BYTES, _ZPCI_BASE, "ccdf_err_length", "ccdf_err_length at 36 was", _S390
    ),
    Accepted(rules.SAME_FOR_I386, _ZPCI_BASE, "", "40 bytes, 36 for 32-bit programs", _NO_I386),
    Accepted(rules.SAME_FOR_I386, _ZPCI_GROUP, "", "48 bytes, 44 for 32-bit programs", _NO_I386),
    *_aligned(
        "vfio_region_info",
        "vfio_region_sparse_mmap_area",
        "vfio_region_info_cap_sparse_mmap",
        "vfio_device_migration_info",
        "vfio_region_info_cap_nvlink2_ssatgt",
        "vfio_device_gfx_plane_info",
        "vfio_device_ioeventfd",
        "vfio_iommu_type1_info",
    ),
    Accepted(
        rules.FIXED_RANGE, "enum of VFIO_CCW_IO_IRQ_INDEX", "VFIO_CCW_NUM_IRQS",
        "VFIO_CCW_NUM_IRQS = 2 became 3: VFIO_CCW_REQ_IRQ_INDEX", _INTERRUPTS,
    ),
    Accepted(
        rules.FIXED_RANGE, "enum of VFIO_AP_REQ_IRQ_INDEX", "VFIO_AP_NUM_IRQS",
        "VFIO_AP_NUM_IRQS = 1 became 2: VFIO_AP_CFG_CHG_IRQ_INDEX", _INTERRUPTS,
    ),
    Accepted(rules.CONSTANT_VALUE, "VFIO_DEVICE_STATE_STOP", "", "0 became 1", _V1),
    Accepted(rules.CONSTANT_VALUE, "VFIO_DEVICE_STATE_RUNNING", "", "1 became 2", _V1),
    Accepted(
        rules.CONSTANT_REMOVED, "VFIO_DEVICE_STATE_SAVING", "",
        "renamed to VFIO_DEVICE_STATE_V1_SAVING", _V1,
    ),
    Accepted(
        rules.VALUE_REUSED, "VFIO_DEVICE_STATE_V1_RESUMING", "",
        "4 is already VFIO_DEVICE_STATE_RESUMING", _V1,
    ),
    Accepted(
        rules.CONSTANT_REMOVED, "VFIO_REGION_TYPE_MIGRATION", "",
        "renamed to VFIO_REGION_TYPE_MIGRATION_DEPRECATED", _V1,
    ),
    Accepted(
        rules.CONSTANT_REMOVED, "VFIO_REGION_SUBTYPE_MIGRATION", "",
        "renamed to VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED", _V1,
    ),
    Accepted(
        rules.CONSTANT_REMOVED, "VFIO_TYPE1_NESTING_IOMMU", "",
        "renamed to __VFIO_RESERVED_TYPE1_NESTING_IOMMU", _NESTING,
    ),
    Accepted(
        rules.VALUE_REUSED, "IOMMU_HW_INFO_TYPE_DEFAULT", "",
        "0 is already IOMMU_HW_INFO_TYPE_NONE", _ALIAS,
    ),
)  # fmt: skip


def accept(finding: Finding) -> Finding:
    """The finding, as accepted if it is known."""
    if finding.verdict is not Verdict.BREAK:
        return finding
    known = next((one for one in ACCEPTED if one.matches(finding)), None)
    if known is None:
        return finding
    return replace(finding, verdict=Verdict.ACCEPTED, reason=known.reason)
