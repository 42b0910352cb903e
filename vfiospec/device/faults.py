# SPDX-License-Identifier: MIT
"""Failures inside the kernel: a port whose call fails, and the kernel's own record of them."""

import os
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.device.port import Port, PortError

FAIL_NTH: Final = "/proc/self/fail-nth"
DEBUGFS: Final = "/sys/kernel/debug"
_SEEK_END = 2
# A line end within a message is escaped in /dev/kmsg.
_FORCED = re.compile(rb"FAULT_INJECTION: forcing a failure\.\\x0aname (\w+),")


class Injector(StrEnum):
    """What of the kernel can fail on demand; each is a folder of debugfs."""

    SLAB = "failslab"  # an allocation of memory for a structure
    PAGES = "fail_page_alloc"  # an allocation of pages
    COPY = "fail_usercopy"  # a copy from or to the caller


# Without these, only allocations that may not wait would fail, and of pages only several at once.
EVERYTHING: Final = {
    f"{Injector.SLAB}/ignore-gfp-wait": "N",
    f"{Injector.PAGES}/ignore-gfp-wait": "N",
    f"{Injector.PAGES}/min-order": "0",
    **{f"{injector}/verbose": "1" for injector in Injector},
}


class FailingPort(Port):
    """Another port, of which one call is made to fail at its nth point of failure."""

    def __init__(self, port: Port, nth: int) -> None:
        super().__init__()
        self.hello = port.hello
        self._port = port
        self._nth = nth
        self.left: int | None = None

    def handle(self) -> int:
        """A handle of the other port."""
        return self._port.handle()

    def exchange(self, ops: Sequence[AnyOp]) -> Sequence[Reply]:
        """Make the one call."""
        if self.left is not None or len(ops) != 1:
            raise PortError("a port whose calls fail makes one call")
        (reply,) = self._port.run([o.FailNth(self._nth, ops[0])])
        (self.left,) = reply.values
        return [reply]

    @property
    def fired(self) -> bool:
        """Whether the failure took place."""
        return self.left == 0

    def close(self) -> None:
        """The other port stays open."""


class FailureLog:
    """What the kernel logs of the failures it was asked for."""

    def __init__(self, port: Port) -> None:
        """Begin with what is logged from now on. OSError if the log cannot be read."""
        self._port = port
        self._handle = port.handle()
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        reply = port.do(o.Open(self._handle, "/dev/kmsg", flags))
        if not reply.ok:
            raise OSError(reply.errno, os.strerror(reply.errno), "/dev/kmsg")
        where = (o.Fixup(0, o.FixupKind.FD, self._handle), 0, _SEEK_END)
        port.do(o.Syscall("lseek", where))

    def injectors(self) -> list[Injector]:
        """Which of them failed since the last time this was asked.

        An allocation whose failure is not to be warned of is not told of here.
        """
        text = self._port.do(o.Drain(self._handle)).bytes
        return [Injector(name.decode()) for name in _FORCED.findall(text)]

    def close(self) -> None:
        """close(2)."""
        self._port.do(o.Close(self._handle))
