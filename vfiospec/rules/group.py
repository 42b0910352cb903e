# SPDX-License-Identifier: MIT
"""/dev/vfio/N: one owner, a container, and the fds of its devices."""

from errno import (
    EACCES,
    EBADF,
    EBADFD,
    EBUSY,
    EFAULT,
    EINVAL,
    EMFILE,
    ENODEV,
    ENOTTY,
    EPERM,
    ESPIPE,
)
from typing import Final

from vfiospec.abi import vfio
from vfiospec.rules.model import HEADER, PCI_CORE, Answer, Source, Strength, rule

_GROUP: Final = "drivers/vfio/group.c"
_OPEN = Source(_GROUP, "vfio_group_fops_open")
_STATUS = Source(_GROUP, "vfio_group_ioctl_get_status")
_SET = Source(_GROUP, "vfio_group_ioctl_set_container")
_UNSET = Source(_GROUP, "vfio_group_ioctl_unset_container")
_FD = Source(_GROUP, "vfio_group_ioctl_get_device_fd")
_DEVICE_OPEN = Source(_GROUP, "vfio_device_open_file")
_NAME = Source(_GROUP, "vfio_device_get_from_name")
_MATCH = Source(PCI_CORE, "vfio_pci_core_match")
_OWNER = Source("drivers/iommu/iommu.c", "iommu_group_claim_dma_owner")
_FILLS = Source(HEADER, "VFIO_GROUP_GET_STATUS", quote="Retrieve information about the group.")
_TOKEN_DOC = Source(
    HEADER, "VFIO_DEVICE_FEATURE_PCI_VF_TOKEN", quote="which is used as a shared secret between PF"
)

# Opening

OPEN_EXCLUSIVE = rule(
    "group.open-exclusive",
    "A group that is open cannot be opened again, by whomever and with whatever flags: EBUSY.",
    Strength.ENFORCED,
    _OPEN,
    answer=EBUSY,
)

OPEN_HELD = rule(
    "group.open-held",
    "A group is open as long as one of its device's fds is, or a mapping of a closed one: EBUSY.",
    Strength.ENFORCED,
    Source("drivers/vfio/container.c", "vfio_group_use_container"),
    _OPEN,
    answer=EBUSY,
)

OPEN_AGAIN = rule(
    "group.open-again",
    "A group that nobody holds any more can be opened, and is as new.",
    Strength.ENFORCED,
    Source(_GROUP, "vfio_group_fops_release"),
)

OPEN_UNPRIVILEGED = rule(
    "group.open-unprivileged",
    "A user to whom the group's file was not given cannot open it: EACCES.",
    Strength.ENFORCED,
    Source("drivers/base/devtmpfs.c", "devtmpfs_create_node"),
    answer=EACCES,
)

FILE_MODE = rule(
    "group.file-mode",
    "udev is told no mode for a group's file, which is root's own then until root gives it away.",
    Strength.ENFORCED,
    Source(_GROUP, "vfio_devnode"),
    Source("drivers/base/devtmpfs.c", "devtmpfs_create_node"),
    answer=0,
)

USE_UNPRIVILEGED = rule(
    "group.use-unprivileged",
    "Whoever was given an open group needs no privilege to use it: container, model, device.",
    Strength.ENFORCED,
    Source("drivers/vfio/container.c", "vfio_ioctl_set_iommu"),
    _SET,
)

OPEN_CDEV = rule(
    "group.open-cdev",
    "While a device of it is bound through its own file a group cannot be opened, nor the other "
    "way round: EBUSY.",
    Strength.ENFORCED,
    _OPEN,
    Source(_GROUP, "vfio_device_block_group"),
    answer=EBUSY,
)

OPEN_NOIOMMU = rule(
    "group.open-noiommu",
    "A noiommu group takes CAP_SYS_RAWIO to open: EPERM.",
    Strength.ENFORCED,
    _OPEN,
    answer=EPERM,
)

# GET_STATUS

STATUS_ARGSZ = rule(
    "group.status-argsz",
    "GET_STATUS whose argsz ends before flags fails with EINVAL and writes nothing.",
    Strength.ENFORCED,
    _STATUS,
    answer=EINVAL,
)

STATUS_REPLY = rule(
    "group.status-reply",
    "GET_STATUS writes the flags and nothing else, whatever they were and however large argsz is.",
    Strength.DOCUMENTED,
    _FILLS,
    Source(HEADER, "VFIO_GROUP_GET_STATUS", quote="Caller sets argsz."),
    _STATUS,
)

