# SPDX-License-Identifier: MIT
"""Interrupts that really happen: what a device raises, and what becomes of it on its way."""

from errno import EBUSY, EINVAL, ENODEV

from vfiospec.rules.model import HEADER, PCI_CORE, Answer, Source, Strength, Thread, rule

_INTRS = "drivers/vfio/pci/vfio_pci_intrs.c"
_VIRQFD = "drivers/vfio/virqfd.c"
_CONFIG = "drivers/vfio/pci/vfio_pci_config.c"
_SET = "VFIO_DEVICE_SET_IRQS"
_INTX_HANDLER = Source(_INTRS, "vfio_intx_handler")
_UNMASK_HANDLER = Source(_INTRS, "vfio_pci_intx_unmask_handler")
_INTX_ENABLE = Source(_INTRS, "vfio_intx_enable")
_SET_SIGNAL = Source(_INTRS, "vfio_intx_set_signal")
_MASKING = Source(
    HEADER, "VFIO_DEVICE_GET_IRQ_INFO", quote="MASKABLE flags indicates the index supports MASK"
)
_AUTOMASKED = Source(
    HEADER, "VFIO_DEVICE_GET_IRQ_INFO", quote="AUTOMASKED indicates that after signaling"
)
_IRQFD = Source(HEADER, _SET, quote="ACTION_[UN]MASK specify user->kernel signaling (irqfds)")
_TRIGGER = Source(HEADER, _SET, quote="ACTION_TRIGGER specifies kernel->user signaling")
_DEASSIGN = Source(HEADER, _SET, quote="A value of -1 can be used to either de-assign interrupts")
_DISABLE = Source(HEADER, _SET, quote="disabled as a whole with: flags = (DATA_NONE|ACTION_TRIGGER")
_CONFIG_WRITE = Source(_CONFIG, "vfio_basic_config_write")
_WAKEUP = Source(_VIRQFD, "virqfd_wakeup")
_VECTOR = Source(_INTRS, "vfio_msi_set_vector_signal")
_AER = Thread(
    "[v2,2/3] VFIO-AER: Vfio-pci driver changes for supporting AER",
    "Alex Williamson",
    "2013-01-28",
    quote="When the device encounters an error, the error handler",
)
_REQUEST = Source(PCI_CORE, "vfio_pci_core_request")
_UNREGISTER = Source("drivers/vfio/vfio_main.c", "vfio_unregister_group_dev")

# INTx: delivery and its own mask

INTX_DELIVERED = rule(
    "interrupts.intx-delivered",
    "A level interrupt that the device asserts signals the trigger eventfd once.",
    Strength.DOCUMENTED,
    _TRIGGER,
    _INTX_HANDLER,
)

INTX_AUTOMASKED = rule(
    "interrupts.intx-automasked",
    "Once INTx was signalled it is masked: nothing more comes until it is unmasked.",
    Strength.DOCUMENTED,
    _AUTOMASKED,
    _INTX_HANDLER,
)

INTX_UNMASK_ASSERTED = rule(
    "interrupts.intx-unmask-asserted",
    "UNMASK of an interrupt that is still asserted signals it again, and masks it again.",
    Strength.DOCUMENTED,
    _AUTOMASKED,
    _UNMASK_HANDLER,
)

INTX_UNMASK_RELEASED = rule(
    "interrupts.intx-unmask-released",
    "UNMASK of an interrupt that is not asserted signals nothing; the next one comes.",
    Strength.DOCUMENTED,
    _AUTOMASKED,
    _UNMASK_HANDLER,
)

INTX_BOOL = rule(
    "interrupts.intx-bool",
    "MASK and UNMASK by a byte act if it is not 0, and do nothing if it is.",
    Strength.DOCUMENTED,
    Source(HEADER, _SET, quote="DATA_BOOL allows sparse support for the same"),
    Source(_INTRS, "vfio_pci_set_intx_mask"),
)

INTX_MASKED = rule(
    "interrupts.intx-masked",
    "A masked interrupt is held back, and comes once when it is unmasked.",
    Strength.DOCUMENTED,
    _MASKING,
    Source(_INTRS, "__vfio_pci_intx_mask"),
)

