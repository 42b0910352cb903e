# SPDX-License-Identifier: MIT
"""VFIO_DEVICE_IOEVENTFD: a write to the device whenever an eventfd is signalled."""

from errno import EBADF, EEXIST, EFAULT, EINVAL, ENODEV, ENOSPC

from vfiospec.abi import vfio
from vfiospec.rules.model import HEADER, PCI_CORE, Answer, Source, Strength, rule

_RDWR = "drivers/vfio/pci/vfio_pci_rdwr.c"
_HANDLER = Source(PCI_CORE, "vfio_pci_ioctl_ioeventfd")
_ASSIGN = Source(_RDWR, "vfio_pci_ioeventfd")
_WRITE = Source(_RDWR, "vfio_pci_ioeventfd_do_write")
_VIRQFD = Source("drivers/vfio/virqfd.c", "vfio_virqfd_enable")
_HEADER = Source(
    HEADER, "VFIO_DEVICE_IOEVENTFD", quote="Perform a write to the device at the specified"
)
_BARS = Source(HEADER, "VFIO_DEVICE_IOEVENTFD", quote="only enables support for BAR regions,")

ARGSZ = rule(
    "ioeventfd.argsz-too-small",
    "An argsz that ends before the fd is refused; one that ends with it is enough.",
    Strength.ENFORCED,
    _HANDLER,
    answer=EINVAL,
)

BAD_ADDRESS = rule(
    "ioeventfd.bad-address",
    "A structure that cannot be read is a bad address.",
    Strength.ENFORCED,
    _HANDLER,
    answer=EFAULT,
)

FLAGS = rule(
    "ioeventfd.flags",
    "Just one of the four widths is asked for, and nothing else.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_ioeventfd", quote="1-byte write"),
    _HANDLER,
    answer=EINVAL,
)

WIDTH_64 = rule(
    "ioeventfd.width-64",
    "Whether a driver can write 8 bytes is its own choice; what it cannot, it refuses.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_IOEVENTFD", quote="may not support this for all regions, for all"),
    _ASSIGN,
    answer=(
        Answer(0, "<7.2", "x86-64 has iowrite64; seen from 5.10.262 on"),
        Answer(EINVAL, ">=7.2,<7.3", "8 bytes are refused whatever the machine can do"),
        Answer(0, ">=7.3", "as before 7.2: 7.3-rc7 still refused, 7.3.4 does not"),
    ),
)

REGION = rule(
    "ioeventfd.region",
    "Only BARs take such a write: no other region does, and no BAR that is not there.",
    Strength.DOCUMENTED,
    _BARS,
    _ASSIGN,
    answer=EINVAL,
)

RANGE = rule(
    "ioeventfd.range",
    "All of the write lies within the BAR.",
    Strength.ENFORCED,
    _ASSIGN,
    answer=EINVAL,
)

OFFSET_SIGN = rule(
    "ioeventfd.offset-sign",
    "An offset of 2^63 or more is in no region.",
    Strength.DOCUMENTED,
    _BARS,
    Source("include/linux/vfio_pci_core.h", "VFIO_PCI_OFFSET_TO_INDEX"),
    answer=EINVAL,
)

MSIX = rule(
    "ioeventfd.msix-table",
    "No write touches the MSI-X table, not by a byte; next to it they are allowed.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_IOEVENTFD", quote="excluding the MSI-X vector table."),
    _ASSIGN,
    answer=EINVAL,
)

DUPLICATE = rule(
    "ioeventfd.duplicate",
    "The same write is bound once, to whatever eventfd.",
    Strength.ENFORCED,
    _ASSIGN,
    answer=EEXIST,
)

DISTINCT = rule(
    "ioeventfd.distinct",
    "Writes that differ in place, width or data stand side by side.",
    Strength.ENFORCED,
    _ASSIGN,
)

DEASSIGN = rule(
    "ioeventfd.deassign",
    "fd -1 takes just that write away.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_ioeventfd", quote="-1 for de-assignment"),
    _ASSIGN,
)

