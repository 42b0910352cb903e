# SPDX-License-Identifier: MIT
"""mmap(2) of the regions of a vfio-pci device, and what becomes of a mapping."""

from errno import EFAULT, EINVAL, EPERM
from signal import SIGBUS, SIGSEGV

from vfiospec.abi import vfio
from vfiospec.rules.model import HEADER, PCI_CORE, Answer, Source, Strength, Thread, rule

_MMAP = Source(PCI_CORE, "vfio_pci_core_mmap")
_FAULT = Source(PCI_CORE, "vfio_pci_mmap_huge_fault")
_PFN = Source(PCI_CORE, "vma_to_pfn")
_ZAP = Source(PCI_CORE, "vfio_pci_zap_bars")
_PROBE = Source(PCI_CORE, "vfio_pci_probe_mmaps")
_ENABLED = Source("drivers/vfio/pci/vfio_pci_config.c", "__vfio_pci_memory_enabled")
_FLAG = Source(HEADER, "VFIO_REGION_INFO_FLAG_MMAP", quote="Region supports mmap")
_SUBPAGE = "[v3] vfio-pci: Allow to mmap sub-page MMIO BARs if the mmio page is exclusive"
_AUTHOR, _DATE = "Yongji Xie", "2016-05-12"

# What can be mapped

FLAG = rule(
    "mmap.flag-decides",
    "A region can be mapped if it has the MMAP flag, and is refused if it has not.",
    Strength.DOCUMENTED,
    _FLAG,
    _MMAP,
    answer=EINVAL,
)

NO_REGION = rule(
    "mmap.no-such-region",
    "An offset beyond the last region cannot be mapped.",
    Strength.ENFORCED,
    _MMAP,
    answer=EINVAL,
)

SHARED = rule(
    "mmap.shared-only",
    "A private mapping is refused.",
    Strength.ENFORCED,
    _MMAP,
    answer=EINVAL,
)

BOUNDS = rule(
    "mmap.bounds",
    "A mapping that reaches beyond the region's last page is refused.",
    Strength.ENFORCED,
    _MMAP,
    answer=EINVAL,
)

ROUNDED = rule(
    "mmap.whole-pages",
    "Any length up to the region's pages is mapped, from the offset of any of its pages on.",
    Strength.ENFORCED,
    _MMAP,
)

UNALIGNED = rule(
    "mmap.offset-unaligned",
    "An offset that is no multiple of a page is refused.",
    Strength.ENFORCED,
    Source("arch/x86/kernel/sys_x86_64.c", "mmap"),
    answer=EINVAL,
)

PROTECTION = rule(
    "mmap.protection",
    "A mapping is made for no access, reading, writing or both, and its protection holds.",
    Strength.OBSERVED,
    _MMAP,
    answer=int(SIGSEGV),
)

EXECUTABLE = rule(
    "mmap.executable",
    "Whether a mapping through the fd that a group gave may be executable.",
    Strength.OBSERVED,
    Source("mm/mmap.c", "do_mmap"),
    answer=(
        Answer(0, "<6.16", "nothing forbids it"),
        Answer(EPERM, ">=6.16", "anon_inode: raise SB_I_NODEV and SB_I_NOEXEC"),
    ),
)

# What a mapping shows

CONTENT = rule(
    "mmap.shows-the-region",
    "Each page of a mapping shows the page of the region at the same offset.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_region_info", quote="Region offset from start of device fd"),
    _PFN,
    _FAULT,
)

MSIX = rule(
    "mmap.msix-table",
    "The mapping of a BAR with MSIX_MAPPABLE shows the MSI-X table.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_REGION_INFO_CAP_MSIX_MAPPABLE", quote="MSIX data of a BAR can be mmapped"),
    _MMAP,
)

SPECIAL = rule(
    "mmap.no-ordinary-memory",
    "A mapping is I/O memory without pages: not grown, not dumped, not given back.",
    Strength.ENFORCED,
    _MMAP,
    answer=EINVAL,
)

GROW = rule(
    "mmap.no-growing",
    "mremap(2) does not make a mapping longer.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_mmap", quote="VM_DONTEXPAND"),
    answer=EFAULT,
)

MOVED = rule(
    "mmap.moved-or-cut",
    "What mremap(2) moves or munmap(2) leaves of a mapping shows the same pages as before.",
    Strength.OBSERVED,
    _PFN,
    _FAULT,
)

