# SPDX-License-Identifier: MIT
"""VFIO_DEVICE_SET_IRQS: what is refused, in which order, and what an accepted call does."""

from errno import EBADF, EBUSY, EFAULT, EINVAL, ENOTTY, ERANGE
from typing import Final

from vfiospec.rules.model import HEADER, PCI_CORE, Answer, Source, Strength, rule

_INTRS: Final = "drivers/vfio/pci/vfio_pci_intrs.c"
_VALIDATE: Final = Source("drivers/vfio/vfio_main.c", "vfio_set_irqs_validate_and_prepare")
_HANDLER: Final = Source(PCI_CORE, "vfio_pci_ioctl_set_irqs")
_DISPATCH: Final = Source(_INTRS, "vfio_pci_set_irqs_ioctl")
_INTX_TRIGGER: Final = Source(_INTRS, "vfio_pci_set_intx_trigger")
_INTX_UNMASK: Final = Source(_INTRS, "vfio_pci_set_intx_unmask")
_INTX_MASK: Final = Source(_INTRS, "vfio_pci_set_intx_mask")
_MSI_TRIGGER: Final = Source(_INTRS, "vfio_pci_set_msi_trigger")
_MSI_ENABLE: Final = Source(_INTRS, "vfio_msi_enable")
_MSI_BLOCK: Final = Source(_INTRS, "vfio_msi_set_block")
_MSI_VECTOR: Final = Source(_INTRS, "vfio_msi_set_vector_signal")
_SINGLE: Final = Source(_INTRS, "vfio_pci_set_ctx_trigger_single")
_IRQFD: Final = Source("drivers/vfio/virqfd.c", "vfio_virqfd_enable")
_IRQFD_GONE: Final = Source("drivers/vfio/virqfd.c", "vfio_virqfd_disable")
_SAID: Final = Source(HEADER, "VFIO_DEVICE_SET_IRQS")
_RANGE_SAID: Final = Source(
    HEADER, "VFIO_DEVICE_SET_IRQS", quote="the range of subindexes being specified."
)
_DATA_SAID: Final = Source(
    HEADER, "VFIO_DEVICE_SET_IRQS", quote="The DATA flags specify the type of data provided."
)
_MINUS_ONE: Final = Source(
    HEADER,
    "VFIO_DEVICE_SET_IRQS",
    quote="A value of -1 can be used to either de-assign interrupts if already assigned or skip "
    "un-assigned interrupts.",
)
_LOOPBACK: Final = Source(
    HEADER,
    "VFIO_DEVICE_SET_IRQS",
    quote="DATA_BOOL or DATA_NONE can be used with ACTION_TRIGGER to perform kernel level "
    "interrupt loopback testing",
)
_ENABLES: Final = Source(
    HEADER, "VFIO_DEVICE_SET_IRQS", quote="enables the interrupt index for the device."
)
_DISABLED_AS_A_WHOLE: Final = Source(
    HEADER,
    "VFIO_DEVICE_SET_IRQS",
    quote="disabled as a whole with: flags = (DATA_NONE|ACTION_TRIGGER), count = 0.",
)
_MASKABLE: Final = Source(
    HEADER, "VFIO_IRQ_INFO_MASKABLE", quote="the index supports MASK and UNMASK"
)
_NORESIZE: Final = Source(
    HEADER, "VFIO_IRQ_INFO_NORESIZE", quote="new subindexes cannot be enabled without first"
)
_BEFORE_XARRAY: Final = "the vectors that are on are an array, and a range must lie within it"
_SINCE_XARRAY: Final = 'contexts exist per vector since "vfio/pci: Use xarray for interrupt ..."'

# The header of the call, before anything else is looked at

ARGSZ_TOO_SMALL = rule(
    "set-irqs.argsz-too-small",
    "An argsz that ends before `count` ends fails with EINVAL.",
    Strength.ENFORCED,
    _VALIDATE,
    answer=EINVAL,
)

BAD_ADDRESS = rule(
    "set-irqs.bad-address",
    "An argument of which the header cannot be read fails with EFAULT.",
    Strength.ENFORCED,
    _HANDLER,
    answer=EFAULT,
)

