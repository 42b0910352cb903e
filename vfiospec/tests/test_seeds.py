# SPDX-License-Identifier: MIT
"""Every seed and every crash ever found, through its target, without an engine."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
OWN = ("abi", "cap_chain", "dwarf", "wire")  # in our own code; the kernel's are in suites/corpus
SEEDS = sorted(s for own in OWN for s in (ROOT / "corpora" / own).glob("*"))


@pytest.mark.parametrize("seed", SEEDS, ids=[f"{s.parent.name}-{s.name}" for s in SEEDS])
@pytest.mark.timeout(10)
def test_a_seed_keeps_its_targets_invariant(seed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    importlib.import_module(f"fuzz.{seed.parent.name}").check(seed.read_bytes())


def test_every_target_has_seeds() -> None:
    targets = {p.stem for p in (ROOT / "fuzz").glob("[a-z]*.py") if "\ndef check(" in p.read_text()}
    assert targets == set(OWN) == {s.parent.name for s in SEEDS}


@pytest.mark.parametrize("target", ["cap_chain", "wire"])
def test_a_target_starts_under_its_engine(target: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="no atheris: pip install 'vfiospec[fuzz]'")
    command = [sys.executable, "-m", "fuzz", target, "-runs=2000", str(tmp_path)]
    command.append(str(ROOT / "corpora" / target))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Done 2000 runs" in done.stderr


def test_an_unknown_target_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", "nonsense"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "usage: python -m fuzz TARGET [options]: abi, cap_chain, dwarf, wire\n"
