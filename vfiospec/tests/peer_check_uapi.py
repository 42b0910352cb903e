# SPDX-License-Identifier: MIT
"""Measures the kernel's scripts/check-uapi.sh on the edits and kernels that we judge.

    python -m vfiospec.tests.peer_check_uapi ~/linux/scripts/check-uapi.sh [ABIDIFF]

Prints a table in Markdown. The script wants a git tree that can install its headers: it gets one
with the headers of VFIO and iommufd alone, so it compiles four and not a thousand. It asks for
abidiff 2.4 (Debian 13); a newer one than the machine's is the second argument.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vfiospec.lab.layouts import debian_headers
from vfiospec.layout.dwarf import HEADERS
from vfiospec.layout.headers import read_abi
from vfiospec.layout.includes import installed
from vfiospec.layout.judge import judge
from vfiospec.tests.header_sets import NEWEST
from vfiospec.tests.layout_edits import BREAKS, HARMLESS

KERNELS = {
    "5.10": "bullseye", "6.1": "bookworm", "6.12": "trixie", "7.2": f"{NEWEST}=7.2", "7.3": NEWEST,
}  # fmt: skip
_MAKEFILE = """headers_install:
\tmkdir -p $(INSTALL_HDR_PATH)
\tcp -r include/uapi $(INSTALL_HDR_PATH)/include
"""


class Tree:
    """A git tree with user headers, whose last two commits are compared."""

    def __init__(self, folder: Path, script: Path, abidiff: str) -> None:
        self.folder, self.script, self.abidiff = folder, script, abidiff
        self.uapi = folder / "include/uapi"
        (folder / "arch/x86").mkdir(parents=True)
        (folder / "arch/x86/Makefile").write_text("")
        (folder / "usr/include").mkdir(parents=True)
        (folder / "Makefile").write_text(_MAKEFILE)
        self._git("init", "-q")

    def fill(self, root: Path) -> None:
        """Put in all headers of an include root."""
        shutil.rmtree(self.uapi, ignore_errors=True)
        for name in ("linux", "asm-generic"):
            shutil.copytree(root / name, self.uapi / name)
        shutil.copytree(root / "x86_64-linux-gnu/asm", self.uapi / "asm")
        others = {str(p.relative_to(self.uapi)) for p in self.uapi.rglob("*.h")} - set(HEADERS)
        text = f"no-header-test := {' '.join(sorted(others))}\n"
        (self.folder / "usr/include/Makefile").write_text(text)

    def commit(self) -> None:
        """Make a commit of what is there."""
        self._git("add", "-A")
        self._git("commit", "-qm", "headers")

    def undo(self) -> None:
        """Take the last commit back."""
        self._git("reset", "-q", "--hard", "HEAD^")

    def judged(self) -> tuple[int, float, str]:
        """Exit code of the script, the seconds it took, and what it said."""
        begin = time.monotonic()
        env = {**os.environ, "KERNEL_SRC": str(self.folder), "ABIDIFF": self.abidiff}
        command = ["bash", str(self.script), "-b", "HEAD", "-p", "HEAD^", "-j", "1"]
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, check=False
        )
        return done.returncode, time.monotonic() - begin, done.stdout + done.stderr

    def _git(self, *words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example"]
        subprocess.run(["git", "-C", str(self.folder), *who, *words], check=True)  # noqa: S607


def ours(old: Path, new: Path) -> tuple[bool, float]:
    """Our verdict, and the seconds it took: both headers compiled, for both sizes of programs."""
    begin = time.monotonic()
    found = judge(read_abi(installed(old)), read_abi(installed(new)))
    return found.compatible, time.monotonic() - begin


def _row(
    name: str, mine: tuple[bool, float], peer: tuple[int, float, str], *, expected: bool
) -> str:
    def word(*, compatible: bool) -> str:
        said = "compatible" if compatible else "break"
        return said if compatible == expected else f"**{said}**"

    peers = word(compatible=peer[0] == 0) if peer[0] in {0, 1} else f"**error {peer[0]}**"
    return f"| {name} | {word(compatible=mine[0])} | {mine[1]:.1f} s | {peers} | {peer[1]:.1f} s |"


def main() -> None:
    """Print the table, one row after the other."""
    script = Path(sys.argv[1]).resolve()
    abidiff = sys.argv[2] if len(sys.argv) > 2 else "abidiff"
    say = print
    say("| change | vfiospec | takes | check-uapi.sh | takes |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="vfiospec-peer-") as name:
        folder = Path(name)
        tree = Tree(folder / "kernels", script, abidiff)
        roots = {kernel: debian_headers(suite) for kernel, suite in KERNELS.items()}
        last = ""
        for kernel, root in roots.items():
            tree.fill(root)
            tree.commit()
            if last:
                mine = ours(roots[last], root)
                row = _row(f"{last} to {kernel}", mine, tree.judged(), expected=True)
                say(row, flush=True)
            last = kernel
        tree = Tree(folder / "edits", script, abidiff)
        tree.fill(roots["7.3"])
        tree.commit()
        before = folder / "before"
        shutil.copytree(tree.uapi, before)
        for edit in (*BREAKS, *HARMLESS):
            edit.apply(tree.uapi)
            tree.commit()
            mine = ours(before, tree.uapi)
            row = _row(edit.name, mine, tree.judged(), expected=not edit.broken)
            say(row, flush=True)
            tree.undo()


if __name__ == "__main__":
    main()
