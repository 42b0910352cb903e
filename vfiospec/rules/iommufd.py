# SPDX-License-Identifier: MIT
"""The objects of an iommufd, as far as a user of VFIO needs them: address spaces, options."""

from errno import (
    E2BIG,
    EBUSY,
    EEXIST,
    EFAULT,
    EINVAL,
    EMSGSIZE,
    ENODEV,
    ENOENT,
    ENOSPC,
    ENOTTY,
    ENXIO,
    EOPNOTSUPP,
    EOVERFLOW,
    EPERM,
)

from vfiospec.rules.model import Answer, Source, Strength, rule

_UAPI = "include/uapi/linux/iommufd.h"
_IOAS = "drivers/iommu/iommufd/ioas.c"
_IOCTL = Source("drivers/iommu/iommufd/main.c", "iommufd_fops_ioctl")
_GENERAL = "General ioctl format"
_MAP = Source(_IOAS, "iommufd_ioas_map")
_UNMAP = Source(_IOAS, "iommufd_ioas_unmap")
_OPTION = Source("drivers/iommu/iommufd/main.c", "iommufd_option")
_CHECK = Source("drivers/iommu/iommufd/io_pagetable.c", "iopt_check_iova")

# The file

FILE_MODE = rule(
    "iommufd.file-mode",
    "udev is told that /dev/iommu is for root and its group alone, DEVMODE=0660.",
    Strength.ENFORCED,
    Source("drivers/iommu/iommufd/main.c", "iommu_misc_dev"),
    answer=0o660,
)

MMAP = rule(
    "iommufd.mmap",
    "An iommufd without an object that has memory of the device to give cannot be mapped.",
    Strength.ENFORCED,
    Source("drivers/iommu/iommufd/main.c", "iommufd_fops_mmap"),
    answer=(
        Answer(ENODEV, "<6.17", "an iommufd had no mmap"),
        Answer(ENXIO, ">=6.17", "new with IOMMU_HW_QUEUE_ALLOC, whose queues are mapped"),
    ),
)

# Every ioctl

UNKNOWN = rule(
    "iommufd.unknown",
    "A number that is no ioctl's is refused, also one with a direction or a size.",
    Strength.DOCUMENTED,
    Source(_UAPI, _GENERAL, quote="ENOTTY: The IOCTL number itself is not supported"),
    _IOCTL,
    answer=ENOTTY,
)

SHORT = rule(
    "iommufd.size-short",
    "A size that does not reach behind the first version of the structure is refused.",
    Strength.ENFORCED,
    _IOCTL,
    answer=EINVAL,
)

LONG = rule(
    "iommufd.size-long",
    "Zeros behind the structure change nothing.",
    Strength.DOCUMENTED,
    Source(_UAPI, _GENERAL),
    _IOCTL,
)

TRAILING = rule(
    "iommufd.trailing",
    "What is not zero behind the structure that the kernel knows is refused.",
    Strength.DOCUMENTED,
    Source(_UAPI, _GENERAL, quote="E2BIG: The IOCTL number is supported"),
    _IOCTL,
    answer=E2BIG,
)

ADDRESS = rule(
    "iommufd.bad-address",
    "A structure that cannot be read, or whose answer cannot be written, is a fault.",
    Strength.ENFORCED,
    _IOCTL,
    answer=EFAULT,
)

RESERVED = rule(
    "iommufd.reserved",
    "Unknown flags, operations and options, and what is not 0 in a reserved field, are refused.",
    Strength.DOCUMENTED,
    Source(_UAPI, _GENERAL, quote="EOPNOTSUPP: The IOCTL number is supported"),
    _MAP,
    _OPTION,
    answer=EOPNOTSUPP,
)

NO_OBJECT = rule(
    "iommufd.no-object",
    "An id that is no object of the kind that is asked for is refused.",
    Strength.DOCUMENTED,
    Source(_UAPI, _GENERAL, quote="ENOENT: An ID or IOVA provided does not exist."),
    Source("drivers/iommu/iommufd/main.c", "iommufd_get_object"),
    answer=ENOENT,
)

INVALIDATE_KIND = rule(
    "iommufd.invalidate-kind",
    "IOMMU_HWPT_INVALIDATE of an object that is no nested page table is refused.",
    Strength.ENFORCED,
    Source("drivers/iommu/iommufd/hw_pagetable.c", "iommufd_hwpt_invalidate"),
    answer=EINVAL,
)

# Address spaces

ALLOC = rule(
    "iommufd.alloc",
    "Each address space has an id of its own; none is left of one whose id could not be told.",
    Strength.DOCUMENTED,
    Source(_UAPI, "iommu_ioas_alloc"),
    Source(_IOAS, "iommufd_ioas_alloc_ioctl"),
)

RANGES = rule(
    "iommufd.ranges",
    "Without a device all addresses may be mapped, at any alignment; all ranges are counted, as "
    "many as have room are told.",
    Strength.DOCUMENTED,
    Source(_UAPI, "iommu_ioas_iova_ranges"),
    Source(_IOAS, "iommufd_ioas_iova_ranges"),
)

