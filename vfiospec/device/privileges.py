# SPDX-License-Identifier: MIT
"""A second process that may do less."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from struct import Struct
from typing import Final

from vfiospec.device import ops as o
from vfiospec.device.files import Memory
from vfiospec.device.port import ForkedPort, Port

CAP_IPC_LOCK: Final = 14  # include/uapi/linux/capability.h
CAP_SYS_RAWIO: Final = 17
CAP_SYS_RESOURCE: Final = 24
NOBODY: Final = 65534  # a user who owns nothing
_VERSION_3: Final = 0x20080522
_HEADER = Struct("<II")
_SETS = Struct("<6I")  # effective, permitted, inheritable; then the upper halves of each
_WORD: Final = 32


@contextmanager
def without(port: Port, capability: int) -> Iterator[ForkedPort]:
    """A second process with all that the first has open, and one capability less."""
    process = port.handle()
    reply = port.do(o.Fork(process))
    if not reply.ok:
        raise OSError(reply.errno, os.strerror(reply.errno), "fork")
    child = ForkedPort(port, process)
    try:
        _drop(child, capability)
        yield child
    finally:
        child.close()


def become(port: Port, user: int = NOBODY) -> None:
    """Have a process be another user, who has no capability, for good."""
    _do(port, o.Syscall("setresuid", (user, user, user)))


def _drop(port: Port, capability: int) -> None:
    with Memory(port, port.hello.page_size) as memory:
        memory.write(0, _HEADER.pack(_VERSION_3, 0))
        where = (memory.fixup(0), memory.fixup(0, _HEADER.size))
        _do(port, o.Syscall("capget", where))
        sets = list(_SETS.unpack(memory.read(_HEADER.size, _SETS.size)))
        high, bit = divmod(capability, _WORD)
        for each in range(3):
            sets[3 * high + each] &= ~(1 << bit)
        memory.write(_HEADER.size, _SETS.pack(*sets))
        _do(port, o.Syscall("capset", where))


def _do(port: Port, op: o.Syscall) -> None:
    reply = port.do(op)
    if not reply.ok:
        raise OSError(reply.errno, os.strerror(reply.errno), op.name)
