# SPDX-License-Identifier: MIT
"""Runs programs on a kernel that may die of them, and keeps what it died of.

A program is on this machine's storage before it runs. After a death the same programs run again
in a fresh kernel one by one, then the culprit step by step, so that what is kept is one program.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from vfiospec.device import ops as o
from vfiospec.device import transcript
from vfiospec.device.ops import AnyOp, Trace, TraceMode
from vfiospec.device.port import NO_ANSWER, Port, Step, TargetLostError
from vfiospec.fuzzing.afterwards import KEEP, Afterwards
from vfiospec.fuzzing.avoid import Avoided
from vfiospec.fuzzing.finds import Finds, where
from vfiospec.fuzzing.guest import Figures, Find, Guest, Monitor, Outcome
from vfiospec.fuzzing.journal import Journal
from vfiospec.fuzzing.materialise import materialise
from vfiospec.fuzzing.model import Program, World
from vfiospec.fuzzing.oracle import judge, may_leave
from vfiospec.fuzzing.target import Target
from vfiospec.fuzzing.titles import Report, find_reports, title_of
from vfiospec.fuzzing.world import FIRST_HANDLE, build_world

SLOW: Final = 20.0  # seconds of a batch
# Reports after which a kernel goes on as before, and reports another one too. Not so after an
# index that is too large: then memory was used that is another's.
_MILD = frozenset({"UBSAN", "WARNING"})
_GRAVE = "UBSAN: array-index-out-of-bounds"


class CampaignOver(Exception):  # noqa: N818 -- an end, not an error
    """The kernel is lost and cannot be started again, or has been too often."""


class Campaign:
    """Programs on a guest, one batch after another."""

    def __init__(  # noqa: PLR0913 -- what a campaign is made of
        self,
        guest: Guest,
        target: Target,
        folder: Path,
        *,
        monitor: Callable[[Port], Monitor],
        kernel: str = "",
        topology: str = "",
        mode: TraceMode = TraceMode.PLAIN,
        max_reboots: int = 1000,
        emulator: str = "QEMU gave up",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`folder` takes the journal and what is found.

        A loss whose reason begins with `emulator` is no fault of the kernel's.
        """
        self.guest, self.target, self.folder = guest, target, folder
        self.mode = mode
        self.figures = Figures()
        self.avoided = Avoided()
        self.preamble: list[Step] = []
        self._watch, self._say = monitor, say
        self._kernel, self._topology = kernel, topology
        self._max_reboots = max_reboots
        self._emulator = emulator
        folder.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(folder / "journal.bin")
        self._finds = Finds(
            folder / "finds", self.figures, self._journal, self.write_transcript, say
        )
        self.world = World({}, (), FIRST_HANDLE)

    @property
    def finds(self) -> Sequence[Find]:
        """The first of each title."""
        return self._finds.all

    def start(self) -> None:
        """Bring the kernel up and open what programs find open."""
        self.guest.start()
        port = self.guest.port
        port.steps.clear()
        self.world = build_world(port, self.guest.devices, self.target)
        self.preamble = list(port.steps)
        port.steps.clear()
        # Many a close waits for a grace period: milliseconds of doing nothing, otherwise.
        port.exchange([o.WriteFile("/sys/kernel/rcu_expedited", b"1")])
        self._monitor = self._watch(port)
        port.steps.clear()
        self._afterwards = Afterwards(port, self.world)

    def stop(self) -> None:
        """Put everything back."""
        self._journal.close()
        self.guest.stop()

    def supports(self, mode: TraceMode) -> bool:
        """Whether this kernel can be traced like that."""
        (reply,) = self.guest.port.exchange([Trace((), (), self.world.first, mode, 0)])
        self.guest.port.exchange([Trace((), (), self.world.first, TraceMode.PLAIN, 0)])
        return not reply.fault

    def run(self, programs: Sequence[Program], mode: TraceMode | None = None) -> list[Outcome]:
        """Execute programs in one message. After a loss, there are no outcomes of this batch."""
        wanted = [p for p in programs if not self.avoided.matches(p)]
        self.figures.avoided += len(programs) - len(wanted)
        if not wanted:
            return []
        self._journal.write(wanted)
        began = time.monotonic()
        try:
            outcomes = self._execute(wanted, self.mode if mode is None else mode)
        except TargetLostError as e:
            why = self.guest.why_lost(e)
            self._harm(wanted, why, self.guest.console())
            return []
        self._note_time(time.monotonic() - began)
        self.figures.executions += len(wanted)
        for outcome in outcomes:
            self._judge(outcome, alone=len(outcomes) == 1)
        if len(outcomes) > 1:
            self._look_for_files(outcomes)
        for outcome in outcomes:
            if outcome.log and self._complaint(outcome):
                return outcomes  # it is another boot by now
        try:
            self._look_around(outcomes)
        except TargetLostError as e:
            why = self.guest.why_lost(e)
            self._harm(wanted, why, self.guest.console())
        return outcomes

    def _note_time(self, seconds: float) -> None:
        """Keep a batch that took very long: a kernel that stops for a while may be worth a look."""
        if seconds > SLOW:
            self.figures.slow += 1
            self._journal.copy(self.folder / f"slow-{self.figures.slow:03}.bin")
            self._say(f"a batch took {seconds:.0f} s: slow-{self.figures.slow:03}.bin")

    def _look_around(self, outcomes: Sequence[Outcome]) -> None:
        """Ask what can be asked of all programs of a batch together, while none of them runs."""
        after = self._afterwards
        for title, program in after.at_rest(outcomes):
            self._finds.add(title, title, program, len(program))
        refusal = after.refusal(outcomes)
        if refusal is not None:
            outcome, broken = refusal
            self._finds.add(broken.title, broken.title, outcome.program, broken.step)
        reached = after.reach(outcomes)
        if reached:
            self._finds.add(reached, reached, (), -1)

    def _look_for_files(self, outcomes: Sequence[Outcome]) -> None:
        """Find out whose files are left, if a batch left more than its answers named."""
        left = sum(outcome.trace.values[0] for outcome in outcomes if outcome.trace.values)
        if left <= sum(may_leave(outcome.made.ops) for outcome in outcomes):
            return
        for suspect in outcomes:
            try:
                (outcome,) = self._execute([suspect.program], TraceMode.PLAIN)
            except TargetLostError as e:
                why = self.guest.why_lost(e)
                self._harm([suspect.program], why, self.guest.console())
                return
            self._judge(outcome, alone=True)

    def _judge(self, outcome: Outcome, *, alone: bool = False) -> None:
        for broken in judge(outcome.program, outcome.made, outcome.trace, alone=alone):
            self._finds.add(broken.title, broken.title, outcome.program, broken.step)

    def _execute(self, programs: Sequence[Program], mode: TraceMode) -> list[Outcome]:
        made = [materialise(p, self.world) for p in programs]
        last = len(made) - 1  # files nobody stands for are looked for once in a batch
        log = self._monitor.log
        traces = [
            Trace(tuple(m.ops), tuple(m.after), self.world.first, mode, KEEP, n == last, log)
            for n, m in enumerate(made)
        ]
        replies = self.guest.port.exchange(traces)
        for reply in replies:
            if reply.fault:  # nothing was run, so there is nothing to judge
                raise CampaignOver(f"the executor runs no programs any more: {reply.fault}")
        return [Outcome(*each) for each in zip(programs, made, replies, strict=True)]

    # -- what it complained of

    def _complaint(self, outcome: Outcome) -> bool:
        """Judge what the kernel logged; whether it had to be booted again."""
        health = self._monitor.read(outcome.log)
        if not health.trouble:
            return False
        words = "\n".join(health.log)
        if _is_mild(words):
            # It goes on as before, and says so once in a boot: there is nothing to avoid.
            for title in {r.title for r in find_reports(words)}:
                self._finds.add(title, words, outcome.program, -1)
            return False
        # A kernel that reported anything else once may be broken, or silent from now on.
        self.guest.abandon()
        self._harm([outcome.program], health.trouble[0], words)
        return True

    # -- what killed it

    def _again(self) -> None:
        self.figures.reboots += 1
        if not self.guest.can_restart:
            raise CampaignOver("this kernel cannot be booted again")
        if self.figures.reboots > self._max_reboots:
            raise CampaignOver(f"all {self._max_reboots} reboots are used up")
        self.start()

    def _harm(self, batch: Sequence[Program], why: str, words: str) -> None:
        """Find out which program of a batch did harm; `words` are the kernel's."""
        self._say(f"{why}; looking for the program")
        self._again()
        for program in batch:
            bad = self._step_by_step(program)
            if bad is not None:
                self.guest.abandon()
                self._again()
                self._keep(why, bad[1] or words, program, bad[0])
                return
        if why.startswith(NO_ANSWER) and not find_reports(words):
            # A machine that was busy with something else gives no answer either.
            self.figures.unexplained += 1
            place = self.folder / f"unexplained-{self.figures.unexplained:03}.bin"
            self._journal.copy(place)
            self._say(f"{why}, and none of the programs does it again: {place.name}")
            return
        self._keep(why, words, (), -1)

    def _step_by_step(self, program: Program) -> tuple[int, str] | None:
        """The step during which a program does harm, and what the kernel says of it.

        It is the program's length, if only when all is closed.
        """
        made = materialise(program, self.world)
        closing = Trace((), tuple(made.after), self.world.first, TraceMode.PLAIN, 0)
        port = self.guest.port
        at = 0
        try:
            for op, step in zip((*made.ops, closing), (*made.origin, len(program)), strict=True):
                at = step
                port.exchange([op])
                health = self._monitor.look()
                words = "\n".join(health.log)
                if health.trouble and not _is_mild(words):
                    port.exchange([closing])
                    return at, words
        except TargetLostError as e:
            why = self.guest.why_lost(e)
            return at, self.guest.console() or why
        return None

    def _keep(self, why: str, words: str, program: Program, step: int) -> None:
        # What a kernel goes on after is not what it died of.
        reports = [r for r in find_reports(words) if not _goes_on(r)]
        # An index that is too large is why, but what it died of is what others call it by.
        grave = [r.title for r in sorted(reports, key=lambda r: r.kind in _MILD)]
        title = grave[0] if grave else title_of(why, why.strip())
        if program:
            self.avoided.learn(title, program, step)
        if why.startswith(self._emulator):
            self._say(f"{why} ({where(program, step)})")
            return  # a device of the emulator's that was told what no device is told
        self._finds.add(title, words, program, step)

    def reset(self, after: Sequence[AnyOp]) -> None:
        """Give up what was opened step by step, and undo what was done to what stays open."""
        closing = Trace((), tuple(after), self.world.first, TraceMode.PLAIN, 0)
        self.guest.port.exchange([closing])

    def write_transcript(self, path: Path, program: Program, test: str) -> None:
        """Write a program, with what it found open, as `vfiospec replay` reads it."""
        devices = tuple(
            transcript.TranscriptDevice(d.name, d.bdf, d.group) for d in self.guest.devices
        )
        target = transcript.Target(
            test=test, kernel=self._kernel, release=self.guest.port.hello.release,
            topology=self._topology, devices=devices,
        )  # fmt: skip
        steps: list[Step] = [*self.preamble]
        steps += [(op, None) for op in materialise(program, self.world).ops]
        steps.append((o.ReadFile("/proc/sys/kernel/tainted", 32), None))
        transcript.save(path, target, steps)


def _is_mild(words: str) -> bool:
    """Whether a kernel goes on as before after all that it reported."""
    reports = find_reports(words)
    return bool(reports) and all(map(_goes_on, reports))


def _goes_on(report: Report) -> bool:
    return report.kind in _MILD and not report.title.startswith(_GRAVE)
