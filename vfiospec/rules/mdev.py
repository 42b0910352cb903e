# SPDX-License-Identifier: MIT
"""Mediated devices: made and taken away through sysfs, and used like any other device."""

from errno import (
    EBADF,
    EBUSY,
    EEXIST,
    EFAULT,
    EINVAL,
    ENODEV,
    ENOENT,
    ENOSPC,
    ENOTTY,
    ERANGE,
    EUSERS,
)

from vfiospec.rules.model import HEADER, Answer, Source, Strength, rule

DOC = "Documentation/driver-api/vfio-mediated-device.rst"
SYSFS = "drivers/vfio/mdev/mdev_sysfs.c"
CORE = "drivers/vfio/mdev/mdev_core.c"
TYPE1 = "drivers/vfio/vfio_iommu_type1.c"
MTTY = "samples/vfio-mdev/mtty.c"
MDPY = "samples/vfio-mdev/mdpy.c"
MBOCHS = "samples/vfio-mdev/mbochs.c"
_SAMPLES = (Source(MTTY, "mtty_dev_ops"), Source(MDPY, "mdpy_dev_ops"))
_REGION = Source("drivers/vfio/vfio_main.c", "vfio_get_region_info")
_GFX = Source(HEADER, "VFIO_DEVICE_QUERY_GFX_PLANE")

# sysfs

TYPES = rule(
    "mdev.types",
    "Each type of a parent has create, available_instances, device_api, name and devices, and a "
    "description if its driver has one; device_api says vfio-pci of the samples.",
    Strength.DOCUMENTED,
    Source(DOC, "Mediated Device Management Interface Through sysfs"),
    Source(SYSFS, "mdev_types_core_attrs"),
)

CREATED = rule(
    "mdev.created",
    "A UUID written to create makes a device of that name, in small letters, which is listed with "
    "its type, and whose group can be opened.",
    Strength.DOCUMENTED,
    Source(DOC, "Mediated Device Management Interface Through sysfs"),
    Source(CORE, "mdev_device_create"),
)

BAD_UUID = rule(
    "mdev.bad-uuid",
    "What is no UUID, of 36 characters and at most one more, makes no device.",
    Strength.ENFORCED,
    Source(SYSFS, "create_store"),
    answer=EINVAL,
)

TWICE = rule(
    "mdev.same-uuid",
    "A UUID names one device, whatever its type and parent.",
    Strength.ENFORCED,
    Source(CORE, "mdev_device_create"),
    answer=EEXIST,
)

AVAILABLE = rule(
    "mdev.available",
    "available_instances falls as devices are made and rises as they are taken away, for each "
    "type of the parent.",
    Strength.DOCUMENTED,
    Source(DOC, "available_instances"),
    Source(SYSFS, "available_instances_show"),
)

NONE_LEFT = rule(
    "mdev.none-left",
    "With no instance left, none is made; this is the core's count.",
    Strength.ENFORCED,
    Source(CORE, "mdev_device_create"),
    answer=EUSERS,
)

NO_PORTS_LEFT = rule(
    "mdev.no-ports-left",
    "With no port left, mtty makes no device, and nothing remains of the attempt.",
    Strength.OBSERVED,
    Source(MTTY, "mtty_init_dev"),
    answer=ENOSPC,
)

REMOVED = rule(
    "mdev.removed",
    "A number other than 0 written to remove takes the device away, with its group.",
    Strength.DOCUMENTED,
    Source(DOC, "remove"),
    Source(SYSFS, "remove_store"),
)

BAD_REMOVE = rule(
    "mdev.bad-remove",
    "What is no number takes nothing away, nor does 0.",
    Strength.ENFORCED,
    Source(SYSFS, "remove_store"),
    answer=EINVAL,
)

IN_USE = rule(
    "mdev.removed-in-use",
    "Taking a device away waits until whoever has it open lets go of it; meanwhile nobody else "
    "can open it, and it goes on working.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_main.c", "vfio_unregister_group_dev"),
    answer=ENODEV,
)

# Info

INFO = rule(
    "mdev.device-info",
    "The samples are PCI devices, with the regions and interrupts of one.",
    Strength.OBSERVED,
    *_SAMPLES,
)

INFO_ARGSZ = rule(
    "mdev.info-argsz",
    "An INFO ioctl with an argsz that ends before its last field is refused.",
    Strength.ENFORCED,
    _REGION,
    *_SAMPLES,
    answer=EINVAL,
)