INTX_MASK_IS_NO_COUNT = rule(
    "interrupts.intx-mask-is-no-count",
    "Masking twice is undone by unmasking once; unmasking what is not masked does nothing.",
    Strength.ENFORCED,
    Source(_INTRS, "__vfio_pci_intx_mask"),
    _UNMASK_HANDLER,
)

INTX_HARDWARE_BIT = rule(
    "interrupts.intx-hardware-bit",
    "The device's own Interrupt Disable bit is set just while INTx is masked; the user's is not.",
    Strength.ENFORCED,
    _INTX_ENABLE,
    _INTX_HANDLER,
)

INTX_REENABLED = rule(
    "interrupts.intx-reenabled",
    "INTx turned off while masked and on again is not masked.",
    Strength.ENFORCED,
    _INTX_ENABLE,
)

INTX_SHARED = rule(
    "interrupts.intx-shared",
    "Of two devices on one interrupt line, only the one that asserts it is signalled.",
    Strength.ENFORCED,
    _INTX_HANDLER,
    Source(_INTRS, "vfio_intx_enable"),
)

# The user's Interrupt Disable bit

DISINTX_HOLDS = rule(
    "interrupts.disintx-holds",
    "While the user's Interrupt Disable bit is set no INTx is signalled; cleared, it comes once.",
    Strength.ENFORCED,
    _CONFIG_WRITE,
    Source("include/uapi/linux/pci_regs.h", "PCI_COMMAND_INTX_DISABLE"),
)

DISINTX_LOOPBACK = rule(
    "interrupts.disintx-loopback",
    "While the user's Interrupt Disable bit is set a loopback signals nothing either.",
    Strength.OBSERVED,
    Source(_INTRS, "vfio_send_intx_eventfd"),
)

DISINTX_UNMASK = rule(
    "interrupts.disintx-unmask",
    "UNMASK does not let through what the user's Interrupt Disable bit holds back.",
    Strength.ENFORCED,
    _UNMASK_HANDLER,
)

DISINTX_BEFORE = rule(
    "interrupts.disintx-before",
    "INTx turned on while the user's Interrupt Disable bit is set starts out masked.",
    Strength.ENFORCED,
    _INTX_ENABLE,
)

DISINTX_HARDWARE_BIT = rule(
    "interrupts.disintx-hardware-bit",
    "The device's own Interrupt Disable bit follows the user's while INTx is off.",
    Strength.ENFORCED,
    Source(_INTRS, "__vfio_pci_intx_mask"),
    _UNMASK_HANDLER,
)

# Unmasking by eventfd

IRQFD_UNMASKS = rule(
    "interrupts.irqfd-unmasks",
    "A write to the UNMASK eventfd unmasks INTx: what is asserted is signalled again.",
    Strength.DOCUMENTED,
    _IRQFD,
    _WAKEUP,
)

IRQFD_RELEASED = rule(
    "interrupts.irqfd-released",
    "A write to the UNMASK eventfd signals nothing that is not asserted; the next one comes.",
    Strength.DOCUMENTED,
    _IRQFD,
    _WAKEUP,
)

IRQFD_DRAINED = rule(
    "interrupts.irqfd-drained",
    "What is left in the UNMASK eventfd after the kernel took a write.",
    Strength.OBSERVED,
    _WAKEUP,
    answer=(
        Answer(1, "<6.0", "the kernel is told of the write, and does not read the eventfd"),
        Answer(0, ">=6.0", "the kernel reads the eventfd; seen on 6.1 and later"),
    ),
)

IRQFD_PENDING = rule(
    "interrupts.irqfd-pending",
    "An UNMASK eventfd that was written before it is assigned unmasks when it is.",
    Strength.ENFORCED,
    Source(_VIRQFD, "vfio_virqfd_enable"),
)

IRQFD_BUSY = rule(
    "interrupts.irqfd-busy",
    "A second UNMASK eventfd is refused, and the first goes on.",
    Strength.ENFORCED,
    Source(_VIRQFD, "vfio_virqfd_enable"),
    answer=EBUSY,
)

