# SPDX-License-Identifier: MIT
"""What a run has taken from this machine, on disk before it is taken.

After a kill -9 of the runner, `restore_all` ends its QEMU and puts the devices back.
"""

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec

from vfiospec.lab.bind import Before, boot_id, restore
from vfiospec.lab.cache import LabError
from vfiospec.lab.sysfs import LocalSysfs, Sysfs
from vfiospec.undecodable import UNDECODABLE

END_TIMEOUT = 10_000  # milliseconds a killed QEMU gets to disappear
STATE, START = 0, 19  # fields 3 and 22 of /proc/PID/stat, counted after the name


class Process(msgspec.Struct, frozen=True):
    """A process id and when it started, in clock ticks since boot: ids are used again."""

    pid: int
    start: int


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a state file."""

    runner: Process
    boot: str
    bindings: tuple[Before, ...] = ()
    processes: tuple[Process, ...] = ()


def state_root() -> Path:
    """Return the folder of the state files: $VFIOSPEC_STATE, else below the XDG state folder."""
    if own := os.environ.get("VFIOSPEC_STATE"):
        return Path(own)
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    # The XDG specification has relative paths ignored.
    return (base if base.is_absolute() else Path.home() / ".local/state") / "vfiospec"


def start_time(pid: int) -> int | None:
    """Return when a process started, in ticks since boot; None when it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name may hold blanks and parentheses; the last one closes it.
    fields = text.rpartition(")")[2].split()
    return None if fields[STATE] in {"Z", "X"} else int(fields[START])


class RunState:
    """The state file of one run; every change is on disk when the method returns."""

    def __init__(self, path: Path, record: Record) -> None:
        self.path = path
        self.record = record

    @classmethod
    def begin(cls) -> "RunState":
        """Start the file of this process; LabError when the folder cannot be written."""
        pid = os.getpid()
        runner = Process(pid, start_time(pid) or 0)
        state = cls(
            state_root() / f"run-{pid}-{runner.start}.json",
            Record(runner=runner, boot=boot_id(LocalSysfs())),
        )
        try:
            state.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            state._save(state.record)
        except OSError as error:
            msg = f"no state can be kept: {error}: point VFIOSPEC_STATE at a writable folder"
            raise LabError(msg) from error
        return state

    @classmethod
    def load(cls, path: Path) -> "RunState":
        """Read a state file; OSError, or a msgspec or Unicode decoding error."""
        return cls(path, msgspec.json.decode(path.read_bytes(), type=Record))

    def add_binding(self, before: Before) -> None:
        """Note a group that is about to be bound; hand this to `bind` as its `record`."""
        self._change(bindings=(*self.record.bindings, before))

    def drop_binding(self, bdf: str) -> None:
        """Forget a group that has been put back."""
        self._change(bindings=tuple(b for b in self.record.bindings if b.bdf != bdf))

    def add_process(self, pid: int) -> None:
        """Note a QEMU; one that has ended already leaves nothing to note."""
        start = start_time(pid)
        if start is not None:
            self._change(processes=(*self.record.processes, Process(pid, start)))

    def drop_process(self, pid: int) -> None:
        """Forget a QEMU that has ended."""
        self._change(processes=tuple(p for p in self.record.processes if p.pid != pid))

    def finish(self) -> None:
        """Remove the file: nothing is taken any more."""
        self.path.unlink(missing_ok=True)
        self._draft.unlink(missing_ok=True)

    @property
    def runner_alive(self) -> bool:
        """Tell whether the process that wrote this still runs, in this boot."""
        runner = self.record.runner
        here = self.record.boot == boot_id(LocalSysfs())
        return here and start_time(runner.pid) == runner.start

    @property
    def _draft(self) -> Path:
        return self.path.with_suffix(".tmp")

    def _change(
        self,
        bindings: tuple[Before, ...] | None = None,
        processes: tuple[Process, ...] | None = None,
    ) -> None:
        old = self.record
        new = Record(
            runner=old.runner,
            boot=old.boot,
            bindings=old.bindings if bindings is None else bindings,
            processes=old.processes if processes is None else processes,
        )
        try:
            self._save(new)
        except OSError as error:
            msg = f"{self.path}: state could not be written: {error}"
            raise LabError(msg) from error

    def _save(self, record: Record) -> None:
        with self._draft.open("wb") as draft:
            draft.write(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
            draft.flush()
            os.fsync(draft.fileno())
        self._draft.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.record = record


def leftovers() -> list[RunState]:
    """Return the readable states of runs whose process has gone."""
    return [run for run in _read_all()[0] if not run.runner_alive]


def _read_all() -> tuple[list[RunState], list[tuple[Path, str]]]:
    runs, broken = [], []
    for path in sorted(state_root().glob("*.json")):
        try:
            runs.append(RunState.load(path))
        except FileNotFoundError:
            continue  # its run has just finished
        except (OSError, *UNDECODABLE) as error:
            broken.append((path, str(error)))
    return runs, broken


def restore_all(fs: Sysfs, say: Callable[[str], None]) -> int:
    """Undo what dead runs left behind; return how many things could not be put back."""
    runs, broken = _read_all()
    dead = [run for run in runs if not run.runner_alive]
    for path, why in broken:
        say(f"{path} is not a state file ({why}): kept as {_set_aside(path).name}; look into it")
    if not dead and not broken:
        # A run that is still alive is its own to clean up.
        say("nothing to restore: no run has left anything behind")
    return len(broken) + sum(_restore_run(fs, run, say) for run in dead)


def _set_aside(path: Path) -> Path:
    kept, n = path.with_suffix(".bad"), 1
    while kept.exists():
        n += 1
        kept = path.with_suffix(f".{n}.bad")
    return path.rename(kept)


def _restore_run(fs: Sysfs, run: RunState, say: Callable[[str], None]) -> int:
    say(f"run {run.record.runner.pid} has ended without cleaning up")
    rebooted = run.record.boot != boot_id(LocalSysfs())
    left = 0
    for process in run.record.processes:
        ended, line = (True, "ended with the last boot") if rebooted else _end(process)
        say(f"process {process.pid}: {line}")
        left += not ended
        if ended:
            run.drop_process(process.pid)
    for before in reversed(run.record.bindings):
        if before.boot != boot_id(fs):
            if rebooted and before.boot == run.record.boot:
                say(f"{before.bdf}: the machine has been restarted since, nothing to put back")
                run.drop_binding(before.bdf)
            else:
                say(f"{before.bdf}: taken on another machine: restore there, or delete {run.path}")
                left += 1
            continue
        problems = restore(fs, before)
        left += len(problems)
        for line in problems or [f"{before.bdf}: back on {before.driver or 'no driver'}"]:
            say(line)
        if not problems:
            run.drop_binding(before.bdf)
    if not run.record.bindings and not run.record.processes:
        run.finish()
    return left


def _end(process: Process) -> tuple[bool, str]:  # noqa: PLR0911 - one answer per fate
    """Kill a QEMU that is still the one we started; say what happened."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True, "has ended already"
    except OSError as error:
        return False, f"could not be looked at: {error}"
    try:
        # The handle pins the process: what is checked now is what the signal reaches.
        if start_time(process.pid) != process.start:
            return True, "has ended already"
        exe = Path(f"/proc/{process.pid}/exe").readlink().name
        if not exe.startswith("qemu"):
            return False, f"is {exe}, not QEMU: left alone"
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        if not poll.poll(END_TIMEOUT):
            return False, f"{exe} does not end: it may be stuck in the kernel"
    except OSError as error:
        return False, f"could not be ended: {error}"
    finally:
        os.close(handle)
    return True, f"{exe} ended"
