# SPDX-License-Identifier: MIT
"""The state file itself: where it lies, and that it follows every change."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vfiospec.lab.bind import bind
from vfiospec.lab.cache import LabError
from vfiospec.lab.state import RunState, state_root
from vfiospec.tests.made_up_pci import MadeUpMachine

BDF = "0000:01:00.0"


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


def test_the_file_follows_every_change(machine: MadeUpMachine, root: Path) -> None:
    """Another reader sees each change as soon as the method has returned."""
    state = RunState.begin()

    def on_disk() -> tuple[list[str], list[int]]:
        record = RunState.load(state.path).record
        assert record == state.record
        return [b.bdf for b in record.bindings], [p.pid for p in record.processes]

    assert on_disk() == ([], [])
    before = bind(machine, BDF, record=state.add_binding)
    assert on_disk() == ([BDF], [])
    assert state.record.bindings == (before,)
    state.add_process(os.getpid())
    assert on_disk() == ([BDF], [os.getpid()])
    state.drop_binding(BDF)
    state.drop_process(os.getpid())
    assert on_disk() == ([], [])
    state.finish()
    state.finish()
    assert list(root.iterdir()) == []


def test_a_process_that_has_ended_is_not_noted() -> None:
    """A QEMU may end before it is noted; that is no error of the state."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    state = RunState.begin()
    state.add_process(child.pid)
    assert state.record.processes == ()


def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without state nothing may be taken, and the message says which switch helps."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VFIOSPEC_STATE", str(tmp_path / "file" / "state"))
    with pytest.raises(LabError, match="point VFIOSPEC_STATE at a writable folder"):
        RunState.begin()


@pytest.mark.parametrize(
    ("own", "xdg", "wanted"),
    [
        ("/a", "/b", "/a"),
        ("", "/b", "/b/vfiospec"),
        ("", "relative", "/home/u/.local/state/vfiospec"),
        ("", "", "/home/u/.local/state/vfiospec"),
    ],
)
def test_where_the_state_lies(
    monkeypatch: pytest.MonkeyPatch, own: str, xdg: str, wanted: str
) -> None:
    """Our variable, then the XDG folder if it is absolute, then its default."""
    monkeypatch.setenv("VFIOSPEC_STATE", own)
    monkeypatch.setenv("XDG_STATE_HOME", xdg)
    monkeypatch.setenv("HOME", "/home/u")
    assert state_root() == Path(wanted)
