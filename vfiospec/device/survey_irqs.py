# SPDX-License-Identifier: MIT
"""Calls on a device's interrupts, the same whatever way it was reached."""

from typing import Final

from vfiospec.abi import vfio
from vfiospec.device.files import EventFd
from vfiospec.device.interrupt import BOOL, EVENTFD, MASK, NONE, TRIGGER, UNMASK
from vfiospec.device.survey import Subject, Telling

_INDEXES: Final = {
    "INTx": vfio.VFIO_PCI_INTX_IRQ_INDEX,
    "MSI": vfio.VFIO_PCI_MSI_IRQ_INDEX,
    "MSI-X": vfio.VFIO_PCI_MSIX_IRQ_INDEX,
    "ERR": vfio.VFIO_PCI_ERR_IRQ_INDEX,
    "REQ": vfio.VFIO_PCI_REQ_IRQ_INDEX,
}
_BESIDE: Final = (("MSI", "MSI-X"), ("MSI-X", "MSI"), ("INTx", "MSI-X"), ("MSI", "INTx"))


def set_irqs(subject: Subject) -> Telling:
    """VFIO_DEVICE_SET_IRQS: each index on and off, triggered, masked, and what is refused."""
    port = subject.device.port
    with EventFd.create(port) as first, EventFd.create(port) as second:
        for name, index in _INDEXES.items():
            yield from _one(subject, name, index, first, second)
        for name, other in _BESIDE:
            yield from _beside(subject, name, other, first, second)


def _one(subject: Subject, name: str, index: int, first: EventFd, second: EventFd) -> Telling:
    """One index from off to off."""
    device, count = subject.device, 1 << 12

    def ask(what: str, flags: int, *args: int, **more: object) -> tuple[str, str]:
        call = device.try_set_irqs(index, flags, *args, **more)  # type: ignore[arg-type]
        signals = f"signals {first.count()} and {second.count()}"
        return f"{name}: {what}", f"{call.answer()}, {signals}"

    yield ask("off while off", NONE | TRIGGER)
    yield ask("triggered while off", NONE | TRIGGER, 0, 1)
    yield ask("masked while off", NONE | MASK, 0, 1)
    yield ask("two kinds of data", NONE | BOOL | TRIGGER, 0, 1)
    yield ask("two actions", NONE | TRIGGER | MASK, 0, 1)
    yield ask("no action", NONE, 0, 1)
    yield ask("argsz 0", NONE | TRIGGER, 0, 1, argsz=0)
    yield ask("data without room", BOOL | TRIGGER, 0, count, argsz=21, data=b"\1")
    yield ask("an fd that is not open", EVENTFD | TRIGGER, 0, 1, eventfds=(0x7FFFFFFF,))
    yield ask("on", EVENTFD | TRIGGER, 0, 1, eventfds=(first,))
    yield ask("triggered", NONE | TRIGGER, 0, 1)
    yield ask("triggered by 0", BOOL | TRIGGER, 0, 1, data=b"\0")
    yield ask("triggered by 1", BOOL | TRIGGER, 0, 1, data=b"\1")
    yield ask("another eventfd", EVENTFD | TRIGGER, 0, 1, eventfds=(second,))
    yield ask("triggered again", NONE | TRIGGER, 0, 1)
    yield ask("masked", NONE | MASK, 0, 1)
    yield ask("unmasked", NONE | UNMASK, 0, 1)
    yield ask("unmasked by an eventfd", EVENTFD | UNMASK, 0, 1, eventfds=(first,))
    yield ask("second vector", EVENTFD | TRIGGER, 1, 1, eventfds=(first,))
    yield ask("second vector triggered", NONE | TRIGGER, 1, 1)
    yield ask("far behind the last", NONE | TRIGGER, count, 1)
    yield ask("start and count overflow", NONE | TRIGGER, 0xFFFFFFFF, 2)
    yield ask("eventfd taken away", EVENTFD | TRIGGER, 0, 1, eventfds=(-1,))
    yield ask("triggered without", NONE | TRIGGER, 0, 1)
    yield ask("off", NONE | TRIGGER)
    yield ask("triggered once off", NONE | TRIGGER, 0, 1)


def _beside(subject: Subject, name: str, other: str, first: EventFd, second: EventFd) -> Telling:
    """One index turned on while another is."""
    device = subject.device
    for what, event in ((name, first), (other, second)):
        call = device.try_set_irqs(_INDEXES[what], EVENTFD | TRIGGER, 0, 1, eventfds=(event,))
        yield f"{other} beside {name}: {what} on", call.answer()
    for what in (name, other):
        device.try_set_irqs(_INDEXES[what], NONE | TRIGGER)
