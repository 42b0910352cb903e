# SPDX-License-Identifier: MIT
"""What GCOV counted: fetched through a port, added up over boots, rendered, shown in a table.

The counts are real, of a program of ours; only the place where a kernel shows them is made up.
"""

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from vfiospec.cli.coverage import table
from vfiospec.device.ports import LocalPort
from vfiospec.lab import LabError, coverage, gcov
from vfiospec.lab.kernel import Kernel
from vfiospec.lab.modules import ModuleSet

PROGRAM = """
static int rare(int n)
{
    return n * 2;
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return rare(argc) == 0;
    return 0;
}
"""


class Machine:
    """A built tree of a program, and a folder that stands for debugfs, which shows its counts."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source-7.3~1+1"  # as Debian's: gcovr takes its filters for patterns
        self.tree = folder / "tree"
        self.debugfs = folder / "debugfs"
        for root in (self.source, self.tree, self.debugfs / str(self.tree)[1:]):
            (root / "drivers/vfio").mkdir(parents=True)
        self.text = self.source / "drivers/vfio/vfio_main.c"
        self.text.write_text(PROGRAM)
        self.object = self.tree / "drivers/vfio/vfio_main.o"
        self._make("-c", "-o", str(self.object), str(self.text))
        self._make("-o", str(self.tree / "program"), str(self.object))

    @staticmethod
    def _make(*words: str) -> None:
        subprocess.run(["gcc", "--coverage", *words], check=True)  # noqa: S607

    def boot(self, *arguments: str) -> None:
        """Run it once from the start; its counts replace those of the run before."""
        shown = self.debugfs / str(self.object)[1:]
        for path in (self.object.with_suffix(".gcda"), shown.with_suffix(".gcda")):
            path.unlink(missing_ok=True)
        subprocess.run([self.tree / "program", *arguments], check=True)
        self.object.with_suffix(".gcda").rename(shown.with_suffix(".gcda"))
        notes = shown.with_suffix(".gcno")
        notes.unlink(missing_ok=True)
        notes.symlink_to(self.object.with_suffix(".gcno"))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(gcov, "DEBUGFS", str(made.debugfs))
    return made


@pytest.fixture
def port() -> Iterator[LocalPort]:
    made = LocalPort()
    yield made
    made.close()


def test_what_two_boots_ran_is_added_up(machine: Machine, port: LocalPort, tmp_path: Path) -> None:
    out = tmp_path / "out"
    counts = out / coverage.FOLDER / coverage.COUNTS
    machine.boot()
    assert gcov.collect(port, counts / "boot-1") == 1
    assert port.steps == [], "no part of any test's transcript"
    (first,) = coverage.render(out, machine.source)
    machine.boot("more")
    gcov.collect(port, counts / "boot-2")
    (both,) = coverage.render(out, machine.source)
    assert first.filename == both.filename == "drivers/vfio/vfio_main.c"
    assert first.line_covered < both.line_covered == both.line_total == first.line_total
    assert (first.function_covered, both.function_covered) == (1, 2)
    assert (out / coverage.FOLDER / coverage.PAGES).is_file()
    assert (out / coverage.FOLDER / coverage.LINES).is_file()


def test_the_latest_counts_of_a_boot_replace_those_before(
    machine: Machine, port: LocalPort, tmp_path: Path
) -> None:
    """They only grow: added up, they would count twice."""
    machine.boot()
    gcov.collect(port, tmp_path / "boot-1")
    before = {p: p.read_bytes() for p in tmp_path.glob("boot-1/**/*.gcda")}
    gcov.collect(port, tmp_path / "boot-1")
    assert {p: p.read_bytes() for p in tmp_path.glob("boot-1/**/*.gcda")} == before
    assert len(before) == 1


def test_counts_without_their_notes(machine: Machine, port: LocalPort, tmp_path: Path) -> None:
    machine.boot()
    gcov.collect(port, tmp_path / coverage.FOLDER / coverage.COUNTS / "boot-1")
    machine.object.with_suffix(".gcno").unlink()
    with pytest.raises(LabError, match=r"1 of its object files have no \.gcno file"):
        coverage.render(tmp_path, machine.source)


def test_a_kernel_that_shows_nothing(
    port: LocalPort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcov, "DEBUGFS", str(tmp_path / "nothing"))
    with pytest.raises(LabError, match="has counted nothing"):
        gcov.collect(port, tmp_path / "out")
    with pytest.raises(LabError, match="no counts"):
        coverage.render(tmp_path, tmp_path)


def kernel(config: dict[str, str], tree: Path | None) -> Kernel:
    modules = ModuleSet()
    return Kernel("x", "7.3.4", "7.3.4 x", Path("bzImage"), modules, config, "x", tree)


@pytest.mark.parametrize(
    ("config", "tree", "said"),
    [
        ({}, Path("/x"), "built without CONFIG_GCOV_KERNEL; build one with"),
        ({"CONFIG_GCOV_KERNEL": "n"}, Path("/x"), "built without"),
        ({"CONFIG_GCOV_KERNEL": "y"}, None, "is no built tree"),
    ],
)
def test_kernels_that_cannot_count(config: dict[str, str], tree: Path | None, said: str) -> None:
    with pytest.raises(LabError, match=said):
        gcov.check(kernel(config, tree))
    assert gcov.check(kernel({"CONFIG_GCOV_KERNEL": "y"}, Path("/x"))) == Path("/x")


def test_the_table_adds_up() -> None:
    files = [
        coverage.Covered(
            filename=f"drivers/vfio/{name}.c", line_total=10, line_covered=lines,
            function_total=2, function_covered=1, branch_total=0, branch_covered=0,
        )
        for name, lines in (("pci/vfio_pci_core", 7), ("group", 10))
    ]  # fmt: skip
    shown = io.StringIO()
    Console(file=shown, width=100).print(table(files))
    lines = [line.split() for line in shown.getvalue().splitlines()]
    assert lines[0] == ["file", "lines", "functions", "branches"]
    assert lines[1] == ["group.c", "10/10", "100.0", "%", "1/2", "50.0", "%", "-"]
    assert lines[2][:4] == ["pci/vfio_pci_core.c", "7/10", "70.0", "%"]
    assert lines[3][:4] == ["all", "17/20", "85.0", "%"]
