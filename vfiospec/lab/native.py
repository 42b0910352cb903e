# SPDX-License-Identifier: MIT
"""Builds the executor in C, once for each state of its sources, with the machine's compiler."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from vfiospec.lab.cache import LabError, atomic_dir, cache_root

SOURCES = Path(__file__).parent.parent / "device" / "native"
_FLAGS = ("-O2", "-Wall", "-Wextra", "-Wno-clobbered", "-static", "-pthread")
_I386 = 32
_FLAGS_32 = ("-m32", "-D_FILE_OFFSET_BITS=64", "-D_TIME_BITS=64")  # offsets of regions need 64 bits


def build_executor(compiler: str = "cc", *, bits: int = 64) -> Path:
    """The static binary, from the cache or freshly built. LabError if there is no compiler.

    With 32 `bits` it is an i386 program: its calls take the kernel's compat path.
    """
    flags = (*_FLAGS, *(_FLAGS_32 if bits == _I386 else ()))
    sources = sorted(SOURCES.glob("*.[ch]"))
    digest = hashlib.sha256()
    for text in (" ".join(flags).encode(), *(s.read_bytes() for s in sources)):
        digest.update(text + b"\0")
    target = cache_root() / "executor" / digest.hexdigest()[:16]
    binary = target / "executor"
    if binary.exists():
        return binary
    if shutil.which(compiler) is None:
        raise LabError(f"no C compiler ({compiler}): apt install gcc libc6-dev")
    with atomic_dir(target) as folder:
        command = [compiler, *flags, "-o", str(folder / "executor")]
        command += [str(s) for s in sources if s.suffix == ".c"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            first = (done.stderr.strip() or "no output").splitlines()[0]
            hint = "; apt install gcc-multilib" if bits == _I386 else ""
            raise LabError(f"the executor in C does not compile: {first}{hint}")
    return binary
