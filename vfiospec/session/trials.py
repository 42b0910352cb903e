# SPDX-License-Identifier: MIT
"""Programs tried in guests: does one crash the kernel, with which title, and what was said.

Several innocent programs share a boot. After one that was not, or that left its mark on the
executor's own process, the next is tried in a fresh boot.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.device.port import Port, Step, TargetLostError
from vfiospec.device.transcript import Target, TranscriptDevice, translate
from vfiospec.fuzzing.c_world import walk
from vfiospec.fuzzing.titles import LOST, SILENT, Report, find_reports, title_of
from vfiospec.lab.bench import PortSysfs, VmBench
from vfiospec.lab.kernel import Kernel
from vfiospec.lab.topology import DIES_OF_KASAN, Topology

_LOG = 60_000  # a handle that no program uses: theirs begin at 1, of second processes at 65,536
_SEEK_END = 2
_LAST_WORDS = 40  # lines
_SETTLE = 100  # ms for what the kernel puts off: work queues, RCU
_MARKING = (o.Rlimit, o.WriteFile)
_MARKING_CALLS = {
    "capset", "prctl", "prlimit64", "setresgid", "setresuid", "setrlimit", "unshare",
}  # fmt: skip


@dataclass(slots=True)
class Tried:
    """What came of one program. No title: nothing did."""

    title: str | None
    steps: list[Step] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    console: str = ""

    @property
    def report(self) -> Report:
        """What the kernel said of it; where it died in silence, its last words."""
        if self.reports:
            return self.reports[0]
        return Report(self.title or "", "lost", self.console.splitlines()[-_LAST_WORDS:])


class TrialGround:
    """A guest to try programs in. Use as a context manager: it ends the guest."""

    def __init__(  # noqa: PLR0913 -- each is a choice of the user's
        self,
        kernel: Kernel,
        layout: Topology,
        folder: Path,
        *,
        accel: str = "tcg",
        deadline: float = 15.0,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Boot nothing yet; `folder` takes the consoles."""
        told = layout.told(DIES_OF_KASAN)
        self.bench = VmBench(kernel, told, folder, accel=accel, deadline=deadline, say=say)
        self.trials = 0
        self._up = self._used = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bench.stop()

    def devices(self) -> list[TranscriptDevice]:
        """Where the devices lie in the guest, which is the same in every boot."""
        if not self.bench.boots:
            self._ensure_up()
        return [TranscriptDevice(d.name, d.bdf, d.group) for d in self.bench.devices]

    def target(self, test: str) -> Target:
        """The first line of a transcript of what is tried here."""
        return Target(
            test=test,
            kernel=self.bench.spec,
            release=self.bench.booted.release,
            topology=self.bench.topology.name,
            devices=tuple(self.devices()),
        )

    def translated(self, target: Target, steps: Sequence[Step]) -> list[AnyOp]:
        """The operations of a transcript, for the devices as they lie here."""
        here = self.devices()
        return [translate(op, target.devices, here) for op, _ in steps]

    def crashes(self, ops: Sequence[AnyOp]) -> str | None:
        """The title of the crash a program is good for, None if it is innocent.

        By itself: what crashes a guest that others ran in before is run again in a fresh one, since
        half of it may be what those left behind.
        """
        used = self._up and self._used
        title = self.run(ops).title
        return self.run(ops).title if used and title is not None else title

    def run(self, ops: Sequence[AnyOp]) -> Tried:
        """Try a program, and give up all it opened."""
        self._ensure_up()
        self.trials += 1
        self._used = True
        port = self.bench.port
        steps: list[Step] = []
        try:
            for op in ops:
                steps.append((op, None))
                steps[-1] = (op, port.exchange([op])[0])
            _give_up(port, ops)
            log = port.exchange([o.Poll((), 0, _SETTLE), o.Drain(_LOG, 1 << 19)])[1].bytes
        except TargetLostError as e:
            return self._lost(steps, e)
        reports = find_reports(log.decode(errors="replace"))
        if reports:
            console = self.bench.console()
            self._down()
            return Tried(reports[0].title, steps, reports, console)
        if any(isinstance(op, _MARKING) or _marks(op) for op in walk(ops)):
            self._down()
        return Tried(None, steps)

    def _lost(self, steps: list[Step], error: TargetLostError) -> Tried:
        self._up = False
        silent = "no answer" in error.reason
        self.bench.why_lost(error)  # waits for the end of the console
        console = self.bench.console()
        self.bench.abandon()
        title = title_of(console, SILENT if silent else LOST)
        return Tried(title, steps, find_reports(console), console)

    def _down(self) -> None:
        self.bench.abandon()
        self._up = False

    def _ensure_up(self) -> None:
        if self._up:
            return
        self.bench.start()
        self._up, self._used = True, False
        port = self.bench.port
        # Warnings go to the console, too, which keeps those that no log survives.
        PortSysfs(port).write("/proc/sys/kernel/printk", "7")
        port.exchange([o.Open(_LOG, "/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)])
        port.exchange([o.Syscall("lseek", (o.Fixup(0, o.FixupKind.FD, _LOG), 0, _SEEK_END))])


def _marks(op: AnyOp) -> bool:
    return isinstance(op, o.Syscall) and op.name in _MARKING_CALLS


def _give_up(port: Port, ops: Sequence[AnyOp]) -> Sequence[Reply]:
    """Close, unmap and end whatever a program may have left; what it did not is no harm."""
    made = dict.fromkeys(out for op in walk(ops) if (out := getattr(op, "out", None)) is not None)
    ways = (lambda h: o.Wait(h, 9), o.Munmap, o.Close)
    return port.exchange([way(handle) for way in ways for handle in reversed(made)])
