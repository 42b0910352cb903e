# SPDX-License-Identifier: MIT
"""One behaviour for every port: in this process, and by an executor in Python or in C."""

import errno
import fcntl
import mmap
import os
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from vfiospec.device import ops as o
from vfiospec.device.ops import Fixup, FixupKind, MemoryKind, Ref, Reply
from vfiospec.device.port import ForkedPort, Port, PortError, TargetLostError
from vfiospec.device.ports import CommandPort, LocalPort
from vfiospec.lab.native import build_executor

PAGE = mmap.PAGESIZE
_RW = mmap.PROT_READ | mmap.PROT_WRITE
FIONREAD, TCGETS, FIONBIO = 0x541B, 0x5401, 0x5421


@pytest.fixture(params=["local", "python", "c"])
def port(request: pytest.FixtureRequest) -> Iterator[Port]:
    """Each port in turn."""
    if request.param == "local":
        made: Port = LocalPort()
    elif request.param == "python":
        made = CommandPort([sys.executable, "-m", "vfiospec.device.executor"])
    else:
        made = CommandPort([str(build_executor())])
    yield made
    made.close()


def test_the_greeting_names_the_machine(port: Port) -> None:
    assert port.hello.machine == os.uname().machine
    assert port.hello.page_size == PAGE


def test_open_read_close(port: Port, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    opened, read, more, gone = port.run(
        [
            o.Open(1, str(tmp_path / "f"), os.O_RDWR),
            o.Pread(1, 4, 3),
            o.Pread(1, 16, 8),
            o.Pread(1, 4, 100),
        ]
    )
    assert opened.ret > 2
    assert (read.ret, read.data) == (4, b"3456")
    assert (more.ret, more.bytes[:2], set(more.bytes[2:])) == (2, b"89", {0xA5})
    assert gone.ret == 0
    assert port.do(o.Pwrite(1, b"xy", 2)).ret == 2
    assert port.do(o.Pread(1, 3)).bytes == b"01x"
    assert port.do(o.Close(1)).ok
    with pytest.raises(PortError, match="handle 1 is not an open file"):
        port.do(o.Pread(1, 1, 0))
    assert (tmp_path / "f").read_bytes() == b"01xy456789"


def test_errors_carry_their_errno(port: Port) -> None:
    assert port.do(o.Open(1, "/nonexistent", os.O_RDONLY)).errno == errno.ENOENT
    port.do(o.Open(2, "/dev/null", os.O_RDWR))
    assert port.do(o.Ioctl(2, TCGETS, data=bytes(64))) == Reply(-1, errno.ENOTTY, bytes(64))


def test_a_taken_handle_is_refused_and_leaks_nothing(port: Port) -> None:
    port.do(o.Eventfd(1))
    before = port.do(o.ListDir("/proc/self/fd")).bytes.count(b"\0")
    with pytest.raises(PortError, match="handle 1 is taken"):
        port.do(o.Eventfd(1))
    assert port.do(o.ListDir("/proc/self/fd")).bytes.count(b"\0") == before


def test_an_ioctl_fills_its_buffer(port: Port, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    port.do(o.Open(1, str(tmp_path / "f")))
    assert port.do(o.Ioctl(1, FIONREAD, data=b"\xff" * 8)) == Reply(
        0, 0, b"\x05\0\0\0\xff\xff\xff\xff"
    )


def test_what_is_written_past_the_buffer_is_told(port: Port, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    port.do(o.Open(1, str(tmp_path / "f")))
    reply = port.do(o.Ioctl(1, FIONREAD, data=b"\xff" * 2))
    assert reply.data == b"\x05\0"
    assert reply.spill == ((2, b"\0\0"),)


def test_an_address_is_filled_in(port: Port, tmp_path: Path) -> None:
    """An iovec that points into its own memory, proven by writev(2)."""
    (tmp_path / "f").write_bytes(b"")
    port.run([o.Open(1, "/dev/null"), o.Alloc(2, PAGE), o.Open(3, str(tmp_path / "f"), os.O_RDWR)])
    port.do(o.Poke(Ref(2, 64), b"hello"))
    vector = bytes(8) + (5).to_bytes(8, "little")
    fixups = (Fixup(0, FixupKind.ADDRESS, 2, 64),)
    reply = port.do(o.Ioctl(1, TCGETS, data=vector, fixups=fixups, at=Ref(2, 0)))
    assert reply == Reply(-1, errno.ENOTTY, vector), "the answer shows no address of that process"
    call = (Fixup(0, FixupKind.FD, 3), Fixup(0, FixupKind.ADDRESS, 2), 1)
    assert port.do(o.Syscall("writev", call)).ret == 5
    assert (tmp_path / "f").read_bytes() == b"hello"


def test_a_files_number_is_filled_in(port: Port) -> None:
    number = port.do(o.Open(1, "/dev/null")).ret
    port.do(o.Alloc(2, PAGE))
    fixups = (Fixup(4, FixupKind.FD, 1),)
    for at in (Ref(2, 0), None):
        reply = port.do(o.Ioctl(1, TCGETS, data=b"\xee" * 12, fixups=fixups, at=at))
        assert reply == Reply(-1, errno.ENOTTY, b"\xee" * 12)
    assert (
        port.do(o.Peek(Ref(2), 12)).data == b"\xee" * 4 + number.to_bytes(4, "little") + b"\xee" * 4
    )


def test_an_answer_that_is_no_new_file_is_not_kept(port: Port) -> None:
    """FIONBIO answers 0, which is a file of whoever makes the calls."""
    port.run([o.Eventfd(1)])
    reply = port.do(o.Ioctl(1, FIONBIO, 0, bytes(4), out=2))
    assert (reply.ret, reply.fault) == (0, "")
    with pytest.raises(PortError, match="not an open file"):
        port.do(o.Close(2))
    assert port.do(o.Pwrite(1, (1).to_bytes(8, "little"))).ret == 8
    assert port.do(o.Dup(2, 1)).ret > 2, "and the handle is free"


def test_a_fixup_outside_of_its_buffer_is_refused(port: Port) -> None:
    port.run([o.Open(1, "/dev/null"), o.Alloc(2, PAGE)])
    with pytest.raises(PortError, match="outside"):
        port.do(o.Ioctl(1, TCGETS, data=bytes(7), fixups=(Fixup(0, FixupKind.ADDRESS, 2),)))


def test_an_ioctl_on_memory_of_its_own_ends_at_a_guard_page(port: Port, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    port.run([o.Open(1, str(tmp_path / "f")), o.Alloc(2, PAGE, fill=0xA5, guard=True)])
    good = port.do(o.Ioctl(1, FIONREAD, data=b"\xff" * 4, at=Ref(2, PAGE - 4)))
    assert good == Reply(0, 0, b"\x05\0\0\0")
    bad = port.do(o.Ioctl(1, FIONREAD, at=Ref(2, PAGE - 2)))
    assert (bad.ret, bad.errno) == (-1, errno.EFAULT)


def test_touching_a_guard_page_is_an_answer(port: Port) -> None:
    base = port.do(o.Alloc(1, PAGE, guard=True)).ret
    over = port.do(o.Load(Ref(1, PAGE), 4))
    assert (over.ret, over.signal, over.address) == (-1, signal.SIGSEGV, base + PAGE)
    under = port.do(o.Store(Ref(1, -8), 8, 1))
    assert (under.signal, under.address) == (signal.SIGSEGV, base - 8)
    assert port.do(o.Peek(Ref(1, PAGE - 8), 16)).signal == signal.SIGSEGV
    assert port.do(o.Poke(Ref(1, PAGE - 8), bytes(16))).signal == signal.SIGSEGV


def test_touching_past_the_end_of_a_file_is_sigbus(port: Port, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(PAGE))
    port.do(o.Open(1, str(tmp_path / "f"), os.O_RDWR))
    base = port.do(o.Mmap(2, 2 * PAGE, _RW, mmap.MAP_SHARED, 1)).ret
    assert port.do(o.Load(Ref(2, 0), 8)).value == 0
    beyond = port.do(o.Load(Ref(2, PAGE + 16), 2))
    assert (beyond.signal, beyond.address) == (signal.SIGBUS, base + PAGE + 16)
    assert port.do(o.Load(Ref(2, 8), 1)).ok, "the port lives on after a fault"


@pytest.mark.parametrize("width", [1, 2, 4, 8], ids="width-{}".format)
def test_a_store_of_each_width_writes_just_that(port: Port, width: int) -> None:
    port.do(o.Alloc(1, PAGE, fill=0x11))
    assert port.do(o.Store(Ref(1, 64), width, 0x8877665544332211 & (1 << 8 * width) - 1)).ok
    around = port.do(o.Peek(Ref(1, 56), 24)).bytes
    assert around == b"\x11" * 8 + bytes.fromhex("1122334455667788")[:width] + b"\x11" * (
        16 - width
    )
    assert port.do(o.Load(Ref(1, 64), width)).bytes == around[8 : 8 + width]


def test_an_odd_width_is_refused(port: Port) -> None:
    port.do(o.Alloc(1, PAGE))
    with pytest.raises(PortError, match="width 3"):
        port.do(o.Load(Ref(1), 3))


def test_memory_of_each_kind(port: Port) -> None:
    assert port.do(o.Alloc(1, PAGE, MemoryKind.ANON, 0x5A)).ok
    assert port.do(o.Peek(Ref(1, PAGE - 4), 4)).data == b"\x5a" * 4
    assert port.do(o.Alloc(2, 100, MemoryKind.MEMFD, 0x3C, guard=True)).ok
    assert port.do(o.Peek(Ref(2, PAGE - 1), 1)).data == b"\x3c"
    assert port.do(o.Munmap(2)).ok
    huge = port.do(o.Alloc(3, 1, MemoryKind.HUGE))
    assert huge.ok or huge.errno == errno.ENOMEM  # whether this machine has huge pages is its own


def test_mmap_and_munmap(port: Port, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc".ljust(PAGE, b"."))
    port.do(o.Open(1, str(tmp_path / "f"), os.O_RDONLY))
    assert port.do(o.Mmap(2, PAGE, _RW, mmap.MAP_SHARED, 1)).errno == errno.EACCES
    assert port.do(o.Mmap(2, PAGE, mmap.PROT_READ, mmap.MAP_SHARED, 1)).ok
    assert port.do(o.Peek(Ref(2), 4)).data == b"abc."
    assert port.do(o.Store(Ref(2), 1, 0)).signal == signal.SIGSEGV
    assert port.do(o.Munmap(2)).ok
    with pytest.raises(PortError, match="handle 2 is not a mapping"):
        port.do(o.Peek(Ref(2), 1))


def test_eventfds_count_and_poll(port: Port) -> None:
    port.run([o.Eventfd(1, 0, os.EFD_NONBLOCK), o.Eventfd(2, 3, os.EFD_NONBLOCK)])
    assert port.do(o.Pread(1, 8)).errno == errno.EAGAIN
    assert port.do(o.Poll((1, 2), select.POLLIN)) == Reply(1, values=(0, select.POLLIN))
    assert port.do(o.Pwrite(1, (5).to_bytes(8, "little"))).ret == 8
    assert port.do(o.Pread(1, 8)).value == 5
    assert port.do(o.Poll((1,), select.POLLIN, 10)).ret == 0


def test_dup_shares_the_file(port: Port) -> None:
    port.run([o.Eventfd(1, 1, os.EFD_NONBLOCK), o.Dup(2, 1), o.Close(1)])
    assert port.do(o.Pread(2, 8)).value == 1
    assert port.do(o.Syscall("fcntl", (Fixup(0, FixupKind.FD, 2), fcntl.F_GETFD))).ret == 1


def test_files_by_path(port: Port, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"text")
    (tmp_path / "a").symlink_to("b")
    assert port.do(o.ReadFile(str(tmp_path / "a"), 2)).data == b"te"
    assert port.do(o.WriteFile(str(tmp_path / "b"), b"T")).ret == 1
    assert port.do(o.ReadFile(str(tmp_path / "b"))).data == b"Text"
    assert port.do(o.ReadLink(str(tmp_path / "a"))).data == b"b"
    assert sorted(port.do(o.ListDir(str(tmp_path))).bytes.split(b"\0")) == [b"", b"a", b"b"]
    assert port.do(o.WriteFile(str(tmp_path / "new"), b"")).errno == errno.ENOENT
    assert port.do(o.ReadFile(str(tmp_path))).errno == errno.EISDIR


def test_system_calls_by_name(port: Port) -> None:
    port.run([o.Alloc(1, 4 * PAGE), o.Open(2, "/proc/self/status")])
    lines = port.do(o.ReadFile("/proc/self/stat")).bytes
    if not isinstance(port, LocalPort):
        assert port.do(o.Syscall("getpid")).ret == int(lines.split()[0])
    memory = Fixup(0, FixupKind.ADDRESS, 1, PAGE)
    assert port.do(o.Syscall("mprotect", (memory, PAGE, 0))).ret == 0
    assert port.do(o.Load(Ref(1, PAGE), 1)).signal == signal.SIGSEGV
    assert port.do(o.Load(Ref(1, 2 * PAGE), 1)).ok
    assert port.do(o.Syscall("lseek", (Fixup(0, FixupKind.FD, 2), 0, 99))).errno == errno.EINVAL
    with pytest.raises(PortError, match="reboot"):
        port.do(o.Syscall("reboot"))


def test_a_second_process_has_the_same_handles(port: Port) -> None:
    port.do(o.Eventfd(1, 0, os.EFD_NONBLOCK))
    pid = port.do(o.Fork(2)).ret
    child = ForkedPort(port, 2)
    assert int(child.do(o.ReadFile("/proc/self/stat")).bytes.split()[0]) == pid
    child.do(o.Pwrite(1, (9).to_bytes(8, "little")))
    child.do(o.Close(1))
    assert port.do(o.Pread(1, 8)).value == 9
    assert port.do(o.Wait(2)).ret == 0


def test_a_file_passed_to_a_second_process(port: Port) -> None:
    port.do(o.Fork(1))
    port.do(o.Eventfd(2, 4, os.EFD_NONBLOCK))
    child = ForkedPort(port, 1)
    with pytest.raises(PortError):
        child.do(o.Pread(2, 8))
    (received,) = port.do(o.SendFd(1, 2, 3)).parts
    assert received.ok
    assert child.do(o.Pread(3, 8)).value == 4
    assert os.WTERMSIG(port.do(o.Wait(1, signal.SIGKILL)).ret) == signal.SIGKILL


def test_a_dead_second_process_is_an_error_not_a_hang(port: Port) -> None:
    pid = port.do(o.Fork(1)).ret
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(PortError, match="gone"):
        port.do(o.In(1, (o.Eventfd(9),)))


def test_a_race_counts_every_answer(port: Port) -> None:
    port.do(o.Eventfd(1, 0, os.EFD_NONBLOCK))
    add = (o.Pwrite(1, (1).to_bytes(8, "little")),)
    values = port.do(o.Race((add, add, (o.Pread(99, 8),)), 50)).values
    rows = {tuple(values[i : i + 5]) for i in range(0, len(values), 5)}
    assert rows == {(0, 0, 8, 0, 50), (1, 0, 8, 0, 50), (2, 0, -1, -1, 50)}
    assert port.do(o.Pread(1, 8)).value == 100


def test_each_thread_of_a_race_makes_handles_of_its_own(port: Port) -> None:
    """Far apart, so that whoever keeps them has to make room while others look theirs up."""
    programs = []
    for first in range(1, 9):
        ids = [256 * (8 * i + first) for i in range(40)]
        programs.append(tuple(op for at in ids for op in (o.Eventfd(at), o.Close(at))))
    values = port.do(o.Race(tuple(programs), 20)).values
    assert set(values[3::5]) == {0}
    assert sum(values[4::5]) == 20 * sum(map(len, programs))


def test_limits_of_the_process(port: Port) -> None:
    port.do(o.Fork(1))  # the limit must not outlive the test in this process
    child = ForkedPort(port, 1)
    assert child.do(o.Rlimit(7, 0, 4096)).ok  # RLIMIT_NOFILE
    assert child.do(o.Eventfd(2)).errno == errno.EMFILE
    child.close()


def test_draining_a_file_that_has_no_more(port: Port) -> None:
    port.do(o.Eventfd(1, 2, os.EFD_NONBLOCK))
    assert port.do(o.Drain(1)) == Reply(8, 0, (2).to_bytes(8, "little"))
    assert port.do(o.Drain(1)).ret == 0


def test_oversized_requests_are_refused(port: Port) -> None:
    port.do(o.Open(1, "/dev/zero"))
    with pytest.raises(PortError, match="memory of its own"):
        port.do(o.Pread(1, o.MAX_BUFFER + 1))
    with pytest.raises(PortError, match="limit"):
        port.do(o.Ioctl(1, 0, data=bytes(o.MAX_BUFFER + 1)))


def test_every_step_is_recorded(port: Port) -> None:
    port.do(o.Eventfd(1))
    with pytest.raises(PortError):
        port.do(o.Close(5))
    ops: Sequence[o.Op] = [op for op, _ in port.steps]
    assert ops == [o.Eventfd(1), o.Close(5)]


def test_an_executor_that_dies_is_lost_with_its_operation() -> None:
    port = CommandPort([str(build_executor())])
    pid = port.do(o.Syscall("getpid")).ret
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(TargetLostError, match=r"gone.*Eventfd"):
        port.do(o.Eventfd(1))
    port.close()


def test_an_operation_past_its_deadline_is_lost() -> None:
    port = CommandPort([str(build_executor())], deadline=0.3)
    port.do(o.Eventfd(1))  # blocking
    with pytest.raises(TargetLostError, match=r"no answer within 0 s.*Pread"):
        port.do(o.Pread(1, 8))
    port.close()


def test_an_interrupted_exchange_does_not_shift_the_answers() -> None:
    """Ctrl-C while an answer is on its way; the next question gets its own."""
    port = CommandPort([str(build_executor())])
    port.do(o.Eventfd(1))
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    with pytest.raises(KeyboardInterrupt):
        port.do(o.Poll((1,), select.POLLIN, 600))
    signal.signal(signal.SIGALRM, before)
    assert port.do(o.Pwrite(1, (7).to_bytes(8, "little"))).ret == 8
    assert port.do(o.Pread(1, 8)).value == 7
    port.close()


def test_a_command_that_is_no_executor_is_told() -> None:
    with pytest.raises(TargetLostError, match="did not answer"):
        CommandPort(["echo", "hello there"], deadline=2)
    with pytest.raises(TargetLostError, match="cannot start"):
        CommandPort(["/nonexistent/executor"])


def test_calls_of_32_bit_programs(port: Port) -> None:
    """By the executor in C, on a kernel that has them; the others say that they cannot."""
    port.do(o.Open(1, "/dev/null", os.O_RDWR))
    assert port.do(o.Alloc(2, PAGE, MemoryKind.LOW)).ret < 1 << 32
    call = o.Ioctl32(1, TCGETS, 0, Ref(2))
    if port.hello.implementation != "c":
        with pytest.raises(PortError, match="executor in C alone"):
            port.do(call)
        return
    reply = port.do(call)
    assert (reply.ret, reply.errno) == (-1, errno.ENOTTY) or reply.signal == signal.SIGSEGV


def test_a_program_leaves_nothing_open(port: Port, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    port.run([o.Open(1, "/dev/null"), o.Eventfd(2, 0, os.EFD_NONBLOCK)])
    before = port.do(o.ListDir("/proc/self/fd")).bytes.count(b"\0")
    program = (
        o.Open(100, str(tmp_path / "f")),
        o.Pread(100, 8, 0),
        o.Alloc(101, PAGE),
        o.Pread(300, 1),
        o.Syscall("fcntl", (Fixup(0, FixupKind.FD, 1), fcntl.F_DUPFD, 0)),
        o.Dup(102, 1),
    )
    after = (o.Pwrite(2, (7).to_bytes(8, "little")),)
    reply = port.do(o.Trace(program, after, 100, o.TraceMode.PLAIN, 4))
    assert reply.ret == 3, "a file, memory, another file"
    assert reply.values[0] == 1, "the fcntl's, which no handle stands for"
    assert [part.ret >= 0 for part in reply.parts] == [True, True, True, False, True, True]
    assert reply.parts[1] == Reply(8, 0, b"0123"), "cut to four bytes"
    assert "not an open file" in reply.parts[3].fault
    assert port.do(o.ListDir("/proc/self/fd")).bytes.count(b"\0") == before
    assert port.do(o.Pread(2, 8)).value == 7, "made after all else"
    assert port.do(o.Trace(program, (), 100)).ret == 3, "its handles are free again"


def test_coverage_is_refused_where_there_is_none(port: Port) -> None:
    if Path("/sys/kernel/debug/kcov").exists():
        pytest.skip("this machine's own kernel has KCOV")
    (reply,) = port.exchange([o.Trace((), (), 100, o.TraceMode.ADDRESSES)])
    assert "coverage" in reply.fault


def test_calls_that_are_made_to_fail(port: Port) -> None:
    """Where the kernel can: point after point, until the call ends before it comes to one."""
    if not Path("/proc/self/fail-nth").exists():
        with pytest.raises(PortError, match="needs CONFIG_FAULT_INJECTION"):
            port.do(o.FailNth(1, o.Open(1, "/dev/null")))
        return
    failed: list[Reply] = []
    while (reply := port.do(o.FailNth(len(failed) + 1, o.Open(1, "/dev/null")))).values == (0,):
        failed.append(reply)
        if reply.ok:
            port.do(o.Close(1))
    assert {reply.errno for reply in failed} <= {0, errno.ENOMEM, errno.EFAULT}
    assert any(reply.errno for reply in failed)
    assert reply.ok


@pytest.mark.parametrize("op", [o.Poll((), 0), o.FailNth(1, o.Open(1, "/")), o.Fork(1)])
def test_what_cannot_be_made_to_fail(port: Port, op: o.AnyOp) -> None:
    with pytest.raises(PortError, match="cannot be made to fail at point 1"):
        port.do(o.FailNth(1, op))
    assert port.do(o.Open(1, "/dev/null")).ok
