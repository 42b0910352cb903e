# SPDX-License-Identifier: MIT
"""The type1 IOMMU API of a container: what it says of itself, what it maps and unmaps."""

from errno import (
    EBUSY,
    EEXIST,
    EFAULT,
    EINVAL,
    ENOENT,
    ENOMEM,
    ENOSPC,
    ENOTTY,
    EOVERFLOW,
    EPERM,
)

from vfiospec.abi import vfio_iommu as iommu
from vfiospec.rules.model import HEADER, Answer, Source, Strength, rule

TYPE1 = "drivers/vfio/vfio_iommu_type1.c"
_INFO = Source(TYPE1, "vfio_iommu_type1_get_info")
_MAP = Source(TYPE1, "vfio_dma_do_map")
_MAP_IOCTL = Source(TYPE1, "vfio_iommu_type1_map_dma")
_PIN = Source(TYPE1, "vfio_pin_pages_remote")
_UNPIN = Source(TYPE1, "vfio_unmap_unpin")
_UNMAP = Source(TYPE1, "vfio_dma_do_unmap")
_UNMAP_IOCTL = Source(TYPE1, "vfio_iommu_type1_unmap_dma")
_ATTACH = Source(TYPE1, "vfio_iommu_type1_attach_group")
_DETACH = Source(TYPE1, "vfio_iommu_type1_detach_group")
_OPEN = Source(TYPE1, "vfio_iommu_type1_open")
_DIRECTION = Source(HEADER, "VFIO_IOMMU_MAP_DMA", quote="READ &/ WRITE required.")
_UPDATE = Source(
    HEADER,
    "vfio_iommu_type1_dma_map",
    quote="iova and size must match those in the original MAP_DMA call.",
)
_INVALIDATE = Source(
    HEADER,
    "vfio_iommu_type1_dma_unmap",
    quote="do not unmap, but invalidate host virtual addresses in the iova range",
)
_SIZE = Source(
    HEADER, "VFIO_IOMMU_UNMAP_DMA", quote="The actual unmapped size is returned in the size field."
)
_INFO_6_1 = iommu.vfio_iommu_type1_info.end_of("cap_offset")
_NO_FLAG = "no such flag before 5.12: it is refused as unknown"
_SINCE_FLAG = "has the flag since 5.12"
_WRAP = (
    Answer(EINVAL, "<6.18", "sums that wrap are caught by comparing them"),
    Answer(EOVERFLOW, ">=6.18", "check_add_overflow: sums that wrap have an errno of their own"),
)

# Info

INFO_ARGSZ = rule(
    "type1.info-argsz-too-small",
    "GET_INFO with an argsz that ends before iova_pgsizes does fails with EINVAL.",
    Strength.ENFORCED,
    _INFO,
    answer=EINVAL,
)

INFO_WRITTEN = rule(
    "type1.info-written",
    "With an argsz too small for the capabilities, GET_INFO succeeds, says what argsz it needs, "
    "and writes only what the caller has room for.",
    Strength.ENFORCED,
    _INFO,
    Source(HEADER, "vfio_info_cap_header"),
    answer=(
        Answer(_INFO_6_1, "<6.6", "the structure ends with cap_offset"),
        Answer(iommu.vfio_iommu_type1_info.sizeof(), ">=6.6", "it has a field pad at its end"),
    ),
)

INFO_STEP = rule(
    "type1.info-written-step",
    "Of what comes behind iova_pgsizes, GET_INFO writes as many bytes as argsz has room for, in "
    "steps of so many.",
    Strength.ENFORCED,
    _INFO,
    answer=(
        Answer(4, "<6.6", "a field is written wholly or not"),
        Answer(1, ">=6.6", "min(argsz, size of the structure) is written"),
    ),
)

INFO_STRUCTURE = rule(
    "type1.info-structure",
    "The reply is just this: flags PGSIZES and CAPS, capabilities migration, dma-avail and "
    "iova-range, each of version 1, one behind the other, and zeros between them. The answer is "
    "how capabilities are aligned.",
    Strength.ENFORCED,
    _INFO,
    Source("drivers/vfio/vfio_main.c", "vfio_info_cap_add"),
    answer=(
        Answer(4, "<6.6", "capabilities follow each other unaligned"),
        Answer(8, ">=6.6", "vfio_info_cap_add aligns each capability to 8 bytes"),
    ),
)

