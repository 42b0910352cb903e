# SPDX-License-Identifier: MIT
"""pread(2) and pwrite(2) on the regions of a vfio-pci device."""

from errno import EFAULT, EINVAL, EIO, ENOMEM, ESPIPE

from vfiospec.rules.model import HEADER, PCI_CORE, Answer, Source, Strength, rule

_RDWR = "drivers/vfio/pci/vfio_pci_rdwr.c"
_BAR = Source(_RDWR, "vfio_pci_bar_rw")
_LOOP = Source(_RDWR, "vfio_pci_core_do_io_rw")
_WORD = Source(_RDWR, "VFIO_IORDWR")
_VGA = Source(_RDWR, "vfio_pci_vga_rw")
_SWITCH = Source(PCI_CORE, "vfio_pci_rw")
_HEADER = Source(HEADER, "VFIO_DEVICE_GET_REGION_INFO")
_ENABLED = Source("drivers/vfio/pci/vfio_pci_config.c", "__vfio_pci_memory_enabled")

# Bounds

BEYOND = rule(
    "region-access.beyond-the-end",
    "An access that starts at the end of a BAR, or behind it, is refused.",
    Strength.ENFORCED,
    _BAR,
    answer=EINVAL,
)

ACROSS = rule(
    "region-access.across-the-end",
    "An access that crosses the end of a BAR is cut short there, and says so.",
    Strength.ENFORCED,
    _BAR,
)

NOTHING = rule(
    "region-access.nothing-asked-nothing-done",
    "An access of no bytes succeeds wherever it is, even where no region lies.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_read"),
    Source(PCI_CORE, "vfio_pci_core_write"),
    answer=0,
)

ABSENT = rule(
    "region-access.absent-region",
    "A region of size 0 can be neither read nor written.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_GET_REGION_INFO", quote="Zero sized regions may be used"),
    _BAR,
    answer=EINVAL,
)

NO_REGION = rule(
    "region-access.no-such-region",
    "An offset beyond the last region leads nowhere, and neither does a negative one.",
    Strength.ENFORCED,
    _SWITCH,
    answer=EINVAL,
)

CONFIG_END = rule(
    "region-access.end-of-config",
    "An access to configuration space that reaches beyond its end is refused as a whole.",
    Strength.ENFORCED,
    Source("drivers/vfio/pci/vfio_pci_config.c", "vfio_config_do_rw"),
    answer=EFAULT,
)

# What the device sees

WIDEST = rule(
    "region-access.widest-access",
    "The widest access a device sees has this many bytes.",
    Strength.ENFORCED,
    _LOOP,
    _WORD,
    answer=(
        Answer(4, "<6.11", "before vfio-pci knew loads and stores of 8 bytes"),
        Answer(8, ">=6.11", "vfio/pci: Support 8-byte PCI loads and stores"),
    ),
)

NATURAL = rule(
    "region-access.natural-widths",
    "The device sees each byte once, in order, in the widest accesses that are aligned and fit.",
    Strength.ENFORCED,
    _LOOP,
)

CONTENT = rule(
    "region-access.content",
    "What is read and written through the file is what a mapping shows at the same offset.",
    Strength.DOCUMENTED,
    _HEADER,
    _LOOP,
)

POSITION = rule(
    "region-access.file-position",
    "read(2) and write(2) start at region 0 and go on where the last one ended.",
    Strength.ENFORCED,
    _BAR,
)

NO_SEEK = rule(
    "region-access.no-seek",
    "The position of a device's file cannot be set.",
    Strength.OBSERVED,
    Source("drivers/vfio/vfio_main.c", "vfio_device_fops"),
    answer=ESPIPE,
)

VECTOR = rule(
    "region-access.vector",
    "The parts of preadv(2) and pwritev(2) lie one behind the other in the region.",
    Strength.ENFORCED,
    _BAR,
    _VGA,
    Source("drivers/vfio/pci/vfio_pci_config.c", "vfio_pci_config_rw"),
)

BAD_BUFFER = rule(
    "region-access.bad-buffer",
    "A buffer that cannot be reached fails the access, even if only its end cannot.",
    Strength.ENFORCED,
    _WORD,
    answer=EFAULT,
)

CLAIMED = rule(
    "region-access.claimed",
    "Once read, a BAR is claimed for vfio until the device's last close, and no longer.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_map_bars"),
    Source(PCI_CORE, "vfio_pci_core_disable"),
)

# The ROM

ROM_WRITE = rule(
    "region-access.rom-is-read-only",
    "The ROM cannot be written.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_REGION_INFO_FLAG_WRITE", quote="Region supports write"),
    _SWITCH,
    answer=EINVAL,
)