INDEX_OUT_OF_RANGE = rule(
    "set-irqs.index-out-of-range",
    "An index at or above num_irqs fails with EINVAL.",
    Strength.ENFORCED,
    _VALIDATE,
    answer=EINVAL,
)

WRAPS = rule(
    "set-irqs.start-and-count-wrap",
    "A start and count of which the sum does not fit into 32 bits fail with EINVAL.",
    Strength.ENFORCED,
    _VALIDATE,
    answer=EINVAL,
)

UNKNOWN_FLAGS = rule(
    "set-irqs.unknown-flags",
    "A flag that is neither a DATA nor an ACTION flag fails with EINVAL.",
    Strength.ENFORCED,
    _VALIDATE,
    answer=EINVAL,
)

OUT_OF_RANGE = rule(
    "set-irqs.out-of-range",
    "A start at or above the index's count, or a range that ends behind it, fails with EINVAL; "
    "so each call does on an index of count 0.",
    Strength.ENFORCED,
    _VALIDATE,
    _RANGE_SAID,
    answer=EINVAL,
)

ONE_DATA_TYPE = rule(
    "set-irqs.one-data-type",
    "None or several of the DATA flags fail with EINVAL.",
    Strength.ENFORCED,
    _VALIDATE,
    _DATA_SAID,
    answer=EINVAL,
)

DATA_BEYOND_ARGSZ = rule(
    "set-irqs.data-beyond-argsz",
    "An argsz that does not cover one u8 (BOOL) or s32 (EVENTFD) for each interrupt of the range "
    "fails with EINVAL.",
    Strength.ENFORCED,
    _VALIDATE,
    _DATA_SAID,
    answer=EINVAL,
)

ARGSZ_BEYOND_DATA = rule(
    "set-irqs.argsz-beyond-data",
    "An argsz larger than header and data is accepted, and what is behind the data is not read.",
    Strength.ENFORCED,
    _VALIDATE,
    _HANDLER,
)

DATA_BAD_ADDRESS = rule(
    "set-irqs.data-bad-address",
    "Data that cannot be read fails with EFAULT, even where the action would be refused.",
    Strength.ENFORCED,
    _HANDLER,
    answer=EFAULT,
)

ONE_ACTION = rule(
    "set-irqs.one-action",
    "None or several of the ACTION flags fail with ENOTTY, once all else is valid.",
    Strength.ENFORCED,
    _DISPATCH,
    answer=ENOTTY,
)

NOT_MASKABLE = rule(
    "set-irqs.not-maskable",
    "MASK and UNMASK of an index without the MASKABLE flag fail with ENOTTY, on or off.",
    Strength.DOCUMENTED,
    _MASKABLE,
    _DISPATCH,
    answer=ENOTTY,
)

ORDER = rule(
    "set-irqs.order-of-checks",
    "EINVAL for the header comes before EFAULT for the data, that before ENOTTY for the action, "
    "and that before what the interrupt's state forbids.",
    Strength.ENFORCED,
    _HANDLER,
    _VALIDATE,
    _DISPATCH,
)

REFUSED_CHANGES_NOTHING = rule(
    "set-irqs.refused-changes-nothing",
    "A refused call signals no eventfd, and leaves on, off and assigned what was; MSI and MSI-X "
    "blocks that hold a bad fd are the exception.",
    Strength.ENFORCED,
    _DISPATCH,
)

# On and off

ENABLE = rule(
    "set-irqs.enable",
    "An eventfd for TRIGGER turns the index on: the interrupt is requested, and MSI or MSI-X is "
    "enabled in the device; for INTx, the device's line is not disabled.",
    Strength.DOCUMENTED,
    _ENABLES,
    _INTX_TRIGGER,
    _MSI_TRIGGER,
    answer=0,
)

DISABLE = rule(
    "set-irqs.disable",
    "NONE with TRIGGER and count 0 turns the whole index off, wherever start is: no interrupt "
    "stays requested, MSI and MSI-X are off in the device, the line is as before.",
    Strength.DOCUMENTED,
    _DISABLED_AS_A_WHOLE,
    _MSI_TRIGGER,
    answer=0,
)

