# SPDX-License-Identifier: MIT
"""Take a device from its driver, which blocks while somebody uses it, and give it back."""

import select
import signal

from vfiospec.device.files import EventFd
from vfiospec.device.ops import Fork, In, Poll, Pwrite, Race, ReadLink, Wait, WriteFile
from vfiospec.device.port import Port

_PCI = "/sys/bus/pci"
_ONE = (1).to_bytes(8, "little")
_LONG_MS = 10_000


class Unbinder:
    """A second process that unbinds the device when told to.

    Make it before the device is opened: whatever it inherits stays open as long as it lives.
    """

    def __init__(self, port: Port, bdf: str) -> None:
        """Fork."""
        self.port = port
        self.bdf = bdf
        self._driver = f"{_PCI}/devices/{bdf}/driver"
        self._started: EventFd | None = EventFd.create(port)
        self._process = port.handle()
        self._ended = False
        port.do(Fork(self._process))

    def start(self) -> None:
        """Begin to unbind, and return without waiting for the end."""
        started = self._started
        if started is None:
            raise ValueError(f"{self.bdf} was given back already: make another Unbinder")
        unbind = WriteFile(f"{self._driver}/unbind", self.bdf.encode())
        tell = Pwrite(started.handle, _ONE)
        # The one thread waits for an answer that may take for ever; the other cuts the line once
        # the process is at work.
        ask = (In(self._process, (tell, unbind)),)
        cut = (Poll((started.handle,), select.POLLIN, _LONG_MS), Wait(self._process, 0, 1))
        self.port.do(Race((ask, cut)))

    def done(self, timeout_ms: int) -> bool:
        """Wait until the device is gone from its driver; False if the time ran out."""
        self._ended = self._ended or self.port.do(Wait(self._process, 0, timeout_ms)).ok
        return self._ended

    def kill(self) -> None:
        """Send the process a signal it cannot ignore, without waiting for its end."""
        self._ended = self._ended or self.port.do(Wait(self._process, signal.SIGKILL, 1)).ok

    def give_back(self) -> None:
        """End the process, once, and have the driver take the device; OSError if it does not."""
        if not self.done(_LONG_MS):
            raise OSError(f"{self.bdf} is still in use: close it before it is given back")
        if self._started is not None:
            self._started.close()
            self._started = None
        if not self.is_bound():
            self.port.do(WriteFile(f"{_PCI}/drivers_probe", self.bdf.encode()))
        if not self.is_bound():
            raise OSError(f"{self.bdf} was not taken by its driver again: see the kernel log")

    def is_bound(self) -> bool:
        """Whether the device has a driver."""
        return self.port.do(ReadLink(self._driver)).ok
