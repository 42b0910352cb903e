# SPDX-License-Identifier: MIT
"""Devices without an IOMMU: handed out when told to, to whoever may touch the machine itself."""

from errno import EINVAL, ENODEV, ENOENT, ENOTTY, EOPNOTSUPP, EOVERFLOW, EPERM

from vfiospec.rules.model import HEADER, Answer, Source, Strength, rule

_GROUP = "drivers/vfio/group.c"
_CONTAINER = "drivers/vfio/container.c"
_MAIN = "drivers/vfio/vfio_main.c"
_CDEV = "drivers/vfio/device_cdev.c"
_IOAS = "drivers/iommu/iommufd/ioas.c"
_COMPAT = "drivers/iommu/iommufd/vfio_compat.c"
_IOMMUFD = "include/uapi/linux/iommufd.h"
_DOCUMENT = "Documentation/driver-api/vfio.rst"
_HEADER = Source(
    HEADER,
    "VFIO_NOIOMMU_IOMMU",
    quote="The No-IOMMU IOMMU offers no translation or isolation for devices and",
)
_GET_PA = Source(_IOAS, "iommufd_ioas_noiommu_get_pa")
_QUERY = Source(
    _IOMMUFD,
    "iommu_ioas_noiommu_get_pa",
    quote="Query the physical address backing an IOVA range.",
)

# The gate

GATE = rule(
    "noiommu.gate",
    "While enable_unsafe_noiommu_mode is off, vfio-pci does not take a device without an IOMMU.",
    Strength.ENFORCED,
    Source(_GROUP, "vfio_group_find_or_alloc"),
    answer=EINVAL,
)

TAINT = rule(
    "noiommu.taint",
    "A device without an IOMMU that vfio-pci takes taints the kernel: bit 6, TAINT_USER.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_NOIOMMU_IOMMU", quote="code will taint the host kernel"),
    Source(_GROUP, "vfio_group_find_or_alloc"),
    answer=1 << 6,
)

NAME = rule(
    "noiommu.group-name",
    "The group of such a device is /dev/vfio/noiommu-N, and nothing is called /dev/vfio/N; in "
    "sysfs group N is called vfio-noiommu and holds the device alone.",
    Strength.DOCUMENTED,
    Source(_DOCUMENT, "VFIO NOIOMMU mode", quote="|-- noiommu-Y"),
    Source(_GROUP, "vfio_noiommu_group_alloc"),
)

# The group path

SET_CONTAINER_CAPABILITY = rule(
    "noiommu.set-container-capability",
    "SET_CONTAINER of such a group takes CAP_SYS_RAWIO.",
    Strength.ENFORCED,
    Source(_CONTAINER, "vfio_container_attach_group"),
    answer=EPERM,
)

DEVICE_FD_CAPABILITY = rule(
    "noiommu.get-device-fd-capability",
    "GET_DEVICE_FD in such a group takes CAP_SYS_RAWIO.",
    Strength.ENFORCED,
    Source(_CONTAINER, "vfio_group_use_container"),
    answer=EPERM,
)

EXTENSIONS = rule(
    "noiommu.extensions",
    "A container with such a group has no extension but NOIOMMU, and that while "
    "enable_unsafe_noiommu_mode is on.",
    Strength.ENFORCED,
    Source(_CONTAINER, "vfio_container_ioctl_check_extension"),
    Source(_CONTAINER, "vfio_noiommu_ioctl"),
    _HEADER,
    answer=0,
)

MODEL = rule(
    "noiommu.model",
    "SET_IOMMU of such a container takes NOIOMMU alone; any other model is ENODEV.",
    Strength.ENFORCED,
    Source(_CONTAINER, "vfio_ioctl_set_iommu"),
    answer=ENODEV,
)

CALLS = rule(
    "noiommu.calls",
    "A container with NOIOMMU set knows no call of type1's.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_NOIOMMU_IOMMU",
        quote="supports no ioctls outside of VFIO_CHECK_EXTENSION.",
    ),
    Source(_CONTAINER, "vfio_noiommu_ioctl"),
    answer=ENOTTY,
)

DEVICE = rule(
    "noiommu.device",
    "A device that is opened so answers as any other: information, regions, interrupts, reset.",
    Strength.DOCUMENTED,
    Source(_DOCUMENT, "VFIO NOIOMMU mode", quote="| VFIO device UAPI  | Yes"),
)

DMA = rule(
    "noiommu.dma",
    "Addresses the device uses are physical: it reads and writes memory where that really is.",
    Strength.DOCUMENTED,
    _HEADER,
)

# An iommufd in place of the container

COMPAT_EXTENSIONS = rule(
    "noiommu.compat-extensions",
    "An iommufd that stands for the container of such a group says 1 to NOIOMMU, 0 to type1.",
    Strength.ENFORCED,
    Source(_COMPAT, "iommufd_vfio_check_extension"),
    answer=1,
)

COMPAT_MODEL = rule(
    "noiommu.compat-model",
    "SET_IOMMU of an iommufd that stands for such a container takes NOIOMMU alone.",
    Strength.ENFORCED,
    Source(_COMPAT, "iommufd_vfio_set_iommu"),
    answer=EINVAL,
)

COMPAT_CAPABILITY = rule(
    "noiommu.compat-capability",
    "NOIOMMU of an iommufd takes CAP_SYS_RAWIO to set, and so does a device through it.",
    Strength.ENFORCED,
    Source(_COMPAT, "iommufd_vfio_set_iommu"),
    Source(_GROUP, "vfio_df_group_open"),
    answer=EPERM,
)

