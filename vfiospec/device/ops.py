# SPDX-License-Identifier: MIT
"""Operations on a kernel, and their answers: the one declaration of what a port can do.

Each operation is a msgpack array `[code, field, ...]`, in the order declared here. The executor
in C (executor.c) reads the same arrays; a new field goes to the end and has a default.
Handles are small integers chosen by the caller, so that an operation can use what an earlier
one of the same message opened.
"""

from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

PROTOCOL: Final = 1
MAX_FRAME: Final = 16 << 20  # bytes of one message
MAX_BUFFER: Final = 1 << 20  # bytes of one inline buffer
CANARY: Final = 256  # watched bytes on each side of an inline buffer

Handle = Annotated[int, Meta(ge=0, lt=1 << 20)]
S64 = int
U64 = Annotated[int, Meta(ge=0)]


class FixupKind(IntEnum):
    """What a fixup writes."""

    FD = 0  # the number of an open file, 4 bytes
    ADDRESS = 1  # the address of a mapping, 8 bytes


class Ref(msgspec.Struct, frozen=True, array_like=True):
    """A place in memory the executor holds: a mapping and an offset, which may lie outside."""

    handle: Handle
    offset: S64 = 0


class Fixup(msgspec.Struct, frozen=True, array_like=True):
    """A value only the executor knows, written at `offset` of a buffer before the call."""

    offset: U64
    kind: int
    handle: Handle
    addend: S64 = 0


class Op(msgspec.Struct, frozen=True, array_like=True):
    """One operation."""

    def allowance(self) -> float:
        """Seconds this operation may rightly take beyond the port's deadline."""
        return 0.0


class Open(Op, frozen=True, array_like=True, tag=1):
    """open(2); the file becomes handle `out`."""

    out: Handle
    path: str
    flags: int = 0
    mode: int = 0


class Close(Op, frozen=True, array_like=True, tag=2):
    """close(2)."""

    handle: Handle


class Dup(Op, frozen=True, array_like=True, tag=3):
    """fcntl(F_DUPFD_CLOEXEC)."""

    out: Handle
    handle: Handle


class Ioctl(Op, frozen=True, array_like=True, tag=4):
    """ioctl(2) with a number, an inline buffer, or a place in memory as its argument.

    `data` alone: a buffer of its own between canaries. `at` alone: that address. Both: `data` is
    put there first. `out`: the return value is a new file, kept under that handle.
    """

    fd: Handle
    request: U64
    value: U64 = 0
    data: bytes | None = None
    fixups: tuple[Fixup, ...] = ()
    at: Ref | None = None
    out: Handle | None = None


class Pread(Op, frozen=True, array_like=True, tag=5):
    """pread64(2), or read(2) without an offset; into a buffer of its own, or into `at`."""

    fd: Handle
    size: U64
    offset: S64 | None = None
    at: Ref | None = None


class Pwrite(Op, frozen=True, array_like=True, tag=6):
    """pwrite64(2), or write(2) without an offset; from `data`, or `size` bytes from `at`."""

    fd: Handle
    data: bytes | None = None
    offset: S64 | None = None
    at: Ref | None = None
    size: U64 = 0


class Mmap(Op, frozen=True, array_like=True, tag=7):
    """mmap(2); the answer's `ret` is the address. Without a file: MAP_ANONYMOUS is yours to set."""

    out: Handle
    length: U64
    prot: int
    flags: int
    fd: Handle | None = None
    offset: U64 = 0


class Munmap(Op, frozen=True, array_like=True, tag=8):
    """munmap(2) of a whole mapping, guard pages included."""

    handle: Handle


class Load(Op, frozen=True, array_like=True, tag=9):
    """One load of 1, 2, 4 or 8 bytes; SIGBUS and SIGSEGV are answers."""

    at: Ref
    width: int


class Store(Op, frozen=True, array_like=True, tag=10):
    """One store of 1, 2, 4 or 8 bytes; SIGBUS and SIGSEGV are answers."""

    at: Ref
    width: int
    value: U64