NOT_ON = rule(
    "set-irqs.not-on",
    "What needs an index that is on fails with EINVAL while it is off: turning it off, NONE and "
    "BOOL, and each action of INTx but an eventfd for TRIGGER.",
    Strength.ENFORCED,
    _INTX_TRIGGER,
    _INTX_MASK,
    _INTX_UNMASK,
    _MSI_TRIGGER,
    _SINGLE,
    answer=EINVAL,
)

ONE_MODE = rule(
    "set-irqs.one-of-intx-msi-msix",
    "While one of INTx, MSI and MSI-X is on, TRIGGER on another fails with EINVAL.",
    Strength.ENFORCED,
    _INTX_TRIGGER,
    _MSI_TRIGGER,
    answer=EINVAL,
)

INDEPENDENT = rule(
    "set-irqs.error-and-request-are-independent",
    "The error and the request interrupt are on beside any other and beside each other.",
    Strength.ENFORCED,
    _SINGLE,
)

SHARED_STATE = rule(
    "set-irqs.state-is-the-devices",
    "Interrupts belong to the device: another fd of it sees and changes the same ones, and they "
    "stay until the last fd is closed.",
    Strength.ENFORCED,
    _DISPATCH,
)

LAST_CLOSE = rule(
    "set-irqs.last-close-turns-off",
    "Closing the device's last fd turns all of its interrupts off; opened again, none is on.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_disable"),
    Source(PCI_CORE, "vfio_pci_core_close_device"),
)

RELEASED = rule(
    "set-irqs.eventfds-are-released",
    "The kernel holds an eventfd as long as it is assigned, whether or not the caller closes it, "
    "and no longer: not after it was replaced, de-assigned, refused, or its index turned off.",
    Strength.ENFORCED,
    Source(_INTRS, "vfio_intx_set_signal"),
    Source(_INTRS, "vfio_intx_disable"),
    _MSI_VECTOR,
    Source(PCI_CORE, "vfio_pci_eventfd_replace_locked"),
    Source("drivers/vfio/virqfd.c", "virqfd_shutdown"),
)

COUNT_OF_LINE = rule(
    "set-irqs.intx-is-one",
    "For INTx the range is the one interrupt: count 0 fails with EINVAL but to turn it off.",
    Strength.ENFORCED,
    _INTX_TRIGGER,
    _INTX_MASK,
    _INTX_UNMASK,
    answer=EINVAL,
)

SINGLE_NEEDS_COUNT = rule(
    "set-irqs.error-and-request-need-a-count",
    "For the error and the request interrupt BOOL and EVENTFD with count 0 fail with EINVAL.",
    Strength.ENFORCED,
    _SINGLE,
    answer=EINVAL,
)

# The eventfds

FD_CLOSED = rule(
    "set-irqs.fd-not-open",
    "The number of no open file fails with EBADF.",
    Strength.ENFORCED,
    _INTX_TRIGGER,
    _MSI_VECTOR,
    _SINGLE,
    _IRQFD,
    answer=EBADF,
)

FD_ZERO = rule(
    "set-irqs.fd-zero",
    "Only -1 stands for no eventfd: number 0 is a file's like any other.",
    Strength.DOCUMENTED,
    _MINUS_ONE,
    _INTX_TRIGGER,
    _MSI_VECTOR,
    _SINGLE,
    _IRQFD,
)

FD_NO_EVENTFD = rule(
    "set-irqs.fd-not-an-eventfd",
    "A file that is no eventfd fails with EINVAL.",
    Strength.ENFORCED,
    _INTX_TRIGGER,
    _MSI_VECTOR,
    _SINGLE,
    _IRQFD,
    answer=EINVAL,
)

MINUS_ONE = rule(
    "set-irqs.fd-minus-one",
    "The fd -1 takes the eventfd of an interrupt away and leaves the index on; for the error and "
    "the request interrupt that is off. Where there is none, nothing happens.",
    Strength.DOCUMENTED,
    _MINUS_ONE,
    _MSI_VECTOR,
    answer=0,
)

MINUS_ONE_ENABLES = rule(
    "set-irqs.fd-minus-one-turns-on",
    "The fd -1 for INTx, MSI or MSI-X that is off turns it on without an eventfd.",
    Strength.ENFORCED,
    _INTX_TRIGGER,
    _MSI_TRIGGER,
    answer=0,
)

