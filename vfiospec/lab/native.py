# SPDX-License-Identifier: MIT
"""Builds the executor in C, once for each state of its sources, with the machine's compiler."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from vfiospec.lab.cache import LabError, atomic_dir, cache_root

SOURCES = Path(__file__).parent.parent / "device" / "native"
_FLAGS = ("-O2", "-Wall", "-Wextra", "-Wno-clobbered", "-static", "-pthread")


def build_executor(compiler: str = "cc") -> Path:
    """The static binary, from the cache or freshly built. LabError if there is no compiler."""
    sources = sorted(SOURCES.glob("*.[ch]"))
    digest = hashlib.sha256()
    for text in (" ".join(_FLAGS).encode(), *(s.read_bytes() for s in sources)):
        digest.update(text + b"\0")
    target = cache_root() / "executor" / digest.hexdigest()[:16]
    binary = target / "executor"
    if binary.exists():
        return binary
    if shutil.which(compiler) is None:
        raise LabError(f"no C compiler ({compiler}): apt install gcc libc6-dev")
    with atomic_dir(target) as folder:
        command = [compiler, *_FLAGS, "-o", str(folder / "executor")]
        command += [str(s) for s in sources if s.suffix == ".c"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            first = (done.stderr.strip() or "no output").splitlines()[0]
            raise LabError(f"the executor in C does not compile: {first}")
    return binary
