# SPDX-License-Identifier: MIT
"""VFIO_DEVICE_FEATURE: how features are probed, read and set; and those of migration."""

from errno import EFAULT, EINVAL, ENOTTY

from vfiospec.rules.model import HEADER, PCI_CORE, Answer, Source, Strength, rule

MAIN = "drivers/vfio/vfio_main.c"
_DISPATCH = Source(MAIN, "vfio_ioctl_device_feature")
_CHECK = Source("include/linux/vfio.h", "vfio_check_feature")
_PCI = Source(PCI_CORE, "vfio_pci_core_ioctl_feature")
_PROBE = Source(HEADER, "VFIO_DEVICE_FEATURE", quote="Probing a feature will return success")
_EXCLUSIVE = Source(HEADER, "VFIO_DEVICE_FEATURE", quote="GET and SET are mutually exclusive")

ARGSZ = rule(
    "feature.argsz-too-small",
    "An argsz that ends before the flags is refused.",
    Strength.ENFORCED,
    _DISPATCH,
    answer=EINVAL,
)

BAD_ADDRESS = rule(
    "feature.bad-address",
    "A structure, or data that the feature needs, that cannot be read is a bad address.",
    Strength.ENFORCED,
    _DISPATCH,
    answer=EFAULT,
)

FLAGS = rule(
    "feature.unknown-flags",
    "Any bit beyond the number, GET, SET and PROBE is refused, whatever the feature.",
    Strength.ENFORCED,
    _DISPATCH,
    answer=EINVAL,
)

EXCLUSIVE = rule(
    "feature.get-and-set",
    "GET together with SET is refused unless it is a probe, whatever the feature.",
    Strength.DOCUMENTED,
    _EXCLUSIVE,
    _DISPATCH,
    answer=EINVAL,
)

UNSUPPORTED = rule(
    "feature.unsupported",
    "A feature that the device has not is not known there, also when it is probed.",
    Strength.ENFORCED,
    _DISPATCH,
    _PCI,
    answer=ENOTTY,
)

PROBE = rule(
    "feature.probe",
    "A probe succeeds for a feature the device has, alone or with an operation the feature has; "
    "it needs no data and does nothing.",
    Strength.DOCUMENTED,
    _PROBE,
    _CHECK,
)

OPERATION = rule(
    "feature.operation",
    "An operation that a feature has not is refused, in a probe too; so is none at all.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_FEATURE", quote="methods are supported."),
    _CHECK,
    answer=EINVAL,
)

DATA = rule(
    "feature.data-too-small",
    "An argsz that does not cover the feature's data is refused.",
    Strength.ENFORCED,
    _CHECK,
    answer=EINVAL,
)

LOW_POWER = rule(
    "feature.low-power-present",
    "Any PCI device can be told that it may sleep, by features 3, 4 and 5.",
    Strength.ENFORCED,
    _PCI,
    Source(HEADER, "VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY"),
    answer=(
        Answer(ENOTTY, "<6.1", "the features came with 6.1"),
        Answer(0, ">=6.1", "vfio-pci has them for every device"),
    ),
)

TOKEN = rule(
    "feature.vf-token-present",
    "The VF token is a feature of SR-IOV physical functions, and can only be set.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_FEATURE_PCI_VF_TOKEN", quote="PCI SR-IOV PF"),
    Source(PCI_CORE, "vfio_pci_core_feature_token"),
    answer=ENOTTY,
)

BUS_MASTER = rule(
    "feature.bus-master-absent",
    "PCI has bus mastering in configuration space, and not as a feature.",
    Strength.ENFORCED,
    Source(HEADER, "VFIO_DEVICE_FEATURE_BUS_MASTER"),
    _PCI,
    answer=ENOTTY,
)

# Migration

NO_MIGRATION = rule(
    "feature.migration-absent",
    "vfio-pci itself migrates nothing: the features of migration and DMA logging are absent.",
    Strength.ENFORCED,
    Source(MAIN, "vfio_ioctl_device_feature_migration"),
    Source(MAIN, "vfio_ioctl_device_feature_logging_start"),
    answer=ENOTTY,
)
