# SPDX-License-Identifier: MIT
"""Whether the kernel holds an eventfd that everybody else has closed.

An eventfd has an id that its /proc fdinfo shows and that the next one gets once nobody, the
kernel included, holds the first any more: by that a reference left behind is seen.
"""

import time
from collections.abc import Callable, Collection
from typing import Final

from vfiospec import expect
from vfiospec.device import ops as o
from vfiospec.device.files import EventFd, Memory
from vfiospec.device.port import Port

PATIENCE: Final = 5.0  # seconds until an eventfd that is let go of later must be gone
PAUSE: Final = 0.02  # between two looks
ANY_FREE: Final = 12  # eventfds that together have the lowest ids: more than a test lets go of


class Ids:
    """The ids of eventfds."""

    def __init__(self, port: Port, memory: Memory) -> None:
        """Of a port, with memory of which the start may be written."""
        self._port = port
        self._memory = memory

    def of(self, *events: EventFd) -> list[int]:
        """Each one's id."""
        return self._ids([], [event.handle for event in events])

    def free(self) -> list[int]:
        """The ids that new eventfds get, the lowest there are."""
        handles = [self._port.handle() for _ in range(ANY_FREE)]
        found = self._ids([o.Eventfd(handle) for handle in handles], handles)
        self._port.run([o.Close(handle) for handle in handles])
        return found

    def is_free(self, wanted: int) -> bool:
        """Whether new eventfds get the id."""
        return wanted in self.free()

    def taken(self, before: Collection[int]) -> list[int]:
        """Of ids that were free, those that no new eventfd gets, though it gets a higher one."""
        now = self.free()
        return [i for i in before if i not in now and i < max(now)]

    def _ids(self, first: list[o.AnyOp], handles: list[int]) -> list[int]:
        """Make the first operations, then learn the ids of the eventfds with these handles."""
        ask = [  # an ioctl nobody knows, to learn the fd's number
            o.Ioctl(handle, 0, 0, bytes(4), (o.Fixup(0, o.FixupKind.FD, handle),), self._at(i))
            for i, handle in enumerate(handles)
        ]
        raw = self._port.run([*first, *ask, o.Peek(self._at(0), 4 * len(handles))])[-1].bytes
        numbers = [int.from_bytes(raw[i : i + 4], "little") for i in range(0, len(raw), 4)]
        infos = self._port.run([o.ReadFile(f"/proc/self/fdinfo/{n}") for n in numbers])
        lines = [line.split() for info in infos for line in info.bytes.decode().splitlines()]
        return [int(words[1]) for words in lines if words[0] == "eventfd-id:"]

    def _at(self, place: int) -> o.Ref:
        return self._memory.at(4 * place)

    def must_be_held(self, wanted: int, when: str) -> None:
        """Hold that the kernel has a reference of its own."""
        expect.holds(not self.is_free(wanted), f"the eventfd held, {when}", "it is gone")

    def must_go(self, wanted: int, when: str) -> None:
        """Hold that the kernel lets go of it, soon."""
        if not self._soon(lambda: self.is_free(wanted)):
            raise expect.Mismatch(f"the eventfd released, {when}", "the kernel holds it")

    def none_kept(self, before: Collection[int], when: str) -> None:
        """Hold that the kernel lets go of all that got an id that was free, soon."""
        if not self._soon(lambda: not self.taken(before)):
            kept = len(self.taken(before))
            raise expect.Mismatch(f"the eventfds released, {when}", f"the kernel holds {kept}")

    def _soon(self, done: Callable[[], bool]) -> bool:
        """Look until it is so, or time is up. The transcript has the last look only."""
        end = time.monotonic() + PATIENCE
        while True:
            steps = len(self._port.steps)
            if done():
                return True
            if time.monotonic() > end:
                return False
            del self._port.steps[steps:]
            time.sleep(PAUSE)
