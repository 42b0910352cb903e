# SPDX-License-Identifier: MIT
"""Writes bound to an eventfd, remembered so that they can all be taken away again."""

from vfiospec.device.call import Call
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, File


class Binder:
    """Binds writes into the BARs of a device to eventfds. A context manager that unbinds them."""

    def __init__(self, device: Device, event: EventFd) -> None:
        """`event` is the eventfd where no other is named."""
        self.device = device
        self.event = event
        self._bound: list[tuple[int, int, int]] = []

    def at(self, bar: int, offset: int) -> int:
        """A place in a region as an offset of the device fd."""
        return int(self.device.get_region_info(bar).struct.offset) + offset

    def bind(self, flags: int, at: int, data: int, fd: File | int | None = None) -> Call:
        """Ask for a write; `flags` hold the width, `fd` may be a number such as -2."""
        call = self.device.try_ioeventfd(flags, at, data, self.event if fd is None else fd)
        if call.ok:
            self._bound.append((flags, at, data))
        return call

    def unbind(self, flags: int, at: int, data: int) -> Call:
        """Take a write away."""
        call = self.device.try_ioeventfd(flags, at, data, -1)
        if call.ok and (flags, at, data) in self._bound:
            self._bound.remove((flags, at, data))
        return call

    def close(self) -> None:
        """Take all of them away."""
        for bound in tuple(self._bound):
            self.unbind(*bound)
