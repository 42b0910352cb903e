# SPDX-License-Identifier: MIT
"""Fuzzing a real guest, ended by Ctrl-C: what came of it is on disk, and nothing is left."""

import signal
import time
from pathlib import Path

import pytest

from vfiospec.fuzzing import codec, journal
from vfiospec.session.jobs import read_stats
from vfiospec.tests.e2e import User, processes_naming


def test_a_campaign_ends_by_ctrl_c_and_loses_nothing(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="no atheris: pip install 'vfiospec[fuzz]'")
    out = tmp_path / "out"
    words = ("fuzz", "run", "group", "--kernel", "debian", "--out", str(out), "--no-seeds")
    process = User(tmp_path).start(*words)
    end = time.monotonic() + 240
    while time.monotonic() < end and process.poll() is None:
        if read_stats(out / "job-0").executions > 300:
            break
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    stats = read_stats(out / "job-0")
    assert (stats.state, stats.feedback) == ("stopped", "visible")
    assert stats.executions > 300
    assert "found nothing" in said
    assert f"{stats.executions} executions" in said
    corpus = [codec.decode(p.read_bytes()) for p in (out / "corpus").iterdir()]
    assert len(corpus) > 20
    assert {step.name for program in corpus for step in program} & {"VFIO_GROUP_GET_DEVICE_FD"}
    assert sum(map(len, journal.read(out / "job-0" / "journal.bin"))) > 100
    assert not processes_naming(str(out))
