# SPDX-License-Identifier: MIT
"""Each operation of a port as statements of C."""

import resource
from collections.abc import Callable
from typing import Any

from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Fixup, MemoryKind, Reply
from vfiospec.fuzzing import c_values as v
from vfiospec.fuzzing.c_arguments import Arguments, Lines
from vfiospec.fuzzing.c_world import World

_PROT = {"PROT_READ": 1, "PROT_WRITE": 2, "PROT_EXEC": 4}
_MAP = {"MAP_SHARED": 1, "MAP_PRIVATE": 2, "MAP_FIXED": 0x10, "MAP_ANONYMOUS": 0x20}
_POLL = {"POLLIN": 1, "POLLPRI": 2, "POLLOUT": 4, "POLLERR": 8, "POLLHUP": 16}
_EVENTFD = {"EFD_SEMAPHORE": 1, "EFD_NONBLOCK": 0o4000, "EFD_CLOEXEC": 0o2000000}
_LIMITS = {value: name for name, value in vars(resource).items() if name.startswith("RLIMIT_")}
_KINDS = {
    MemoryKind.ANON: "ANONYMOUS", MemoryKind.HUGE: "HUGE_PAGES", MemoryKind.MEMFD: "MEMFD",
    MemoryKind.LOW: "BELOW_4G",
}  # fmt: skip
_WORD = (1 << 64) - 1
_Way = Callable[[Any, Reply | None], Lines]
_SHOWN = 64  # bytes of an answer that are printed