INFO_PGSIZES = rule(
    "type1.info-pgsizes",
    "The smallest page size an IOMMU can map is the processor's, never less.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_update_pgsize_bitmap"),
    Source(HEADER, "vfio_iommu_type1_info"),
)

INFO_PGSIZES_INTEL = rule(
    "type1.info-pgsizes-intel",
    "Beside that, the page sizes are those an Intel IOMMU has: 2 MiB, 1 GiB. The answer is "
    "whether, or all sizes there could be.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_update_pgsize_bitmap"),
    Source("drivers/iommu/intel/iommu.c", "domain_super_pgsize_bitmap"),
    answer=(
        Answer(0, "<6.1", "the driver claims every multiple of a page (seen on 5.10)"),
        Answer(1, ">=6.1", "the sizes are what the hardware reports"),
    ),
)

INFO_RANGES = rule(
    "type1.info-ranges",
    "The IOVA ranges are in order, apart from each other, and leave out each reserved region of "
    "the group that is not relaxable, and no more.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE",
        quote="excluding any non-relaxable reserved regions exposed by devices attached",
    ),
    Source(TYPE1, "vfio_iommu_resv_exclude"),
)

INFO_AVAIL = rule(
    "type1.info-avail",
    "The number of mappings that are still allowed starts at the limit, falls by one with each "
    "mapping, and is the same again once it is gone.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL", quote="outstanding DMA mappings allowed"),
    _OPEN,
)

INFO_MIGRATION = rule(
    "type1.info-migration",
    "Dirty pages are logged at the smallest page size, in bitmaps of at most 256 MiB.",
    Strength.ENFORCED,
    Source(HEADER, "vfio_iommu_type1_info_cap_migration"),
    Source(TYPE1, "DIRTY_BITMAP_SIZE_MAX"),
    answer=256 << 20,
)

BAD_ADDRESS = rule(
    "type1.bad-address",
    "An argument that cannot be read, or a reply that cannot be written, is EFAULT.",
    Strength.ENFORCED,
    _INFO,
    _MAP_IOCTL,
    _UNMAP_IOCTL,
    answer=EFAULT,
)

# Groups

UNSAFE_INTERRUPTS = rule(
    "type1.unsafe-interrupts",
    "Without interrupt remapping SET_IOMMU is refused, unless allow_unsafe_interrupts is set.",
    Strength.ENFORCED,
    _ATTACH,
    Source(TYPE1, "allow_unsafe_interrupts"),
    answer=EPERM,
)

ATTACH_WHILE_INVALID = rule(
    "type1.no-group-while-vaddr-invalid",
    "No group can be added while any address is invalid.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "vfio_iommu_type1_dma_unmap",
        quote="Groups may not be added to the container while any addresses are invalid.",
    ),
    _ATTACH,
    answer=EBUSY,
)

GROUPS_SHARE = rule(
    "type1.groups-share-mappings",
    "Mappings outlive the removal of a group as long as another one is left, and their ranges "
    "keep out what is reserved for those that are.",
    Strength.ENFORCED,
    _ATTACH,
    _DETACH,
)

LAST_GROUP = rule(
    "type1.last-group-takes-mappings",
    "With its last group a container loses its mappings and gives back the locked memory.",
    Strength.ENFORCED,
    _DETACH,
)

EXTENSIONS = rule(
    "type1.extensions",
    "A container with type1 set has UNMAP_ALL and UPDATE_VADDR: 1.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_UNMAP_ALL"),
    Source(HEADER, "VFIO_UPDATE_VADDR"),
    Source(TYPE1, "vfio_iommu_type1_check_extension"),
    answer=(Answer(0, "<5.12", _NO_FLAG), Answer(1, ">=5.12", _SINCE_FLAG)),
)

CACHE_COHERENT = rule(
    "type1.cache-coherency-extension",
    "DMA_CC_IOMMU is 1 just where the IOMMU can enforce coherency for all groups, and 0 before "
    "there is an IOMMU.",
    Strength.ENFORCED,
    Source(HEADER, "VFIO_DMA_CC_IOMMU"),
    Source(TYPE1, "vfio_domains_have_enforce_cache_coherency"),
)

ONLY_ITS_OWN = rule(
    "type1.only-its-own-extensions",
    "type1 denies every extension that is not its own.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_iommu_type1_check_extension"),
    answer=0,
)