NEGATIVE = rule(
    "set-irqs.fd-negative",
    "For INTx, MSI and MSI-X each negative number counts as -1.",
    Strength.OBSERVED,
    _INTX_TRIGGER,
    _MSI_VECTOR,
    answer=0,
)

NEGATIVE_SINGLE = rule(
    "set-irqs.fd-negative-for-error-and-request",
    "For the error and the request interrupt a negative number but -1 changes nothing.",
    Strength.OBSERVED,
    _SINGLE,
    answer=(
        Answer(0, "<6.12", "it falls through to success"),
        Answer(EINVAL, ">=6.12", "each path returns what it did; seen from 6.12.117 on"),
    ),
)

REPLACE = rule(
    "set-irqs.replace",
    "Another eventfd takes the place of the one before, which is not signalled any more.",
    Strength.ENFORCED,
    Source(_INTRS, "vfio_intx_set_signal"),
    _MSI_VECTOR,
    _SINGLE,
    answer=0,
)

# Loopback

LOOPBACK = rule(
    "set-irqs.loopback",
    "NONE or a BOOL that is not 0 with TRIGGER signals the eventfd of each interrupt of the range "
    "once, and no other.",
    Strength.DOCUMENTED,
    _LOOPBACK,
    _MSI_TRIGGER,
    answer=0,
)

LOOPBACK_ZERO = rule(
    "set-irqs.loopback-of-zero",
    "A BOOL of 0 acts on nothing: byte n of the data stands for interrupt start + n.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_SET_IRQS", quote="DATA_BOOL allows sparse support for the same"),
    _MSI_TRIGGER,
    answer=0,
)

LOOPBACK_UNASSIGNED = rule(
    "set-irqs.loopback-without-eventfd",
    "Loopback of an interrupt whose index is on and that has no eventfd succeeds.",
    Strength.ENFORCED,
    _INTX_TRIGGER,
    _MSI_TRIGGER,
    answer=0,
)

LOOPBACK_BEYOND = rule(
    "set-irqs.loopback-beyond-the-set",
    "Loopback that reaches behind the vectors MSI or MSI-X was turned on with skips those, or "
    "fails with EINVAL.",
    Strength.OBSERVED,
    _MSI_TRIGGER,
    answer=(Answer(EINVAL, "<6.5", _BEFORE_XARRAY), Answer(0, ">=6.5", _SINCE_XARRAY)),
)

BOOL_SINGLE_OFF = rule(
    "set-irqs.bool-while-error-or-request-is-off",
    "BOOL for an error or request interrupt that is off succeeds and does nothing.",
    Strength.OBSERVED,
    _SINGLE,
    answer=0,
)

# MSI and MSI-X: sets of vectors

POSITIVE = rule(
    "set-irqs.positive-is-what-there-is",
    "MSI that cannot get all of its vectors returns how many there are and stays off: without "
    "interrupt remapping that is 1.",
    Strength.ENFORCED,
    _MSI_ENABLE,
    answer=1,
)

EMPTY_SET = rule(
    "set-irqs.empty-set",
    "EVENTFD with start 0 and count 0 for MSI or MSI-X that is off fails with ERANGE.",
    Strength.OBSERVED,
    _MSI_ENABLE,
    answer=ERANGE,
)

EMPTY_BLOCK_ENABLES = rule(
    "set-irqs.empty-block-behind-start",
    "EVENTFD with count 0 and a start above 0 for MSI or MSI-X that is off turns on the vectors "
    "below start without eventfds, or fails with EINVAL.",
    Strength.OBSERVED,
    _MSI_BLOCK,
    answer=(Answer(EINVAL, "<6.5", _BEFORE_XARRAY), Answer(0, ">=6.5", _SINCE_XARRAY)),
)

SET_HAS_SIZE = rule(
    "set-irqs.set-has-the-size-asked-for",
    "MSI and MSI-X are turned on with start + count vectors: so many interrupts the device gets, "
    "and so many, rounded up to a power of two, are enabled in its MSI capability.",
    Strength.ENFORCED,
    _MSI_ENABLE,
)

