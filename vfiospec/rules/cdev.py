# SPDX-License-Identifier: MIT
"""A device's own file: binding it to an iommufd, attaching it to page tables, giving it up."""

from errno import (
    E2BIG,
    EACCES,
    EAGAIN,
    EBADF,
    EBADFD,
    EBUSY,
    EFAULT,
    EINVAL,
    ENODEV,
    ENOENT,
    ENOTTY,
    EOPNOTSUPP,
    EPERM,
)

from vfiospec.rules.model import HEADER, PCI_CORE, Answer, Source, Strength, rule

_CDEV = "drivers/vfio/device_cdev.c"
_MAIN = "drivers/vfio/vfio_main.c"
_GLUE = "drivers/vfio/iommufd.c"
_OBJECTS = "drivers/iommu/iommufd/device.c"
_BIND = Source(_CDEV, "vfio_df_ioctl_bind_iommufd")
_ATTACH = Source(_CDEV, "vfio_df_ioctl_attach_pt")
_DETACH = Source(_CDEV, "vfio_df_ioctl_detach_pt")
_UNBIND = Source(_CDEV, "vfio_df_unbind_iommufd")
_TOKEN = Source(_CDEV, "vfio_df_check_token")
_CHANGE = Source(_OBJECTS, "iommufd_device_change_pt")
_TOKENS = "new in 6.17 with VFIO_DEVICE_BIND_FLAG_TOKEN (commit 86624ba3b522)"
_PASIDS = "new in 6.15 with VFIO_DEVICE_ATTACH_PASID and VFIO_DEVICE_DETACH_PASID"
_NO_PASIDS = "before 6.15 no flags were known"
_BEFORE = "before 6.17 only the first 16 bytes of the structure were known"

# Before it is bound

FILE_MODE = rule(
    "cdev.file-mode",
    "udev is told no mode for a device's own file, which is root's own then until root gives it "
    "away.",
    Strength.DOCUMENTED,
    Source(
        "Documentation/driver-api/vfio.rst",
        "VFIO Device cdev",
        quote="crw------- 1 root root 511, 0 Feb 16 01:22 /dev/vfio/devices/vfio0",
    ),
    Source(_MAIN, "vfio_device_devnode"),
    answer=0,
)

OPEN = rule(
    "cdev.open",
    "The file may be opened however often; that alone neither enables the device nor keeps others "
    "from it.",
    Strength.ENFORCED,
    Source(_CDEV, "vfio_device_fops_cdev_open"),
)

GATE = rule(
    "cdev.bind-first",
    "Until it is bound a device answers no other ioctl, and no read, write or mmap.",
    Strength.DOCUMENTED,
    Source(
        HEADER, "VFIO_DEVICE_BIND_IOMMUFD", quote="User is restricted from accessing the device"
    ),
    Source(_MAIN, "vfio_device_fops_unl_ioctl"),
    answer=EINVAL,
)

# VFIO_DEVICE_BIND_IOMMUFD

BIND = rule(
    "cdev.bind",
    "Bound, the device is enabled and can do all it can through a group.",
    Strength.DOCUMENTED,
    Source(
        HEADER, "VFIO_DEVICE_BIND_IOMMUFD", quote="Bind a vfio_device to the specified iommufd."
    ),
    _BIND,
)

BIND_ARGSZ = rule(
    "cdev.bind-argsz",
    "An argsz that does not reach behind out_devid is refused, before anything else is looked at.",
    Strength.ENFORCED,
    _BIND,
    answer=EINVAL,
)

BIND_ARGSZ_ALONE = rule(
    "cdev.bind-argsz-alone",
    "A short argsz is refused where no memory is behind it, or is a fault where the structure was "
    "read first.",
    Strength.ENFORCED,
    _BIND,
    answer=(Answer(EINVAL, ">=6.17", _TOKENS), Answer(EFAULT, "<6.17", _BEFORE)),
)

BIND_LONG = rule(
    "cdev.bind-argsz-long",
    "Zeros behind the structure are accepted.",
    Strength.ENFORCED,
    _BIND,
)

BIND_TRAILING = rule(
    "cdev.bind-trailing",
    "What is not zero behind the structure that the kernel knows is refused.",
    Strength.ENFORCED,
    _BIND,
    answer=(Answer(E2BIG, ">=6.17", _TOKENS), Answer(0, "<6.17", _BEFORE)),
)