INFO_ADDRESS = rule(
    "mdev.info-address",
    "A structure of an INFO ioctl that is not there is a bad address.",
    Strength.ENFORCED,
    _REGION,
    *_SAMPLES,
    answer=EFAULT,
)

REGIONS = rule(
    "mdev.regions",
    "Each region has the size its BAR or the sample gives it; those without are empty.",
    Strength.OBSERVED,
    *_SAMPLES,
)

NO_REGION = rule(
    "mdev.no-region",
    "An index beyond the last is refused.",
    Strength.ENFORCED,
    *_SAMPLES,
    answer=EINVAL,
)

TYPE_CAP = rule(
    "mdev.region-type",
    "A region without an index of its own says what it is in a capability: mbochs' EDID.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_REGION_INFO_CAP_TYPE"),
    Source(HEADER, "VFIO_REGION_SUBTYPE_GFX_EDID"),
)

CAP_ROOM = rule(
    "mdev.capability-room",
    "Where argsz has no room for the capabilities, none are written: argsz says how much they "
    "need, and cap_offset is 0.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_info_cap_header"),
    _REGION,
)

CDEV = rule(
    "mdev.one-device-two-ways",
    "By its group and by its own file the device says the same.",
    Strength.ENFORCED,
    Source("drivers/vfio/iommufd.c", "vfio_iommufd_emulated_bind"),
)

CONFIG = rule(
    "mdev.config-space",
    "Config space reads as the sample's PCI header, in any width.",
    Strength.OBSERVED,
    Source(MTTY, "mtty_create_config_space"),
    Source(MDPY, "mdpy_create_config_space"),
)

BAR_SIZED = rule(
    "mdev.bar-sized",
    "A BAR to which ones were written tells by what it reads how large its region is.",
    Strength.ENFORCED,
    Source(MTTY, "handle_pci_cfg_write"),
    Source(MDPY, "handle_pci_cfg_write"),
    Source(MBOCHS, "handle_pci_cfg_write"),
)

UART = rule(
    "mdev.serial-port",
    "mtty's port keeps its registers and gives back what was sent, until it is full.",
    Strength.OBSERVED,
    Source(MTTY, "handle_bar_write"),
)

# Interrupts

IRQS = rule(
    "mdev.interrupts",
    "mtty has one INTx, which is masked as it comes, and one MSI.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_IRQ_INFO_AUTOMASKED"),
    Source(MTTY, "mtty_get_irq_info"),
)

NO_IRQS = rule(
    "mdev.no-interrupts",
    "A sample without interrupts has none to count or to set.",
    Strength.OBSERVED,
    Source(MDPY, "mdpy_get_irq_info"),
    answer=EINVAL,
)

SIGNALLED = rule(
    "mdev.interrupt-signalled",
    "The device's interrupt, and one made by SET_IRQS, signals the eventfd once each time.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_SET_IRQS"),
    Source(MTTY, "mtty_trigger_interrupt"),
)

MASKED = rule(
    "mdev.interrupt-masked",
    "A masked INTx signals nothing, until it is unmasked.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_IRQ_INFO_AUTOMASKED"),
    Source(MTTY, "mtty_set_irqs"),
)

IRQ_REFUSED = rule(
    "mdev.set-irqs-refused",
    "A range, an index or flags that mtty has not, or a second kind of interrupt, is refused.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_main.c", "vfio_set_irqs_validate_and_prepare"),
    Source(MTTY, "mtty_set_irqs"),
    answer=EINVAL,
)

IRQ_ABSENT = rule(
    "mdev.set-irqs-absent",
    "mtty has no MSI-X, no error and no request interrupt, and MSI cannot be masked.",
    Strength.OBSERVED,
    Source(MTTY, "mtty_set_irqs"),
    answer=ENOTTY,
)

IRQ_FD = rule(
    "mdev.set-irqs-fd",
    "A file number that is not open is refused.",
    Strength.ENFORCED,
    Source(MTTY, "mtty_set_irqs"),
    answer=EBADF,
)

# Displays

GFX_PROBE = rule(
    "mdev.gfx-probe",
    "A probe for the one kind of plane a display has succeeds; any other flags are refused.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_QUERY_GFX_PLANE", quote="Others are invalid and return -EINVAL"),
    Source(MDPY, "mdpy_query_gfx_plane"),
    answer=EINVAL,
)

GFX_ARGSZ = rule(
    "mdev.gfx-argsz",
    "An argsz that ends before the region's index is refused.",
    Strength.ENFORCED,
    Source(MDPY, "mdpy_ioctl"),
    answer=EINVAL,
)

