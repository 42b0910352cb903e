# SPDX-License-Identifier: MIT
"""That an expectation counts: changed in a rule, it makes the rule's tests fail."""

import os
import subprocess
import sys
from pathlib import Path

from vfiospec.results.reader import read_run
from vfiospec.tests.altered_rules import ALTERED
from vfiospec.tests.e2e import ROOT

# A rule of each of twelve chapters, and a test that must notice.
NOTICED_BY = {
    "container.set-without-group": "container/test_set_iommu.py",
    "group.unset-container-none": "group/test_container.py",
    "set-irqs.unknown-flags": "set_irqs/test_header.py",
    "irq-info.intx": "irq_info/test_intx.py",
    "region-access.beyond-the-end": "region_access/test_bounds.py",
    "mmap.shared-only": "mmap/test_refused.py",
    "config-space.bounds": "config_space/test_access.py",
    "ioeventfd.flags": "ioeventfd/test_header.py",
    "feature.unknown-flags": "feature/test_matrix.py",
    "type1.map-empty": "type1/test_map.py",
    "dirty.one-flag": "dirty/test_refused.py",
    "eeh.on-type1": "eeh/test_eeh.py",
}


def test_an_altered_expectation_fails_its_test(tmp_path: Path) -> None:
    """Each of the rules by a test of its own file, and no test of another rule."""
    command = [sys.executable, "-m", "pytest", "-p", "vfiospec.tests.altered_rules", "-q"]
    command += ["-p", "no:cacheprovider", "--out", str(tmp_path / "out")]
    command += [str(ROOT / "suites" / name) for name in sorted(set(NOTICED_BY.values()))]
    environment = {**os.environ, ALTERED: " ".join(NOTICED_BY), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout[-2000:]
    failed = [one for one in read_run(tmp_path / "out").outcomes if one.outcome == "failed"]
    for rule, name in NOTICED_BY.items():
        found = [one.nodeid for one in failed if rule in one.rules]
        assert any(f"suites/{name}::" in nodeid for nodeid in found), (rule, found)
    strangers = [one.id for one in failed if not set(NOTICED_BY).intersection(one.rules)]
    assert not strangers
