# SPDX-License-Identifier: MIT
"""State on disk: a runner that is killed leaves nothing that restore_all cannot undo."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from vfiospec.lab.bind import driver_of
from vfiospec.lab.state import leftovers, restore_all, start_time
from vfiospec.tests.made_up_pci import MadeUpMachine

BDF = "0000:01:00.0"
REPO = Path(__file__).parents[2]

# What a run does, in a process of its own: bind, start a QEMU, then wait to be killed.
RUNNER = """
import subprocess, sys
from pathlib import Path
from vfiospec.lab.bind import bind
from vfiospec.lab.state import RunState
from vfiospec.tests.made_up_pci import MadeUpMachine
state = RunState.begin()
bind(MadeUpMachine(Path(sys.argv[1])), sys.argv[2], record=state.add_binding)
qemu = subprocess.Popen([sys.argv[3], "600"])
state.add_process(qemu.pid)
print(qemu.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the state of the test to itself."""
    monkeypatch.setenv("VFIOSPEC_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def machine(tmp_path: Path) -> MadeUpMachine:
    """Return a machine with one disk."""
    machine = MadeUpMachine(tmp_path / "machine")
    machine.device(BDF, driver="nvme")
    return machine


@pytest.fixture
def crash(machine: MadeUpMachine) -> Iterator[Callable[[Path], int]]:
    """Return a function: kill -9 a runner, return the id of the QEMU it leaves behind."""
    left: list[tuple[int, int | None]] = []

    def run(qemu: Path) -> int:
        with subprocess.Popen(
            [sys.executable, "-c", RUNNER, str(machine.root), BDF, str(qemu)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(REPO)},
            text=True,
        ) as runner:
            assert runner.stdout is not None
            pid = int(runner.stdout.readline())
            left.append((pid, start_time(pid)))
            assert leftovers() == []  # alive: its own to clean up
            runner.kill()
            # Before it is reaped, a killed runner is a zombie, and must count as dead.
            os.waitid(os.P_PID, runner.pid, os.WEXITED | os.WNOWAIT)
            assert [state.record.runner.pid for state in leftovers()] == [runner.pid]
            runner.stdout.close()
        return pid

    yield run
    for pid, start in left:
        if start is not None and start_time(pid) == start:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def program(tmp_path: Path, name: str) -> Path:
    """Return a harmless program under a name of our choice."""
    found = shutil.which("sleep")
    assert found is not None
    return Path(shutil.copy(found, tmp_path / name))


def test_a_killed_run_is_undone(
    machine: MadeUpMachine, crash: Callable[[Path], int], tmp_path: Path, root: Path
) -> None:
    """The QEMU is ended, the device is back on its driver, the file is gone."""
    pid = crash(program(tmp_path, "qemu-test"))
    assert driver_of(machine, BDF) == "vfio-pci"
    assert start_time(pid) is not None
    said: list[str] = []
    assert restore_all(machine, said.append) == 0
    assert start_time(pid) is None
    assert driver_of(machine, BDF) == "nvme"
    assert said[1:] == [f"process {pid}: qemu-test ended", f"{BDF}: back on nvme"]
    assert list(root.iterdir()) == []


def test_a_process_that_is_no_qemu_is_not_killed(
    machine: MadeUpMachine, crash: Callable[[Path], int], tmp_path: Path
) -> None:
    """Only its name protects it: id and start time match. The device is put back all the same."""
    pid = crash(program(tmp_path, "sleep"))
    said: list[str] = []
    assert restore_all(machine, said.append) == 1
    assert start_time(pid) is not None
    assert f"process {pid}: is sleep, not QEMU: left alone" in said
    assert driver_of(machine, BDF) == "nvme"
    (kept,) = leftovers()
    assert [process.pid for process in kept.record.processes] == [pid]
    assert kept.record.bindings == ()


def test_an_id_that_was_used_again_is_not_killed(
    machine: MadeUpMachine, crash: Callable[[Path], int], tmp_path: Path
) -> None:
    """Only its start time protects it: id and name match."""
    pid = crash(program(tmp_path, "qemu-test"))
    (state,) = leftovers()
    text = state.path.read_text()
    start = state.record.processes[0].start
    state.path.write_text(text.replace(f'"start": {start}\n', f'"start": {start - 1}\n'))
    assert leftovers()[0].record.processes[0].start == start - 1
    said: list[str] = []
    assert restore_all(machine, said.append) == 0
    assert start_time(pid) == start
    assert f"process {pid}: has ended already" in said


def test_what_cannot_be_put_back_is_kept_and_tried_again(
    machine: MadeUpMachine, crash: Callable[[Path], int], tmp_path: Path, root: Path
) -> None:
    """A restore that falls short counts, keeps its state, and can be finished later."""
    crash(program(tmp_path, "qemu-test"))
    machine.process(200, "/dev/vfio/7")
    said: list[str] = []
    assert restore_all(machine, said.append) == 1
    assert driver_of(machine, BDF) == "vfio-pci"
    machine.at("/proc/200/fd/1").unlink()
    assert restore_all(machine, said.append) == 0
    assert driver_of(machine, BDF) == "nvme"
    assert list(root.iterdir()) == []


def test_a_restart_leaves_nothing_to_put_back(
    machine: MadeUpMachine, crash: Callable[[Path], int], tmp_path: Path, root: Path
) -> None:
    """After a restart the ids mean other processes, and the devices were never taken."""
    pid = crash(program(tmp_path, "qemu-test"))
    (state,) = leftovers()
    text = state.path.read_text().replace(machine.read("/proc/sys/kernel/random/boot_id"), "old")
    state.path.write_text(text.replace(state.record.boot, "old"))
    machine.writes.clear()
    said: list[str] = []
    assert restore_all(machine, said.append) == 0
    assert start_time(pid) is not None
    assert machine.writes == []
    assert f"{BDF}: the machine has been restarted since, nothing to put back" in said
    assert list(root.iterdir()) == []


def test_a_device_of_another_machine_is_left_alone(
    machine: MadeUpMachine, crash: Callable[[Path], int], tmp_path: Path
) -> None:
    """The same address on this machine is another device."""
    crash(program(tmp_path, "qemu-test"))
    machine.put("/proc/sys/kernel/random/boot_id", "another\n")
    machine.writes.clear()
    said: list[str] = []
    assert restore_all(machine, said.append) == 1
    assert machine.writes == []
    assert [line for line in said if "another machine" in line]


@pytest.mark.parametrize("content", [b"", b'{"runner": {"pid": 1', b"[]", b"\xff\x00"])
def test_a_torn_state_file_is_named_and_kept_aside(
    machine: MadeUpMachine, root: Path, content: bytes
) -> None:
    """A file we cannot read is the user's to look at; twice the same name loses neither."""
    for kept in ("run-1-1.bad", "run-1-1.2.bad"):
        root.mkdir(exist_ok=True)
        (root / "run-1-1.json").write_bytes(content)
        assert leftovers() == []
        said: list[str] = []
        assert restore_all(machine, said.append) == 1
        assert str(root / "run-1-1.json") in said[0]
        assert kept in said[0]
        assert (root / kept).read_bytes() == content
    said = []
    assert restore_all(machine, said.append) == 0
    assert said == ["nothing to restore: no run has left anything behind"]


def test_a_half_written_draft_hides_nothing(
    machine: MadeUpMachine, crash: Callable[[Path], int], tmp_path: Path, root: Path
) -> None:
    """A runner killed while it writes leaves the last complete state in force."""
    crash(program(tmp_path, "qemu-test"))
    (state,) = leftovers()
    state.path.with_suffix(".tmp").write_text('{"runner"')
    assert restore_all(machine, lambda _: None) == 0
    assert driver_of(machine, BDF) == "nvme"
    assert list(root.iterdir()) == []