GFX_REGION = rule(
    "mdev.gfx-region",
    "A display in a region tells its format, its size, and a region that has such a size.",
    Strength.DOCUMENTED,
    _GFX,
    Source(MDPY, "mdpy_query_gfx_plane"),
)

GFX_CONFIG = rule(
    "mdev.gfx-in-config-space",
    "mdpy tells format, width and height of its display in a vendor's capability too.",
    Strength.DOCUMENTED,
    Source(
        "samples/vfio-mdev/mdpy-defs.h",
        "MDPY_HEIGHT_OFFSET",
        quote="Configuration (read-only) is in pci config space.",
    ),
    Source(MDPY, "mdpy_create_config_space"),
)

GFX_OFF = rule(
    "mdev.gfx-off",
    "A plane that is off is told of with format, size, width and height 0.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_QUERY_GFX_PLANE", quote="success will be"),
    Source(MBOCHS, "mbochs_query_gfx_plane"),
)

GFX_FITS = rule(
    "mdev.gfx-fits",
    "mbochs shows no picture that is too small, of another depth than 32, or that goes beyond its "
    "memory.",
    Strength.OBSERVED,
    Source(MBOCHS, "mbochs_check_framebuffer"),
)

EDID_SHOWN = rule(
    "mdev.edid-shown",
    "What mbochs' user put into its EDID is in its registers, while the link is up.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_REGION_SUBTYPE_GFX_EDID"),
    Source(MBOCHS, "handle_mmio_read"),
)

GFX_DMABUF = rule(
    "mdev.gfx-dmabuf",
    "A plane that is on is told of with an id, for which there is a dma-buf.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_GET_GFX_DMABUF"),
    Source(MBOCHS, "mbochs_get_gfx_dmabuf"),
    answer=ENOENT,
)

GFX_ABSENT = rule(
    "mdev.gfx-absent",
    "A device without a display knows no planes.",
    Strength.OBSERVED,
    Source(MTTY, "mtty_ioctl"),
    answer=ENOTTY,
)

MAPPED = rule(
    "mdev.mapped",
    "The memory of mdpy can be mapped, shared and from its start, and no more than there is.",
    Strength.OBSERVED,
    Source(MDPY, "mdpy_mmap"),
    answer=EINVAL,
)

SAME_MEMORY = rule(
    "mdev.memory-read",
    "A region is read and written at the offset that was asked for: as it is when mapped.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_region_info"),
    Source(MDPY, "mdev_access"),
)

# type1 without an IOMMU

NO_UPDATE = rule(
    "mdev.no-vaddr-update",
    "A container with a mediated device has no UPDATE_VADDR.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_UPDATE_VADDR"),
    Source(TYPE1, "vfio_iommu_has_emulated"),
    answer=0,
)

UPDATE_BUSY = rule(
    "mdev.vaddr-update-busy",
    "UNMAP_DMA with VADDR is refused as long as the container has a mediated device.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_dma_do_unmap"),
    answer=EBUSY,
)

NO_RANGES = rule(
    "mdev.no-iova-ranges",
    "A container with mediated devices alone tells no ranges, and maps at any address.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_iommu_iova_build_caps"),
    Source(TYPE1, "vfio_iommu_iova_dma_valid"),
)

RANGES_GO = rule(
    "mdev.ranges-go",
    "When the last device behind an IOMMU leaves a container of mediated devices, its aperture and "
    "what is reserved for it bind no more: any address can be mapped again.",
    Strength.ENFORCED,
    Source(
        TYPE1,
        "vfio_iommu_aper_expand",
        quote="the removed domain decided the iova aperture window",
    ),
    Source(TYPE1, "vfio_iommu_resv_refresh"),
    answer=0,
)

PAGE_SIZES = rule(
    "mdev.page-sizes",
    "With mediated devices alone each size from a page on can be mapped, and iova_pgsizes says so.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_iommu_type1_open"),
    Source(TYPE1, "vfio_update_pgsize_bitmap"),
)

NOT_PINNED = rule(
    "mdev.not-pinned",
    "With mediated devices alone, mapped memory is not pinned before they ask for it.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_dma_do_map"),
)

CLEAN = rule(
    "mdev.clean",
    "Dirty pages are those a mediated device pinned: with none pinned, none is dirty; with a "
    "device behind an IOMMU, all are.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_iommu_type1_attach_group"),
    Source(TYPE1, "update_user_bitmap"),
)

