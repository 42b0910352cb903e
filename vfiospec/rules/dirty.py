# SPDX-License-Identifier: MIT
"""VFIO_IOMMU_DIRTY_PAGES: which pages a device may have written to."""

from errno import EACCES, EFAULT, EINVAL, EOVERFLOW

from vfiospec.rules.model import HEADER, Answer, Source, Strength, rule

TYPE1 = "drivers/vfio/vfio_iommu_type1.c"
_IOCTL = Source(TYPE1, "vfio_iommu_type1_dirty_pages")
_UNMAP = Source(TYPE1, "vfio_iommu_type1_unmap_dma")
_BITS = Source(TYPE1, "update_user_bitmap")
_RANGE = Source(TYPE1, "vfio_iova_dirty_bitmap")
_GET = Source(
    HEADER,
    "VFIO_IOMMU_DIRTY_PAGES",
    quote="A bit set in the bitmap indicates that the page at that offset from iova is dirty.",
)

V1 = rule(
    "dirty.not-with-v1",
    "A container with type1 v1 logs nothing: EACCES, before the argument is looked at.",
    Strength.ENFORCED,
    _IOCTL,
    answer=EACCES,
)

ARGSZ = rule(
    "dirty.argsz-too-small",
    "An argsz that ends before flags does, or for GET_BITMAP before the range does, is EINVAL.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_IOMMU_DIRTY_PAGES",
        quote="The caller must set argsz to a value including the size of structure "
        "vfio_iommu_type1_dirty_bitmap_get",
    ),
    _IOCTL,
    answer=EINVAL,
)

ONE_FLAG = rule(
    "dirty.one-flag",
    "Just one of START, STOP and GET_BITMAP may be given: none, two, or an unknown one is EINVAL.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_IOMMU_DIRTY_PAGES",
        quote="Only one of the flags _START, _STOP and _GET may be specified at a time.",
    ),
    _IOCTL,
    answer=EINVAL,
)

REPEATED = rule(
    "dirty.start-and-stop-again",
    "START while it logs and STOP while it does not are accepted and change nothing.",
    Strength.ENFORCED,
    _IOCTL,
    answer=0,
)

NOT_STARTED = rule(
    "dirty.not-started",
    "While nothing is logged there is no bitmap: EINVAL.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_IOMMU_DIRTY_PAGES",
        quote="If dirty pages logging is not enabled, an error will be returned.",
    ),
    _IOCTL,
    answer=EINVAL,
)

PGSIZE = rule(
    "dirty.pgsize",
    "A bit stands for a page of the smallest size; another page size is EINVAL.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_IOMMU_DIRTY_PAGES",
        quote="This interface supports getting a bitmap of the smallest supported pgsize only",
    ),
    _IOCTL,
    Source(TYPE1, "vfio_dma_do_unmap"),
    answer=EINVAL,
)

PGSIZE_ZERO = rule(
    "dirty.pgsize-zero",
    "A page size of 0 is EINVAL, and nothing is done with it before it is refused.",
    Strength.ENFORCED,
    _IOCTL,
    _UNMAP,
    answer=EINVAL,
    untested="kernels that check shifts (CONFIG_UBSAN_SHIFT), Debian's 7.2 among them, report that "
    "they shift by its undefined logarithm, others do not: it takes to know which kernel it is",
)

RANGE = rule(
    "dirty.range",
    "A range that is empty, unaligned, or cuts a mapping is EINVAL.",
    Strength.ENFORCED,
    _IOCTL,
    _RANGE,
    answer=EINVAL,
)

WRAPS = rule(
    "dirty.range-wraps",
    "A range that runs over the end of the address space is refused.",
    Strength.ENFORCED,
    _IOCTL,
    answer=(
        Answer(EINVAL, "<6.18", "sums that wrap are caught by comparing them"),
        Answer(EOVERFLOW, ">=6.18", "check_add_overflow: they have an errno of their own"),
    ),
)

LAST_PAGE = rule(
    "dirty.range-last-page",
    "The answer for a range that is the last page of the address space, where nothing is mapped.",
    Strength.ENFORCED,
    _IOCTL,
    answer=(
        Answer(EINVAL, "<6.18", "iova + size is 0, which is taken for an overrun"),
        Answer(0, ">=6.18", "the last address is compared, not the one behind it"),
    ),
)

BITMAP_SIZE = rule(
    "dirty.bitmap-size",
    "A bitmap is whole words of 64 bits, enough for the range, and no more than 256 MiB: or "
    "EINVAL.",
    Strength.ENFORCED,
    Source(TYPE1, "verify_bitmap_size"),
    answer=EINVAL,
)

BITMAP_ADDRESS = rule(
    "dirty.bitmap-address",
    "A bitmap that cannot be written is EFAULT, and nothing is unmapped.",
    Strength.ENFORCED,
    _BITS,
    answer=EFAULT,
)

KERNEL_ADDRESS = rule(
    "dirty.bitmap-kernel-address",
    "A bitmap that is not in the process's half of the address space is EINVAL.",
    Strength.ENFORCED,
    _IOCTL,
    _UNMAP,
    answer=EINVAL,
)

BAD_ADDRESS = rule(
    "dirty.bad-address",
    "An argument that cannot be read is EFAULT.",
    Strength.ENFORCED,
    _IOCTL,
    answer=EFAULT,
)

ALL_DIRTY = rule(
    "dirty.all-pages",
    "Each page that is mapped for a device whose writes are not tracked is dirty, each time.",
    Strength.DOCUMENTED,
    _GET,
    Source(TYPE1, "update_user_bitmap", quote="mark all pages dirty if any IOMMU capable device"),
)

OTHERS = rule(
    "dirty.only-its-own-bits",
    "In a zeroed bitmap only bits of mapped pages are set, and nothing is written behind the "
    "bitmap's size or before its start.",
    Strength.DOCUMENTED,
    _GET,
    _BITS,
)

BEFORE = rule(
    "dirty.bits-before-a-mapping-stay",
    "Bits of the word a mapping's bits begin in, but before them, keep what they were.",
    Strength.ENFORCED,
    _BITS,
)

UNMAPPED = rule(
    "dirty.unmap",
    "UNMAP_DMA with GET_DIRTY_BITMAP unmaps, says how much, and returns the bits as of before.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_IOMMU_UNMAP_DMA",
        quote="A Bitmap of the pages in the range of unmapped size is returned",
    ),
    Source(TYPE1, "vfio_dma_do_unmap"),
)

UNMAP_NOT_STARTED = rule(
    "dirty.unmap-not-started",
    "UNMAP_DMA with GET_DIRTY_BITMAP while nothing is logged is EINVAL, and unmaps nothing.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_dma_do_unmap"),
    answer=EINVAL,
)

UNMAP_ARGSZ = rule(
    "dirty.unmap-argsz",
    "With GET_DIRTY_BITMAP an argsz without room for the vfio_bitmap is EINVAL.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_IOMMU_UNMAP_DMA",
        quote="When this flag is set, the user must provide a struct vfio_bitmap in data[].",
    ),
    _UNMAP,
    answer=EINVAL,
)