FORKED = rule(
    "mmap.forked",
    "A child process has its parent's mappings, and loses access with it.",
    Strength.ENFORCED,
    _ZAP,
    Source(PCI_CORE, "vfio_pci_zap_and_down_write_memory_lock"),
)

OUTLIVES = rule(
    "mmap.outlives-its-files",
    "A mapping works after the device, its group and its container are closed.",
    Strength.OBSERVED,
    Source("drivers/vfio/vfio_main.c", "vfio_device_fops_release"),
)

DMA = rule(
    "mmap.dma",
    "A mapping of a BAR can be mapped for DMA while memory decoding is on.",
    Strength.OBSERVED,
    Source("drivers/vfio/vfio_iommu_type1.c", "follow_fault_pfn"),
    answer=EFAULT,
)

# Access taken and given

FAULT = rule(
    "mmap.memory-off",
    "While memory decoding is off, an access faults at its address, also where one worked before.",
    Strength.ENFORCED,
    _FAULT,
    _ZAP,
    _ENABLED,
    answer=int(SIGBUS),
)

RECOVERS = rule(
    "mmap.recovers",
    "Once memory is on again, the same mapping works.",
    Strength.ENFORCED,
    _FAULT,
)

D3HOT = rule(
    "mmap.d3hot",
    "In D3hot, an access faults.",
    Strength.ENFORCED,
    _FAULT,
    _ENABLED,
    answer=(
        Answer(0, "<5.19", "only memory decoding is asked"),
        Answer(int(SIGBUS), ">=5.19", "vfio/pci: Invalidate mmaps and block the access in D3hot"),
    ),
)

LOW_POWER = rule(
    "mmap.low-power",
    "From entry to low power until its exit an access faults, even if the device is awake.",
    Strength.DOCUMENTED,
    Source(
        HEADER, "VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY",
        quote="device regions is disabled on LOW_POWER_ENTRY",
    ),
    _FAULT,
    answer=int(SIGBUS),
)  # fmt: skip

RESET = rule(
    "mmap.reset",
    "A mapping works after a reset, which takes its pages away: the next access faults them in.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_ioctl_reset"),
    _ZAP,
)

RACE = rule(
    "mmap.race-with-memory-enable",
    "A load while another thread turns memory decoding off and on either works or faults.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_zap_and_down_write_memory_lock"),
    _FAULT,
    answer=int(SIGBUS),
)

# BARs smaller than a page

SUBPAGE = rule(
    "mmap.subpage",
    "A BAR smaller than a page that starts a page of its own is mapped with that one page.",
    Strength.DOCUMENTED,
    Thread(_SUBPAGE, _AUTHOR, _DATE, quote="We should allow to mmap the sub-page MMIO BARs"),
    _PROBE,
    answer=EINVAL,
)

SUBPAGE_SHARED = rule(
    "mmap.subpage-shared",
    "A BAR that shares its page with another cannot be mapped.",
    Strength.DOCUMENTED,
    Thread(_SUBPAGE, _AUTHOR, _DATE, quote="page may be shared with other BARs"),
    _PROBE,
    answer=EINVAL,
)

SUBPAGE_INSIDE = rule(
    "mmap.subpage-not-at-the-start",
    "A BAR that does not start its page cannot be mapped, though nobody else is in the page.",
    Strength.DOCUMENTED,
    Thread(_SUBPAGE, _AUTHOR, _DATE, quote="no way to get the BAR's location in a page"),
    _PROBE,
    answer=EINVAL,
)

SUBPAGE_RESERVED = rule(
    "mmap.subpage-reserved",
    "While the device is open, the rest of the page is reserved, once, of the kind of the BAR.",
    Strength.DOCUMENTED,
    Thread(
        _SUBPAGE, _AUTHOR, _DATE, quote="dummy resource to reserve the remainder of the page which"
    ),
    _PROBE,
    Source(PCI_CORE, "vfio_pci_core_disable"),
)

SUBPAGE_FREED = rule(
    "mmap.subpage-gone-neighbour",
    "Whether a page is exclusive is found out at each first open.",
    Strength.ENFORCED,
    _PROBE,
    answer=vfio.VFIO_REGION_INFO_FLAG_MMAP,
)