IRQFD_DEASSIGNED = rule(
    "interrupts.irqfd-deassigned",
    "After -1 the UNMASK eventfd does nothing, and another is accepted.",
    Strength.DOCUMENTED,
    _DEASSIGN,
    Source(_VIRQFD, "vfio_virqfd_disable"),
)

IRQFD_CLOSED = rule(
    "interrupts.irqfd-closed",
    "An UNMASK eventfd that is closed is gone: another is accepted.",
    Strength.ENFORCED,
    _WAKEUP,
)

IRQFD_OFF = rule(
    "interrupts.irqfd-off",
    "Turning INTx off ends its UNMASK eventfd.",
    Strength.ENFORCED,
    Source(_INTRS, "vfio_intx_disable"),
)

# Trigger eventfds come and go

REPLACED = rule(
    "interrupts.replaced",
    "A second trigger eventfd takes the place of the first: only it is signalled.",
    Strength.DOCUMENTED,
    _TRIGGER,
    _SET_SIGNAL,
    _VECTOR,
)

DEASSIGNED = rule(
    "interrupts.deassigned",
    "After -1 nobody is signalled, until there is an eventfd again.",
    Strength.DOCUMENTED,
    _DEASSIGN,
    _SET_SIGNAL,
    _VECTOR,
)

CLOSED = rule(
    "interrupts.closed",
    "An interrupt whose trigger eventfd the user closed does no harm; another can be set.",
    Strength.ENFORCED,
    _SET_SIGNAL,
    _VECTOR,
)

OFF = rule(
    "interrupts.off",
    "An index that was turned off signals nobody.",
    Strength.DOCUMENTED,
    _DISABLE,
    Source(_INTRS, "vfio_intx_disable"),
    Source(_INTRS, "vfio_msi_disable"),
)

SWITCHED = rule(
    "interrupts.switched",
    "After a change between INTx and MSI the index that is on is signalled, the other is not.",
    Strength.ENFORCED,
    Source(_INTRS, "vfio_msi_enable"),
    _INTX_ENABLE,
)

LAST_CLOSE = rule(
    "interrupts.last-close",
    "The last close of a device turns its interrupts off: opened again, a loopback is refused.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_disable"),
    Source(PCI_CORE, "vfio_pci_core_close_device"),
    answer=EINVAL,
)

OTHER_FD = rule(
    "interrupts.other-fd",
    "Interrupts are the device's: one fd of two may be closed and they stay on.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_disable"),
)

RESET_KEEPS = rule(
    "interrupts.reset-keeps",
    "VFIO_DEVICE_RESET leaves the eventfds where they are.",
    Strength.OBSERVED,
    Source(PCI_CORE, "vfio_pci_ioctl_reset"),
)

QUIET = rule(
    "interrupts.quiet-races",
    "Interrupts turned on, replaced, masked and off while they arrive harm nothing.",
    Strength.ENFORCED,
    Source(_INTRS, "vfio_pci_set_irqs_ioctl"),
    _SET_SIGNAL,
)

# MSI and MSI-X

MSI_DELIVERED = rule(
    "interrupts.msi-delivered",
    "Each message the device sends signals the eventfd of its vector once, and no other.",
    Strength.DOCUMENTED,
    _TRIGGER,
    Source(_INTRS, "vfio_msihandler"),
)

MSI_BUS_MASTER = rule(
    "interrupts.msi-bus-master",
    "A device that is not bus master sends no messages.",
    Strength.ENFORCED,
    Source("include/uapi/linux/pci_regs.h", "PCI_COMMAND_MASTER"),
    _CONFIG_WRITE,
)

MSI_LEAVES_DISINTX = rule(
    "interrupts.msi-leaves-disintx",
    "MSI neither changes the user's Interrupt Disable bit nor is held back by it.",
    Strength.ENFORCED,
    Source(_INTRS, "vfio_msi_enable"),
    _CONFIG_WRITE,
)

MSIX_MEMORY_OFF = rule(
    "interrupts.msix-memory-off",
    "MSI-X is set up and torn down with memory decoding off, which is off again afterwards.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_memory_lock_and_enable"),
)