ABSENT = rule(
    "ioeventfd.deassign-absent",
    "A write that is not bound cannot be taken away.",
    Strength.ENFORCED,
    _ASSIGN,
    answer=ENODEV,
)

NEGATIVE = rule(
    "ioeventfd.negative-fd",
    "Of the negative numbers only -1 has a meaning.",
    Strength.DOCUMENTED,
    Source(HEADER, "vfio_device_ioeventfd", quote="-1 for de-assignment"),
    _HANDLER,
    answer=EINVAL,
)

BAD_FD = rule(
    "ioeventfd.bad-fd",
    "A number that is no open file is refused.",
    Strength.ENFORCED,
    _VIRQFD,
    answer=EBADF,
)

NOT_EVENTFD = rule(
    "ioeventfd.not-an-eventfd",
    "A file that is no eventfd is refused.",
    Strength.ENFORCED,
    _VIRQFD,
    answer=EINVAL,
)

MAXIMUM = rule(
    "ioeventfd.maximum",
    "A device has at most so many.",
    Strength.ENFORCED,
    Source("drivers/vfio/pci/vfio_pci_priv.h", "VFIO_PCI_IOEVENTFD_MAX"),
    answer=1000,
)

NO_SPACE = rule(
    "ioeventfd.no-space",
    "One more than the maximum is refused; one taken away makes room for one.",
    Strength.ENFORCED,
    _ASSIGN,
    answer=ENOSPC,
)

WRITES = rule(
    "ioeventfd.writes",
    "A signal writes the data, at the place, in the width: not a byte more, not a bit else.",
    Strength.DOCUMENTED,
    _HEADER,
    _WRITE,
)

PENDING = rule(
    "ioeventfd.pending-signal",
    "An eventfd that was signalled before counts: the write is made at once.",
    Strength.ENFORCED,
    _VIRQFD,
)

DRAINED = rule(
    "ioeventfd.drains",
    "How much of a signal is left in the eventfd once it was acted on.",
    Strength.ENFORCED,
    Source("drivers/vfio/virqfd.c", "virqfd_wakeup"),
    answer=(
        Answer(1, "<5.11", "the counter is left to whoever reads it"),
        Answer(0, ">=5.11", "virqfd_wakeup takes the counter"),
    ),
)

SHARED = rule(
    "ioeventfd.shared-eventfd",
    "One eventfd may serve several writes: one signal makes all of them.",
    Strength.OBSERVED,
    _ASSIGN,
)

MEMORY_OFF = rule(
    "ioeventfd.memory-off",
    "While memory decoding is off a signal writes nothing, and is not made up for.",
    Strength.ENFORCED,
    Source(_RDWR, "vfio_pci_ioeventfd_handler"),
)

D3HOT = rule(
    "ioeventfd.d3hot",
    "Writes that reach a device in D3hot for one signal.",
    Strength.ENFORCED,
    Source(_RDWR, "vfio_pci_ioeventfd_handler"),
    Source("drivers/vfio/pci/vfio_pci_config.c", "__vfio_pci_memory_enabled"),
    answer=(
        Answer(1, "<6.1", "only the command register is looked at"),
        Answer(0, ">=6.1", "a device in D3hot counts as one with memory off"),
    ),
)

CLOSE = rule(
    "ioeventfd.close",
    "The last close takes all of them away.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_disable"),
)

OTHER_FD = rule(
    "ioeventfd.of-the-device",
    "They belong to the device, not to the fd: another fd finds them, a close leaves them.",
    Strength.ENFORCED,
    _ASSIGN,
)

EVENTFD_CLOSED = rule(
    "ioeventfd.eventfd-closed",
    "Once its eventfd is closed a write stays bound to nothing, until it is taken away.",
    Strength.OBSERVED,
    _ASSIGN,
    Source("drivers/vfio/virqfd.c", "virqfd_wakeup"),
)

WIDTHS = {
    vfio.VFIO_DEVICE_IOEVENTFD_8: 1,
    vfio.VFIO_DEVICE_IOEVENTFD_16: 2,
    vfio.VFIO_DEVICE_IOEVENTFD_32: 4,
    vfio.VFIO_DEVICE_IOEVENTFD_64: 8,
}
