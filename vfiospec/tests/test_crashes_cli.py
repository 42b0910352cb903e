# SPDX-License-Identifier: MIT
"""`vfiospec fuzz reproducer`, `minimise`, `bundle` as far as they go without a guest."""

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from typer.testing import CliRunner, Result

from vfiospec.cli import app as cli
from vfiospec.cli import crashes
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.device.transcript import Target, TranscriptDevice, TranscriptError, load, save
from vfiospec.fuzzing import bundle, titles
from vfiospec.lab import LabError
from vfiospec.session.trials import Tried

TARGET = Target(
    test="a.test", kernel="debian", release="6.1",
    devices=(TranscriptDevice("e1000e", "0000:00:14.0", 3),),
)  # fmt: skip
OPS: list[AnyOp] = [o.Eventfd(1), o.Open(2, "/dev/vfio/3", os.O_RDWR), o.Close(1), o.Close(2)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A transcript."""
    save(tmp_path / "t.jsonl", TARGET, [(op, Reply(0)) for op in OPS])
    return tmp_path / "t.jsonl"


def fuzz(*words: object) -> Result:
    return CliRunner().invoke(cli.command(), ["fuzz", *map(str, words)])


def test_a_reproducer_goes_to_stdout_or_to_a_file(file: Path, tmp_path: Path) -> None:
    shown = fuzz("reproducer", file, "--c", "--title", "WARNING in x")
    assert shown.exit_code == 0
    assert " * WARNING in x" in shown.stdout
    assert "open(group_of(bdf_e1000e), O_RDWR)" in shown.stdout
    assert (
        fuzz("reproducer", file, "--title", "WARNING in x", "-o", tmp_path / "r.c").exit_code == 0
    )
    assert (tmp_path / "r.c").read_text() == shown.stdout


@pytest.mark.parametrize("command", ["reproducer", "minimise", "bundle"])
def test_what_is_no_transcript(command: str, tmp_path: Path) -> None:
    """Says where it is wrong, and boots nothing."""
    (tmp_path / "t.jsonl").write_text("{}\n")
    result = fuzz(command, tmp_path / "t.jsonl")
    assert isinstance(result.exception, TranscriptError)
    assert "t.jsonl, line 1" in str(result.exception)


def test_a_file_that_cannot_be_written(file: Path, tmp_path: Path) -> None:
    result = fuzz("reproducer", file, "-o", tmp_path / "gone" / "r.c")
    assert isinstance(result.exception, LabError)
    assert "No such file" in str(result.exception)


class MadeUpGround:
    """Crashes on a close of 1."""

    bench = SimpleNamespace(boots=1)

    def __init__(self, *_: object, **__: object) -> None:
        self.trials = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def translated(
        self, target: Target, steps: Sequence[tuple[AnyOp, Reply | None]]
    ) -> list[AnyOp]:
        assert target == TARGET
        return [op for op, _ in steps]

    def target(self, test: str) -> Target:
        return Target(test=test, kernel="made up", release="7", topology="default")

    def crashes(self, ops: Sequence[AnyOp]) -> str | None:
        return self.run(ops).title

    def run(self, ops: Sequence[AnyOp]) -> Tried:
        self.trials += 1
        guilty = o.Close(1) in ops
        return Tried("WARNING in x" if guilty else None, [(op, None) for op in ops])


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up guest in place of a real one."""
    kernel = SimpleNamespace(release="7", version_text="7 (x@y)", origin="a tree")
    made: Any = lambda *_: (kernel, None)  # noqa: E731 -- as short as it is dull
    monkeypatch.setattr(crashes, "_where", made)
    monkeypatch.setattr(crashes, "TrialGround", MadeUpGround)


@pytest.mark.usefixtures("ground")
def test_minimise_writes_what_is_left(file: Path) -> None:
    """And remembers what it tried, beside the file."""
    result = fuzz("minimise", file)
    assert result.exit_code == 0, result.output
    assert "WARNING in x: 4 operations became 1" in result.stderr
    target, steps = load(file.with_name("t.minimised.jsonl"))
    assert target.kernel == "made up"
    assert [op for op, _ in steps] == [o.Close(1)]
    (memory,) = file.parent.glob("t.7-*.trials")
    assert len(memory.read_bytes().splitlines()) > 1


@pytest.mark.usefixtures("ground")
def test_minimise_of_another_crash(file: Path) -> None:
    result = fuzz("minimise", file, "--title", "KASAN: something else")
    assert result.exit_code == 1
    assert "does not crash in this way: KASAN: something else" in result.stderr
    assert not file.with_name("t.minimised.jsonl").exists()


@pytest.mark.usefixtures("ground")
def test_no_bundle_of_what_is_survived(file: Path, tmp_path: Path) -> None:
    save(file, TARGET, [(o.Eventfd(1), None)])
    result = fuzz("bundle", file, "-o", tmp_path / "crashes")
    assert result.exit_code == 1
    assert "no bundle: 7 survives the program" in result.stderr
    assert not (tmp_path / "crashes").exists()


CONSOLE = """\
[    1.0] UBSAN: shift-out-of-bounds in drivers/vfio/vfio_iommu_type1.c:3043:33
[    1.1] Call Trace:
[    1.2]  __ubsan_handle_shift_out_of_bounds+0x1ae/0x360
[    1.3]  vfio_iommu_type1_ioctl.cold+0x33/0xf3 [vfio_iommu_type1]
"""


@pytest.mark.usefixtures("ground")
def test_a_bundle_of_a_crash_that_was_kept(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its console; nothing boots, and nothing is claimed of the reproducer."""
    monkeypatch.setattr(crashes, "gathered", made_up_crash)
    (tmp_path / "console.log").write_text(CONSOLE)
    done = fuzz("bundle", file, "--console", tmp_path / "console.log", "-o", tmp_path / "all")
    assert done.exit_code == 0, done.output
    (entry,) = bundle.entries(tmp_path / "all")
    assert entry.title == "UBSAN: shift-out-of-bounds in vfio_iommu_type1_ioctl"
    assert entry.alone is None
    assert "by itself" not in done.stderr


def made_up_crash(_: object, __: object, target: Target, tried: Tried, alone: str | None) -> object:
    return bundle.Crash(
        title=tried.report.title, kind=tried.report.kind, target=target, steps=tried.steps,
        report=tried.report.text, console=tried.console, when="2026", alone=alone,
    )  # fmt: skip


@pytest.mark.usefixtures("ground")
def test_a_console_without_a_crash(file: Path, tmp_path: Path) -> None:
    (tmp_path / "console.log").write_text("Booting\n")
    done = fuzz("bundle", file, "--console", tmp_path / "console.log", "-o", tmp_path / "all")
    assert isinstance(done.exception, LabError)
    assert "no report of a crash" in str(done.exception)


def test_the_last_words_of_a_kernel_that_died_in_silence() -> None:
    """Stand in for a report."""
    tried = Tried(titles.LOST, console="\n".join(map(str, range(100))))
    assert (tried.report.title, tried.report.kind) == (titles.LOST, "lost")
    assert tried.report.lines[-1] == "99"
    assert not tried.report.dangerous
