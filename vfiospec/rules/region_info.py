# SPDX-License-Identifier: MIT
"""VFIO_DEVICE_GET_REGION_INFO: which regions a vfio-pci device has, how large, what they allow."""

from errno import EINVAL

from vfiospec.abi import vfio
from vfiospec.rules.model import HEADER, PCI_CORE, Source, Strength, Thread, rule

_MAIN = "drivers/vfio/vfio_main.c"
_HANDLER = Source(PCI_CORE, "vfio_pci_ioctl_get_region_info")
_REPLY = Source(_MAIN, "vfio_get_region_info")
_PROBE = Source(PCI_CORE, "vfio_pci_probe_mmaps")
_HEADER = Source(HEADER, "VFIO_DEVICE_GET_REGION_INFO")
_STRUCT = Source(HEADER, "vfio_region_info")
_CAPS = Source(HEADER, "vfio_info_cap_header", quote="updated to report the necessary buffer size")
_SUBPAGE = Thread(
    "[v3] vfio-pci: Allow to mmap sub-page MMIO BARs if the mmio page is exclusive",
    "Yongji Xie",
    "2016-05-12",
    quote="We should allow to mmap the sub-page MMIO BARs which we can",
)
_READ_WRITE = vfio.VFIO_REGION_INFO_FLAG_READ | vfio.VFIO_REGION_INFO_FLAG_WRITE
_CAP_HEADER = vfio.vfio_info_cap_header.sizeof()
_WHOLE = vfio.vfio_region_info.sizeof()

# The index

INDEX_KNOWN = rule(
    "region-info.every-index-below-answers",
    "Each index below num_regions is answered, and the reply names the index asked for.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_info", quote="Max region index + 1"),
    _HEADER,
)

UNIMPLEMENTED = rule(
    "region-info.unimplemented-is-empty",
    "A region that the device does not have has size 0 and no flags.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_GET_REGION_INFO", quote="Zero sized regions may be used"),
    _HANDLER,
    answer=0,
)

# BARs

BAR = rule(
    "region-info.bar",
    "A BAR's region is as large as the BAR and can be read and written.",
    Strength.ENFORCED,
    _HEADER,
    _HANDLER,
    answer=_READ_WRITE,
)

BAR_POWER_OF_TWO = rule(
    "region-info.bar-power-of-two",
    "A BAR's size is a power of two.",
    Strength.OBSERVED,
    Source("include/uapi/linux/pci_regs.h", "PCI_BASE_ADDRESS_0"),
    _HANDLER,
)

BAR_UPPER_HALF = rule(
    "region-info.bar-upper-half",
    "The index of the upper half of a 64-bit BAR is an empty region.",
    Strength.ENFORCED,
    Source(HEADER, "VFIO_DEVICE_GET_REGION_INFO", quote="ex. unimplemented PCI BARs"),
    _HANDLER,
    answer=0,
)

BAR_MMAP = rule(
    "region-info.bar-mmap",
    "A memory BAR of a page or more can be mapped; no other region but a sub-page BAR can.",
    Strength.ENFORCED,
    Source(HEADER, "VFIO_REGION_INFO_FLAG_MMAP"),
    _PROBE,
    answer=vfio.VFIO_REGION_INFO_FLAG_MMAP,
)

IO_BAR = rule(
    "region-info.io-bar-no-mmap",
    "A BAR of I/O ports can be read and written, not mapped.",
    Strength.ENFORCED,
    _PROBE,
    answer=_READ_WRITE,
)

SUBPAGE_MMAP = rule(
    "region-info.subpage-mmap",
    "A memory BAR smaller than a page can be mapped if, and only if, it starts a page and has "
    "that page for itself.",
    Strength.DOCUMENTED,
    _SUBPAGE,
    _PROBE,
    answer=vfio.VFIO_REGION_INFO_FLAG_MMAP,
)

