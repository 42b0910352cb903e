# SPDX-License-Identifier: MIT
"""Builds the selftests of a kernel's own source, and runs them in a guest of that kernel."""

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec

from vfiospec.lab import topology
from vfiospec.lab.build.make import check_tools, own_environment
from vfiospec.lab.cache import LabError, atomic_dir, cache_root
from vfiospec.lab.coverage import sources
from vfiospec.lab.hosted import hosted, output, python_command
from vfiospec.lab.kernel import Kernel
from vfiospec.lab.qemu import qemu_binary
from vfiospec.lab.selftests.guest import NOTHING, PLACES, Counts

_TRACER = Path(__file__).with_name("places.c")
IN_SOURCE = "tools/testing/selftests/vfio"
_DEADLINE = 1800.0  # seconds until all of them have ended on all devices


def build(tree: Path, say: Callable[[str], None]) -> Path:
    """The folder of the programs, built once for each source; which stays as it is."""
    source = sources(tree)
    tests = source / IN_SOURCE
    if not tests.is_dir():
        raise LabError(f"{source}: no {IN_SOURCE}, which came with 6.18")
    check_tools()
    key = hashlib.sha256(os.fsencode(source)).hexdigest()[:12]
    target = cache_root() / "selftests" / f"{source.name}-{key}"
    if target.is_dir():
        return target
    say(f"building {IN_SOURCE} of {source.name}")
    with atomic_dir(target) as folder:
        headers = folder / "headers"
        _make(source, "headers", f"O={headers}")
        include = f"KHDR_INCLUDES=-isystem {headers}/usr/include"
        _make(tests, f"OUTPUT={folder}", include)
    return target


def _make(where: Path, *words: str) -> None:
    command = ["make", "-s", "-C", str(where), *words]
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=False, env=own_environment()
    )
    if done.returncode:
        lines = [x for x in done.stderr.splitlines() if "rror" in x] or ["without a message"]
        hint = "; apt install uuid-dev" if "uuid" in done.stderr else ""
        raise LabError(f"make -C {where} failed: {lines[0]}{hint}")


def _tracer(folder: Path) -> Path:
    """What has a program's places noted."""
    made = folder / "places.so"
    command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(made), str(_TRACER)]
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=False, env=own_environment()
    )
    if done.returncode:
        raise LabError(f"{_TRACER} does not build: {done.stderr.strip()}")
    return made


def run(
    kernel: Kernel, layout: str, out: Path, say: Callable[[str], None], how: str = NOTHING
) -> dict[str, Counts]:
    """Run all of them; `out` takes their output, and what was counted."""
    if kernel.tree is None:
        raise LabError(f"{kernel.image} is no built tree, so it has no selftests with it")
    programs = build(kernel.tree, say)
    machine = topology.load(layout)
    machine = machine.without(topology.models(qemu_binary()))
    out.mkdir(parents=True, exist_ok=True)
    words = python_command(
        "-m", "vfiospec.lab.selftests.guest", layout, str(programs), str(out.absolute()),
        how, str(_tracer(out.absolute()) if how == PLACES else ""),
    )  # fmt: skip
    say(f"running them on {len(machine.device)} devices in a guest of {kernel.release}")
    with hosted(kernel, machine, out, words, work=out.absolute()) as vm:
        text = output(vm, _DEADLINE)
        try:
            return msgspec.json.decode(text, type=dict[str, Counts])
        except msgspec.DecodeError as e:
            raise LabError(f"the guest told nothing; its console is {vm.console}") from e
