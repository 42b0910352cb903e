# SPDX-License-Identifier: MIT
"""A crash from end to end: tried in a guest, titled, bundled, and made again by a C program."""

from pathlib import Path

import pytest

from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp
from vfiospec.fuzzing import bundle
from vfiospec.fuzzing.creproducer import reproducer
from vfiospec.lab import topology
from vfiospec.lab.kernel import resolve
from vfiospec.session.handover import crashes_alone, gathered
from vfiospec.session.trials import TrialGround

TITLE = "panic: sysrq triggered crash"
GUILTY = o.WriteFile("/proc/sysrq-trigger", b"c")


def opened(group: int | None) -> list[AnyOp]:
    """A program that leaves something of each kind behind."""
    return [
        o.Open(1, f"/dev/vfio/{group}", 2),
        o.Alloc(2, 4096),
        o.Eventfd(3),
        o.Fork(4),
    ]


def quiet(text: str) -> None:
    del text


def test_from_a_program_to_its_reproducer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two boots: innocent programs and a crash in the first, the C program alone in the second."""
    monkeypatch.setenv("VFIOSPEC_STATE", str(tmp_path / "state"))
    kernel, layout = resolve("debian", None, quiet), topology.load("default")
    with TrialGround(kernel, layout, tmp_path, say=quiet) as ground:
        nic = next(d for d in ground.devices() if d.name == "e1000e")
        # Twice: the first leaves nothing open, or the group would be busy.
        for _ in range(2):
            innocent = ground.run(opened(nic.group))
            assert innocent.title is None
            assert [reply.errno for _, reply in innocent.steps if reply] == [0, 0, 0, 0]
        tried = ground.run([*opened(nic.group), GUILTY, o.Eventfd(5)])
        target = ground.target("made up")
        assert ground.bench.boots == 1
    assert tried.title == TITLE
    assert [reply is None for _, reply in tried.steps] == [False] * 4 + [True]
    program = reproducer(target, tried.steps, TITLE)
    assert [device.name for device in program.devices] == ["e1000e"]
    alone, ran = crashes_alone(kernel, layout, program, say=quiet)
    assert alone == TITLE, ran.said + ran.console[-2000:]
    assert f"open /dev/vfio/{nic.group} -> 0x" in ran.said
    folder, _ = bundle.record(tmp_path / "crashes", gathered(kernel, layout, target, tried, alone))
    assert "sysrq triggered crash" in (folder / "report.txt").read_text()
    assert "CONFIG_VFIO_PCI=m" in (folder / "config").read_text()
    assert "Run by itself in a fresh boot" in (folder / "mail.txt").read_text()