STATUS_ADDRESS = rule(
    "group.status-address",
    "GET_STATUS whose argument cannot be read, or not written, fails with EFAULT.",
    Strength.ENFORCED,
    _STATUS,
    answer=EFAULT,
)

STATUS_FREE = rule(
    "group.status-free",
    "A group all of whose devices vfio or no driver has is viable; no container is set at first.",
    Strength.DOCUMENTED,
    _FILLS,
    Source(HEADER, "VFIO_GROUP_FLAGS_VIABLE"),
    _STATUS,
    answer=vfio.VFIO_GROUP_FLAGS_VIABLE,
)

STATUS_SET = rule(
    "group.status-set",
    "From SET_CONTAINER on, GET_STATUS says so too.",
    Strength.DOCUMENTED,
    _FILLS,
    Source(HEADER, "VFIO_GROUP_FLAGS_CONTAINER_SET"),
    _STATUS,
    answer=vfio.VFIO_GROUP_FLAGS_VIABLE | vfio.VFIO_GROUP_FLAGS_CONTAINER_SET,
)

STATUS_NOT_VIABLE = rule(
    "group.status-not-viable",
    "A group one of whose devices a host driver has is not viable.",
    Strength.DOCUMENTED,
    _FILLS,
    Source(HEADER, "VFIO_GROUP_FLAGS_VIABLE"),
    _STATUS,
    answer=0,
)

# Viability

NOT_VIABLE_SET = rule(
    "group.not-viable-set-container",
    "SET_CONTAINER of a group that is not viable is refused since a container claims its groups.",
    Strength.ENFORCED,
    _OWNER,
    answer=(
        Answer(EPERM, ">=5.19", "a host driver owns the DMA of the group"),
        Answer(0, "<5.19", "viability was asked for later, at GET_DEVICE_FD"),
    ),
)

NOT_VIABLE_FD = rule(
    "group.not-viable-no-device",
    "A group that is not viable gives no device away: EINVAL.",
    Strength.ENFORCED,
    Source(_GROUP, "vfio_df_group_open"),
    answer=EINVAL,
)

SIBLING_UNBOUND = rule(
    "group.sibling-without-driver",
    "A device of the group without any driver leaves it viable, but cannot be had: ENODEV.",
    Strength.ENFORCED,
    _NAME,
    answer=ENODEV,
)

BIND_WHILE_OWNED = rule(
    "group.bind-host-while-owned",
    "While a group is in a container, no host driver takes one of its devices: EBUSY.",
    Strength.ENFORCED,
    Source("drivers/iommu/iommu.c", "iommu_device_use_default_domain"),
    answer=EBUSY,
)

BIND_AFTERWARDS = rule(
    "group.bind-host-afterwards",
    "Once the group has left its container a host driver can take its devices.",
    Strength.ENFORCED,
    Source("drivers/iommu/iommu.c", "iommu_group_release_dma_owner"),
)

# Without devices

ORPHANED = rule(
    "group.without-devices",
    "When vfio's last device of an open group is unbound the group leaves its container and is "
    "dead: GET_STATUS, SET_CONTAINER and GET_DEVICE_FD fail with ENODEV.",
    Strength.ENFORCED,
    Source(_GROUP, "vfio_device_remove_group"),
    answer=ENODEV,
)

ORPHANED_UNSET = rule(
    "group.without-devices-unset",
    "UNSET_CONTAINER after, or while, vfio's last device of the group is unbound.",
    Strength.ENFORCED,
    Source(_GROUP, "vfio_device_remove_group"),
    answer=(
        Answer(EINVAL, ">=6.1", "unbinding took the group out of its container"),
        Answer(0, "<6.1", "unbinding waits for it"),
    ),
)

ORPHANED_CONTAINER = rule(
    "group.without-devices-container",
    "A container whose only group lost its devices is as new: IOMMU calls fail with EINVAL.",
    Strength.ENFORCED,
    Source(_GROUP, "vfio_device_remove_group"),
    answer=EINVAL,
)

REBOUND = rule(
    "group.bound-again",
    "A device that was unbound and bound again is there as before, in a group of the same number; "
    "calls that failed or files that are closed do not hold it up.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_main.c", "vfio_unregister_group_dev"),
    Source(_GROUP, "vfio_create_group"),
)

# SET_CONTAINER

SET_CONTAINER = rule(
    "group.set-container",
    "SET_CONTAINER with the fd of a container succeeds, and reads just four bytes.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_GROUP_SET_CONTAINER", quote="Return: 0 on success, -errno on failure."),
    _SET,
)

