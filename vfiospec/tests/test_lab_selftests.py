# SPDX-License-Identifier: MIT
"""What the kernel's own selftests say is counted, and a tree without them is told."""

from pathlib import Path

import pytest

from vfiospec.lab import LabError
from vfiospec.lab.selftests.guest import Counts, count
from vfiospec.lab.selftests.host import build

TAP = """TAP version 13
1..5
# Starting 5 tests from 3 test cases.
#  RUN           vfio_pci_device_test.config_space_read_write ...
#            OK  vfio_pci_device_test.config_space_read_write
ok 1 vfio_pci_device_test.config_space_read_write
ok 2 vfio_pci_device_test.reset # SKIP Device does not support reset
not ok 3 vfio_pci_irq_test.msi.enable_trigger_disable
not ok 4 vfio_pci_irq_test.msix.enable_trigger_disable
ok 5 vfio_pci_device_test.validate_bars
# Totals: pass:2 fail:2 xfail:0 xpass:0 skip:1 error:0
"""


def test_verdicts_are_counted() -> None:
    assert count(TAP) == Counts(passed=2, failed=2, skipped=1)
    assert count("") == Counts()


def test_a_tree_without_selftests(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no tools/testing/selftests/vfio"):
        build(tmp_path, lambda _: None)
