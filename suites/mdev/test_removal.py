# SPDX-License-Identifier: MIT
"""A mediated device that is taken away while somebody uses it."""

import select
from collections.abc import Callable

from vfiospec import expect
from vfiospec.device import ops as o
from vfiospec.device.files import EventFd
from vfiospec.device.group import Assigned
from vfiospec.device.info import snapshot
from vfiospec.device.mdev import Mdev
from vfiospec.device.port import Port
from vfiospec.rules import mdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
LONG_MS, SHORT_MS = 10_000, 20
ONE = (1).to_bytes(8, "little")


@checks(rules.IN_USE, rules.REMOVED)
def test_in_use(port: Port, make: Callable[[str], Mdev], promised: Promised) -> None:
    """The removal goes on once the last of two fds is closed."""
    mdev = make("mtty-1")
    process = port.handle()
    with EventFd.create(port) as started:
        port.do(o.Fork(process))  # before the device is open: it would keep what it inherits
        own = Assigned(port, mdev.group)
        first, second = own.open(mdev.name), own.open(mdev.name)
        before = snapshot(first)
        remove = o.WriteFile(f"{mdev.folder}/remove", b"1")
        ask = (o.In(process, (o.Pwrite(started.handle, ONE), remove)),)
        # Its answer may take for ever: the other thread cuts the line once it is at work.
        cut = (o.Poll((started.handle,), select.POLLIN, LONG_MS), o.Wait(process, 0, 1))
        try:
            port.do(o.Race((ask, cut)))
            first.close()
            call, third = own.group.try_get_device_fd(mdev.name)
            for _ in range(LONG_MS // SHORT_MS):
                waiting = not port.do(o.Wait(process, 0, SHORT_MS)).ok
                expect.holds(waiting, "removal waits", "it is over")
                if third is None:
                    break
                third.close()  # it has not come that far
                call, third = own.group.try_get_device_fd(mdev.name)
            expect.holds(third is None, "no new fd", str(call))
            expect.equal(f"errno of {call}", call.errno, promised(rules.IN_USE))
            expect.equal("answers", snapshot(second), before)
        finally:
            second.close()
            own.close()
        expect.holds(port.do(o.Wait(process, 0, LONG_MS)).ok, "removal ends", "it does not")
    expect.holds(not mdev.exists, "it is gone", "it is there")