UNKNOWN_IOCTL = rule(
    "type1.unknown-ioctl",
    "A number that is no ioctl of type1 is ENOTTY.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_iommu_type1_ioctl"),
    answer=ENOTTY,
)

# Map

MAP_ARGSZ = rule(
    "type1.map-argsz-too-small",
    "MAP_DMA with an argsz that ends before size does fails with EINVAL.",
    Strength.ENFORCED,
    _MAP_IOCTL,
    answer=EINVAL,
)

MAP_ACCEPTED = rule(
    "type1.map",
    "MAP_DMA succeeds with READ, WRITE or both, whatever memory it is, and ignores what lies "
    "behind the structure.",
    Strength.DOCUMENTED,
    _DIRECTION,
    _MAP,
    answer=0,
)

MAP_DIRECTION = rule(
    "type1.map-needs-direction",
    "MAP_DMA with neither READ nor WRITE fails with EINVAL.",
    Strength.DOCUMENTED,
    _DIRECTION,
    _MAP,
    answer=EINVAL,
)

MAP_FLAGS = rule(
    "type1.map-unknown-flags",
    "MAP_DMA with a flag it does not know fails with EINVAL.",
    Strength.ENFORCED,
    _MAP_IOCTL,
    answer=EINVAL,
)

MAP_EMPTY = rule(
    "type1.map-empty",
    "A mapping of no bytes fails with EINVAL.",
    Strength.ENFORCED,
    _MAP,
    answer=EINVAL,
)

MAP_ALIGNED = rule(
    "type1.map-aligned",
    "iova, vaddr and size of a mapping are each multiples of the smallest page size, or EINVAL.",
    Strength.ENFORCED,
    _MAP,
    answer=EINVAL,
)

MAP_WRAPS = rule(
    "type1.map-wraps",
    "A mapping whose iova or vaddr runs over the end of the address space is refused.",
    Strength.ENFORCED,
    _MAP,
    answer=_WRAP,
)

MAP_RANGE = rule(
    "type1.map-outside-ranges",
    "A mapping that is not wholly in one IOVA range fails with EINVAL.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE",
        quote="Any DMA map attempt outside the valid iova range will return error.",
    ),
    Source(TYPE1, "vfio_iommu_iova_dma_valid"),
    answer=EINVAL,
)

MAP_RANGE_EDGES = rule(
    "type1.map-range-edges",
    "The first and the last page of each IOVA range can be mapped.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_iommu_iova_dma_valid"),
    answer=0,
)

MAP_OVERLAP = rule(
    "type1.map-overlap",
    "A mapping that has an address in common with another one fails with EEXIST.",
    Strength.ENFORCED,
    _MAP,
    Source(TYPE1, "vfio_find_dma"),
    answer=EEXIST,
)

MAP_ADJACENT = rule(
    "type1.map-adjacent",
    "Mappings may follow each other without a gap.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_find_dma"),
    answer=0,
)

MAP_BAD_VADDR = rule(
    "type1.map-bad-vaddr",
    "Memory that is not there, or not ours to give in this direction, is EFAULT.",
    Strength.ENFORCED,
    Source(TYPE1, "vaddr_get_pfns"),
    answer=EFAULT,
)

MAP_UNWOUND = rule(
    "type1.map-failure-unwound",
    "A mapping that fails leaves nothing: no address mapped, no memory locked or pinned, none of "
    "the allowed number used up.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_pin_map_dma"),
    _PIN,
)

MAP_LOCKS = rule(
    "type1.map-locks-memory",
    "Each mapped page counts as locked memory of the process, once for each mapping, until it is "
    "unmapped.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_lock_acct"),
    _UNPIN,
)

MAP_UNTOUCHED = rule(
    "type1.map-untouched-for-reading",
    "Memory nothing was written to, mapped for reading only; the answer is whether it counts.",
    Strength.ENFORCED,
    Source(TYPE1, "vaddr_get_pfns"),
    Source("mm/gup.c", "gup_must_unshare"),
    answer=(
        Answer(0, "<6.2", "the shared page of zeros is mapped, which is reserved"),
        Answer(1, ">=6.2", "a long-term pin makes each page the process's own first"),
    ),
)

MAP_PINS = rule(
    "type1.map-pins-memory",
    "What is pinned for a mapping is released by its end: as many pages as were taken.",
    Strength.ENFORCED,
    _PIN,
    _UNPIN,
)

