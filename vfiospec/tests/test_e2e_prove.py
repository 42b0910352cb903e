# SPDX-License-Identifier: MIT
"""`vfiospec prove` on a real kernel: what breaks a rule is caught, and what breaks none is not."""

import subprocess
import sys
from pathlib import Path

from vfiospec.results.proof import PROOF_FILE, read

PORTS = """\
[[wrong]]
id = "one-too-few"
rule = "device-info.num-irqs"
what = "num_irqs is one too low"
call = "VFIO_DEVICE_GET_INFO"
answered = "ok"
change = { add = { num_irqs = -1 } }

[[wrong]]
id = "dies"
rule = "device-info.num-regions"
what = "the kernel dies"
call = "VFIO_DEVICE_GET_INFO"
change = { lose = true }

[[wrong]]
id = "inert"
rule = "irq-info.intx"
what = "success is answered with success"
call = "VFIO_DEVICE_GET_IRQ_INFO"
answered = "ok"
change = { ret = 0 }
"""


def test_a_wrong_port_is_caught_by_its_rule_and_an_inert_one_missed(tmp_path: Path) -> None:
    """Also behind one that a kernel died of, which was booted anew."""
    (tmp_path / "ports").mkdir()
    (tmp_path / "ports/a.toml").write_text(PORTS)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "vfiospec.cli", "prove", "--kernel", "debian", "--sample"]
    command += ["--ports", str(tmp_path / "ports"), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 1, done.stderr
    made = read(out / PROOF_FILE)
    verdicts = {w.id: w.verdict for w in made.wrongs}
    assert verdicts == {"one-too-few": "caught", "dies": "lost", "inert": "missed"}
    assert made.boots == 2
    (caught,) = made.of("caught")
    assert (caught.expected, caught.actual) == ("num_irqs = 5", "num_irqs = 4")
    assert made.false_alarms == ()
    assert "MISSED inert (irq-info.intx): success is answered with success" in done.stdout
