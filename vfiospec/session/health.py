# SPDX-License-Identifier: MIT
"""Reads the kernel's log and taint between tests, and tells trouble from noise."""

import os
import re
from dataclasses import dataclass, field

from vfiospec.device import ops as o
from vfiospec.device.port import Port

TAINTED = "/proc/sys/kernel/tainted"
LOCKDEP = "/proc/lockdep_stats"
_LOCKS_UNWATCHED = re.compile(rb"^ debug_locks: +0$", re.MULTILINE)
_TROUBLE = re.compile(
    r"^(BUG:|WARNING:|INFO: task .* blocked|(rcu: )?INFO: rcu|INFO: possible|"
    r"INFO: trying to register|"
    r"KASAN:|UBSAN:|Oops|Kernel panic|general protection|kernel BUG|divide error|"
    r"invalid opcode|Unable to handle|unable to handle|refcount_t:|list_(add|del) corruption|"
    r"DEBUG_LOCKS|(NMI )?watchdog: .*(BUG:|LOCKUP)|stack segment|kmemleak:|page_pool|BUG |"
    r"\S+ \S+: Runtime PM usage count underflow)"
)
_DMAR = re.compile(r"^(DMAR:.*(fault|FAULT|PTE|Request)|(\S+ \S+: )?AMD-Vi: .*([Ee]vent|FAULT))")
_SEEK_END = 2


@dataclass
class Health:
    """What the kernel said since the last look."""

    taint: int
    log: list[str] = field(default_factory=list)
    dmar: list[str] = field(default_factory=list)

    @property
    def trouble(self) -> list[str]:
        """The lines that report a fault of the kernel."""
        return [line for line in self.log if _TROUBLE.match(line)]


class HealthMonitor:
    """Looks at one kernel through its port; a new boot needs a new one."""

    def __init__(self, port: Port) -> None:
        """Start from what is logged now. A kernel that hides its log is watched by taint alone."""
        self._port = port
        self._log: int | None = port.handle()
        opened = port.do(o.Open(self._log, "/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
        if opened.ok:
            seek = (o.Fixup(0, o.FixupKind.FD, self._log), 0, _SEEK_END)
            port.do(o.Syscall("lseek", seek))
        else:
            self._log = None
        self.taint = self._read_taint(port.do(o.ReadFile(TAINTED)).bytes)

    @staticmethod
    def _read_taint(text: bytes) -> int:
        return int(text or b"0")

    @property
    def log(self) -> int | None:
        """The handle of the kernel's log; None where it is hidden."""
        return self._log

    @staticmethod
    def read(records: bytes) -> Health:
        """What records of the log say."""
        return read_log(records)

    def look(self) -> Health:
        """What is new since the last look, in one message. Leaves no trace in the transcript."""
        steps = len(self._port.steps)
        ops: list[o.AnyOp] = [o.ReadFile(TAINTED, 32)]
        if self._log is not None:
            ops.append(o.Drain(self._log, o.MAX_BUFFER))
        taint, *drained = self._port.run(ops)
        del self._port.steps[steps:]
        return read_log(drained[0].bytes if drained else b"", self._read_taint(taint.bytes))

    def locks_unwatched(self) -> bool:
        """Whether lockdep has switched itself off, as it does with its first report."""
        steps = len(self._port.steps)
        stats = self._port.do(o.ReadFile(LOCKDEP)).bytes
        del self._port.steps[steps:]
        return _LOCKS_UNWATCHED.search(stats) is not None


def read_log(text: bytes, taint: int = 0) -> Health:
    """What records of /dev/kmsg say."""
    health = Health(taint)
    for record in text.decode(errors="replace").splitlines():
        # "6,339,5140900,-;message", then lines that begin with a space
        if record.startswith(" ") or ";" not in record:
            continue
        line = record.partition(";")[2]
        (health.dmar if _DMAR.match(line) else health.log).append(line)
    return health