LEFT_DIRTY = rule(
    "mdev.left-dirty",
    "When a device behind an IOMMU leaves while pages are logged, every page of every mapping is "
    "dirty once more, and then no longer.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_iommu_populate_bitmap_full"),
    Source(TYPE1, "vfio_iommu_type1_detach_group"),
)

TOO_LARGE_TO_START = rule(
    "mdev.too-large-to-log",
    "While a mapping has more than 2^31 - 1 pages START is EINVAL, and nothing is logged.",
    Strength.ENFORCED,
    Source(TYPE1, "DIRTY_BITMAP_PAGES_MAX"),
    Source(TYPE1, "vfio_iommu_type1_dirty_pages"),
    answer=EINVAL,
)

START_UNWOUND = rule(
    "mdev.too-large-to-log-unwound",
    "A START that is refused for one mapping keeps no memory for the bitmaps of the others.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_dma_bitmap_alloc_all"),
)

BITMAPS_FREED = rule(
    "mdev.bitmaps-freed",
    "STOP gives back the memory of all bitmaps, and the end of a mapping that of its own.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_dma_bitmap_free_all"),
    Source(TYPE1, "vfio_remove_dma"),
)

TOO_LARGE_TO_MAP = rule(
    "mdev.too-large-to-map",
    "While pages are logged, a mapping of more than 2^31 - 1 pages is EINVAL.",
    Strength.ENFORCED,
    Source(TYPE1, "DIRTY_BITMAP_PAGES_MAX"),
    Source(TYPE1, "vfio_dma_do_map"),
    answer=EINVAL,
)

KEPT = rule(
    "mdev.mappings-kept",
    "Mappings last while the container has a group of either kind, and go with the last.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_iommu_type1_detach_group"),
)

REPLAYED = rule(
    "mdev.replayed",
    "What was mapped before the first device behind an IOMMU came is mapped for it too: the same "
    "memory, at the same addresses, with the same access, and pinned from then on.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_iommu_type1_attach_group"),
    Source(TYPE1, "vfio_iommu_replay"),
)

REPLAY_FAILS = rule(
    "mdev.replay-fails",
    "If one of the mappings has no memory any more, SET_CONTAINER of the device behind an IOMMU is "
    "EFAULT: nothing is pinned, the group is free, and the container goes on as it was.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_iommu_type1_attach_group"),
    Source(TYPE1, "vfio_iommu_replay"),
    answer=EFAULT,
)

REPLAYED_ANEW = rule(
    "mdev.replayed-anew",
    "A mapping whose address was updated is of the memory at the new one: that is pinned, and "
    "mapped, for a device behind an IOMMU that comes later.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "vfio_iommu_type1_dma_map",
        quote="update the base vaddr for iova.",
    ),
    Source(TYPE1, "vfio_iommu_replay"),
    answer=0,
)

JOIN_RESERVED = rule(
    "mdev.join-reserved",
    "While a mapping lies in a region that is reserved for a device behind an IOMMU, and is not "
    "relaxable, SET_CONTAINER of the device is EINVAL, and the container goes on as it was.",
    Strength.ENFORCED,
    Source(
        TYPE1,
        "vfio_iommu_resv_conflict",
        quote="Check reserved region conflicts with existing dma mappings",
    ),
    Source(TYPE1, "vfio_iommu_type1_attach_group"),
    answer=EINVAL,
)

JOIN_BEYOND = rule(
    "mdev.join-beyond",
    "While a mapping lies beyond what an Intel IOMMU can map, SET_CONTAINER of a device behind it "
    "is refused: nothing is pinned, the group is free, and the container goes on as it was.",
    Strength.ENFORCED,
    Source(TYPE1, "vfio_iommu_replay"),
    Source("drivers/iommu/generic_pt/iommu_pt.h", "check_map_range"),
    answer=(
        Answer(EFAULT, "<6.19", "intel_iommu_map: the width of the IOMMU is not sufficient"),
        Answer(ERANGE, ">=6.19", "the IOMMU driver has the generic page table"),
    ),
)

JOIN_SMALLER = rule(
    "mdev.join-smaller-aperture",
    "Where a device behind an IOMMU has been and left, one that has not all that is mapped since "
    "cannot join, and nothing is pinned for it.",
    Strength.ENFORCED,
    Source(
        TYPE1,
        "vfio_iommu_aper_conflict",
        quote="Check for any existing dma mappings beyond the new end",
    ),
    answer=(
        Answer(EFAULT, "<6.18", "vfio_find_dma finds nothing up to the last address: it is tried"),
        Answer(EINVAL, ">=6.18", "what is beyond the aperture is found before it is tried"),
    ),
)
