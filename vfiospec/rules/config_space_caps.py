# SPDX-License-Identifier: MIT
"""The capability lists of config space, and the registers of the capabilities."""

from vfiospec.abi import pci
from vfiospec.rules.config_space import CONFIG
from vfiospec.rules.model import Answer, Source, Strength, rule

_CAP_INIT = Source(CONFIG, "vfio_cap_init")
_EXP_WRITE = Source(CONFIG, "vfio_exp_config_write")
_EXP = Source(CONFIG, "init_pci_cap_exp_perm")
_PM = Source(CONFIG, "init_pci_cap_pm_perm")
_MSI_WRITE = Source(CONFIG, "vfio_msi_config_write")
_PME_BITS = pci.PCI_PM_CTRL_PME_ENABLE | pci.PCI_PM_CTRL_PME_STATUS

# The lists

LIST = rule(
    "config-space.capability-list",
    "The list holds each capability of the device that vfio-pci knows, in the device's order.",
    Strength.ENFORCED,
    _CAP_INIT,
    Source(CONFIG, "pci_cap_length"),
)
EXTENDED_LIST = rule(
    "config-space.extended-list",
    "The extended list holds each extended capability that vfio-pci knows, in the device's order.",
    Strength.ENFORCED,
    Source(CONFIG, "vfio_ecap_init"),
    Source(CONFIG, "pci_ext_cap_length"),
)
LIST_BIT = rule(
    "config-space.list-bit",
    "STATUS says that there is a list just if there is something in it.",
    Strength.ENFORCED,
    _CAP_INIT,
    answer=pci.PCI_STATUS_CAP_LIST,
)

# Power management

PM_STATE = rule(
    "config-space.pm-state",
    "A power state written to the capability becomes the device's, and it comes back to D0.",
    Strength.ENFORCED,
    Source(CONFIG, "vfio_pm_config_write"),
)
PM_RESTORED = rule(
    "config-space.pm-state-restored",
    "A device that is reset by its return from D3hot, so that it may have lost what it had, has "
    "config space as before it went there; any other as it is.",
    Strength.ENFORCED,
    Source("drivers/vfio/pci/vfio_pci_core.c", "vfio_pci_probe_power_state"),
    Source("drivers/vfio/pci/vfio_pci_core.c", "vfio_pci_set_power_state"),
)
PM_UNSUPPORTED = rule(
    "config-space.pm-state-unsupported",
    "A power state that the device has not leaves it in D0.",
    Strength.ENFORCED,
    Source("drivers/pci/pci.c", "pci_set_power_state"),
    answer=0,
)
PM_PME = rule(
    "config-space.pm-pme",
    "The bits of PME are virtual and 0: the host handles wake-ups.",
    Strength.ENFORCED,
    _PM,
    Source(CONFIG, "vfio_update_pm_vconfig_bytes"),
    answer=(
        Answer(0, "<6.0", "they were the device's own"),
        Answer(_PME_BITS, ">=6.0", "PME registers are virtual, and initially zero"),
    ),
)
PM_CTRL = rule(
    "config-space.pm-control",
    "The other bits of the control register are written through.",
    Strength.ENFORCED,
    _PM,
)

# PCI Express

EXP_MPS = rule(
    "config-space.exp-payload",
    "The payload size is virtual: the device's own stays, since its whole path has a part in it.",
    Strength.ENFORCED,
    _EXP,
    answer=pci.PCI_EXP_DEVCTL_PAYLOAD,
)
EXP_MRRS = rule(
    "config-space.exp-read-request",
    "The read request size reaches the device, but none below its payload size.",
    Strength.ENFORCED,
    _EXP_WRITE,
)
EXP_MRRS_KEPT = rule(
    "config-space.exp-read-request-unchanged",
    "A write that does not change the read request size leaves the device's alone, as does one of "
    "a size there is not.",
    Strength.ENFORCED,
    _EXP_WRITE,
)
EXP_FLR = rule(
    "config-space.exp-flr",
    "A one written to the reset bit resets a device that has the reset, and reads as this.",
    Strength.ENFORCED,
    _EXP_WRITE,
    answer=0,
)
EXP_CONTROL = rule(
    "config-space.exp-control",
    "The other bits of device control are written through, phantom functions excepted.",
    Strength.ENFORCED,
    _EXP,
)

# MSI, MSI-X