MSIX_REFRESHED = rule(
    "interrupts.msix-refreshed",
    "Setting a vector's eventfd again repairs the vector's message.",
    Strength.ENFORCED,
    _VECTOR,
)

# Errors

ERROR_SIGNALLED = rule(
    "interrupts.error-signalled",
    "An error the device or its port reports signals the ERR eventfd once, fatal or not.",
    Strength.DOCUMENTED,
    _AER,
    Source(PCI_CORE, "vfio_pci_core_aer_err_detected"),
)

ERROR_RECOVERED = rule(
    "interrupts.error-recovered",
    "After an error that is not fatal the device goes on as before; the kernel has recovered it.",
    Strength.ENFORCED,
    Source(PCI_CORE, "vfio_pci_core_aer_err_detected"),
)

ERROR_CLOSE_REPAIRS = rule(
    "interrupts.error-close-repairs",
    "A device whose link was reset for a fatal error is as before once it was closed.",
    Strength.OBSERVED,
    Source(PCI_CORE, "vfio_pci_core_disable"),
)

ERROR_REPLACED = rule(
    "interrupts.error-replaced",
    "Only the last ERR eventfd is signalled.",
    Strength.DOCUMENTED,
    _AER,
    Source(_INTRS, "vfio_pci_set_ctx_trigger_single"),
)

ERROR_REMOVED = rule(
    "interrupts.error-removed",
    "After -1, count 0 or the last close no ERR eventfd is signalled, and an error does no harm.",
    Strength.DOCUMENTED,
    _AER,
    Source(_INTRS, "vfio_pci_set_ctx_trigger_single"),
)

ERROR_INJECTED = rule(
    "interrupts.error-injected",
    "An error made up by aer_inject signals the ERR eventfd like one of the device's.",
    Strength.ENFORCED,
    Source("drivers/pci/pcie/aer_inject.c", "aer_inject"),
    untested="load aer_inject in the guest: of the kernels' modules only what VFIO needs is there",
)

# Requests to let go

REQUEST_SIGNALLED = rule(
    "interrupts.request-signalled",
    "Whoever takes the device from vfio-pci makes it signal the REQ eventfd once, at once.",
    Strength.ENFORCED,
    _REQUEST,
    _UNREGISTER,
)

REQUEST_REPEATED = rule(
    "interrupts.request-repeated",
    "The request is signalled again after so many seconds if the device is still open.",
    Strength.ENFORCED,
    _UNREGISTER,
    answer=10,
)

REQUEST_REMOVED = rule(
    "interrupts.request-removed",
    "After -1 the request is not signalled, and blocks all the same.",
    Strength.DOCUMENTED,
    _DEASSIGN,
    _REQUEST,
)

UNBIND_BLOCKS = rule(
    "interrupts.unbind-blocks",
    "The device is not gone while an fd of it is open or a region of it is mapped.",
    Strength.ENFORCED,
    _UNREGISTER,
)

UNBIND_STILL_WORKS = rule(
    "interrupts.unbind-still-works",
    "Whoever has the device open goes on using it while it is asked for.",
    Strength.ENFORCED,
    _UNREGISTER,
)

UNBIND_NO_NEW = rule(
    "interrupts.unbind-no-new",
    "Whether a device that is asked for is given out once more: 0 if it is.",
    Strength.ENFORCED,
    Source("drivers/vfio/vfio_main.c", "vfio_unregister_group_dev", quote="Prevent new device"),
    answer=(
        Answer(0, "<6.6", "as long as somebody has it open the group gives out more fds"),
        Answer(ENODEV, ">=6.6", "the device leaves its group's list first; seen on 6.12 and later"),
    ),
)

UNBIND_KILL = rule(
    "interrupts.unbind-kill",
    "The end of the process that has the device open gives it back.",
    Strength.ENFORCED,
    _UNREGISTER,
)

UNBIND_REBIND = rule(
    "interrupts.unbind-rebind",
    "A device that was taken away and given back works as before.",
    Strength.OBSERVED,
    _UNREGISTER,
)