MAP_MEMLOCK = rule(
    "type1.map-memlock",
    "A process without CAP_IPC_LOCK cannot map more than RLIMIT_MEMLOCK in all: ENOMEM.",
    Strength.ENFORCED,
    _PIN,
    Source("mm/util.c", "__account_locked_vm"),
    answer=ENOMEM,
)

MAP_MEMLOCK_CAPABLE = rule(
    "type1.map-memlock-capable",
    "With CAP_IPC_LOCK no RLIMIT_MEMLOCK holds.",
    Strength.ENFORCED,
    _PIN,
    answer=0,
)

MAP_LIMIT = rule(
    "type1.map-entry-limit",
    "A container takes as many mappings as dma_entry_limit said when it got its IOMMU; one more "
    "fails with ENOSPC.",
    Strength.ENFORCED,
    _MAP,
    Source(TYPE1, "dma_entry_limit"),
    answer=ENOSPC,
)

MAP_BAR = rule(
    "type1.map-bar",
    "A BAR mapped into the process can be mapped for DMA, and counts as no locked memory.",
    Strength.ENFORCED,
    Source(TYPE1, "follow_fault_pfn"),
    Source(TYPE1, "is_invalid_reserved_pfn"),
    answer=0,
)

MAP_ORDER = rule(
    "type1.map-order",
    "Arguments that are wrong in themselves are refused before what they collide with, an "
    "overlap before the limit, and the limit before the range.",
    Strength.ENFORCED,
    _MAP,
)

# Update of the address

VADDR_FLAGS = rule(
    "type1.vaddr-with-direction",
    "MAP_DMA with VADDR and a direction fails with EINVAL.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "vfio_iommu_type1_dma_map",
        quote="Protection is not changed, and the READ & WRITE flags must be 0.",
    ),
    _MAP,
    answer=EINVAL,
)

VADDR_ABSENT = rule(
    "type1.vaddr-absent",
    "A new address for what is not mapped is ENOENT.",
    Strength.ENFORCED,
    _MAP,
    answer=(Answer(EINVAL, "<5.12", _NO_FLAG), Answer(ENOENT, ">=5.12", _SINCE_FLAG)),
)

VADDR_MISMATCH = rule(
    "type1.vaddr-mismatch",
    "A new address for another range than the mapping's, or for one whose address is valid, is "
    "EINVAL.",
    Strength.DOCUMENTED,
    _UPDATE,
    _MAP,
    answer=EINVAL,
)

VADDR_INVALIDATED = rule(
    "type1.vaddr-invalidate",
    "UNMAP_DMA with VADDR marks the addresses of a range, unmaps nothing, and says how many bytes "
    "it was.",
    Strength.DOCUMENTED,
    _INVALIDATE,
    _UNMAP,
    answer=(Answer(EINVAL, "<5.12", _NO_FLAG), Answer(0, ">=5.12", _SINCE_FLAG)),
)

VADDR_TWICE = rule(
    "type1.vaddr-invalidate-twice",
    "A range in which one address is invalid already cannot be invalidated: EINVAL, and the "
    "others stay valid.",
    Strength.ENFORCED,
    _UNMAP,
    answer=EINVAL,
)

VADDR_RESTORED = rule(
    "type1.vaddr-restored",
    "MAP_DMA with VADDR makes an invalid address valid again, just once.",
    Strength.DOCUMENTED,
    _UPDATE,
    _MAP,
    answer=0,
)

VADDR_OWNER = rule(
    "type1.vaddr-owner",
    "A new address from another process charges the locked memory to that one instead, within "
    "its own limit.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_change_dma_owner"),
    answer=ENOMEM,
)

# Unmap

UNMAP_ARGSZ = rule(
    "type1.unmap-argsz-too-small",
    "UNMAP_DMA with an argsz that ends before size does fails with EINVAL.",
    Strength.ENFORCED,
    _UNMAP_IOCTL,
    answer=EINVAL,
)

UNMAP_FLAGS = rule(
    "type1.unmap-unknown-flags",
    "UNMAP_DMA with a flag it does not know fails with EINVAL.",
    Strength.ENFORCED,
    _UNMAP_IOCTL,
    answer=EINVAL,
)

UNMAP_BITMAP_ALONE = rule(
    "type1.unmap-bitmap-alone",
    "GET_DIRTY_BITMAP with ALL or VADDR fails with EINVAL.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "vfio_iommu_type1_dma_unmap",
        quote="This cannot be combined with the get-dirty-bitmap flag.",
    ),
    _UNMAP_IOCTL,
    answer=EINVAL,
)

