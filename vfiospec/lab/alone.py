# SPDX-License-Identifier: MIT
"""A program of this machine's as all a guest runs: a C reproducer, built and let loose."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vfiospec.lab.cache import LabError
from vfiospec.lab.hosted import hosted, output
from vfiospec.lab.kernel import Kernel
from vfiospec.lab.qemu import qemu_binary
from vfiospec.lab.topology import DIES_OF_KASAN, FOUR_LEVELS, Topology, models

FLAGS = ("-static", "-Wall", "-Werror", "-pthread")
# Of one that hangs the kernel says where, well before its time is up.
_HUNG: Final = "sysctl.kernel.hung_task_timeout_secs=15"


@dataclass(frozen=True, slots=True)
class Alone:
    """What a program in a guest of its own wrote, and what the kernel did meanwhile."""

    said: str
    console: str
    ended: bool  # by itself, or with the kernel; not because time was up


def build(source: Path, program: Path, compiler: str = "gcc") -> None:
    """Compile a C program. LabError with the compiler's first complaint."""
    if shutil.which(compiler) is None:
        raise LabError(f"no C compiler ({compiler}): apt install gcc libc6-dev")
    command = [compiler, *FLAGS, "-o", str(program), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        first = next((x for x in done.stderr.splitlines() if "error" in x), done.stderr.strip())
        raise LabError(f"{source} does not compile: {first}")


def run_alone(  # noqa: PLR0913, PLR0917 -- each is a choice of the user's
    kernel: Kernel,
    layout: Topology,
    folder: Path,
    program: Path,
    arguments: Sequence[str] = (),
    deadline: float = 120.0,
) -> Alone:
    """Boot a kernel, run a static program in it, and wait for both to end.

    The program has half of the deadline; the rest is for the boot and for the last words.
    """
    # Warnings as well: without an executor nobody reads the kernel's log.
    layout = layout.without(models(qemu_binary())).told(
        "loglevel=7", DIES_OF_KASAN, FOUR_LEVELS, _HUNG
    )
    command = [str(program.resolve()), *arguments]
    with hosted(kernel, layout, folder, command) as vm:
        try:
            said, ended = output(vm, deadline).decode(errors="replace"), True
        except LabError:
            said, ended = "", False
        vm.why("")  # the console may still be on its way
        return Alone(said, vm.console_text(), ended)