USER_SEES_SIZE = rule(
    "set-irqs.user-enables-no-more-than-the-set",
    "While MSI is on, the multiple message enable field in config space cannot be set beyond the "
    "size of the set, rounded up to a power of two.",
    Strength.ENFORCED,
    _MSI_ENABLE,
    Source("drivers/vfio/pci/vfio_pci_config.c", "vfio_msi_config_write"),
)

NO_RESIZE = rule(
    "set-irqs.set-cannot-grow",
    "With the NORESIZE flag an eventfd for a vector behind the set fails with EINVAL.",
    Strength.DOCUMENTED,
    _NORESIZE,
    _MSI_VECTOR,
    answer=EINVAL,
)

RESIZE = rule(
    "set-irqs.set-can-grow",
    "Without the NORESIZE flag an eventfd for a vector behind the set turns that vector on, and "
    "the others stay as they are.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_IRQ_INFO_NORESIZE", quote="Absence of the NORESIZE flag indicates"),
    Source(_INTRS, "vfio_msi_alloc_irq"),
    answer=0,
)

MINUS_ONE_BEYOND = rule(
    "set-irqs.fd-minus-one-beyond-the-set",
    "The fd -1, or an empty block, behind the vectors MSI or MSI-X was turned on with does "
    "nothing: it succeeds or fails with EINVAL.",
    Strength.OBSERVED,
    _MSI_BLOCK,
    answer=(Answer(EINVAL, "<6.5", _BEFORE_XARRAY), Answer(0, ">=6.5", _SINCE_XARRAY)),
)

BAD_BLOCK = rule(
    "set-irqs.bad-block-is-torn-down",
    "If an fd of a block is bad, the vectors from start up to it lose their eventfds, the old "
    "ones included; those behind it keep theirs, and the index stays on if it was.",
    Strength.OBSERVED,
    _MSI_BLOCK,
    _MSI_VECTOR,
)

TABLE_WRITTEN = rule(
    "set-irqs.table-is-written-again",
    "Assigning an eventfd to an MSI-X vector writes the vector's address and data into the "
    "device's table, also over what was put there behind the kernel's back, and also while the "
    "user has memory decode off, which stays off.",
    Strength.ENFORCED,
    _MSI_VECTOR,
    Source(PCI_CORE, "vfio_pci_memory_lock_and_enable"),
)

COMMAND_KEPT = rule(
    "set-irqs.command-register-is-kept",
    "Turning MSI or MSI-X on and off, and assigning eventfds, leaves the device's command register "
    "as it was: memory decode as the user set it, and the line not disabled.",
    Strength.OBSERVED,
    Source(PCI_CORE, "vfio_pci_memory_lock_and_enable"),
    Source(PCI_CORE, "vfio_pci_memory_unlock_and_restore"),
)

# Masks of INTx

MASK_EVENTFD = rule(
    "set-irqs.mask-by-eventfd",
    "EVENTFD with MASK fails with ENOTTY on an INTx that is on.",
    Strength.OBSERVED,
    _INTX_MASK,
    answer=ENOTTY,
)

MASK = rule(
    "set-irqs.mask",
    "MASK disables the device's line and UNMASK enables it again: by NONE and by a BOOL that is "
    "not 0. Done twice it is the same.",
    Strength.DOCUMENTED,
    _MASKABLE,
    _INTX_MASK,
    _INTX_UNMASK,
    answer=0,
)

MASK_ZERO = rule(
    "set-irqs.mask-of-zero",
    "MASK and UNMASK with a BOOL of 0 succeed and do nothing.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_SET_IRQS", quote="(but not [0,2])"),
    _INTX_MASK,
    answer=0,
)

MASKED_LOOPBACK = rule(
    "set-irqs.loopback-while-masked",
    "Loopback signals INTx that is masked, and unmasks nothing.",
    Strength.OBSERVED,
    _INTX_TRIGGER,
)

LOOPBACK_LINE_DISABLED = rule(
    "set-irqs.loopback-while-line-disabled",
    "While the user has INTx disabled in the command register, loopback succeeds and signals "
    "nothing, and UNMASK does not enable the line.",
    Strength.OBSERVED,
    Source(_INTRS, "vfio_send_intx_eventfd"),
    Source(_INTRS, "vfio_pci_intx_unmask_handler"),
)