UNMAP_EMPTY = rule(
    "type1.unmap-empty",
    "To unmap no bytes fails with EINVAL.",
    Strength.ENFORCED,
    _UNMAP,
    answer=EINVAL,
)

UNMAP_ALIGNED = rule(
    "type1.unmap-aligned",
    "iova and size of a range to unmap are multiples of the smallest page size, or EINVAL.",
    Strength.ENFORCED,
    _UNMAP,
    answer=EINVAL,
)

UNMAP_WRAPS = rule(
    "type1.unmap-wraps",
    "A range to unmap that runs over the end of the address space is refused.",
    Strength.ENFORCED,
    _UNMAP,
    answer=_WRAP,
)

UNMAP_LAST_PAGE = rule(
    "type1.unmap-last-page",
    "The last page of the address space can be named in a range to unmap.",
    Strength.ENFORCED,
    _UNMAP,
    answer=0,
)

UNMAP_SIZE = rule(
    "type1.unmap-size",
    "UNMAP_DMA says how many bytes were mapped in the range: the sum of the mappings, holes left "
    "out, and 0 if there were none.",
    Strength.DOCUMENTED,
    _SIZE,
    _UNMAP,
)

UNMAP_BISECT = rule(
    "type1.unmap-bisect",
    "With type1 v2 a range that cuts through a mapping fails with EINVAL, and unmaps nothing.",
    Strength.ENFORCED,
    Source(HEADER, "VFIO_IOMMU_UNMAP_DMA", quote="No guarantee is made to the user that arbitrary"),
    _UNMAP,
    answer=EINVAL,
)

UNMAP_V1 = rule(
    "type1.unmap-v1",
    "With type1 v1 a range that holds the first page of a mapping takes all of it, and one that "
    "starts behind it takes nothing and says 0.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_dma_do_unmap", quote="will unmap the entire range"),
)

UNMAP_V1_WITHIN = rule(
    "type1.unmap-v1-within",
    "With type1 v1, of two mappings behind the one that a range starts within, so many pages go "
    "of the six they have.",
    Strength.ENFORCED,
    _UNMAP,
    answer=(
        Answer(6, "<5.12", "mappings are taken as the tree is searched, the first one last"),
        Answer(0, ">=5.12", "mappings are taken in order, and the first one ends it"),
    ),
)

UNMAP_ALL = rule(
    "type1.unmap-all",
    "ALL unmaps everything, whatever the mappings are, and says how many bytes it was.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_iommu_type1_dma_unmap", quote="unmap all addresses"),
    _UNMAP,
    answer=(Answer(EINVAL, "<5.12", _NO_FLAG), Answer(0, ">=5.12", _SINCE_FLAG)),
)

UNMAP_ALL_RANGE = rule(
    "type1.unmap-all-has-no-range",
    "ALL with an iova or a size fails with EINVAL.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_iommu_type1_dma_unmap", quote="iova and size must be 0."),
    _UNMAP,
    answer=EINVAL,
)

UNMAP_OTHER_MM = rule(
    "type1.unmap-from-another-process",
    "Who has the container can unmap what another process mapped; the answer is whether.",
    Strength.ENFORCED,
    _UNMAP,
    answer=(
        Answer(0, "<6.1", "only the task that mapped may unmap: 0 bytes for anyone else"),
        Answer(1, ">=6.1", "the check of the task is gone"),
    ),
)

UNMAP_GONE_MEMORY = rule(
    "type1.unmap-memory-gone",
    "A mapping is unmapped as any other after its memory, or its process, is gone.",
    Strength.ENFORCED,
    _UNPIN,
    Source(TYPE1, "vfio_lock_acct"),
)

NOTHING_KEPT = rule(
    "type1.nothing-kept",
    "What mappings and groups take of the kernel's memory is given back when they go.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_remove_dma"),
    Source(TYPE1, "vfio_sync_unpin"),
    _DETACH,
    Source(TYPE1, "vfio_iommu_type1_release"),
)

INTERVALS = rule(
    "type1.intervals",
    "Any sequence of maps and unmaps does what a set of intervals would.",
    Strength.ENFORCED,
    _MAP,
    _UNMAP,
    Source(TYPE1, "vfio_find_dma_first_node"),
)
