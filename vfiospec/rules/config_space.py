# SPDX-License-Identifier: MIT
"""Config space as a user sees it: accesses, and the header's registers."""

from errno import EFAULT, EIO

from vfiospec.abi import pci
from vfiospec.rules.model import Source, Strength, rule

CONFIG = "drivers/vfio/pci/vfio_pci_config.c"
_RW = Source(CONFIG, "vfio_pci_config_rw")
_SINGLE = Source(CONFIG, "vfio_pci_config_rw_single")
_BASIC = Source(CONFIG, "init_pci_cap_basic_perm")
_BASIC_WRITE = Source(CONFIG, "vfio_basic_config_write")
_INIT = Source(CONFIG, "vfio_config_init")
_BAR = Source(CONFIG, "vfio_bar_fixup")
_DEFAULT = Source(CONFIG, "vfio_default_config_write")

# Accesses

WHOLE = rule(
    "config-space.whole",
    "One pread or pwrite may be of any part of config space, up to the whole, and is never short.",
    Strength.ENFORCED,
    _RW,
)
BOUNDS = rule(
    "config-space.bounds",
    "An access that begins or ends behind config space fails: it is not cut short.",
    Strength.ENFORCED,
    _SINGLE,
    answer=EFAULT,
)
EMPTY = rule(
    "config-space.empty-access",
    "An access of no bytes does nothing, wherever it is.",
    Strength.OBSERVED,
    Source("drivers/vfio/pci/vfio_pci_core.c", "vfio_pci_rw"),
    answer=0,
)
BAD_BUFFER = rule(
    "config-space.bad-buffer",
    "A buffer that cannot be read or written, or not to its end, fails the access.",
    Strength.ENFORCED,
    _SINGLE,
    answer=EFAULT,
)
COMPOSED = rule(
    "config-space.composed",
    "An access of many bytes reads and writes just what accesses of its bytes would.",
    Strength.ENFORCED,
    _RW,
    Source(CONFIG, "vfio_pci_cap_remaining_dword"),
)
WIDTH = rule(
    "config-space.part-of-a-register",
    "A write of some bytes of a register leaves its other bytes as they were.",
    Strength.ENFORCED,
    _SINGLE,
    _DEFAULT,
)

# Every register

FIRST_OPEN = rule(
    "config-space.first-open",
    "At the first open config space is as the device has it, but for what vfio-pci hides.",
    Strength.ENFORCED,
    _INIT,
    Source(CONFIG, "vfio_fill_vconfig_bytes"),
)
READS = rule(
    "config-space.reads",
    "A register that is not virtual reads as the device has it now.",
    Strength.ENFORCED,
    Source(CONFIG, "vfio_default_config_read"),
    Source(CONFIG, "vfio_direct_config_read"),
)
READ_ONLY = rule(
    "config-space.read-only",
    "A write changes nothing of ids, class, status, pointers, pin, nor of what else is read-only, "
    "and succeeds.",
    Strength.ENFORCED,
    _BASIC,
    _DEFAULT,
)
THROUGH = rule(
    "config-space.written-through",
    "A write reaches the device just as far as the register's bits may be written.",
    Strength.ENFORCED,
    _BASIC,
    _DEFAULT,
)
KEPT = rule(
    "config-space.virtual",
    "A virtual bit reads as it was written, and the device never sees it.",
    Strength.ENFORCED,
    _BASIC,
    _DEFAULT,
)
UNASSIGNED = rule(
    "config-space.unassigned",
    "What lies in no capability that is known is passed through both ways.",
    Strength.ENFORCED,
    Source(CONFIG, "unassigned_perms"),
)
SYSFS = rule(
    "config-space.changed-behind",
    "What the host changes in the device shows at once, and in virtual registers never.",
    Strength.ENFORCED,
    Source(CONFIG, "vfio_default_config_read"),
)
PERSIST = rule(
    "config-space.kept-over-reset",
    "What a user wrote to virtual registers outlives a reset and other files of the device.",
    Strength.OBSERVED,
    _INIT,
)
FORGOTTEN = rule(
    "config-space.forgotten-at-last-close",
    "Nothing a user wrote to virtual registers is left after the last close.",
    Strength.ENFORCED,
    Source(CONFIG, "vfio_config_free"),
    _INIT,
)
AFTER_RESET = rule(
    "config-space.real-after-reset",
    "After a reset the device's own config space is as it was before.",
    Strength.OBSERVED,
    Source("drivers/vfio/pci/vfio_pci_core.c", "vfio_pci_ioctl_reset"),
)

# Command

MASTER = rule(
    "config-space.no-master-at-open",
    "A device is no bus master when it is first opened, whatever the last user left.",
    Strength.ENFORCED,
    Source("drivers/vfio/pci/vfio_pci_core.c", "vfio_pci_core_enable"),
    answer=0,
)
INTX_AT_OPEN = rule(
    "config-space.intx-enabled-at-open",
    "INTx is not disabled in a device that is first opened, whatever the host or a user left.",
    Strength.ENFORCED,
    Source("drivers/vfio/pci/vfio_pci_core.c", "vfio_pci_core_enable"),
    answer=0,
)
MEMORY = rule(
    "config-space.memory-enable",
    "With memory decode off the device's memory cannot be reached; with it on again, it can.",
    Strength.ENFORCED,
    Source(CONFIG, "__vfio_pci_memory_enabled"),
    _BASIC_WRITE,
    answer=EIO,
)
INTX_DISABLE = rule(
    "config-space.intx-disable",
    "INTx disable is virtual: the interrupt is held back as long as it is set.",
    Strength.ENFORCED,
    _BASIC_WRITE,
    answer=pci.PCI_COMMAND_INTX_DISABLE,
)
RECOVERY = rule(
    "config-space.reset-recovery",
    "A write to COMMAND restores the device's real BARs if they, or an enable bit that the user "
    "set, were lost behind vfio-pci's back.",
    Strength.ENFORCED,
    Source(CONFIG, "vfio_bar_restore"),
    Source(CONFIG, "vfio_need_bar_restore"),
)
NO_RECOVERY = rule(
    "config-space.no-recovery-unasked",
    "A write to COMMAND leaves the real BARs alone as long as nothing was lost.",
    Strength.OBSERVED,
    _BASIC_WRITE,
)

# BARs

BAR_SIZING = rule(
    "config-space.bar-sizing",
    "Ones written to a BAR read back as its size, with its type in the low bits.",
    Strength.ENFORCED,
    _BAR,
    Source(CONFIG, "vfio_generate_bar_flags"),
)
BAR_ABSENT = rule(
    "config-space.bar-absent",
    "A BAR that the device has not, or the host gave no address, reads as this.",
    Strength.ENFORCED,
    _BAR,
    answer=0,
)
BAR_VIRTUAL = rule(
    "config-space.bar-virtual",
    "An address written to a BAR reads back, as far as the size goes, and moves nothing.",
    Strength.ENFORCED,
    _BASIC,
    _BAR,
)
BAR_ALIVE = rule(
    "config-space.bar-alive",
    "The device's memory stays where it is while a user writes its BARs.",
    Strength.ENFORCED,
    _BASIC,
)
ROM_SIZING = rule(
    "config-space.rom-sizing",
    "Ones written to the ROM's BAR read back as its size, with the enable bit.",
    Strength.ENFORCED,
    _BAR,
    answer=pci.PCI_ROM_ADDRESS_ENABLE,
)