class Writer(Arguments):
    """Writes operations. `quiet` in a race: there only what happens counts, a million times."""

    def __init__(self, world: World, *, quiet: bool = False) -> None:
        super().__init__(world)
        self.quiet = quiet
        self._fails_at = 0  # the point at which the operation that is written fails; 0: it need not
        self._write: dict[type[o.Op], _Way] = {
            o.Open: self._open, o.Close: self._close, o.Dup: self._dup, o.Ioctl: self._ioctl,
            o.Pread: self._pread, o.Pwrite: self._pwrite, o.Mmap: self._mmap,
            o.Munmap: self._munmap, o.Load: self._load, o.Store: self._store,
            o.Alloc: self._alloc, o.Peek: self._peek, o.Poke: self._poke,
            o.Eventfd: self._eventfd, o.Poll: self._poll, o.ReadFile: self._read_file,
            o.WriteFile: self._write_file, o.ListDir: self._list_dir,
            o.ReadLink: self._read_link, o.Syscall: self._syscall, o.Rlimit: self._rlimit,
            o.Drain: self._drain, o.Ioctl32: self._ioctl32, o.FailNth: self._fail_nth,
        }  # fmt: skip

    def share(self, other: "Writer") -> None:
        """Name structures and ioctls in the same place as another."""
        self.structs, self.requests = other.structs, other.requests

    def write(self, op: AnyOp, reply: Reply | None) -> Lines:
        """The statements of an operation that needs no function of its own."""
        lines = self._write[type(op)](op, reply)
        self.world.became(op)
        return lines

    # -- parts of statements

    def call(self, name: str, expression: str) -> str:
        """A call whose answer is printed, or not."""
        if self._fails_at:
            expression = f"FAILING({self._fails_at}, {expression})"
        return (
            f"ignore({expression});"
            if self.quiet
            else f"answer({v.text(name.encode())}, {expression});"
        )

    def _block(self, lines: Lines) -> Lines:
        if not self.quiet:
            lines.append("look_outside();")
        return ["{", *("\t" + line if line else "" for line in lines), "}"]

    def _show(self, reply: Reply | None, before: bytes) -> Lines:
        if self.quiet or reply is None or reply.data is None or reply.data == before:
            return []
        return [f"show(arg, {min(len(reply.data), _SHOWN)});"]

    def _fail_nth(self, op: o.FailNth, reply: Reply | None) -> Lines:
        self._fails_at = op.nth
        lines = self.write(op.op, reply)
        self._fails_at = 0
        return lines

    # -- files

    def _open(self, op: o.Open, _: Reply | None) -> Lines:
        path, _same = self.world.path(op.path)
        self.world.became(op)
        mode = f", 0{op.mode:o}" if op.flags & 0o100 else ""
        made = f"keep(&{self.world.file(op.out)}, open({path}, {v.open_flags(op.flags)}{mode}))"
        return [self.call(f"open {op.path}", made)]

    def _close(self, op: o.Close, _: Reply | None) -> Lines:
        name = self.world.file(op.handle)
        return [self.call(f"close {name}", f"close_file(&{name})")]

    def _dup(self, op: o.Dup, _: Reply | None) -> Lines:
        source = self.world.file(op.handle)
        self.world.became(op)
        made = f"keep(&{self.world.file(op.out)}, fcntl({source}, F_DUPFD_CLOEXEC, 0))"
        return [self.call(f"dup {source}", made)]

    def _ioctl(self, op: o.Ioctl, reply: Reply | None) -> Lines:
        name, struct = v.call_of(self._kind(op.fd), op.request)
        fd = self.world.file(op.fd)
        lines: Lines = []
        if op.data is None:
            argument = self.at(op.at) if op.at is not None else v.argument(name, op.value & _WORD)
        else:
            lines = self.argument(op.data, struct, op.fixups)
            argument = "arg"
            if op.at is not None:
                argument = self.at(op.at)
                lines.append(f"ignore(copy({argument}, arg, {len(op.data)}));")
        self.requests.setdefault(name, op.request)
        made = f"ioctl({fd}, {name}, {argument})"
        if op.out is not None:
            self.world.became(op)
            made = f"keep(&{self.world.file(op.out)}, {made})"
        call = self.call(name, made)
        if not lines:
            return [call]
        shown = self._show(reply, op.data or b"") if op.at is None else []
        return self._block([*lines, call, *shown])

    def _kind(self, handle: int) -> str:
        return {"event": "eventfd"}.get(kind := self.world.kind(handle), kind)

    @staticmethod
    def _number(value: int) -> str:
        value &= _WORD
        return v.number(value) if value < 1 << 31 else f"{value:#x}UL"

    def _pread(self, op: o.Pread, reply: Reply | None) -> Lines:
        if op.at is not None:
            return [self._transfer("read", op, self.at(op.at), op.size)]
        lines = [f"unsigned char *arg = buffer({op.size});", ""]
        lines.append(self._transfer("read", op, "arg", op.size))
        return self._block([*lines, *self._show(reply, b"")])

    def _pwrite(self, op: o.Pwrite, _: Reply | None) -> Lines:
        if op.at is not None:
            return [self._transfer("write", op, self.at(op.at), op.size)]
        data = op.data or b""
        lines = [f"unsigned char *arg = buffer({len(data)});", "", *self.rest(data, (), 0)]
        return self._block([*lines, self._transfer("write", op, "arg", len(data))])

    def _transfer(self, way: str, op: o.Pread | o.Pwrite, where: str, size: int) -> str:
        fd, shown = self.world.file(op.fd), self._number(size)
        if op.offset is None:
            return self.call(f"{way} {fd}", f"{way}({fd}, {where}, {shown})")
        place = self.world.place(op.fd, op.offset)
        return self.call(f"p{way} {fd} {place}", f"p{way}({fd}, {where}, {shown}, {place})")

    def _eventfd(self, op: o.Eventfd, _: Reply | None) -> Lines:
        self.world.became(op)
        made = (
            f"keep(&{self.world.file(op.out)}, eventfd({op.initial}, {v.bits(op.flags, _EVENTFD)}))"
        )
        return [self.call("eventfd", made)]

    def _poll(self, op: o.Poll, _: Reply | None) -> Lines:
        events = v.bits(op.events, _POLL)
        entries = [f"\t{{ {self.world.file(h)}, {events}, 0 }}," for h in op.fds]
        call = self.call("poll", f"poll(fds, {len(op.fds)}, {op.timeout_ms})")
        return [
            "{",
            "\tstruct pollfd fds[] = {",
            *("\t" + e for e in entries),
            "\t};",
            "",
            f"\t{call}",
            "}",
        ]

    def _drain(self, op: o.Drain, _: Reply | None) -> Lines:
        return [self.call("read all", f"drain({self.world.file(op.fd)})")]

    # -- paths

    def _read_file(self, op: o.ReadFile, _: Reply | None) -> Lines:
        return [self.call(f"read {op.path}", f"read_file({self.world.path(op.path)[0]})")]

    def _write_file(self, op: o.WriteFile, _: Reply | None) -> Lines:
        path = self.world.path(op.path)[0]
        device = self.world.name(op.data.rstrip(b"\n"))
        data, size = (
            (device, f"strlen({device})") if device else (v.text(op.data), str(len(op.data)))
        )
        return [self.call(f"write {op.path}", f"write_file({path}, {data}, {size})")]

    def _list_dir(self, op: o.ListDir, _: Reply | None) -> Lines:
        return [self.call(f"list {op.path}", f"list_folder({self.world.path(op.path)[0]})")]

    def _read_link(self, op: o.ReadLink, _: Reply | None) -> Lines:
        path = self.world.path(op.path)[0]
        return (
            [f'printf("readlink {op.path} -> %s\\n", link_of({path}));'] if not self.quiet else []
        )

    # -- memory

    def _mmap(self, op: o.Mmap, _: Reply | None) -> Lines:
        fd = "-1" if op.fd is None else self.world.file(op.fd)
        place = v.number(op.offset) if op.fd is None else self.world.place(op.fd, op.offset)
        words = [f"&{self.world.memory(op.out)}", fd, self._number(op.length)]
        words += [v.bits(op.prot, _PROT) if op.prot else "PROT_NONE", v.bits(op.flags, _MAP), place]
        return [self.call("mmap", f"map({', '.join(words)})")]

    def _munmap(self, op: o.Munmap, _: Reply | None) -> Lines:
        return [self.call("munmap", f"unmap(&{self.world.memory(op.handle)})")]

    def _alloc(self, op: o.Alloc, _: Reply | None) -> Lines:
        words = [
            f"&{self.world.memory(op.out)}",
            v.number(op.size),
            _KINDS.get(MemoryKind(op.kind), "ANONYMOUS"),
        ]
        words += [v.number(op.fill), str(int(op.guard))]
        return [self.call("allocate", f"allocate({', '.join(words)})")]

    def _load(self, op: o.Load, _: Reply | None) -> Lines:
        return [self.call("load", f"load({self.at(op.at)}, {op.width})")]

    def _store(self, op: o.Store, _: Reply | None) -> Lines:
        return [
            self.call("store", f"store({self.at(op.at)}, {op.width}, {self._number(op.value)})")
        ]

    def _peek(self, op: o.Peek, reply: Reply | None) -> Lines:
        lines = [f"unsigned char *arg = buffer({op.size});", ""]
        lines.append(self.call("read memory", f"copy(arg, {self.at(op.at)}, {op.size})"))
        return self._block([*lines, *self._show(reply, b"")])

    def _poke(self, op: o.Poke, _: Reply | None) -> Lines:
        lines = [f"unsigned char *arg = buffer({len(op.data)});", "", *self.rest(op.data, (), 0)]
        lines.append(self.call("write memory", f"copy({self.at(op.at)}, arg, {len(op.data)})"))
        return self._block(lines)

    # -- the rest of the process

    def _syscall(self, op: o.Syscall, _: Reply | None) -> Lines:
        words = [f"SYS_{op.name}"]
        words += [self.fixed(a) if isinstance(a, Fixup) else self._word(a) for a in op.args]
        return [self.call(op.name, f"syscall({', '.join(words)})")]

    def _word(self, value: int) -> str:
        return f"{value & _WORD:#x}UL"

    def _rlimit(self, op: o.Rlimit, _: Reply | None) -> Lines:
        which = _LIMITS.get(op.resource, str(op.resource))
        limit = f"&(struct rlimit){{ {self._word(op.soft)}, {self._word(op.hard)} }}"
        return [self.call("setrlimit", f"setrlimit({which}, {limit})")]

    def _ioctl32(self, op: o.Ioctl32, _: Reply | None) -> Lines:
        name, _struct = v.call_of(self._kind(op.fd), op.request)
        self.requests.setdefault(name, op.request)
        argument = (
            f"(unsigned long){self.at(op.at)}" if op.at is not None else self._number(op.value)
        )
        return [
            self.call(f"32-bit {name}", f"ioctl32({self.world.file(op.fd)}, {name}, {argument})")
        ]