SET_ADDRESS = rule(
    "group.set-container-address",
    "SET_CONTAINER whose argument cannot be read fails with EFAULT.",
    Strength.ENFORCED,
    _SET,
    answer=EFAULT,
)

SET_CLOSED = rule(
    "group.set-container-closed-fd",
    "SET_CONTAINER with the number of no open file, or of one opened as a path only, fails with "
    "EBADF.",
    Strength.ENFORCED,
    _SET,
    answer=EBADF,
)

SET_NEGATIVE = rule(
    "group.set-container-negative-fd",
    "SET_CONTAINER with a negative number fails.",
    Strength.ENFORCED,
    _SET,
    answer=(
        Answer(EBADF, ">=6.1", "no such file"),
        Answer(EINVAL, "<6.1", "the sign was looked at first"),
    ),
)

SET_WRONG_FILE = rule(
    "group.set-container-wrong-file",
    "SET_CONTAINER with a file that is no container fails.",
    Strength.ENFORCED,
    _SET,
    answer=(
        Answer(EBADFD, ">=6.2", "neither a container nor an iommufd, which 6.2 brought"),
        Answer(EINVAL, "<6.2", "no container"),
    ),
)

SET_TWICE = rule(
    "group.set-container-twice",
    "SET_CONTAINER of a group that is in a container fails with EINVAL, be it the same, another, "
    "or no container at all; the group stays where it is.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_GROUP_SET_CONTAINER", quote="Groups may only belong to a single"),
    _SET,
    answer=EINVAL,
)

SET_TWICE_CLOSED = rule(
    "group.set-container-twice-closed-fd",
    "SET_CONTAINER of a group that is in a container fails, also with the number of no open file.",
    Strength.ENFORCED,
    _SET,
    answer=(
        Answer(EBADF, ">=6.1", "the file is looked up first"),
        Answer(EINVAL, "<6.1", "the group was looked at first"),
    ),
)

# UNSET_CONTAINER

UNSET = rule(
    "group.unset-container",
    "UNSET_CONTAINER succeeds once all devices are closed; then the group is in its first state "
    "and can be set anew.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_GROUP_UNSET_CONTAINER",
        quote="opposite of the SET_CONTAINER call and returns the group to an initial state.",
    ),
    _UNSET,
)

UNSET_NONE = rule(
    "group.unset-container-none",
    "UNSET_CONTAINER of a group that is in no container fails with EINVAL.",
    Strength.ENFORCED,
    _UNSET,
    Source(HEADER, "VFIO_GROUP_UNSET_CONTAINER", quote="Availability: When attached to container"),
    answer=EINVAL,
)

UNSET_BUSY = rule(
    "group.unset-container-busy",
    "UNSET_CONTAINER while a device fd or a mapping of one is left fails with EBUSY and changes "
    "nothing.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_GROUP_UNSET_CONTAINER", quote="All device file descriptors must be"),
    _UNSET,
    answer=EBUSY,
)

# GET_DEVICE_FD

FD_TOO_EARLY = rule(
    "group.device-fd-too-early",
    "GET_DEVICE_FD before SET_CONTAINER, or before SET_IOMMU, fails with EINVAL.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_GROUP_GET_DEVICE_FD", quote="containing the device must already be added"),
    Source(_GROUP, "vfio_df_group_open"),
    Source("drivers/vfio/container.c", "vfio_group_use_container"),
    answer=EINVAL,
)

FD_TOO_EARLY_NAME = rule(
    "group.device-fd-too-early-unknown-name",
    "GET_DEVICE_FD of an unknown name fails also before SET_CONTAINER.",
    Strength.ENFORCED,
    _FD,
    answer=(
        Answer(ENODEV, ">=6.1", "the name is looked up first"),
        Answer(EINVAL, "<6.1", "the container is looked at first"),
    ),
)

FD = rule(
    "group.device-fd",
    "GET_DEVICE_FD gives a new fd of just the device that is named.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_GROUP_GET_DEVICE_FD", quote="Return: new file descriptor on success"),
    Source(HEADER, "VFIO_GROUP_GET_DEVICE_FD", quote="The string should match a device listed in"),
    _NAME,
)

FD_UNKNOWN_NAME = rule(
    "group.device-fd-unknown-name",
    "GET_DEVICE_FD of a name that is not just a device's of the group fails with ENODEV.",
    Strength.ENFORCED,
    _NAME,
    _MATCH,
    answer=ENODEV,
)

FD_SPACES = rule(
    "group.device-fd-spaces",
    "Spaces behind the name of a device change nothing.",
    Strength.ENFORCED,
    _MATCH,
)

