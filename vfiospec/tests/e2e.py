# SPDX-License-Identifier: MIT
"""Running the command as a user does, for the tests that boot."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class User:
    """Someone with a shell, a state folder of their own, and nothing to lose."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state = home / "state"
        self.environment = {**os.environ, "VFIOSPEC_STATE": str(self.state), "COLUMNS": "100"}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start `vfiospec ...`."""
        return subprocess.Popen(
            [sys.executable, "-m", "vfiospec", *words],
            cwd=self.home,
            env={**self.environment, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Whoever runs us in the background has Ctrl-C ignored, which would be inherited.
            preexec_fn=_heed_ctrl_c,  # noqa: PLW1509 -- one signal(2), no lock is taken
        )

    def type(self, *words: str, deadline: float = 240) -> subprocess.CompletedProcess[str]:
        """Run `vfiospec ...` to its end."""
        process = self.start(*words)
        try:
            out, err = process.communicate(timeout=deadline)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(words, process.returncode, out, err)


def processes_naming(text: str) -> list[int]:
    """Processes of this machine whose command line holds a text, zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if text in (entry / "cmdline").read_bytes().decode(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