BIND_ADDRESS = rule(
    "cdev.bind-bad-address",
    "A structure that cannot be read, as far as argsz says it reaches, is a fault.",
    Strength.ENFORCED,
    _BIND,
    answer=EFAULT,
)

BIND_OUT = rule(
    "cdev.bind-out-fault",
    "Where out_devid cannot be written the device is not bound, and can be afterwards.",
    Strength.ENFORCED,
    _BIND,
    answer=EFAULT,
)

BIND_FLAGS = rule(
    "cdev.bind-flags",
    "Unknown flags are refused.",
    Strength.ENFORCED,
    _BIND,
    answer=EINVAL,
)

BIND_NEGATIVE = rule(
    "cdev.bind-negative-fd",
    "A negative number for the iommufd is refused.",
    Strength.ENFORCED,
    _BIND,
    answer=EINVAL,
)

BIND_NO_FILE = rule(
    "cdev.bind-no-file",
    "A number that is no open file is refused.",
    Strength.ENFORCED,
    Source("drivers/iommu/iommufd/main.c", "iommufd_ctx_from_fd"),
    answer=EBADF,
)

BIND_WRONG_FILE = rule(
    "cdev.bind-wrong-file",
    "A file that is no iommufd is refused.",
    Strength.ENFORCED,
    Source("drivers/iommu/iommufd/main.c", "iommufd_ctx_from_fd"),
    answer=EBADFD,
)

BIND_REFUSED = rule(
    "cdev.bind-refused",
    "A bind that is refused leaves everything as it was: the device is not enabled, its group can "
    "be opened, and it can be bound.",
    Strength.ENFORCED,
    _BIND,
    Source("drivers/vfio/group.c", "vfio_device_unblock_group"),
)

BIND_TWICE = rule(
    "cdev.bind-twice",
    "A device is bound once, by one of its files: again on this or another one is refused.",
    Strength.ENFORCED,
    _BIND,
    Source(_MAIN, "vfio_df_open"),
    answer=EINVAL,
)

BIND_GROUP_FD = rule(
    "cdev.bind-group-fd",
    "The fd of a device that was had from a group cannot be bound.",
    Strength.ENFORCED,
    _BIND,
    answer=EINVAL,
)

GROUP_BUSY = rule(
    "cdev.group-busy",
    "While the group is open no device of it can be bound, and the other way round.",
    Strength.ENFORCED,
    Source("drivers/vfio/group.c", "vfio_device_block_group"),
    answer=EBUSY,
)

DEVID = rule(
    "cdev.devid",
    "The id that comes back is not 0 and no other object's of the iommufd; nothing else of the "
    "structure is written.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_BIND_IOMMUFD", quote="The device id generated by this bind"),
    _BIND,
)

DEVID_BUSY = rule(
    "cdev.devid-busy",
    "A bound device cannot be destroyed through its id.",
    Strength.ENFORCED,
    Source(_OBJECTS, "iommufd_device_bind"),
    answer=EBUSY,
)

TOKEN_UNUSED = rule(
    "cdev.token-unused",
    "A token for a device that has no use for one is refused.",
    Strength.ENFORCED,
    _TOKEN,
    Source(PCI_CORE, "vfio_pci_core_match_token_uuid"),
    answer=EINVAL,
)

TOKEN_ADDRESS = rule(
    "cdev.token-bad-address",
    "A token that cannot be read is a fault; before tokens were known the flag was refused.",
    Strength.ENFORCED,
    _TOKEN,
    answer=(Answer(EFAULT, ">=6.17", _TOKENS), Answer(EINVAL, "<6.17", _BEFORE)),
)

TOKEN_VF = rule(
    "cdev.token-vf",
    "A VF whose PF vfio-pci has is bound with its PF's token only; so is the PF while a VF is in "
    "use.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_BIND_FLAG_TOKEN"),
    _TOKEN,
    answer=(
        Answer(EACCES, ">=6.17", _TOKENS),
        Answer(0, "<6.17", "the check was made for names given to a group only"),
    ),
)

UNSAFE = rule(
    "cdev.bind-unsafe-interrupts",
    "Where the platform does not isolate interrupts a device is not bound unless the administrator "
    "has allowed it.",
    Strength.ENFORCED,
    Source(_OBJECTS, "iommufd_device_bind"),
    answer=EPERM,
)