FD_OPTION = rule(
    "group.device-fd-option",
    "GET_DEVICE_FD with an option that is unknown, malformed or given twice fails with EINVAL.",
    Strength.ENFORCED,
    _MATCH,
    answer=EINVAL,
)

FD_TOKEN = rule(
    "group.device-fd-token",
    "The physical function of SR-IOV accepts vf_token= with a UUID while no function is in use.",
    Strength.ENFORCED,
    _TOKEN_DOC,
    Source(PCI_CORE, "vfio_pci_core_match_token_uuid"),
)

FD_TOKEN_UNUSED = rule(
    "group.device-fd-token-unused",
    "GET_DEVICE_FD with a VF token for a device without SR-IOV fails with EINVAL.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_match_token_uuid"),
    answer=EINVAL,
)

FD_NAME_LENGTH = rule(
    "group.device-fd-name-length",
    "A name of a page with its NUL is read; a longer one fails with EINVAL.",
    Strength.ENFORCED,
    _FD,
    answer=EINVAL,
)

FD_NAME_ADDRESS = rule(
    "group.device-fd-name-address",
    "A name that cannot be read to its NUL fails with EFAULT; nothing behind the NUL is read.",
    Strength.ENFORCED,
    _FD,
    answer=EFAULT,
)

FD_FLAGS = rule(
    "group.device-fd-flags",
    "A device fd can be read and written and is closed by exec.",
    Strength.ENFORCED,
    _FD,
    _DEVICE_OPEN,
)

OWN_FILE_ONLY = rule(
    "group.attach-by-own-file",
    "ATTACH_IOMMUFD_PT and DETACH_IOMMUFD_PT are for the device's own file: on an fd had from a "
    "group they are ENOTTY.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_main.c", "vfio_device_fops_unl_ioctl"),
    answer=ENOTTY,
)

FD_INFO = rule(
    "group.device-fd-info",
    "The fdinfo of a device fd names the device's folder in sysfs, in one line.",
    Strength.DOCUMENTED,
    Source(
        "Documentation/filesystems/proc.rst",
        "VFIO Device files",
        quote="is the sysfs path corresponding to the VFIO device",
    ),
    Source("drivers/vfio/vfio_main.c", "vfio_device_show_fdinfo"),
    answer=(
        Answer(1, ">=7.2", "the lines there must be: seen on 7.2"),
        Answer(0, "<7.2", "it came after 6.12, the last release seen without it"),
    ),
)

FD_SEEK = rule(
    "group.device-fd-seek",
    "A device fd has no position: lseek fails with ESPIPE.",
    Strength.OBSERVED,
    _DEVICE_OPEN,
    answer=ESPIPE,
)

FD_LIMIT = rule(
    "group.device-fd-limit",
    "GET_DEVICE_FD beyond RLIMIT_NOFILE fails with EMFILE, and the device is not open then.",
    Strength.ENFORCED,
    _FD,
    answer=EMFILE,
)

FD_SEVERAL = rule(
    "group.device-fd-several",
    "The fds of a device share its state, which lasts until the last of them is closed.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_main.c", "vfio_df_open"),
    Source("drivers/vfio/vfio_main.c", "vfio_df_close"),
)

FD_PASSED = rule(
    "group.device-fd-passed-on",
    "Files of container, group and device work in another process, be they inherited or passed by "
    "SCM_RIGHTS, and hold the group until that one has closed them or ended.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_main.c", "vfio_device_fops_release"),
)

HOLDS_MODULES = rule(
    "group.holds-modules",
    "An open device holds its driver's module; nothing is left of it once all files are closed.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_main.c", "vfio_df_device_first_open"),
    Source("drivers/vfio/vfio_main.c", "vfio_df_device_last_close"),
)

# What the driver takes

BRIDGE = rule(
    "group.bridge-not-taken",
    "A bridge is not vfio-pci's to have: it may be meant for it, and is refused all the same.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_register_device"),
    answer=(
        Answer(ENODEV, "<5.12", "a write to bind says so, whatever the driver said"),
        Answer(EINVAL, ">=5.12", "a write to bind says what the driver said"),
    ),
)

# iommufd in place of a container

IOMMUFD = rule(
    "group.iommufd",
    "An iommufd does as a container: set, it makes devices available, and UNSET_CONTAINER gives it "
    "back.",
    Strength.ENFORCED,
    _SET,
    Source("drivers/vfio/iommufd.c", "vfio_df_iommufd_bind"),
)