SUBPAGE_RESERVED = rule(
    "region-info.subpage-reserved",
    "While the device is open, what a mappable sub-page BAR leaves of its page is reserved as "
    '"vfio sub-page reserved"; not longer.',
    Strength.DOCUMENTED,
    Thread(
        _SUBPAGE.subject, _SUBPAGE.author, _SUBPAGE.date,
        quote="dummy resource to reserve the remainder of the page which",
    ),
    _PROBE,
    Source(PCI_CORE, "vfio_pci_core_disable"),
)  # fmt: skip

# ROM, configuration space, VGA

ROM = rule(
    "region-info.rom",
    "The ROM's region is as large as its BAR and can only be read.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_ioctl_get_region_info", quote="Report the BAR size, not the ROM"),
    answer=vfio.VFIO_REGION_INFO_FLAG_READ,
)

ROM_SIDE_EFFECT = rule(
    "region-info.rom-leaves-config-alone",
    "Asking for the ROM answers alike with memory decoding off, and changes neither the command "
    "register nor the ROM's BAR.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_memory_lock_and_enable"),
    Source(PCI_CORE, "vfio_pci_memory_unlock_and_restore"),
)

CONFIG = rule(
    "region-info.config",
    "Configuration space is as large as the device's, and can be read and written, not mapped.",
    Strength.ENFORCED,
    _HEADER,
    _HANDLER,
    answer=_READ_WRITE,
)

VGA = rule(
    "region-info.vga",
    "The legacy ranges of a VGA device are a region that reaches to the end of its memory at "
    "0xbffff.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_PCI_VGA_REGION_INDEX", quote="as well as the MMIO range 0xa0000 to"),
    _HANDLER,
    answer=0xC0000,
)

VGA_FLAGS = rule(
    "region-info.vga-flags",
    "The VGA region can be read and written, not mapped.",
    Strength.ENFORCED,
    _HANDLER,
    answer=_READ_WRITE,
)

# Offsets

OFFSET_UNIQUE = rule(
    "region-info.offset-unique",
    "No two regions share an offset in the device fd.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_region_info", quote="Region offset from start of device fd"),
    Thread(
        "Re: [Qemu-devel] RFC [v2]: vfio / device assignment -- layout of device fd files",
        "Alex Williamson",
        "2011-09-30",
        quote="Return file offset for region index",
    ),
)

OFFSET_USE = rule(
    "region-info.offset-leads-there",
    "A read at a region's offset reads that region, up to its size and no further.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_region_info", quote="Region offset from start of device fd"),
    Source(PCI_CORE, "vfio_pci_rw"),
    answer=EINVAL,
)

OFFSET_LAYOUT = rule(
    "region-info.offset-layout",
    "A region's offset is its index shifted by 40. No program should rely on it; some do.",
    Strength.OBSERVED,
    Source("include/linux/vfio_pci_core.h", "VFIO_PCI_INDEX_TO_OFFSET"),
    answer=40,
)

# Capabilities

MSIX_MAPPABLE = rule(
    "region-info.msix-mappable",
    "A BAR that holds the MSI-X table and can be mapped says so in a capability right behind the "
    "structure, the only one; no other region has it.",
    Strength.ENFORCED,
    Source(HEADER, "VFIO_REGION_INFO_CAP_MSIX_MAPPABLE"),
    Source(PCI_CORE, "msix_mmappable_cap"),
    answer=_WHOLE,
)

CAPS_DO_NOT_FIT = rule(
    "region-info.caps-do-not-fit",
    "Where a capability does not fit, the call succeeds, FLAG_CAPS is set, cap_offset is 0 and "
    "argsz says what is needed.",
    Strength.DOCUMENTED,
    _CAPS,
    _REPLY,
    answer=_WHOLE + _CAP_HEADER,
)

CAP_OFFSET_UNUSED = rule(
    "region-info.cap-offset-without-caps",
    "Without FLAG_CAPS, cap_offset means nothing, and stays what the caller had there.",
    Strength.OBSERVED,
    Source(HEADER, "vfio_info_cap_header", quote="This field is only valid when"),
    _REPLY,
)

# Over time

STABLE = rule(
    "region-info.stable",
    "A region's info stays the same: on each fd, after refused calls, with memory decoding off, "
    "with interrupts on, after a reset.",
    Strength.OBSERVED,
    _HANDLER,
    _PROBE,
)
