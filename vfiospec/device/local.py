# SPDX-License-Identifier: MIT
"""The local port: operations made by this process with ctypes, on the kernel it runs on."""

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from vfiospec.device import ops as o
from vfiospec.device import wire
from vfiospec.device.local_failures import NoFailuresError, failing
from vfiospec.device.local_race import run_race
from vfiospec.device.ops import CANARY, MAX_BUFFER, FixupKind, MemoryKind, Op, Reply
from vfiospec.device.syscalls import SYSCALLS
from vfiospec.device.touch import Fault, Toucher, TouchUnavailableError

_libc = ctypes.CDLL(None, use_errno=True)
_long, _ulong, _pointer = ctypes.c_long, ctypes.c_ulong, ctypes.c_void_p


def _function(name: str, result: Any, *args: Any) -> Any:  # noqa: ANN401 -- ctypes has no better
    function = getattr(_libc, name)
    function.restype, function.argtypes = result, args
    return function


_ioctl = _function("ioctl", ctypes.c_int, ctypes.c_int, _ulong, _pointer)
_mmap = _function("mmap", _pointer, _pointer, _ulong, *[ctypes.c_int] * 3, ctypes.c_int64)
_munmap = _function("munmap", ctypes.c_int, _pointer, _ulong)
_pread = _function("pread64", _long, ctypes.c_int, _pointer, _ulong, ctypes.c_int64)
_pwrite = _function("pwrite64", _long, ctypes.c_int, _pointer, _ulong, ctypes.c_int64)
_read = _function("read", _long, ctypes.c_int, _pointer, _ulong)
_write = _function("write", _long, ctypes.c_int, _pointer, _ulong)
_eventfd = _function("eventfd", ctypes.c_int, ctypes.c_uint, ctypes.c_int)
_syscall = _function("syscall", _long, _long, *[_ulong] * 6)
_setrlimit = _function("setrlimit", ctypes.c_int, ctypes.c_int, _pointer)

_MAP_FAILED: Final = ctypes.c_void_p(-1).value
_PROT_NONE, _PROT_RW = 0, 3
_SHARED, _PRIVATE, _FIXED, _32BIT, _ANON = 1, 2, 0x10, 0x40, 0x20
_NORESERVE, _HUGETLB = 0x4000, 0x40000
_HUGE_PAGE = 2 << 20
_WORD = (1 << 64) - 1
_CANARY = bytes((i * 37 + 11) & 0xFF for i in range(CANARY))


class Refused(Exception):  # noqa: N818 -- an answer, not an error: it becomes Reply.fault
    """The operation cannot be made: a handle that is not open, a size over a limit."""


@dataclass(slots=True)
class _Mapping:
    base: int
    size: int
    whole: int
    whole_size: int


@dataclass(slots=True)
class _Process:
    pid: int
    channel: socket.socket


