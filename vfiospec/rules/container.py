# SPDX-License-Identifier: MIT
"""/dev/vfio/vfio: a container before, with and after an IOMMU model, and who shares it."""

from errno import EBUSY, EINVAL, ENODEV, EPERM
from typing import Final

from vfiospec.abi import vfio
from vfiospec.rules.model import HEADER, Answer, Source, Strength, rule

_CONTAINER: Final = "drivers/vfio/container.c"
_TYPE1: Final = "drivers/vfio/vfio_iommu_type1.c"
_CHECK = Source(_CONTAINER, "vfio_container_ioctl_check_extension")
_SET = Source(_CONTAINER, "vfio_ioctl_set_iommu")
_ATTACH = Source(_CONTAINER, "vfio_container_attach_group")
_DETACH = Source(_CONTAINER, "vfio_group_detach_container")
_KNOWN = Source(_TYPE1, "vfio_iommu_type1_check_extension")
_SUPPORTED = Source(HEADER, "VFIO_CHECK_EXTENSION", quote="Return: 0 if not supported, 1 (or some")
_VERIFIED = Source(HEADER, "VFIO_SET_IOMMU", quote="iommu driver as verified by calling")
_INITIAL = Source(
    HEADER, "VFIO_GROUP_UNSET_CONTAINER", quote="the IOMMU will be disabled and all state lost,"
)

OPEN = rule(
    "container.open",
    "Any user may open any number of containers, each with a state of its own.",
    Strength.ENFORCED,
    Source(_CONTAINER, "vfio_fops_open"),
    Source(_CONTAINER, "vfio_dev"),
)

FILE_MODE = rule(
    "container.file-mode",
    "udev is told that /dev/vfio/vfio is for everybody, DEVMODE=0666: a container without a group "
    "gives access to nothing.",
    Strength.DOCUMENTED,
    Source(
        "Documentation/driver-api/vfio.rst",
        "VFIO Usage Example",
        quote="mode 0666 by the system",
    ),
    Source(_CONTAINER, "vfio_dev"),
    answer=0o666,
)

API_VERSION = rule(
    "container.api-version",
    "GET_API_VERSION returns VFIO_API_VERSION at any time, whatever its argument.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_GET_API_VERSION", quote="Return: VFIO_API_VERSION Availability: Always"),
    answer=vfio.VFIO_API_VERSION,
)

READ_WRITE = rule(
    "container.read-write",
    "A container can be neither read nor written: EINVAL.",
    Strength.OBSERVED,
    Source(_CONTAINER, "vfio_fops"),
    answer=EINVAL,
)

MMAP = rule(
    "container.mmap",
    "A container cannot be mapped.",
    Strength.OBSERVED,
    Source(_CONTAINER, "vfio_fops"),
    answer=(
        Answer(ENODEV, ">=6.1", "a container has no mmap any more"),
        Answer(EINVAL, "<6.1", "mmap was handed on to an IOMMU driver, and none had one"),
    ),
)

# CHECK_EXTENSION

TYPE1 = rule(
    "container.extension-type1",
    "The extension TYPE1 is there, before and after SET_IOMMU.",
    Strength.DOCUMENTED,
    _SUPPORTED,
    _KNOWN,
    answer=1,
)

TYPE1V2 = rule(
    "container.extension-type1v2",
    "The extension TYPE1v2 is there, before and after SET_IOMMU.",
    Strength.DOCUMENTED,
    _SUPPORTED,
    _KNOWN,
    answer=1,
)

NESTING = rule(
    "container.extension-nesting",
    "TYPE1_NESTING was an extension until it was withdrawn.",
    Strength.ENFORCED,
    _KNOWN,
    answer=(
        Answer(0, ">=6.13", 'commit 35890f85573c ("vfio: Remove VFIO_TYPE1_NESTING_IOMMU")'),
        Answer(1, "<6.13", "type1 says so, on any IOMMU"),
    ),
)

UNMAP_ALL = rule(
    "container.extension-unmap-all",
    "UNMAP_ALL is there on kernels that can unmap all at once.",
    Strength.ENFORCED,
    _KNOWN,
    answer=(
        Answer(1, ">=5.12", 'since commit c19650995374 ("vfio/type1: implement unmap all")'),
        Answer(0, "<5.12", "not known yet"),
    ),
)

