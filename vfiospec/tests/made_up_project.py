# SPDX-License-Identifier: MIT
"""A project in a folder, with the root's conftest.py, suites of its own and a made-up bench."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
HEAD = """
import pytest
from errno import EINVAL
from vfiospec import expect
from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.ops import Reply
from vfiospec.expect import Mismatch
from vfiospec.rules import kernel as rules
from vfiospec.session.marks import checks, dangerous, devices
"""
SKIPS = """
@checks(rules.ALIVE)
def test_skips():
    pytest.skip("no luck: try again")
"""
TOPOLOGY = """
description = "made up"
device = [
  { name = "one", model = "edu", slot = "1.0", roles = ["conventional"] },
  { name = "two", model = "edu", slot = "2.0", roles = ["conventional", "msix"] },
]
"""


class Project:
    """A project with suites of its own, and the bench of `made_up_bench.py`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "suites" / "expectations").mkdir(parents=True)
        for name in ("conftest.py", "pyproject.toml"):
            shutil.copy(ROOT / name, root)
        (root / "two.toml").write_text(TOPOLOGY)

    def suite(self, chapter: str, code: str, name: str = "test_all.py") -> None:
        folder = self.root / "suites" / chapter
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(HEAD + code)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run pytest there on all suites, with results in `out`."""
        command = [sys.executable, "-m", "pytest", "-p", "vfiospec.tests.made_up_bench"]
        command += ["-p", "no:cacheprovider", "--out", "out", "--topology", "two.toml"]
        command += words
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            command, cwd=self.root, env=env, capture_output=True, text=True, check=False
        )