MSI_ENABLE = rule(
    "config-space.msi-enable",
    "MSI cannot be enabled by a config write: the bit stays this in the device and for the user.",
    Strength.ENFORCED,
    _MSI_WRITE,
    answer=0,
)
MSI_ENABLED = rule(
    "config-space.msi-enabled",
    "While SET_IRQS has MSI on, the enable bit written by the user is the device's.",
    Strength.ENFORCED,
    _MSI_WRITE,
)
MSI_QUEUE = rule(
    "config-space.msi-queue-size",
    "A number of vectors written to MSI is cut to what SET_IRQS allotted, and goes to the device.",
    Strength.ENFORCED,
    _MSI_WRITE,
)
MSI_OFFERED = rule(
    "config-space.msi-offered",
    "The number of vectors that MSI offers reads as the device's, also once fewer are allotted, "
    "until the user writes another.",
    Strength.OBSERVED,
    Source(CONFIG, "vfio_msi_config_read"),
)
MSI_ADDRESS = rule(
    "config-space.msi-address",
    "MSI's address and data are virtual: the device keeps the host's while MSI is on.",
    Strength.ENFORCED,
    Source(CONFIG, "init_pci_cap_msi_perm"),
)
MSIX = rule(
    "config-space.msix-control",
    "MSI-X control cannot be written: enable and mask all stay as the host has them.",
    Strength.ENFORCED,
    Source(CONFIG, "cap_perms"),
)

# Errors, virtual functions

AER_STATUS = rule(
    "config-space.aer-status",
    "A one written to an error status bit clears it in the device.",
    Strength.ENFORCED,
    Source(CONFIG, "init_pci_ext_cap_err_perm"),
)
EXTENDED_REGISTERS = rule(
    "config-space.extended-registers",
    "Of extended capabilities only errors, the selector of power budgeting and vendor specific "
    "ones can be written; each ends where its own fields say.",
    Strength.ENFORCED,
    Source(CONFIG, "init_pci_ext_cap_pwr_perm"),
    Source(CONFIG, "vfio_pci_init_perm_bits"),
    Source(CONFIG, "vfio_ext_cap_len"),
)
DVSEC = rule(
    "config-space.dvsec",
    "Designated vendor specific capabilities are shown, and pass writes through.",
    Strength.ENFORCED,
    Source(CONFIG, "vfio_pci_init_perm_bits"),
    answer=(
        Answer(0, "<6.4", "the kind was not known"),
        Answer(1, ">=6.4", "the kind is known: its length is in its own header"),
    ),
)
VF_IDS = rule(
    "config-space.vf-ids",
    "A virtual function shows the ids that the host knows it by, which its registers lack.",
    Strength.ENFORCED,
    Source(CONFIG, "vfio_config_init"),
)
VF_MEMORY = rule(
    "config-space.vf-memory-enable",
    "A virtual function shows memory enable, which its own COMMAND lacks, as the user set it.",
    Strength.ENFORCED,
    Source(CONFIG, "vfio_basic_config_read"),
    answer=pci.PCI_COMMAND_MEMORY,
)

# What no emulated device of the supported QEMU shows

_NO_DEVICE = "a device with this capability: no model of QEMU has one that its guest can open"

AF_FLR = rule(
    "config-space.af-flr",
    "A one written to the reset bit of Advanced Features resets, and reads as 0.",
    Strength.ENFORCED,
    Source(CONFIG, "vfio_af_config_write"),
    untested=_NO_DEVICE,
)
VPD = rule(
    "config-space.vpd",
    "VPD is read and written through the kernel, which turns the flag when done.",
    Strength.ENFORCED,
    Source(CONFIG, "vfio_vpd_config_write"),
    untested=_NO_DEVICE,
)
PCI_X = rule(
    "config-space.pci-x",
    "PCI-X's command and ECC control are written through.",
    Strength.ENFORCED,
    Source(CONFIG, "init_pci_cap_pcix_perm"),
    untested=_NO_DEVICE,
)
MSI_MASK = rule(
    "config-space.msi-mask-bits",
    "MSI's mask and pending bits are written through.",
    Strength.ENFORCED,
    Source(CONFIG, "init_pci_cap_msi_perm"),
    untested=_NO_DEVICE,
)
FIRST_HIDDEN = rule(
    "config-space.first-extended-hidden",
    "A hidden capability that begins the extended list leaves id 0 in its place.",
    Strength.ENFORCED,
    Source(CONFIG, "vfio_ecap_init"),
    untested="a device whose first extended capability is one that vfio-pci does not know",
)
