# SPDX-License-Identifier: MIT
"""One interrupt index of a device fd, for tests that are after what it delivers."""

from typing import Final

from vfiospec.abi import vfio
from vfiospec.device.call import Call, CallError
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, File
from vfiospec.device.ops import AnyOp, Fixup, FixupKind, Ioctl

NONE: Final = vfio.VFIO_IRQ_SET_DATA_NONE
BOOL: Final = vfio.VFIO_IRQ_SET_DATA_BOOL
EVENTFD: Final = vfio.VFIO_IRQ_SET_DATA_EVENTFD
MASK: Final = vfio.VFIO_IRQ_SET_ACTION_MASK
UNMASK: Final = vfio.VFIO_IRQ_SET_ACTION_UNMASK
TRIGGER: Final = vfio.VFIO_IRQ_SET_ACTION_TRIGGER

SOON_MS: Final = 5000  # for what must come: far more than any machine needs


def arrived(event: EventFd) -> int:
    """Wait for a signal; how many there were by then, 0 if none came."""
    event.wait(SOON_MS)
    return event.count()


class Interrupt:
    """An index, told what to do by VFIO_DEVICE_SET_IRQS; CallError unless the answer is 0."""

    def __init__(self, device: Device, index: int) -> None:
        self.device = device
        self.index = index

    def signal(self, *events: File | int, start: int = 0) -> None:
        """Have interrupts from `start` on signal these eventfds; -1 stands for none."""
        self._told(EVENTFD | TRIGGER, start, len(events), eventfds=events)

    def off(self) -> None:
        """Turn the whole index off."""
        self._told(NONE | TRIGGER, 0, 0)

    def try_off(self) -> Call:
        """Turn the whole index off, if it is on."""
        return self.device.try_set_irqs(self.index, NONE | TRIGGER)

    def loop_back(self) -> None:
        """Have the kernel act as if the first interrupt came."""
        self._told(NONE | TRIGGER, 0, 1)

    def mask(self) -> None:
        """Hold the first interrupt back."""
        self._told(NONE | MASK, 0, 1)

    def unmask(self) -> None:
        """Let the first interrupt through again."""
        self._told(NONE | UNMASK, 0, 1)

    def mask_if(self, value: int) -> None:
        """Mask by a byte."""
        self._told(BOOL | MASK, 0, 1, bytes([value]))

    def unmask_if(self, value: int) -> None:
        """Unmask by a byte."""
        self._told(BOOL | UNMASK, 0, 1, bytes([value]))

    def unmask_by(self, event: File | int) -> None:
        """Have writes to an eventfd unmask the first interrupt; -1 ends that."""
        self._told(EVENTFD | UNMASK, 0, 1, eventfds=(event,))

    def try_unmask_by(self, event: File | int) -> Call:
        """The same, whatever the answer."""
        return self.device.try_set_irqs(self.index, EVENTFD | UNMASK, 0, 1, eventfds=(event,))

    def _told(
        self,
        flags: int,
        start: int,
        count: int,
        data: bytes = b"",
        eventfds: tuple[File | int, ...] = (),
    ) -> None:
        call = self.device.try_set_irqs(self.index, flags, start, count, data, eventfds=eventfds)
        if call.ret != 0:  # a positive number is no success either: see VFIO_DEVICE_SET_IRQS
            raise CallError(call)

    def op(self, flags: int, count: int, event: File | int | None = None) -> AnyOp:
        """One SET_IRQS as an operation of a race, with at most one eventfd."""
        head = vfio.vfio_irq_set.sizeof()
        fixups: tuple[Fixup, ...] = ()
        data = b""
        if isinstance(event, File):
            fixups, data = (Fixup(head, FixupKind.FD, event.handle),), bytes(4)
        elif event is not None:
            data = event.to_bytes(4, "little", signed=True)
        request = vfio.vfio_irq_set(head + len(data), flags, self.index, 0, count)
        return Ioctl(
            self.device.handle, vfio.VFIO_DEVICE_SET_IRQS, data=request.pack() + data, fixups=fixups
        )