class MemoryKind(IntEnum):
    """Where memory comes from."""

    ANON = 0
    HUGE = 1  # MAP_HUGETLB, 2 MiB pages
    MEMFD = 2  # shared
    LOW = 3  # below 4 GiB, where 32-bit programs live


class Alloc(Op, frozen=True, array_like=True, tag=11):
    """Memory of whole pages, filled with one byte, with inaccessible pages around if `guard`."""

    out: Handle
    size: U64
    kind: int = MemoryKind.ANON
    fill: int = 0
    guard: bool = False


class Peek(Op, frozen=True, array_like=True, tag=12):
    """Copy bytes out of memory."""

    at: Ref
    size: U64


class Poke(Op, frozen=True, array_like=True, tag=13):
    """Copy bytes into memory."""

    at: Ref
    data: bytes


class Eventfd(Op, frozen=True, array_like=True, tag=14):
    """eventfd(2)."""

    out: Handle
    initial: int = 0
    flags: int = 0


class Poll(Op, frozen=True, array_like=True, tag=15):
    """poll(2) of at most 64 files for the same events; `values` holds each one's revents."""

    fds: tuple[Handle, ...]
    events: int
    timeout_ms: int = 0

    def allowance(self) -> float:
        """The time it waits."""
        return max(self.timeout_ms, 0) / 1000


class ReadFile(Op, frozen=True, array_like=True, tag=16):
    """Read at most `limit` bytes of a file by its path."""

    path: str
    limit: U64 = 65536


class WriteFile(Op, frozen=True, array_like=True, tag=17):
    """Write to an existing file with one write(2)."""

    path: str
    data: bytes


class ListDir(Op, frozen=True, array_like=True, tag=18):
    """Names in a folder, each ended by NUL, in the kernel's order."""

    path: str


class ReadLink(Op, frozen=True, array_like=True, tag=19):
    """readlink(2)."""

    path: str


class Syscall(Op, frozen=True, array_like=True, tag=20):
    """A system call by name, from a short table, with numbers or fixups as arguments."""

    name: str
    args: tuple[int | Fixup, ...] = ()


class Fork(Op, frozen=True, array_like=True, tag=21):
    """fork(2): a second process with a copy of all handles, reached by `In`."""

    out: Handle


class In(Op, frozen=True, array_like=True, tag=22):
    """Run operations in a second process; `parts` are their answers."""

    process: Handle
    ops: tuple["AnyOp", ...]

    def allowance(self) -> float:
        """The sum of what its operations may take."""
        return sum(op.allowance() for op in self.ops)


class SendFd(Op, frozen=True, array_like=True, tag=23):
    """Pass an open file to a second process by SCM_RIGHTS; there it becomes `out`."""

    process: Handle
    fd: Handle
    out: Handle


class ReceiveFd(Op, frozen=True, array_like=True, tag=24):
    """The receiving half of SendFd. Executors send it to each other."""

    out: Handle


class Wait(Op, frozen=True, array_like=True, tag=25):
    """End a second process, by a signal or (0) by its own will; `ret` is the wait status."""

    process: Handle
    signal: int = 0
    timeout_ms: int = 5000

    def allowance(self) -> float:
        """The time it waits."""
        return self.timeout_ms / 1000


class Race(Op, frozen=True, array_like=True, tag=26):
    """Run programs on threads of their own, `rounds` times, each round from a common start.

    `values` is a flat list of (program, operation, ret, errno, count): how often each operation
    gave which answer. An errno of -1 is an executor's refusal, of -100-S a signal S.
    """

    programs: tuple[tuple["AnyOp", ...], ...]
    rounds: int = 1

    def allowance(self) -> float:
        """Races are allowed a second for each hundred rounds."""
        return self.rounds / 100


class Rlimit(Op, frozen=True, array_like=True, tag=27):
    """setrlimit(2)."""

    resource: int
    soft: U64
    hard: U64


class Drain(Op, frozen=True, array_like=True, tag=28):
    """read(2) until the file has nothing more or `limit` bytes came: for /dev/kmsg."""

    fd: Handle
    limit: U64 = 65536


