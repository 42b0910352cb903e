# SPDX-License-Identifier: MIT
"""The binary layout of the user headers: what may change in them from one kernel to the next.

`vfiospec abi diff` asserts these, on headers, objects and kernels that need not run.
"""

from typing import Final

from vfiospec.rules.model import HEADER, Source, Strength, Thread, rule

_IOMMUFD: Final = "include/uapi/linux/iommufd.h"
_MIDDLE: Final = Thread(
    "Re: [RFC PATCH v3 1/4] vfio: Define device specific irq type capability",
    "Alex Williamson",
    "2019-06-27",
    quote="This cannot be inserted into the middle of the structure, it breaks compatibility with "
    "all existing userspace binaries.",
)
_FIXED: Final = Thread(
    "[RFC PATCH v3 1/4] vfio: Define device specific irq type capability",
    "Tina Zhang",
    "2019-06-27",
    quote="Fixed user ABI, IRQ indexes >=5 use device specific cap to define content",
)
_EXTENSION: Final = Source(
    HEADER,
    "VFIO_TYPE",
    quote="As structure fields are added, argsz will increase to match and flag bits will be "
    "defined to indicate additional fields with valid data.",
)
_NO_SIZE: Final = Source(
    HEADER,
    "VFIO_TYPE",
    quote="We therefore use the _IO() macro for these defines to avoid implicitly embedding a size "
    "into the ioctl request.",
)
_ZEROES: Final = Source(
    _IOMMUFD,
    "IOMMUFD_TYPE",
    quote="The kernel checks that any structure space beyond what it understands is 0.",
)
_NUMBER_THREAD: Final = Thread(
    "[PATCH v6 2/3] drivers/vfio: EEH support for VFIO PCI device",
    "Alexander Graf",
    "2014-05-23",
    quote="The ioctl number includes sizeof(payload). So if a new parameter gets added, that would "
    "be a different ioctl number.",
)
_TYPE_FLAGS: Final = Thread(
    "[v2,2/3] VFIO-AER: Vfio-pci driver changes for supporting AER",
    "Alex Williamson",
    "2013-01-28",
    quote="We could also define a generic flag indicating a type specific flag field is present.",
)

FIELD_INSERTED = rule(
    "layout.field-inserted",
    "A field is added behind all others, never between them.",
    Strength.DOCUMENTED,
    _MIDDLE,
)
FIELD_MOVED = rule(
    "layout.field-moved",
    "A field stays at its offset, for 32-bit programs as for 64-bit ones.",
    Strength.DOCUMENTED,
    _MIDDLE,
)
FIELD_RESIZED = rule(
    "layout.field-resized", "A field keeps its size.", Strength.DOCUMENTED, _MIDDLE
)
FIELD_RETYPED = rule(
    "layout.field-retyped",
    "A field keeps its sign, its byte order and what it is: a number, a pointer, a structure.",
    Strength.DOCUMENTED,
    _MIDDLE,
)
FIELD_REMOVED = rule(
    "layout.field-removed",
    "A field is not removed or renamed: programs that set or read it go on to do so.",
    Strength.DOCUMENTED,
    _MIDDLE,
)
TAIL_GROWTH = rule(
    "layout.tail-growth",
    "Only a structure that tells its size, by argsz or in iommufd by size, grows at its tail.",
    Strength.DOCUMENTED,
    _EXTENSION,
    _ZEROES,
)
TAIL_FLAG = rule(
    "layout.tail-flag",
    "A field that is added to a structure with argsz comes with a flag that says it is valid.",
    Strength.DOCUMENTED,
    _EXTENSION,
)
RESERVED_BYTES = rule(
    "layout.reserved-bytes",
    "Reserved bytes and padding get a meaning only with a flag to say so, or where the kernel has "
    "always refused what is not zero.",
    Strength.DOCUMENTED,
    _EXTENSION,
    _TYPE_FLAGS,
    _ZEROES,
)
STRUCT_SIZE = rule(
    "layout.struct-size",
    "A structure has no other size unless fields are added at its tail.",
    Strength.DOCUMENTED,
    _MIDDLE,
)
ALIGNMENT = rule(
    "layout.alignment",
    "A structure keeps its alignment: it is embedded in others, and in programs' own.",
    Strength.DOCUMENTED,
    _MIDDLE,
)
SAME_FOR_I386 = rule(
    "layout.same-for-i386",
    "A structure is laid out for 32-bit programs as for 64-bit ones: their ioctls are not "
    "translated.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_main.c", "vfio_device_fops"),
)
STRUCT_REMOVED = rule(
    "layout.struct-removed", "A structure is not removed.", Strength.DOCUMENTED, _MIDDLE
)
IOCTL_NUMBER = rule(
    "layout.ioctl-number",
    "An ioctl keeps its number.",
    Strength.DOCUMENTED,
    _NUMBER_THREAD,
)
IOCTL_SIZE = rule(
    "layout.ioctl-size",
    "An ioctl number encodes neither size nor direction, so that its structure can grow.",
    Strength.DOCUMENTED,
    _NO_SIZE,
    _NUMBER_THREAD,
)
CONSTANT_VALUE = rule(
    "layout.constant-value",
    "A flag, an index, an id or a string keeps its value.",
    Strength.DOCUMENTED,
    _MIDDLE,
)
CONSTANT_REMOVED = rule(
    "layout.constant-removed",
    "A name is not removed from the headers: programs that use it would no longer compile.",
    Strength.OBSERVED,
    Source(HEADER, "__VFIO_RESERVED_TYPE1_NESTING_IOMMU"),
)
VALUE_REUSED = rule(
    "layout.value-reused",
    "The value of a flag, an index, an id or an ioctl is not given to another.",
    Strength.OBSERVED,
    Source(HEADER, "VFIO_REGION_TYPE_MIGRATION_DEPRECATED"),
    Source(HEADER, "__VFIO_RESERVED_TYPE1_NESTING_IOMMU"),
)
ENUM_SHIFTED = rule(
    "layout.enum-shifted",
    "The values of an enum stay: what is new comes behind them.",
    Strength.DOCUMENTED,
    _MIDDLE,
    Source(HEADER, "vfio_device_mig_state"),
)
FIXED_RANGE = rule(
    "layout.fixed-index-range",
    "A range of fixed indexes does not grow: what is behind it belongs to capabilities.",
    Strength.DOCUMENTED,
    _FIXED,
    Source(HEADER, "VFIO_PCI_NUM_REGIONS", quote="Fixed user ABI, region indexes >=9 use"),
)