class LocalExecutor:
    """Makes operations in this process. `channel` is the stream its own parent speaks over."""

    def __init__(self, channel: socket.socket | None = None) -> None:
        self._fds: dict[int, int] = {}
        self._mappings: dict[int, _Mapping] = {}
        self._processes: dict[int, _Process] = {}
        self._channel = channel
        self._arena = ctypes.create_string_buffer(2 * CANARY + MAX_BUFFER)
        self._view = memoryview(self._arena).cast("B")
        self._base = ctypes.addressof(self._arena)
        self._buffer_at = self._base + CANARY
        self._toucher: Toucher | None = None
        self._before: set[int] | None = None  # files open while no program runs
        self._do: dict[type[Op], Callable[[Any], Reply]] = {
            o.Open: self._open, o.Close: self._close, o.Dup: self._dup, o.Ioctl: self._ioctl,
            o.Pread: self._pread, o.Pwrite: self._pwrite, o.Mmap: self._mmap,
            o.Munmap: self._munmap, o.Load: self._load, o.Store: self._store,
            o.Alloc: self._alloc, o.Peek: self._peek, o.Poke: self._poke,
            o.Eventfd: self._eventfd, o.Poll: self._poll, o.ReadFile: self._read_file,
            o.WriteFile: self._write_file, o.ListDir: self._list_dir,
            o.ReadLink: self._read_link, o.Syscall: self._syscall, o.Fork: self._fork,
            o.In: self._in, o.SendFd: self._send_fd, o.ReceiveFd: self._receive_fd,
            o.Wait: self._wait, o.Race: self._race, o.Rlimit: self._rlimit, o.Drain: self._drain,
            o.Ioctl32: self._ioctl32, o.Trace: self._trace, o.FailNth: self._fail_nth,
        }  # fmt: skip

    def execute(self, op: Op) -> Reply:
        """Make one operation; never raises for what the kernel answers."""
        try:
            return self._do[type(op)](op)
        except Refused as e:
            return Reply(-1, fault=str(e))
        except OSError as e:
            return Reply(-1, e.errno or errno.EIO)

    def run(self, ops: Sequence[Op]) -> list[Reply]:
        """Make operations in order."""
        return [self.execute(op) for op in ops]

    def twin(self) -> "LocalExecutor":
        """An executor with the same handles and inline buffers of its own, for a thread."""
        other = LocalExecutor(self._channel)
        other._fds, other._mappings = self._fds, self._mappings
        other._processes, other._toucher = self._processes, self._touch()
        return other

    def close(self) -> None:
        """Close every file, unmap every mapping, end every second process."""
        self._release_from(0)

    def _release_from(self, first: int) -> int:
        held = [h for h in (*self._processes, *self._mappings, *self._fds) if h >= first]
        for handle in sorted(held):
            if process := self._processes.pop(handle, None):
                process.channel.close()
                with contextlib.suppress(OSError):
                    os.kill(process.pid, signal.SIGKILL)
                    os.waitpid(process.pid, 0)
            if mapping := self._mappings.pop(handle, None):
                _munmap(mapping.whole, mapping.whole_size)
            with contextlib.suppress(OSError):
                os.close(self._fds.pop(handle, -1))
        return len(held)

    # -- handles

    def fd_number(self, handle: int) -> int:
        """The number this process has for an open file, for measurements."""
        return self._fd(handle)

    def _fd(self, handle: int) -> int:
        try:
            return self._fds[handle]
        except KeyError:
            raise Refused(f"handle {handle} is not an open file") from None

    def _mapping(self, handle: int) -> _Mapping:
        try:
            return self._mappings[handle]
        except KeyError:
            raise Refused(f"handle {handle} is not a mapping") from None

    def _process(self, handle: int) -> _Process:
        try:
            return self._processes[handle]
        except KeyError:
            raise Refused(f"handle {handle} is not a process") from None

    def _free(self, handle: int) -> None:
        if handle in self._fds or handle in self._mappings or handle in self._processes:
            raise Refused(f"handle {handle} is taken")

    def _keep_fd(self, out: int, fd: int) -> Reply:
        if fd < 0:
            return self._result(fd)
        try:
            self._free(out)
        except Refused:
            os.close(fd)
            raise
        self._fds[out] = fd
        return Reply(fd)

    def _address(self, at: o.Ref) -> int:
        return (self._mapping(at.handle).base + at.offset) & _WORD

    @staticmethod
    def _result(ret: int, data: bytes | None = None) -> Reply:
        return Reply(ret, ctypes.get_errno() if ret == -1 else 0, data)

    def _fixed(self, fixup: o.Fixup) -> int:
        if fixup.kind == FixupKind.FD:
            return self._fd(fixup.handle)
        return (self._mapping(fixup.handle).base + fixup.addend) & _WORD

    def _with_fixups(self, data: bytes, fixups: Sequence[o.Fixup]) -> bytes:
        if not fixups:
            return data
        out = bytearray(data)
        for fixup in fixups:
            size = 4 if fixup.kind == FixupKind.FD else 8
            if fixup.offset + size > len(out):
                raise Refused(f"fixup at {fixup.offset} is outside of {len(out)} bytes")
            out[fixup.offset : fixup.offset + size] = self._fixed(fixup).to_bytes(size, "little")
        return bytes(out)

    def _without_fixups(self, data: bytes, original: bytes, fixups: Sequence[o.Fixup]) -> bytes:
        """The answer with the caller's own bytes where the kernel left alone what fixups wrote.

        Numbers and addresses of this process mean nothing elsewhere.
        """
        out, fixed = bytearray(data), self._with_fixups(original, fixups)
        for fixup in fixups:
            place = slice(fixup.offset, fixup.offset + (4 if fixup.kind == FixupKind.FD else 8))
            if out[place] == fixed[place]:
                out[place] = original[place]
        return bytes(out)

    # -- inline buffers between canaries

    def _buffer(self, data: bytes) -> int:
        size = len(data)
        if size > MAX_BUFFER:
            raise Refused(f"a buffer of {size} bytes is over the limit of {MAX_BUFFER}")
        self._view[: size + 2 * CANARY] = _CANARY + data + _CANARY
        return self._buffer_at

    def _after(self, ret: int, size: int) -> Reply:
        number = ctypes.get_errno() if ret == -1 else 0
        whole = bytes(self._view[: size + 2 * CANARY])
        data = whole[CANARY : CANARY + size]
        if whole.startswith(_CANARY) and whole.endswith(_CANARY):
            return Reply(ret, number, data)
        spill = []
        for zone, at in ((whole[:CANARY], -CANARY), (whole[CANARY + size :], size)):
            changed = [i for i in range(CANARY) if zone[i] != _CANARY[i]]
            if changed:
                spill.append((at + changed[0], zone[changed[0] : changed[-1] + 1]))
        return Reply(ret, number, data, tuple(spill))

    # -- files

    def _open(self, op: o.Open) -> Reply:
        return self._keep_fd(op.out, os.open(op.path, op.flags, op.mode))

    def _close(self, op: o.Close) -> Reply:
        fd = self._fd(op.handle)
        del self._fds[op.handle]
        os.close(fd)
        return Reply()

    def _dup(self, op: o.Dup) -> Reply:
        return self._keep_fd(op.out, fcntl.fcntl(self._fd(op.handle), fcntl.F_DUPFD_CLOEXEC, 0))

    def _ioctl(self, op: o.Ioctl) -> Reply:
        try:
            fd = self._fds[op.fd]
        except KeyError:
            raise Refused(f"handle {op.fd} is not an open file") from None
        data, at = op.data, op.at
        before = _open_fds() if op.out is not None else set()
        if data is None:
            argument = op.value & _WORD if at is None else self._address(at)
            reply = self._result(_ioctl(fd, op.request, argument))
        elif at is None:
            buffer = self._buffer(self._with_fixups(data, op.fixups) if op.fixups else data)
            reply = self._after(_ioctl(fd, op.request, buffer), len(data))
            if op.fixups:
                shown = self._without_fixups(reply.bytes, data, op.fixups)
                reply = Reply(reply.ret, reply.errno, shown, reply.spill)
        else:
            fault = self._put(self._address(at), self._with_fixups(data, op.fixups))
            if fault:
                return fault
            reply = self._result(_ioctl(fd, op.request, self._address(at)))
            back = self._get(self._address(at), len(data)).data
            if back is not None and op.fixups:
                back = self._without_fixups(back, data, op.fixups)
            reply = Reply(reply.ret, reply.errno, back)
        # A kernel that is wrong may answer with any number: whoever took it for a file would close
        # one of ours.
        if op.out is not None and reply.ret not in before and _is_open(reply.ret):
            kept = self._keep_fd(op.out, reply.ret)
            return Reply(kept.ret, kept.errno, reply.data, reply.spill)
        return reply

    def _pread(self, op: o.Pread) -> Reply:
        fd = self._fd(op.fd)
        if op.at is None and op.size > MAX_BUFFER:
            raise Refused(f"a read of {op.size} bytes needs memory of its own")
        buffer = self._buffer(b"\xa5" * op.size) if op.at is None else self._address(op.at)
        if op.offset is None:
            ret = _read(fd, buffer, op.size)
        else:
            ret = _pread(fd, buffer, op.size, op.offset)
        return self._after(ret, op.size) if op.at is None else self._result(ret)

    def _pwrite(self, op: o.Pwrite) -> Reply:
        fd, size = self._fd(op.fd), op.size
        if op.at is None:
            source = self._buffer(op.data or b"")
            size = len(op.data or b"")
        else:
            source = self._address(op.at)
        if op.offset is None:
            return self._result(_write(fd, source, size))
        return self._result(_pwrite(fd, source, size, op.offset))

    def _read_file(self, op: o.ReadFile) -> Reply:
        fd = os.open(op.path, os.O_RDONLY | os.O_CLOEXEC)
        data = b""
        try:
            while len(data) < op.limit:
                try:
                    got = os.read(fd, min(op.limit, MAX_BUFFER) - len(data))
                except OSError:
                    if data:
                        break
                    raise
                if not got:
                    break
                data += got
        finally:
            os.close(fd)
        return Reply(len(data), 0, data)

    def _write_file(self, op: o.WriteFile) -> Reply:
        fd = os.open(op.path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            return Reply(os.write(fd, op.data))
        finally:
            os.close(fd)

    def _list_dir(self, op: o.ListDir) -> Reply:
        return Reply(0, 0, b"".join(os.fsencode(n) + b"\0" for n in os.listdir(op.path)))  # noqa: PTH208

    def _read_link(self, op: o.ReadLink) -> Reply:
        target = os.fsencode(os.readlink(op.path))  # noqa: PTH115
        return Reply(len(target), 0, target)

    def _eventfd(self, op: o.Eventfd) -> Reply:
        return self._keep_fd(op.out, _eventfd(op.initial, op.flags))

    def _poll(self, op: o.Poll) -> Reply:
        poller = select.poll()
        fds = [self._fd(handle) for handle in op.fds]
        for fd in fds:
            poller.register(fd, op.events)
        got = dict(poller.poll(op.timeout_ms))
        return Reply(len(got), values=tuple(got.get(fd, 0) for fd in fds))

    def _drain(self, op: o.Drain) -> Reply:
        fd, data = self._fd(op.fd), b""
        limit = min(op.limit, MAX_BUFFER)
        while limit - len(data) > 1:
            try:
                got = os.read(fd, limit - len(data))
            except OSError as e:
                if e.errno == errno.EPIPE:  # kmsg: records were overwritten before we came
                    continue
                break
            if not got:
                break
            data += got
        return Reply(len(data), 0, data)

    # -- memory

    def _touch(self) -> Toucher:
        if self._toucher is None:
            try:
                self._toucher = Toucher()
            except TouchUnavailableError as e:
                raise Refused(str(e)) from e
        return self._toucher

    @staticmethod
    def _faulted(fault: Fault) -> Reply:
        return Reply(-1, signal=fault.signal, address=fault.address)

    def _put(self, address: int, data: bytes) -> Reply | None:
        fault = self._touch().copy(address, self._buffer(data), len(data))
        return self._faulted(fault) if fault else None

    def _get(self, address: int, size: int) -> Reply:
        fault = self._touch().copy(self._buffer(bytes(size)), address, size)
        return self._faulted(fault) if fault else Reply(0, 0, bytes(self._view[CANARY:][:size]))

    def _mmap(self, op: o.Mmap) -> Reply:
        fd = -1 if op.fd is None else self._fd(op.fd)
        self._free(op.out)
        base = _mmap(None, op.length, op.prot, op.flags, fd, op.offset)
        if base == _MAP_FAILED:
            return self._result(-1)
        self._mappings[op.out] = _Mapping(base, op.length, base, op.length)
        return Reply(base)

    def _munmap(self, op: o.Munmap) -> Reply:
        mapping = self._mapping(op.handle)
        del self._mappings[op.handle]
        return self._result(_munmap(mapping.whole, mapping.whole_size))

    @staticmethod
    def _width(width: int) -> int:
        if width not in (1, 2, 4, 8):
            raise Refused(f"width {width} is not 1, 2, 4 or 8")
        return width

    def _load(self, op: o.Load) -> Reply:
        got = self._touch().load(self._address(op.at), self._width(op.width))
        if isinstance(got, Fault):
            return self._faulted(got)
        return Reply(0, 0, got.to_bytes(8, "little")[: op.width])

    def _store(self, op: o.Store) -> Reply:
        fault = self._touch().store(self._address(op.at), self._width(op.width), op.value)
        return self._faulted(fault) if fault else Reply()

    def _peek(self, op: o.Peek) -> Reply:
        if op.size > MAX_BUFFER:
            raise Refused(f"a peek of {op.size} bytes is over the limit")
        return self._get(self._address(op.at), op.size)

    def _poke(self, op: o.Poke) -> Reply:
        return self._put(self._address(op.at), op.data) or Reply()

    def _alloc(self, op: o.Alloc) -> Reply:
        if not 0 < op.size <= 1 << 32:
            raise Refused(f"memory of {op.size} bytes")
        self._free(op.out)
        page = _HUGE_PAGE if op.kind == MemoryKind.HUGE else os.sysconf("SC_PAGESIZE")
        size = -(-op.size // page) * page
        edge = page if op.guard else 0
        flags, fd = _PRIVATE | _ANON, -1
        if op.kind == MemoryKind.HUGE:
            flags |= _HUGETLB
        elif op.kind == MemoryKind.LOW:
            flags |= _32BIT
        elif op.kind == MemoryKind.MEMFD:
            flags, fd = _SHARED, os.memfd_create("vfiospec", os.MFD_CLOEXEC)
            os.ftruncate(fd, size)
        try:
            whole = _mmap(None, size, _PROT_RW, flags, fd, 0) if not edge else _mmap(
                None, size + 2 * edge, _PROT_NONE, _PRIVATE | _ANON | _NORESERVE | flags & _32BIT,
                -1, 0,
            )  # fmt: skip
            if whole == _MAP_FAILED:
                return self._result(-1)
            if edge and _mmap(whole + edge, size, _PROT_RW, flags | _FIXED, fd, 0) == _MAP_FAILED:
                reply = self._result(-1)
                _munmap(whole, size + 2 * edge)
                return reply
        finally:
            if fd >= 0:
                os.close(fd)
        self._mappings[op.out] = _Mapping(whole + edge, size, whole, size + 2 * edge)
        if op.fill:
            ctypes.memset(whole + edge, op.fill, size)
        return Reply(whole + edge)

    # -- the rest of the process

    def _syscall(self, op: o.Syscall) -> Reply:
        number = SYSCALLS.get(op.name)
        if number is None or len(op.args) > 6:  # noqa: PLR2004 -- registers of a system call
            raise Refused(
                f"system call {op.name:.40} with {len(op.args)} arguments is not in the table"
            )
        args = [self._fixed(a) if isinstance(a, o.Fixup) else a & _WORD for a in op.args]
        return self._result(_syscall(number, *args, *[0] * (6 - len(args))))

    def _ioctl32(self, op: o.Ioctl32) -> Reply:
        del op  # on a kernel without 32-bit programs it would be the end of this process
        raise Refused("calls of 32-bit programs are made by the executor in C alone")

    def _fail_nth(self, op: o.FailNth) -> Reply:
        if not isinstance(op.op, o.CAN_FAIL):
            raise Refused(f"{type(op.op).__name__} cannot be made to fail at point {op.nth}")
        try:
            with failing(op.nth) as left:
                reply = self.execute(op.op)
        except NoFailuresError as e:
            raise Refused(str(e)) from e
        return reply if reply.fault else msgspec.structs.replace(reply, values=tuple(left))

    def _rlimit(self, op: o.Rlimit) -> Reply:
        limits = (ctypes.c_uint64 * 2)(op.soft, op.hard)
        return self._result(_setrlimit(op.resource, ctypes.addressof(limits)))

    def _race(self, op: o.Race) -> Reply:
        return Reply(values=run_race(self, op))

    def _trace(self, op: o.Trace) -> Reply:
        if op.mode != o.TraceMode.PLAIN:
            raise Refused("coverage is traced by the executor in C alone")
        self._before = _open_fds() if self._before is None else self._before
        parts = tuple(
            Reply(r.ret, r.errno, r.data and r.data[: op.keep], *_behind_data(r))
            for r in self.run(op.ops)
        )
        released = self._release_from(op.first)
        strays = _open_fds() - self._before if op.sweep else set()
        for fd in strays:
            os.close(fd)
        self._before = None if op.sweep else self._before
        self.run(op.after)
        if op.watch is not None:
            parts += (self.execute(o.Drain(op.watch)),)
        return Reply(released, data=b"", values=(len(strays), 0), parts=parts)

    # -- second processes

    def _fork(self, op: o.Fork) -> Reply:
        self._free(op.out)
        mine, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            mine.close()
            self._channel = theirs
            try:
                serve(self, exact_reader(theirs.recv), theirs.sendall)
            finally:
                os._exit(0)
        theirs.close()
        self._processes[op.out] = _Process(pid, mine)
        return Reply(pid)

    def _ask(self, process: _Process, ops: Sequence[o.AnyOp], passed: int | None = None) -> Reply:
        try:
            process.channel.sendall(wire.encode_request(0, ops))
            if passed is not None:
                socket.send_fds(process.channel, [b"\0"], [passed])
            _, parts = wire.decode_answer(wire.read_frame(exact_reader(process.channel.recv)))
        except (OSError, EOFError) as e:
            raise Refused(f"process {process.pid} is gone") from e
        except wire.WireError as e:
            raise Refused(f"process {process.pid} answered garbage") from e
        return Reply(parts=parts)

    def _in(self, op: o.In) -> Reply:
        return self._ask(self._process(op.process), op.ops)

    def _send_fd(self, op: o.SendFd) -> Reply:
        return self._ask(self._process(op.process), (o.ReceiveFd(op.out),), passed=self._fd(op.fd))

    def _receive_fd(self, op: o.ReceiveFd) -> Reply:
        if self._channel is None:
            raise Refused("this process has no parent to receive a file from")
        _, fds, _, _ = socket.recv_fds(self._channel, 1, 1)
        if not fds:
            return Reply(-1, errno.EBADMSG)
        os.set_inheritable(fds[0], False)  # noqa: FBT003 -- os takes it by position
        return self._keep_fd(op.out, fds[0])

    def _wait(self, op: o.Wait) -> Reply:
        process = self._process(op.process)
        if op.signal:
            os.kill(process.pid, op.signal)
        else:
            process.channel.shutdown(socket.SHUT_RDWR)
        end = time.monotonic() + op.timeout_ms / 1000
        while True:
            pid, status = os.waitpid(process.pid, os.WNOHANG)
            if pid:
                process.channel.close()
                del self._processes[op.process]
                return Reply(status)
            if time.monotonic() >= end:
                return Reply(-1, errno.ETIMEDOUT)
            time.sleep(0.002)  # waitpid(2) has no time limit


def _open_fds() -> set[int]:
    # The listing has a descriptor of its own, which is gone by the time each is asked after.
    fds = map(int, os.listdir("/proc/self/fd"))  # noqa: PTH208
    return {fd for fd in fds if _is_open(fd)}


def _is_open(fd: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def _behind_data(reply: Reply) -> tuple[Any, ...]:
    return reply.spill, reply.signal, reply.address, reply.values, reply.parts, reply.fault


def exact_reader(receive: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """A `read(n)` for wire.read_frame, over anything that gives at most n bytes at a time."""

    def read(size: int) -> bytes:
        data = b""
        while len(data) < size:
            got = receive(size - len(data))
            if not got:
                raise EOFError("the stream ended")
            data += got
        return data

    return read


def serve(
    executor: LocalExecutor, read: Callable[[int], bytes], write: Callable[[bytes], object]
) -> None:
    """Answer requests over a stream until it ends or brings garbage."""
    while True:
        try:
            number, ops = wire.decode_request(wire.read_frame(read))
        except (EOFError, OSError, wire.WireError):
            return
        write(wire.encode_answer(number, executor.run(ops)))
