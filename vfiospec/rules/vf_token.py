# SPDX-License-Identifier: MIT
"""SR-IOV: virtual functions of a physical function that vfio-pci has, and the token they share."""

from errno import EACCES, EBUSY, EINVAL, ENODEV, ENOENT

from vfiospec.rules.model import HEADER, PCI_CORE, Answer, Source, Strength, rule

_TOKEN = Source(PCI_CORE, "vfio_pci_core_feature_token")
_MATCH = Source(PCI_CORE, "vfio_pci_core_match")
_PF = Source(PCI_CORE, "vfio_pci_core_match_token_uuid")
_SRIOV = Source(PCI_CORE, "vfio_pci_core_sriov_configure")
_HEADER = Source(HEADER, "VFIO_DEVICE_FEATURE_PCI_VF_TOKEN")

GET = rule(
    "vf-token.get",
    "The token is never told: GET is refused, and a probe for it.",
    Strength.ENFORCED,
    _TOKEN,
    answer=EINVAL,
)

SET = rule(
    "vf-token.set",
    "A token that is set is the one to show from then on; the one before no longer is.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_FEATURE_PCI_VF_TOKEN", quote="secret between PF and VF drivers."),
    _TOKEN,
)

SET_LENGTH = rule(
    "vf-token.set-length",
    "A token has 16 bytes: fewer are refused, and leave the token as it was.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_DEVICE_FEATURE_PCI_VF_TOKEN",
        quote="Data provided when setting this feature is a 16-byte array",
    ),
    _TOKEN,
    answer=EINVAL,
)

SET_TIME = rule(
    "vf-token.set-time",
    "The token may be set only while SR-IOV is enabled and no VF is open.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_DEVICE_FEATURE_PCI_VF_TOKEN",
        quote="when SR-IOV is enabled on the PF and there are no existing",
    ),
)

VF_NONE = rule(
    "vf-token.vf-without-token",
    "A VF whose PF vfio-pci has is opened with a token only.",
    Strength.ENFORCED,
    _PF,
    answer=EACCES,
)

VF_WRONG = rule(
    "vf-token.vf-wrong-token",
    "A VF is not opened with another token than its PF's.",
    Strength.ENFORCED,
    _PF,
    answer=EACCES,
)

VF_RIGHT = rule(
    "vf-token.vf-right-token",
    "With the PF's token a VF is opened, however often.",
    Strength.ENFORCED,
    _PF,
    _HEADER,
)

MALFORMED = rule(
    "vf-token.malformed",
    "What is no UUID, an option twice, or no option at all, is refused.",
    Strength.ENFORCED,
    _MATCH,
    answer=EINVAL,
)

NO_SUCH_NAME = rule(
    "vf-token.name",
    "The name of the device is followed by its end or a blank: anything else names no device.",
    Strength.ENFORCED,
    _MATCH,
    answer=ENODEV,
)

PF_WITH_VF_OPEN = rule(
    "vf-token.pf-with-vf-open",
    "While a VF is open its PF is opened with the token only.",
    Strength.ENFORCED,
    _PF,
    answer=EACCES,
)

PF_SETS = rule(
    "vf-token.pf-sets",
    "While no VF is open, the token a PF is opened with becomes the token.",
    Strength.ENFORCED,
    _PF,
)

PF_KEEPS = rule(
    "vf-token.pf-without-token",
    "While no VF is open a PF is opened without a token, which leaves the token as it was.",
    Strength.ENFORCED,
    _PF,
)

UNUSED = rule(
    "vf-token.unused",
    "A token for a device that is neither PF nor VF is refused.",
    Strength.ENFORCED,
    _PF,
    answer=EINVAL,
)

OTHER_PF = rule(
    "vf-token.pf-of-another-driver",
    "A VF whose PF is another driver's is opened without a token, and not with one.",
    Strength.ENFORCED,
    _PF,
    answer=EINVAL,
)

DRIVER = rule(
    "vf-token.driver-override",
    "VFs of such a PF, and of no other, are for vfio-pci and for no other driver.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_bus_notifier"),
)

GROUP_GONE = rule(
    "vf-token.group-gone",
    "The group of a VF goes with it: its file, and its folder in sysfs.",
    Strength.ENFORCED,
    Source("drivers/vfio/group.c", "vfio_group_find_or_alloc"),
    Source("drivers/vfio/group.c", "vfio_device_remove_group"),
)

NO_INTX = rule(
    "vf-token.vf-intx",
    "A VF has no INTx.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_get_irq_count"),
    answer=0,
)

MEMORY = rule(
    "vf-token.vf-memory",
    "A VF's memory is enabled in its PF: it answers with its own enable bit clear.",
    Strength.ENFORCED,
    Source("drivers/vfio/pci/vfio_pci_config.c", "__vfio_pci_memory_enabled"),
)

DISABLED = rule(
    "vf-token.sriov-disabled",
    "Without the module's enable_sriov there are no VFs of a PF that vfio-pci has.",
    Strength.ENFORCED,
    Source("drivers/vfio/pci/vfio_pci.c", "vfio_pci_sriov_configure"),
    answer=ENOENT,
)

POWER = rule(
    "vf-token.pf-power",
    "A PF with VFs stays in D0 and awake.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_set_power_state"),
    _SRIOV,
    answer=(
        Answer(EBUSY, "<6.1", "nobody looks: EBUSY here only says that it is not held"),
        Answer(0, ">=6.1", "a PF with VFs is held in D0"),
    ),
)

RESET = rule(
    "vf-token.vf-reset",
    "A VF is reset alone: it has no part in a hot reset of others.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_register_device"),
)

PF_BUSY = rule(
    "vf-token.pf-with-vfs",
    "A PF that has VFs already is not taken by vfio-pci.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_register_device"),
    answer=(
        Answer(ENODEV, "<5.12", "a write to bind says so, whatever the driver said"),
        Answer(EBUSY, ">=5.12", "a write to bind says what the driver said"),
    ),
)
