# SPDX-License-Identifier: MIT
"""Each answer that may depend on how a device was reached: what it is, why, and who says so."""

from dataclasses import dataclass
from typing import Final

from vfiospec.rules import ways
from vfiospec.rules.model import PCI_CORE, Answer, Rule, Source

TYPE1, TYPE1V2 = "type1", "type1v2"
COMPAT1, COMPAT2 = "compat-type1", "compat-type1v2"
IOMMUFD = "iommufd"
NOT_ASKED = "not asked"  # where a way cannot be, or must not be, asked

_MAIN = "drivers/vfio/vfio_main.c"
_TYPE1 = "drivers/vfio/vfio_iommu_type1.c"
_COMPAT = "drivers/iommu/iommufd/vfio_compat.c"
_TABLE = "drivers/iommu/iommufd/io_pagetable.c"
_PAGES = "drivers/iommu/iommufd/pages.c"


@dataclass(frozen=True)
class Difference:
    """Ways that answer a question in their own words, and just these; any others agree."""

    rule: Rule
    question: str
    answers: tuple[tuple[str, str], ...]  # way and answer
    reason: str
    source: Source
    kernels: str = ""  # bounds as in a rule's answer

    def holds_on(self, version: tuple[int, int]) -> bool:
        """Whether it speaks of a kernel."""
        return Answer(0, self.kernels).holds_on(version)


def _all(answer: str, *ways_: str) -> tuple[tuple[str, str], ...]:
    """Ways that give one answer."""
    return tuple((way, answer) for way in ways_)


_COMPAT_WAYS = (COMPAT1, COMPAT2)
_OPENED = (
    "Attaching and detaching are for a device that was bound; here no argument is handed over."
)
_OPENED_BY = Source(_MAIN, "vfio_device_fops_unl_ioctl")
_NOTHING = (
    "IOMMU_IOAS_UNMAP of nothing is an error, where UNMAP_DMA says that 0 bytes were unmapped."
)
_NOTHING_BY = Source("drivers/iommu/iommufd/ioas.c", "iommufd_ioas_unmap")
_PART = (
    "type1 v2 looks for mappings that would be cut before it takes any away. type1 v1 takes a "
    "mapping whose start is in the range, and ends at one that starts before it. iommufd takes "
    "mappings one by one until it meets one that would be cut. In its stead compat type1 first "
    "cuts mappings at both ends of the range."
)
_PART_BY = Source(
    _TYPE1, "vfio_dma_do_unmap", quote='We attempt to maintain compatibility with this "v1"'
)


def _part(
    what: str, v1: str, compat1: str, *left: tuple[tuple[str, str], ...]
) -> tuple[Difference, ...]:
    """A range that ends within a mapping: what is unmapped, and the pages that are left mapped."""
    said = (
        *_all("EINVAL", TYPE1V2),
        *_all(v1, TYPE1),
        *_all(compat1, COMPAT1),
        *_all("ENOENT", COMPAT2, IOMMUFD),
    )
    answers = tuple(pair for pairs in left for pair in pairs)
    return (
        Difference(ways.UNMAP, f"unmap {what}", said, _PART, _PART_BY),
        Difference(ways.UNMAP, f"mapped still, after {what}", answers, _PART, _PART_BY),
    )