ROM_CONTENT = rule(
    "region-access.rom-content",
    "The ROM reads as its image; what the image leaves of the BAR reads as ones.",
    Strength.ENFORCED,
    Source(_RDWR, "vfio_pci_bar_rw", quote="The ROM can fill less space than the BAR"),
    _LOOP,
    answer=0xFF,
)

# The MSI-X table

TABLE_READ = rule(
    "region-access.msix-table-reads-ones",
    "The MSI-X table reads as ones, from its first byte to its last and no further.",
    Strength.ENFORCED,
    Source(_RDWR, "vfio_pci_core_do_io_rw", quote="drops writes and fills"),
    _BAR,
    answer=0xFF,
)

TABLE_WRITE = rule(
    "region-access.msix-table-drops-writes",
    "A write to the MSI-X table is counted and dropped; what lies around the table is written.",
    Strength.ENFORCED,
    Source(_RDWR, "vfio_pci_core_do_io_rw", quote="drops writes and fills"),
    _BAR,
)

TABLE_BAD_BUFFER = rule(
    "region-access.msix-table-needs-no-buffer",
    "A write to the MSI-X table is dropped without a look at the buffer.",
    Strength.OBSERVED,
    _LOOP,
)

# VGA

VGA_RANGES = rule(
    "region-access.vga-ranges",
    "Only VGA's memory and its two ranges of ports can be reached; an access ends with its range.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_PCI_VGA_REGION_INDEX", quote="as well as the MMIO range 0xa0000 to"),
    _VGA,
)

VGA_HOLE = rule(
    "region-access.vga-outside-the-ranges",
    "An offset of the VGA region that is in none of its ranges cannot be accessed.",
    Strength.ENFORCED,
    _VGA,
    answer=EINVAL,
)

VGA_CONTENT = rule(
    "region-access.vga-content",
    "An offset of the VGA region leads to the legacy address of the same number.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_PCI_VGA_REGION_INDEX", quote="range is found at it's identity mapped"),
    _VGA,
)

VGA_ARBITER = rule(
    "region-access.vga-lock-is-released",
    "After an access to the VGA region, the VGA arbiter holds no lock for it.",
    Strength.ENFORCED,
    _VGA,
    Source("drivers/pci/vgaarb.c", "vga_put"),
    answer=0,
)

VGA_DECODED = rule(
    "region-access.vga-is-decoded",
    "The VGA arbiter knows that a device with a VGA region decodes its memory and its ports.",
    Strength.ENFORCED,
    Source("drivers/vfio/pci/vfio_pci_core.c", "vfio_pci_set_decode"),
    Source("drivers/vfio/pci/vfio_pci_core.c", "vfio_pci_vga_init"),
)

# Memory that is off

MEMORY_OFF = rule(
    "region-access.memory-off",
    "While memory decoding is off, memory BARs cannot be accessed.",
    Strength.ENFORCED,
    _ENABLED,
    Source(_RDWR, "VFIO_IOREAD"),
    Source(_RDWR, "VFIO_IOWRITE"),
    answer=EIO,
)

ROM_MEMORY_OFF = rule(
    "region-access.rom-memory-off",
    "While memory decoding is off, no image is found in the ROM; firmware's copy of one is memory.",
    Strength.OBSERVED,
    _BAR,
    Source("drivers/pci/rom.c", "pci_map_rom"),
    answer=ENOMEM,
)

MEMORY_OFF_REST = rule(
    "region-access.memory-off-leaves-the-rest",
    "While memory decoding is off, I/O port BARs, configuration space and the MSI-X window answer.",
    Strength.ENFORCED,
    _BAR,
    _ENABLED,
)

D3HOT = rule(
    "region-access.d3hot",
    "In D3hot, a memory BAR cannot be accessed.",
    Strength.ENFORCED,
    _ENABLED,
    answer=(
        Answer(0, "<5.19", "only memory decoding is asked"),
        Answer(EIO, ">=5.19", "vfio/pci: Invalidate mmaps and block the access in D3hot"),
    ),
)

LOW_POWER = rule(
    "region-access.low-power",
    "Reading a region wakes a device in low power, and lets it sleep again.",
    Strength.DOCUMENTED,
    Source(
        HEADER, "VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY",
        quote="state as necessary prior to the access.",
    ),
    _SWITCH,
)  # fmt: skip

# Together

RACE = rule(
    "region-access.race-with-memory-enable",
    "An access while another thread turns memory decoding off and on either works or is refused.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_zap_and_down_write_memory_lock"),
    _ENABLED,
)
