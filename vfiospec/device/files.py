# SPDX-License-Identifier: MIT
"""Open files, eventfds and memory on the far side of a port, as objects."""

import os
import select
from functools import lru_cache
from types import TracebackType
from typing import Self

from vfiospec.abi.ioctl import IOCTLS
from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.ops import Fixup, FixupKind, MemoryKind, Ref, Reply
from vfiospec.device.port import Port


@lru_cache(maxsize=1024)
def _ioctl_name(kind: str, request: int) -> str:
    known = IOCTLS.get((kind, request))
    return known[0] if known else f"ioctl {request:#x}"


class File:
    """An open file. A context manager that closes it."""

    kind = "file"  # how vfiospec.abi.ioctl tells ioctl numbers of this fd apart

    def __init__(self, port: Port, handle: int) -> None:
        """Take over an open handle."""
        self.port = port
        self.handle = handle

    @classmethod
    def open(cls, port: Port, path: str, flags: int = os.O_RDWR | os.O_CLOEXEC) -> Self:
        """open(2); OSError if it fails."""
        handle = port.handle()
        reply = port.do(o.Open(handle, path, flags))
        if not reply.ok:
            raise OSError(reply.errno, os.strerror(reply.errno), path)
        return cls(port, handle)

    def fixup(self, offset: int = 0) -> Fixup:
        """This file's number, to be written at an offset of a buffer."""
        return Fixup(offset, FixupKind.FD, self.handle)

    def close(self) -> Reply:
        """close(2)."""
        return self.port.do(o.Close(self.handle))

    def dup(self) -> Self:
        """A second descriptor of the same open file."""
        handle = self.port.handle()
        self.port.do(o.Dup(handle, self.handle))
        return type(self)(self.port, handle)

    def try_ioctl(  # noqa: PLR0913 -- all that an ioctl's argument can be
        self,
        request: int,
        argument: bytes | int | Ref = 0,
        *,
        what: str = "",
        argsz: int = 0,
        fixups: tuple[Fixup, ...] = (),
        at: Ref | None = None,
        out: int | None = None,
    ) -> Call:
        """Make an ioctl; never raises for what the kernel answers.

        `argument` is a number, the bytes of a buffer, or a place in memory. With `at`, the bytes
        are put there instead of into a buffer of their own.
        """
        if isinstance(argument, bytes):
            op = o.Ioctl(self.handle, request, 0, argument, fixups, at, out)
        elif isinstance(argument, int):
            op = o.Ioctl(self.handle, request, argument, None, (), None, out)
        else:
            op = o.Ioctl(self.handle, request, 0, None, (), argument, out)
        sent = b"" if isinstance(argument, Ref) else argument
        return Call(_ioctl_name(self.kind, request), what, sent, self.port.do(op), argsz)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class ClosedOnce(File):
    """Mixed into a kind of file: one that a test may close before its end."""

    _open = True

    def close(self) -> Reply:
        """close(2), once."""
        if not self._open:
            return Reply()
        self._open = False
        return super().close()


class EventFd(File):
    """An eventfd that does not block."""

    kind = "eventfd"

    @classmethod
    def create(cls, port: Port, initial: int = 0) -> Self:
        """eventfd(2)."""
        handle = port.handle()
        port.do(o.Eventfd(handle, initial, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
        return cls(port, handle)

    def count(self) -> int:
        """How often it was signalled since the last time this was asked; 0 if not at all."""
        reply = self.port.do(o.Pread(self.handle, 8))
        return reply.value if reply.ok else 0

    def signal(self, count: int = 1) -> None:
        """Add to its count."""
        self.port.do(o.Pwrite(self.handle, count.to_bytes(8, "little")))

    def wait(self, timeout_ms: int) -> bool:
        """Wait until it is signalled; False if the time ran out."""
        return self.port.do(o.Poll((self.handle,), select.POLLIN, timeout_ms)).ret == 1


class Mapping:
    """A mapping of a file. A context manager that unmaps it."""

    def __init__(self, port: Port, handle: int, size: int, address: int) -> None:
        """Take over a mapping."""
        self.port = port
        self.handle = handle
        self.size = size
        self.address = address

    @classmethod
    def of(
        cls, file: File, size: int, *, prot: int, flags: int, offset: int = 0
    ) -> tuple[Reply, Self | None]:
        """mmap(2) of a file; the mapping is None if it is refused."""
        handle = file.port.handle()
        reply = file.port.do(o.Mmap(handle, size, prot, flags, file.handle, offset))
        if reply.errno:
            return reply, None
        return reply, cls(file.port, handle, size, reply.ret)

    def at(self, offset: int = 0) -> Ref:
        """A place in it."""
        return Ref(self.handle, offset)

    def load(self, offset: int, width: int) -> Reply:
        """One load; `value` is what came, `signal` and `address` tell of a fault."""
        return self.port.do(o.Load(self.at(offset), width))

    def store(self, offset: int, width: int, value: int) -> Reply:
        """One store; `signal` and `address` tell of a fault."""
        return self.port.do(o.Store(self.at(offset), width, value))

    def unmap(self) -> None:
        """munmap(2)."""
        self.port.do(o.Munmap(self.handle))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.unmap()


class Memory:
    """Memory of the process that makes the calls, whole pages of it."""

    def __init__(
        self,
        port: Port,
        size: int,
        *,
        kind: MemoryKind = MemoryKind.ANON,
        fill: int = 0,
        guard: bool = False,
    ) -> None:
        """Allocate; OSError if there is none. `guard`: inaccessible pages before and behind."""
        self.port = port
        self.handle = port.handle()
        reply = port.do(o.Alloc(self.handle, size, kind, fill, guard))
        if not reply.ok:
            raise OSError(reply.errno, os.strerror(reply.errno), f"{size} bytes of memory")
        page = (2 << 20) if kind == MemoryKind.HUGE else port.hello.page_size
        self.size = -(-size // page) * page
        self.address = reply.ret

    def at(self, offset: int = 0) -> Ref:
        """A place in it."""
        return Ref(self.handle, offset)

    def tail(self, size: int) -> Ref:
        """The place of the last `size` bytes, with the guard page right behind."""
        return Ref(self.handle, self.size - size)

    def fixup(self, offset: int, addend: int = 0) -> Fixup:
        """Its address, to be written at an offset of a buffer."""
        return Fixup(offset, FixupKind.ADDRESS, self.handle, addend)

    def read(self, offset: int, size: int) -> bytes:
        """Copy bytes out."""
        return self.port.do(o.Peek(self.at(offset), size)).bytes

    def write(self, offset: int, data: bytes) -> None:
        """Copy bytes in."""
        self.port.do(o.Poke(self.at(offset), data))

    def protect(self, prot: int) -> None:
        """mprotect(2) of all of it."""
        memory = Fixup(0, FixupKind.ADDRESS, self.handle)
        reply = self.port.do(o.Syscall("mprotect", (memory, self.size, prot)))
        if not reply.ok:
            raise OSError(reply.errno, os.strerror(reply.errno), "mprotect")

    def free(self) -> None:
        """munmap(2), guard pages included."""
        self.port.do(o.Munmap(self.handle))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.free()