DIFFERENCES: Final[tuple[Difference, ...]] = (
    *(
        Difference(
            ways.IOCTLS,
            f"ioctl VFIO_BASE + {number}",
            _all("EFAULT", IOMMUFD),
            _OPENED,
            _OPENED_BY,
        )
        for number in (19, 20)
    ),
    Difference(
        ways.RESET,
        "PCI_HOT_RESET without groups",
        _all("ENODEV", IOMMUFD),
        "A device that was bound proves what it owns by its iommufd, and gives no groups; one that "
        "was had from a group gives at least one. What is looked at next is whether there is a bus "
        "to reset.",
        Source(
            PCI_CORE,
            "vfio_pci_ioctl_pci_hot_reset",
            quote="zero-length array is only for cdev opened devices",
        ),
    ),
    Difference(
        ways.MAP,
        "map for neither",
        _all(NOT_ASKED, *_COMPAT_WAYS),
        "The compatible MAP_DMA passes a mapping without READ and WRITE on to the IOMMU's driver, "
        "which warns in the log: finding compat-map-of-neither-warns.",
        Source(_COMPAT, "iommufd_vfio_map_dma"),
    ),
    *(
        Difference(ways.MAP, f"unmapped at {n} MiB", _all("ENOENT", IOMMUFD), _NOTHING, _NOTHING_BY)
        for n in (4, 5)
    ),
    Difference(
        ways.MAP_BAR,
        "map of a BAR",
        _all("EFAULT", *_COMPAT_WAYS, IOMMUFD),
        "iommufd pins memory by its pages, and a BAR has none; type1 looks up its page frames.",
        Source(_PAGES, "pfn_reader_user_pin"),
    ),
    *_part(
        "more than one",
        "6 pages",
        "5 pages",
        _all("0 1 2 3 4 5", TYPE1V2),
        _all("none", TYPE1),
        _all("5", COMPAT1),
        _all("4 5", COMPAT2, IOMMUFD),
    ),
    *_part(
        "the start of one",
        "4 pages",
        "1 pages",
        _all("4 5", TYPE1),
        _all("1 2 3 4 5", COMPAT1),
    ),
    *_part("the middle of one", "0 pages", "2 pages", _all("0 3 4 5", COMPAT1)),
    *_part("the end of one", "0 pages", "1 pages", _all("0 1 2 4 5", COMPAT1)),
    *_part("the end of one and all of the next", "0 pages", "3 pages", _all("0 1 2", COMPAT1)),
    *_part(
        "from before one to its middle",
        "4 pages",
        "2 pages",
        _all("4 5", TYPE1),
        _all("2 3 4 5", COMPAT1),
    ),
    *(
        Difference(ways.UNMAP, f"unmap {what}", _all("ENOENT", IOMMUFD), _NOTHING, _NOTHING_BY)
        for what in ("what was never mapped", "the last page there is")
    ),
    *(
        Difference(
            ways.UNMAP,
            f"unmap {what}",
            (*_all("0 pages", *_COMPAT_WAYS), *_all("ENOENT", IOMMUFD)),
            "type1 wants whole pages of an unmap; iommufd looks for mappings within any range, and "
            "here there are none.",
            Source(_TABLE, "iopt_unmap_iova"),
        )
        for what in ("half a page", "from half a page on")
    ),
    Difference(
        ways.INFO,
        "argsz 1024 is rewritten",
        _all("yes", *_COMPAT_WAYS),
        "iommufd always has argsz say how much all of it takes; type1 does where it has no room.",
        Source(_COMPAT, "iommufd_vfio_iommu_get_info"),
    ),
    Difference(
        ways.INFO,
        "capability MIGRATION",
        _all("absent", *_COMPAT_WAYS),
        "Dirty pages are tracked by the page tables of an iommufd, not by its compatible calls.",
        Source(_COMPAT, "iommufd_vfio_iommu_get_info"),
    ),
    Difference(
        ways.INFO,
        "mappings available",
        _all("0xffffffff", *_COMPAT_WAYS),
        "type1 has a limit of mappings (module parameter dma_entry_limit); an iommufd has none.",
        Source(_COMPAT, "iommufd_fill_cap_dma_avail"),
    ),
    Difference(
        ways.INFO,
        "CHECK_EXTENSION of UPDATE_VADDR",
        _all("0", *_COMPAT_WAYS),
        "iommufd holds on to the memory itself and not to its address: nothing is to be updated.",
        Source(_COMPAT, "iommufd_vfio_check_extension"),
    ),
    Difference(
        ways.INFO,
        "CHECK_EXTENSION of TYPE1_NESTING",
        _all("0", *_COMPAT_WAYS),
        "Nesting was never made to work through a container; type1 claimed it until 6.13.",
        Source(_COMPAT, "iommufd_vfio_check_extension"),
        kernels="<6.13",
    ),
    Difference(
        ways.CALLS,
        "unmap with VADDR",
        _all("EINVAL", *_COMPAT_WAYS),
        "Without UPDATE_VADDR there is no such flag.",
        Source(_COMPAT, "iommufd_vfio_unmap_dma"),
    ),
    *(
        Difference(
            ways.CALLS,
            f"DIRTY_PAGES, {what}",
            (*_all("0", TYPE1V2), *_all("EACCES", TYPE1), *_all("ENOTTY", *_COMPAT_WAYS)),
            "Of type1 only v2 tracks dirty pages; compatibility leaves it to the page tables of an "
            "iommufd.",
            Source(_TYPE1, "vfio_iommu_type1_dirty_pages"),
        )
        for what in ("START", "STOP")
    ),
    Difference(
        ways.CALLS,
        "SET_IOMMU to type1 v2",
        _all("0", *_COMPAT_WAYS),
        "A container's model is set once; of an iommufd it only says how parts are unmapped.",
        Source(_COMPAT, "iommufd_vfio_set_iommu"),
    ),
    *(
        Difference(
            rule,
            question,
            (*_all("EINVAL", TYPE1, TYPE1V2), *_all("EOVERFLOW", *_COMPAT_WAYS, IOMMUFD)),
            "Until 6.18 type1 found sums that wrap by comparing them, and had no errno for it.",
            Source(_TYPE1, "vfio_dma_do_map"),
            kernels="<6.18",
        )
        for rule, question in (
            (ways.MAP, "map that wraps around"),
            (ways.MAP, "map of memory that wraps around"),
            (ways.UNMAP, "unmap what wraps around"),
        )
    ),
)
