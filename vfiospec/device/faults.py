# SPDX-License-Identifier: MIT
"""Failures inside the kernel: a port whose call fails, and the kernel's own record of them."""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.device.port import Port, PortError

FAIL_NTH: Final = "/proc/self/fail-nth"
DEBUGFS: Final = "/sys/kernel/debug"
# A line end within a message is escaped in /dev/kmsg.
_FORCED = re.compile(r"FAULT_INJECTION: forcing a failure\.\\x0aname (\w+),")


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


def failures(log: Iterable[str]) -> list[Injector]:
    """Which of them failed, by lines of the kernel's log.

    An allocation whose failure is not to be warned of is not told of there.
    """
    return [Injector(match[1]) for line in log if (match := _FORCED.match(line))]