OWNED_GROUP = rule(
    "cdev.group-in-one-iommufd",
    "Devices of one group cannot be bound to two iommufds.",
    Strength.ENFORCED,
    Source("drivers/iommu/iommu.c", "iommu_device_claim_dma_owner"),
    answer=EPERM,
)

# VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_DETACH_IOMMUFD_PT

ATTACH = rule(
    "cdev.attach",
    "Attached to an address space, the device is told the id of the page table that was made for "
    "it; it reaches what is mapped there and nothing else.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_attach_iommufd_pt", quote="or a hwpt automatically created"),
    _ATTACH,
    Source(_OBJECTS, "iommufd_device_auto_get_domain"),
)

ATTACH_ARGSZ = rule(
    "cdev.attach-argsz",
    "An argsz that does not reach behind pt_id, with PASID behind pasid, is refused.",
    Strength.ENFORCED,
    _ATTACH,
    answer=EINVAL,
)

ATTACH_FLAGS = rule(
    "cdev.attach-flags",
    "Unknown flags are refused.",
    Strength.ENFORCED,
    _ATTACH,
    answer=EINVAL,
)

ATTACH_ADDRESS = rule(
    "cdev.attach-bad-address",
    "A structure that cannot be read, as far as its flags say it reaches, is a fault.",
    Strength.ENFORCED,
    _ATTACH,
    answer=EFAULT,
)

ATTACH_OUT = rule(
    "cdev.attach-out-fault",
    "Where the page table's id cannot be written the device ends up detached.",
    Strength.ENFORCED,
    _ATTACH,
    answer=EFAULT,
)

ATTACH_UNKNOWN = rule(
    "cdev.attach-unknown",
    "An id that is no object of the iommufd is refused.",
    Strength.ENFORCED,
    _CHANGE,
    answer=ENOENT,
)

ATTACH_WRONG = rule(
    "cdev.attach-wrong-object",
    "An object that is neither an address space nor a page table is refused.",
    Strength.ENFORCED,
    _CHANGE,
    answer=EINVAL,
)

ATTACH_PASID = rule(
    "cdev.attach-pasid",
    "A PASID is refused where the page table, made for the device, takes none.",
    Strength.ENFORCED,
    Source(_OBJECTS, "iommufd_hwpt_pasid_compat"),
    answer=EINVAL,
)

PASID_ADDRESS = rule(
    "cdev.pasid-bad-address",
    "With PASID a structure that ends before its pasid is a fault; before, the flag was unknown.",
    Strength.ENFORCED,
    _ATTACH,
    _DETACH,
    answer=(Answer(EFAULT, ">=6.15", _PASIDS), Answer(EINVAL, "<6.15", _NO_PASIDS)),
)

PASID_DETACH = rule(
    "cdev.detach-pasid",
    "A PASID that is not attached can be detached; before, the flag was unknown.",
    Strength.ENFORCED,
    Source(_GLUE, "vfio_iommufd_physical_pasid_detach_ioas"),
    answer=(Answer(0, ">=6.15", _PASIDS), Answer(EINVAL, "<6.15", _NO_PASIDS)),
)

NO_PASIDS = rule(
    "cdev.no-pasids",
    "A device whose driver knows no PASIDs, as one without an IOMMU, neither attaches nor detaches "
    "one; before, the flag was unknown.",
    Strength.ENFORCED,
    _ATTACH,
    _DETACH,
    answer=(Answer(EOPNOTSUPP, ">=6.15", _PASIDS), Answer(EINVAL, "<6.15", _NO_PASIDS)),
)

REPLACE = rule(
    "cdev.attach-replace",
    "Attached again, the device moves: what it was attached to is free; a refusal leaves it where "
    "it was.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_ATTACH_IOMMUFD_PT", quote="will replace the"),
    Source(_GLUE, "vfio_iommufd_physical_attach_ioas"),
    Source(_GLUE, "vfio_iommufd_emulated_attach_ioas"),
)

ATTACHED_BUSY = rule(
    "cdev.attached-busy",
    "What a device is attached to cannot be destroyed: neither address space nor page table.",
    Strength.ENFORCED,
    Source(_OBJECTS, "iommufd_hw_pagetable_attach"),
    answer=EBUSY,
)