COMPAT_TRANSLATION = rule(
    "noiommu.compat-translation",
    "An iommufd with an address space for containers cannot stand for one of such a group: its "
    "owner expects translation.",
    Strength.ENFORCED,
    Source(_COMPAT, "iommufd_vfio_compat_set_no_iommu"),
    answer=EINVAL,
)

COMPAT_ALONE = rule(
    "noiommu.compat-alone",
    "An iommufd that has stood for the container of such a group stands for none of another group: "
    "that would be promised translation.",
    Strength.ENFORCED,
    Source(
        _COMPAT,
        "iommufd_vfio_compat_ioas_create",
        quote="VFIO won't allow attaching a container to both iommu and no iommu",
    ),
    answer=EINVAL,
)

COMPAT_EXPECTED = rule(
    "noiommu.compat-translation-expected",
    "An iommufd whose owner gives it an address space for containers later hands no device of such "
    "a group out, until that is cleared; a further fd of one that is open it does.",
    Strength.ENFORCED,
    Source(_GROUP, "vfio_df_group_open", quote="Require no compat ioas to be assigned to proceed."),
    Source("drivers/vfio/iommufd.c", "vfio_iommufd_device_has_compat_ioas"),
    answer=EPERM,
)

# The device's own file

CDEV_NAME = rule(
    "noiommu.cdev-name",
    "The own file of such a device is called noiommu-vfioN; before it was made usable there was "
    "none. The number is 1 if there is one.",
    Strength.DOCUMENTED,
    Source(_DOCUMENT, "VFIO NOIOMMU mode", quote="noiommu-vfioX"),
    Source(_MAIN, "vfio_device_set_noiommu_and_name"),
    answer=(
        Answer(1, ">=7.3", "IOMMUFD_NOIOMMU came with 7.3"),
        Answer(0, "<7.3", "cdevs were for devices with an IOMMU"),
    ),
)

CDEV_CAPABILITY = rule(
    "noiommu.cdev-capability",
    "The own file of such a device takes CAP_SYS_RAWIO to open.",
    Strength.ENFORCED,
    Source(_CDEV, "vfio_device_fops_cdev_open"),
    answer=EPERM,
)

BIND = rule(
    "noiommu.bind",
    "Such a device is bound to an iommufd, attached to its address spaces and page tables, moved "
    "and detached as any other.",
    Strength.DOCUMENTED,
    Source(_DOCUMENT, "VFIO NOIOMMU mode", quote="| IOMMUFD IOAS      | No"),
)

HW_INFO = rule(
    "noiommu.hw-info",
    "There is no IOMMU to tell of: GET_HW_INFO of such a device is EOPNOTSUPP.",
    Strength.ENFORCED,
    Source("drivers/iommu/iommufd/device.c", "iommufd_get_hw_info"),
    answer=EOPNOTSUPP,
)

# IOAS_NOIOMMU_GET_PA

PA = rule(
    "noiommu.get-pa",
    "GET_PA tells the physical address an IOVA stands for, and how many bytes from there lie one "
    "behind the other, at most those that were asked for.",
    Strength.DOCUMENTED,
    _QUERY,
    _GET_PA,
)

PA_CAPABILITY = rule(
    "noiommu.get-pa-capability",
    "GET_PA takes CAP_SYS_RAWIO.",
    Strength.ENFORCED,
    _GET_PA,
    answer=EPERM,
)

PA_RESERVED = rule(
    "noiommu.get-pa-reserved",
    "Flags of GET_PA, and what is not 0 in its reserved field, are EOPNOTSUPP.",
    Strength.DOCUMENTED,
    Source(_IOMMUFD, "iommu_ioas_noiommu_get_pa", quote="Reserved, must be 0 for now"),
    _GET_PA,
    answer=EOPNOTSUPP,
)

PA_LENGTH = rule(
    "noiommu.get-pa-length",
    "GET_PA of no bytes is EINVAL.",
    Strength.DOCUMENTED,
    Source(_IOMMUFD, "iommu_ioas_noiommu_get_pa", quote="length must be non-zero"),
    _GET_PA,
    answer=EINVAL,
)

PA_OVERFLOW = rule(
    "noiommu.get-pa-overflow",
    "GET_PA of the last address there is, is EOVERFLOW.",
    Strength.ENFORCED,
    _GET_PA,
    answer=EOVERFLOW,
)

PA_UNMAPPED = rule(
    "noiommu.get-pa-unmapped",
    "GET_PA in an address space that does not exist, or of an IOVA that is not mapped, is ENOENT.",
    Strength.DOCUMENTED,
    Source(_IOMMUFD, "iommu_ioas_noiommu_get_pa", quote="range must be mapped already"),
    _GET_PA,
    answer=ENOENT,
)

PA_DEVICE = rule(
    "noiommu.get-pa-device",
    "GET_PA in an address space that no device without an IOMMU is attached to is EOPNOTSUPP.",
    Strength.DOCUMENTED,
    Source(_IOMMUFD, "iommu_ioas_noiommu_get_pa", quote="devices doing unsafe DMA only."),
    Source("drivers/iommu/iommufd/io_pagetable.c", "iopt_get_phys"),
    answer=EOPNOTSUPP,
)

TOLD = rule(
    "noiommu.open-told",
    "The kernel log tells each time a device without an IOMMU is opened by its group, and by whom.",
    Strength.ENFORCED,
    Source(_GROUP, "vfio_device_open_file", quote="vfio-noiommu device opened by user"),
)

MEDIATED = rule(
    "noiommu.mediated",
    "A mediated device is none of those without an IOMMU: it is named and used as it is elsewhere.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_main.c", "__vfio_register_dev"),
    Source("drivers/vfio/vfio_main.c", "vfio_register_emulated_iommu_dev"),
)