class Ioctl32(Op, frozen=True, array_like=True, tag=29):
    """ioctl(2) as a 32-bit program makes it, with a number or memory below 4 GiB.

    A SIGSEGV as the answer: the kernel runs no 32-bit programs. Only the executor in C has it.
    """

    fd: Handle
    request: U64
    value: U64 = 0
    at: Ref | None = None


class TraceMode(IntEnum):
    """What the kernel is asked to note while a program runs (KCOV)."""

    PLAIN = 0  # nothing: any kernel can
    ADDRESSES = 1  # where it has been: the low 32 bits of each address, once
    COMPARISONS = 2  # what it compared: (type, one, other), 64 bits each, once


class Trace(Op, frozen=True, array_like=True, tag=30):
    """Run a program: operations whose handles from `first` on are given up behind them.

    `after` is made last, unheard. `parts` are the replies, each with at most `keep` bytes; `data`
    is what KCOV noted, from the first operation to the last close; `ret` counts the handles given
    up, `values` are the files no handle stood for and what KCOV counted. Such files are looked for,
    and closed, where `sweep` says so: those of this program, and of all since the last sweep.
    With `watch`, the kernel's log, there is one more part: what a Drain of it gives then.
    Coverage is that of this process alone, and only the executor in C has it.
    """

    ops: tuple["AnyOp", ...]
    after: tuple["AnyOp", ...] = ()
    first: Handle = 0
    mode: int = TraceMode.PLAIN
    keep: U64 = MAX_BUFFER
    sweep: bool = True
    watch: Handle | None = None

    def allowance(self) -> float:
        """The sum of what its operations may take."""
        return sum(op.allowance() for op in (*self.ops, *self.after))


class FailNth(Op, frozen=True, array_like=True, tag=31):
    """Make an operation whose system call fails inside the kernel, at its nth point of failure.

    Points of failure are allocations and copies (CONFIG_FAULT_INJECTION and what it has below).
    The answer is the operation's; `values` holds how many points short of the nth the call ended:
    0 if the failure took place. Opened, closed, controlled, read, written and mapped files, and
    calls by name, are what can be made to fail.
    """

    nth: Annotated[int, Meta(ge=1, lt=1 << 31)]
    op: "AnyOp"

    def allowance(self) -> float:
        """What its operation may take."""
        return self.op.allowance()


CAN_FAIL: Final = (Open, Close, Ioctl, Pread, Pwrite, Mmap, Syscall)

AnyOp = (
    Open | Close | Dup | Ioctl | Pread | Pwrite | Mmap | Munmap | Load | Store | Alloc | Peek
    | Poke | Eventfd | Poll | ReadFile | WriteFile | ListDir | ReadLink | Syscall | Fork | In
    | SendFd | ReceiveFd | Wait | Race | Rlimit | Drain | Ioctl32 | Trace | FailNth
)  # fmt: skip

OPS: Final[dict[str, type[Op]]] = {cls.__name__: cls for cls in Op.__subclasses__()}


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """What an operation gave.

    `ret` and `errno` are the system call's. `data` holds the bytes of the buffer after the call,
    `spill` what changed outside of it, as (offset from the buffer's start, bytes). `signal` and
    `address` say that a touch or copy faulted. `fault` is the executor's own refusal: the
    operation was not made.
    """

    ret: int = 0
    errno: int = 0
    data: bytes | None = None
    spill: tuple[tuple[int, bytes], ...] = ()
    signal: int = 0
    address: int = 0
    values: tuple[int, ...] = ()
    parts: tuple["Reply", ...] = ()
    fault: str = ""

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return self.ret >= 0 and not self.signal

    @property
    def bytes(self) -> bytes:
        """The bytes that came back; empty if none did."""
        return self.data or b""

    @property
    def value(self) -> int:
        """The bytes that came back as one little-endian number: the answer of a Load."""
        return int.from_bytes(self.bytes, "little")


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """The first frame, from the executor: who answers."""

    magic: str
    protocol: int
    implementation: str
    page_size: int
    machine: str
    release: str
    notes: str = ""