UPDATE_VADDR_BEFORE = rule(
    "container.extension-update-vaddr-before",
    "UPDATE_VADDR is not there before SET_IOMMU: whether it is depends on what is attached.",
    Strength.ENFORCED,
    _KNOWN,
    answer=0,
)

UPDATE_VADDR = rule(
    "container.extension-update-vaddr",
    "UPDATE_VADDR is there after SET_IOMMU in a container of physical devices.",
    Strength.ENFORCED,
    _KNOWN,
    answer=(
        Answer(1, ">=5.12", "no mediated device is in the container"),
        Answer(0, "<5.12", "not known yet"),
    ),
)

DMA_CC_BEFORE = rule(
    "container.extension-dma-cc-before",
    "DMA_CC_IOMMU is not there before SET_IOMMU: it is a property of the IOMMU.",
    Strength.ENFORCED,
    Source(_TYPE1, "vfio_domains_have_enforce_cache_coherency"),
    answer=0,
)

DMA_CC = rule(
    "container.extension-dma-cc",
    "After SET_IOMMU, DMA_CC_IOMMU says whether the IOMMU enforces coherency: on VT-d, whether the "
    "unit of the device has Snoop Control.",
    Strength.ENFORCED,
    Source(_TYPE1, "vfio_domains_have_enforce_cache_coherency"),
    Source("drivers/iommu/intel/iommu.h", "ecap_sc_support"),
)

UNSUPPORTED = rule(
    "container.extension-unsupported",
    "Extensions of other platforms, and numbers nobody knows, are not there; all bits count.",
    Strength.DOCUMENTED,
    _SUPPORTED,
    _CHECK,
    answer=0,
)

# SET_IOMMU

SET_WITHOUT_GROUP = rule(
    "container.set-without-group",
    "SET_IOMMU of any number fails with EINVAL while no group is in the container.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_SET_IOMMU", quote="A group must be set to this file descriptor before"),
    _SET,
    answer=EINVAL,
)

SET = rule(
    "container.set",
    "With a group in it, SET_IOMMU of a supported model succeeds; then the model's calls work.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_SET_IOMMU", quote="Return: 0 on success, -errno on failure"),
    _SET,
)

SET_UNSUPPORTED = rule(
    "container.set-unsupported",
    "SET_IOMMU of a number that CHECK_EXTENSION does not support fails with ENODEV.",
    Strength.ENFORCED,
    _SET,
    _VERIFIED,
    answer=ENODEV,
)

SET_EXTENSION = rule(
    "container.set-extension",
    "SET_IOMMU of UNMAP_ALL, an extension that is no model, fails.",
    Strength.ENFORCED,
    Source(_TYPE1, "vfio_iommu_type1_open"),
    answer=(
        Answer(EINVAL, ">=5.12", "type1 supports the number, and has no model of it"),
        Answer(ENODEV, "<5.12", "nobody knows the number"),
    ),
)

SET_SUPPORTED = rule(
    "container.set-supported",
    "A model that CHECK_EXTENSION supports can be set.",
    Strength.DOCUMENTED,
    _VERIFIED,
    _SUPPORTED,
)

SET_TWICE = rule(
    "container.set-twice",
    "A second SET_IOMMU of any number fails with EINVAL; the first one stays in force.",
    Strength.ENFORCED,
    _SET,
    answer=EINVAL,
)

SET_REFUSED = rule(
    "container.set-refused",
    "After a SET_IOMMU that failed no model is set, and another can be.",
    Strength.ENFORCED,
    _SET,
)

SET_UNSAFE = rule(
    "container.set-without-interrupt-remapping",
    "On a platform that does not isolate interrupts SET_IOMMU fails with EPERM, unless type1's "
    "allow_unsafe_interrupts is set.",
    Strength.ENFORCED,
    Source(_TYPE1, "vfio_iommu_type1_attach_group"),
    answer=EPERM,
)

MODEL = rule(
    "container.model",
    "The model that was set is the one in force: v1 unmaps the whole of a mapping that it is asked "
    "to unmap the start of, v2 refuses that with EINVAL.",
    Strength.DOCUMENTED,
    Source(
        HEADER, "VFIO_SET_IOMMU", quote="The IOMMU interfaces enabled by this call are specific"
    ),
    Source(_TYPE1, "vfio_iommu_type1_open"),
    answer=EINVAL,
)

