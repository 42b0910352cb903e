# SPDX-License-Identifier: MIT
"""The commands about fuzzing, as far as they go without a guest; and the engine's traps."""

import subprocess
import sys
from pathlib import Path

import pytest

from vfiospec.cli.fuzz_live import line, summary
from vfiospec.cli.fuzzing import seconds, seeds_of
from vfiospec.lab import LabError
from vfiospec.session.jobs import ROOT, Stats, load_target, targets

ATHERIS = "no atheris: pip install 'vfiospec[fuzz]'"


def fuzz(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vfiospec", "fuzz", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize(("text", "number"), [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200)])
def test_times(text: str, number: float) -> None:
    assert seconds(text) == number


@pytest.mark.parametrize("text", ["", "0", "m", "5x", "-1", "1.5m"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(LabError, match="write it like"):
        seconds(text)


def test_every_target_names_operations_and_devices() -> None:
    found = {name: load_target(name) for name in targets()}
    assert len(found) == 9
    for name, target in found.items():
        assert target.name == name
        assert target.operations
        assert target.held or target.free
    assert "VFIO_DEVICE_SET_IRQS/eventfd" in found["set_irqs"].operations
    assert set(found["dma"].operations) < set(found["everything"].operations)


def test_a_target_begins_with_the_corpora_of_narrower_ones() -> None:
    names = [p.name for p in seeds_of("everything")]
    assert names == targets()
    assert [p.name for p in seeds_of("group")] == ["group"]


def test_an_unknown_target_is_one_line() -> None:
    done = fuzz("run", "nonsense")
    assert done.returncode == 2
    assert done.stderr.startswith("vfiospec: no target 'nonsense'; there are cdev_iommufd")
    assert done.stderr.count("\n") == 1


def test_a_job_that_cannot_start_is_one_line(tmp_path: Path) -> None:
    done = fuzz("run", "everything", "--kernel", "/nonexistent", "--out", str(tmp_path))
    assert done.returncode == 2
    (said,) = (x for x in done.stderr.splitlines() if x.startswith("vfiospec:"))
    assert "/nonexistent: no such file" in said
    assert str(tmp_path / "job-0" / "log") in said


def test_coverage_of_a_folder_without_any(tmp_path: Path) -> None:
    done = fuzz("coverage", str(tmp_path), "--kernel", "/nonexistent")
    assert done.returncode == 2
    assert "was it fuzzed with KCOV?" in done.stderr


def test_figures_of_all_jobs_are_one_line() -> None:
    one = Stats(state="fuzzing", seconds=10, executions=50, places={"vfio": 7}, titles={"a": 2})
    two = Stats(state="fuzzing", seconds=11, executions=70, places={"vfio": 9}, reboots=1)
    text = line([one, two], 12.0, 5)
    assert text == ("11 s, 120 executions, 12/s, 9 places: vfio 9, corpus 5, finds 1, reboots 1")
    assert line([Stats()], 0.0, 0) == "booting"
    *_, found = summary([one, two], [Path("x"), Path("y")], Path("corpus"))
    assert found == "found 2 times: a (in x/finds)"


DRIVE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from fuzz.engine import COUNTERS, Engine
engine = Engine()
seen = {"mutate": 0, "cross": 0, "check": 0}
def check(data):
    seen["check"] += 1
    engine.mark([1 + (data[0] if data else 0)])
    if seen["check"] > 3000:
        print(seen, flush=True)
        import os; os._exit(0)
def mutate(data, size, seed):
    seen["mutate"] += 1
    return bytes([seed % 200])
def cross(a, b, size, seed):
    seen["cross"] += 1
    return (a + b)[:size]
engine.compared(0x1234, 0x5678, 8)
engine.fuzz(sys.argv[1:], check, mutate=mutate, cross=cross, again=sys.executable + " -c pass")
"""


def test_the_engine_calls_our_mutator_and_counts_our_counters(tmp_path: Path) -> None:
    """A core that is loaded before the mutator does not know it, and says nothing of that."""
    pytest.importorskip("atheris", reason=ATHERIS)
    command = [sys.executable, "-c", DRIVE, str(ROOT), "-len_control=0", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "found LLVMFuzzerCustomMutator" in done.stderr
    assert "65536 inline 8-bit counters" in done.stderr
    assert "'mutate': 0" not in done.stdout
    assert len(list(tmp_path.iterdir())) > 50, "inputs with new counters are kept"