GONE = rule(
    "cdev.gone",
    "The page table made for a device goes with its last attachment, the device's id with its "
    "file.",
    Strength.ENFORCED,
    _UNBIND,
    Source(_OBJECTS, "iommufd_device_detach"),
    answer=ENOENT,
)

DETACH = rule(
    "cdev.detach",
    "A device can be detached whether it is attached or not; it reaches nothing afterwards.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_DETACH_IOMMUFD_PT", quote="blocking DMA state."),
    _DETACH,
    Source(_GLUE, "vfio_iommufd_physical_detach_ioas"),
)

DETACH_ARGSZ = rule(
    "cdev.detach-argsz",
    "An argsz that does not reach behind flags, with PASID behind pasid, is refused.",
    Strength.ENFORCED,
    _DETACH,
    answer=EINVAL,
)

DETACH_FLAGS = rule(
    "cdev.detach-flags",
    "Unknown flags are refused.",
    Strength.ENFORCED,
    _DETACH,
    answer=EINVAL,
)

DETACH_ADDRESS = rule(
    "cdev.detach-bad-address",
    "A structure that cannot be read, as far as its flags say it reaches, is a fault.",
    Strength.ENFORCED,
    _DETACH,
    answer=EFAULT,
)

GROUP_FD = rule(
    "cdev.group-fd",
    "The fd of a device that was had from a group knows neither ATTACH nor DETACH.",
    Strength.ENFORCED,
    Source(_MAIN, "vfio_device_fops_unl_ioctl"),
    answer=ENOTTY,
)

# Beside the group, and at the end

SAME = rule(
    "cdev.same-device",
    "What a device tells of itself is the same through its own file and through its group.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_BIND_IOMMUFD"),
    Source(_MAIN, "vfio_device_fops_unl_ioctl"),
)

_DMA_BUF = Source("drivers/vfio/pci/vfio_pci_dmabuf.c", "vfio_pci_dma_buf_iommufd_map")
_MOVE = Source("drivers/vfio/pci/vfio_pci_dmabuf.c", "vfio_pci_dma_buf_move")

DMA_BUF = rule(
    "cdev.dma-buf-mapped",
    "A dma-buf of a device's memory can be mapped into an address space of iommufd.",
    Strength.ENFORCED,
    _DMA_BUF,
)

DMA_BUF_MEMORY_OFF = rule(
    "cdev.dma-buf-memory-off",
    "While the device does not decode memory its dma-bufs cannot be mapped.",
    Strength.ENFORCED,
    _DMA_BUF,
    _MOVE,
    answer=ENODEV,
)

DMA_BUF_ASLEEP = rule(
    "cdev.dma-buf-low-power",
    "From LOW_POWER_ENTRY to the exit the device's dma-bufs cannot be mapped.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_runtime_pm_entry"),
    _DMA_BUF,
    answer=ENODEV,
)

DMA_BUF_SLICE = rule(
    "cdev.dma-buf-slice",
    "Where a dma-buf is mapped a device reaches just the part of the BAR that was asked for.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_region_dma_range"),
    Source("drivers/vfio/pci/vfio_pci_dmabuf.c", "vfio_pci_core_fill_phys_vec"),
    _DMA_BUF,
)

DMA_BUF_REVOKED = rule(
    "cdev.dma-buf-revoked",
    "Once the device stops decoding memory, may sleep or is closed, no device reaches it where a "
    "dma-buf of it was mapped: not once it is back either, until that is mapped anew.",
    Strength.ENFORCED,
    _MOVE,
    Source("drivers/iommu/iommufd/pages.c", "iopt_revoke_notify"),
)

DMA_BUF_RANGES = rule(
    "cdev.dma-buf-ranges",
    "A dma-buf of more than one slice cannot be mapped.",
    Strength.ENFORCED,
    Source(
        "drivers/vfio/pci/vfio_pci_dmabuf.c",
        "vfio_pci_dma_buf_iommufd_map",
        quote="More than one range to iommufd will require proper DMABUF support",
    ),
    answer=EOPNOTSUPP,
)

DMA_BUF_FOREIGN = rule(
    "cdev.dma-buf-foreign",
    "A dma-buf that is not vfio-pci's cannot be mapped into an address space of iommufd.",
    Strength.ENFORCED,
    _DMA_BUF,
    answer=EOPNOTSUPP,
)