ENABLED_UNMASKED = rule(
    "set-irqs.intx-starts-as-the-command-register-says",
    "INTx turned on is unmasked, whatever it was before, unless the user has it disabled in the "
    "command register.",
    Strength.ENFORCED,
    Source(_INTRS, "vfio_intx_enable"),
)

UNMASK_EVENTFD = rule(
    "set-irqs.unmask-by-eventfd",
    "EVENTFD with UNMASK binds an eventfd: each write to it unmasks INTx.",
    Strength.DOCUMENTED,
    Source(
        HEADER,
        "VFIO_DEVICE_SET_IRQS",
        quote="ACTION_[UN]MASK specify user->kernel signaling (irqfds)",
    ),
    _INTX_UNMASK,
    _IRQFD,
    answer=0,
)

UNMASK_EVENTFD_BUSY = rule(
    "set-irqs.second-unmask-eventfd",
    "A second eventfd for UNMASK fails with EBUSY, and the first stays.",
    Strength.ENFORCED,
    _IRQFD,
    answer=EBUSY,
)

UNMASK_EVENTFD_PENDING = rule(
    "set-irqs.unmask-eventfd-already-signalled",
    "An eventfd that was written to before it is bound for UNMASK unmasks at once.",
    Strength.ENFORCED,
    _IRQFD,
)

UNMASK_EVENTFD_GONE = rule(
    "set-irqs.unmask-eventfd-taken-away",
    "A negative fd for UNMASK, the end of INTx, or closing it takes the eventfd away: writing to "
    "it does nothing, and another is accepted.",
    Strength.DOCUMENTED,
    _MINUS_ONE,
    _INTX_UNMASK,
    _IRQFD_GONE,
    Source("drivers/vfio/virqfd.c", "virqfd_wakeup"),
    answer=0,
)

EXCLUSIVE = rule(
    "set-irqs.line-masked-where-it-arrives",
    "With vfio_pci.nointxmask set, MASK leaves the command register of a device that is bound "
    "afterwards alone (1), or the parameter counts only when the module is loaded (0).",
    Strength.OBSERVED,
    Source(_INTRS, "vfio_pci_intx_mask"),
    Source("drivers/vfio/pci/vfio_pci.c", "vfio_pci_init_dev"),
    answer=(
        Answer(1, "<5.15", "the driver looks at the parameter when a device is opened"),
        Answer(0, "<7.2", "since vfio-pci-core was split off it is handed over once, at load"),
        Answer(1, ">=7.2", "each device takes the parameter when it is bound; first seen on 7.2"),
    ),
)

EXCLUSIVE_MASKS = rule(
    "set-irqs.line-masked-where-it-arrives-waits",
    "INTx that is masked where it arrives behaves as any other: it masks itself, waits while it "
    "is masked, and comes when it is unmasked while asserted.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_GET_IRQ_INFO", quote="automatically masked by VFIO and the user"),
    Source(_INTRS, "vfio_intx_handler"),
    Source(_INTRS, "vfio_intx_enable"),
    Source(_INTRS, "vfio_pci_intx_unmask_handler"),
)

EXCLUSIVE_ALONE = rule(
    "set-irqs.line-masked-where-it-arrives-is-not-shared",
    "INTx that is masked where it arrives has the line to itself: of it and another device's INTx "
    "on one line, the second to be turned on is refused, and the first goes on.",
    Strength.ENFORCED,
    Source(
        _INTRS,
        "vfio_intx_enable",
        quote="Devices without DisINTx support require an exclusive interrupt.",
    ),
    answer=(
        Answer(EBUSY, "<5.15", "the driver looks at nointxmask when a device is opened"),
        Answer(0, "<7.2", "nointxmask is handed over once, at load: both are masked in the device"),
        Answer(EBUSY, ">=7.2", "each device takes nointxmask when it is bound; first seen on 7.2"),
    ),
)

INTERRUPTS_NAMED = rule(
    "set-irqs.interrupts-are-named",
    "Each vector with an eventfd, and INTx that is on, is requested by its name: vfio-intx, "
    "vfio-msi[n] or vfio-msix[n], with the device's address.",
    Strength.OBSERVED,
    Source(_INTRS, "vfio_intx_enable"),
    _MSI_VECTOR,
)