HOLDS_DRIVER = rule(
    "container.holds-its-driver",
    "A container with a model set holds the IOMMU driver's module once; nothing else keeps hold of "
    "it, no call that failed among them.",
    Strength.ENFORCED,
    _SET,
    _DETACH,
)

# Groups

DEPRIVILEGED = rule(
    "container.deprivileged",
    "When its last group leaves, a container is as new: no model, no mappings, no pages locked; "
    "any model can be set once a group is back.",
    Strength.DOCUMENTED,
    _INITIAL,
    _DETACH,
    answer=EINVAL,
)

STAYS = rule(
    "container.stays-with-a-group",
    "While one group is left in a container its model and its mappings stay.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_GROUP_UNSET_CONTAINER", quote="When removing the last group"),
    _DETACH,
)

SHARED = rule(
    "container.shared-mappings",
    "All groups of a container see the same mappings, whenever they join.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_GROUP_SET_CONTAINER", quote="support multiple groups."),
    Source(_TYPE1, "vfio_iommu_replay"),
)

LEFT = rule(
    "container.left-group-sees-nothing",
    "A group that left a container sees its mappings no more.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_GROUP_UNSET_CONTAINER",
        quote="opposite of the SET_CONTAINER call and returns the group to an initial state.",
    ),
    _DETACH,
)

JOIN_REFUSED = rule(
    "container.join-refused",
    "A group that cannot join the model in force stays out, as it was: while a mapping has no "
    "valid address, SET_CONTAINER of another group fails with EBUSY.",
    Strength.ENFORCED,
    _ATTACH,
    Source(_TYPE1, "vfio_iommu_type1_attach_group"),
    answer=EBUSY,
)

JOIN_UNSAFE = rule(
    "container.join-without-interrupt-remapping",
    "On a platform that does not isolate interrupts SET_CONTAINER of a further group fails with "
    "EPERM, unless type1's allow_unsafe_interrupts is set; the group stays out, as it was.",
    Strength.ENFORCED,
    _ATTACH,
    Source(_TYPE1, "vfio_iommu_type1_attach_group"),
    answer=EPERM,
)

CLOSE_ORDER = rule(
    "container.close-order",
    "Container, group, device and mapping may be closed in any order: what is left works, and the "
    "group is free once the last of group, device and mapping is gone.",
    Strength.ENFORCED,
    Source(_CONTAINER, "vfio_container_release"),
    Source("drivers/vfio/group.c", "vfio_group_fops_release"),
)

LOSES_ITS_GROUP = rule(
    "container.loses-a-closed-group",
    "The last file of a group that is closed takes the group out of its container: no model is set "
    "any more, and IOMMU calls fail with EINVAL.",
    Strength.ENFORCED,
    Source("drivers/vfio/group.c", "vfio_group_fops_release"),
    answer=EINVAL,
)

OTHER_PROCESS = rule(
    "container.other-process",
    "A container may be used by a process that did not open it; a mapping is of the memory of the "
    "process that made it.",
    Strength.OBSERVED,
    Source(_TYPE1, "vfio_dma_do_map"),
)

OTHER_PROCESS_UNMAPS = rule(
    "container.other-process-unmaps",
    "Another process unmaps so many pages of a mapping of one page.",
    Strength.OBSERVED,
    Source(_TYPE1, "vfio_dma_do_unmap"),
    answer=(
        Answer(1, ">=6.1", "whoever holds the container may unmap"),
        Answer(0, "<6.1", "mappings of another process were passed over"),
    ),
)

# Without an IOMMU

NOIOMMU_EXTENSION = rule(
    "container.noiommu-extension",
    "NOIOMMU is there while enable_unsafe_noiommu_mode is set, but for a container with a real "
    "group, which cannot use it.",
    Strength.ENFORCED,
    Source(_CONTAINER, "vfio_iommu_driver_allowed"),
    Source(_CONTAINER, "vfio_noiommu_ioctl"),
    answer=1,
)

NOIOMMU_MIX = rule(
    "container.noiommu-mix",
    "Real and noiommu groups cannot be in one container: EPERM.",
    Strength.ENFORCED,
    _ATTACH,
    answer=EPERM,
)

NOIOMMU_CALLS = rule(
    "container.noiommu-calls",
    "A noiommu container knows CHECK_EXTENSION only, and takes CAP_SYS_RAWIO to set: EPERM.",
    Strength.ENFORCED,
    Source(_CONTAINER, "vfio_noiommu_open"),
    answer=EPERM,
)