CLOSE = rule(
    "cdev.close",
    "Closing the file, all duplicates and copies in other processes included, unbinds: the device "
    "is disabled, its interrupts are off, and it can be bound again.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_BIND_IOMMUFD", quote="Unbind is automatically conducted when"),
    _UNBIND,
)

IOMMUFD_CLOSED = rule(
    "cdev.iommufd-closed",
    "A bound device keeps its iommufd: it works on after the iommufd's last fd is closed.",
    Strength.ENFORCED,
    _BIND,
)

TAKEN_AWAY = rule(
    "cdev.taken-away",
    "A driver gives the device up only once its files are closed, bound or not; meanwhile nobody "
    "else can open it.",
    Strength.ENFORCED,
    Source(_MAIN, "vfio_unregister_group_dev"),
    Source(_CDEV, "vfio_device_fops_cdev_open"),
)

BIND_TAKEN_AWAY = rule(
    "cdev.bind-while-taken-away",
    "While a driver waits to give the device up nobody can bind it: it could not be reset.",
    Strength.ENFORCED,
    Source(
        PCI_CORE,
        "vfio_pci_core_enable",
        quote="If reset fails because of the device lock, fail this path entirely",
    ),
    answer=EAGAIN,
)

EXECUTABLE = rule(
    "cdev.executable",
    "A mapping of a device's own file may be executable unless the file system it lies in, /dev, "
    "is mounted without programs, whatever holds for the file that a group gives.",
    Strength.ENFORCED,
    Source("mm/mmap.c", "do_mmap", quote="if (path_noexec(&file->f_path))"),
    Source(_CDEV, "vfio_device_fops_cdev_open"),
    answer=EPERM,
)

# Hot reset

HOT_RESET = rule(
    "cdev.hot-reset",
    "With no group fds the bus is reset, if all its devices are the iommufd's.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_DEVICE_PCI_HOT_RESET",
        quote="this ioctl must be called with an empty group_fds",
    ),
    Source(PCI_CORE, "vfio_pci_dev_set_hot_reset"),
)

HOT_RESET_GROUPS = rule(
    "cdev.hot-reset-groups",
    "A device that is bound takes no group fds for a hot reset.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_PCI_HOT_RESET"),
    Source(PCI_CORE, "vfio_pci_ioctl_pci_hot_reset"),
    answer=EINVAL,
)

HOT_RESET_NONE = rule(
    "cdev.hot-reset-root-bus",
    "On a root bus there is nothing to reset.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_ioctl_pci_hot_reset"),
    answer=ENODEV,
)

HOT_RESET_FOREIGN = rule(
    "cdev.hot-reset-foreign",
    "A bus with a device on it that is not the iommufd's is not reset.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED"),
    Source(PCI_CORE, "vfio_pci_dev_set_resettable"),
    answer=EINVAL,
)

HOT_RESET_INFO = rule(
    "cdev.hot-reset-info",
    "The devices are told by their ids: 0 for one that is owned with its group, -1 for one that "
    "is not; the flags say DEV_ID, and OWNED if no device is foreign.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_PCI_HOT_RESET_FLAG_DEV_ID"),
    Source(PCI_CORE, "vfio_pci_fill_devs"),
)

# Objects of the iommufd that take a device

OWN_TABLE = rule(
    "cdev.own-page-table",
    "A page table the user made is what the device is attached to, and stays when it leaves; it "
    "keeps its address space from being destroyed.",
    Strength.DOCUMENTED,
    Source("include/uapi/linux/iommufd.h", "iommu_hwpt_alloc"),
    _CHANGE,
)

HW_INFO = rule(
    "cdev.hw-info",
    "What the IOMMU's registers say is told: as much as has room, zeros behind it, and how much "
    "there is.",
    Strength.DOCUMENTED,
    Source("include/uapi/linux/iommufd.h", "iommu_hw_info", quote="will be zeroed"),
    Source(_OBJECTS, "iommufd_get_hw_info"),
)

RELEASED = rule(
    "cdev.released",
    "With the last file of an iommufd and of its devices it is gone, and all memory it pinned is "
    "free, whatever calls were refused in between.",
    Strength.ENFORCED,
    _UNBIND,
    _BIND,
)