RANGES_ROOM = rule(
    "iommufd.ranges-room",
    "Too little room for the ranges is told.",
    Strength.DOCUMENTED,
    Source(_UAPI, "iommu_ioas_iova_ranges", quote="The ioctl will return -EMSGSIZE"),
    answer=EMSGSIZE,
)

ALLOW = rule(
    "iommufd.allow",
    "Addresses the kernel chooses are among those that are allowed.",
    Strength.DOCUMENTED,
    Source(_UAPI, "iommu_ioas_allow_iovas"),
    Source(_IOAS, "iommufd_ioas_allow_iovas"),
)

ALLOW_FULL = rule(
    "iommufd.allow-full",
    "Where none of them is left nothing is mapped.",
    Strength.ENFORCED,
    Source("drivers/iommu/iommufd/io_pagetable.c", "iopt_alloc_iova"),
    answer=ENOSPC,
)

ALLOW_WRONG = rule(
    "iommufd.allow-wrong",
    "Ranges that overlap, and those that do not end behind their start, are refused.",
    Strength.ENFORCED,
    Source(_IOAS, "iommufd_ioas_load_iovas"),
    answer=EINVAL,
)

# Mappings

MAP = rule(
    "iommufd.map",
    "A mapping is put where it is wanted, or where the kernel says it is.",
    Strength.DOCUMENTED,
    Source(_UAPI, "iommu_ioas_map"),
    _MAP,
)

MAP_ACCESS = rule(
    "iommufd.map-access",
    "A mapping neither readable nor writable, and one of nothing, is refused.",
    Strength.ENFORCED,
    _MAP,
    answer=EINVAL,
)

MAP_OVERLAP = rule(
    "iommufd.map-overlap",
    "An address that is mapped cannot be mapped again.",
    Strength.ENFORCED,
    _CHECK,
    answer=EEXIST,
)

MAP_WRAP = rule(
    "iommufd.map-wrap",
    "Addresses and lengths that do not fit are refused.",
    Strength.ENFORCED,
    _MAP,
    _CHECK,
    answer=EOVERFLOW,
)

MAP_FILE = rule(
    "iommufd.map-file",
    "A memfd is mapped from the byte of it that is asked for.",
    Strength.DOCUMENTED,
    Source(_UAPI, "iommu_ioas_map_file", quote="byte offset from start of the file to map from"),
    Source(_IOAS, "iommufd_ioas_map_file"),
)

COPY = rule(
    "iommufd.copy",
    "A mapping, or a part of it, can be had in another address space; it lives on there.",
    Strength.DOCUMENTED,
    Source(_UAPI, "iommu_ioas_copy"),
    Source(_IOAS, "iommufd_ioas_copy"),
)

UNMAP = rule(
    "iommufd.unmap",
    "Whole mappings within the range are unmapped and their size is told; 0 and U64_MAX are all.",
    Strength.DOCUMENTED,
    Source(_UAPI, "iommu_ioas_unmap"),
    _UNMAP,
)

UNMAP_NONE = rule(
    "iommufd.unmap-none",
    "Where nothing is mapped, or the range cuts a mapping, nothing is unmapped.",
    Strength.ENFORCED,
    _UNMAP,
    answer=ENOENT,
)

# Options

OPTION = rule(
    "iommufd.option",
    "Large pages are on, the limit is the user's: both are told and can be changed.",
    Strength.DOCUMENTED,
    Source(_UAPI, "iommufd_option"),
    _OPTION,
)

OPTION_VALUE = rule(
    "iommufd.option-value",
    "Values other than 0 and 1 are refused.",
    Strength.ENFORCED,
    Source(_IOAS, "iommufd_ioas_option_huge_pages"),
    answer=EINVAL,
)

OPTION_BUSY = rule(
    "iommufd.option-busy",
    "The limit cannot be changed once there are objects.",
    Strength.DOCUMENTED,
    Source(_UAPI, "iommufd_option"),
    Source(_IOAS, "iommufd_option_rlimit_mode"),
    answer=EBUSY,
)

OPTION_PRIVILEGE = rule(
    "iommufd.option-privilege",
    "The limit is changed by who has CAP_SYS_RESOURCE; anybody is told it.",
    Strength.DOCUMENTED,
    Source(_UAPI, "iommufd_option", quote="The caller must have privilege"),
    Source(_IOAS, "iommufd_option_rlimit_mode"),
    answer=EPERM,
)

CHANGE_CHARGED = rule(
    "iommufd.change-process-charged",
    "What is pinned of files is counted for the process that asks for it, and no longer for the "
    "one before.",
    Strength.DOCUMENTED,
    Source(
        _UAPI,
        "iommu_ioas_change_process",
        quote="This transfers pinned memory counts for every memory map in every IOAS",
    ),
    Source(_IOAS, "iommufd_ioas_change_process"),
)

CHANGE_PROCESS = rule(
    "iommufd.change-process",
    "With mappings of a process's memory they cannot be charged to another.",
    Strength.ENFORCED,
    Source(_IOAS, "iommufd_ioas_change_process"),
    answer=EINVAL,
)
