# SPDX-License-Identifier: MIT
"""`make bench`: boots guests, measures in them, prints what a person compares."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from vfiospec.device import ops as o
from vfiospec.device.group import Assigned
from vfiospec.lab import topology
from vfiospec.lab.bench import VmBench
from vfiospec.lab.cache import LabError
from vfiospec.lab.hosted import hosted, output, python_command
from vfiospec.lab.kernel import Kernel, resolve
from vfiospec.lab.speed.guest import per_second
from vfiospec.results.reader import read_run
from vfiospec.undecodable import UNDECODABLE

_DEVICE = "0000:00:14.0"  # the default topology's first
_GUEST_DEADLINE = 180.0
_LOOP = Path(__file__).with_name("loop.c")


def measure(spec: str, say: Callable[[str], None]) -> None:
    """Measure everything on one kernel and say it."""
    kernel = resolve(spec, None, say)
    with tempfile.TemporaryDirectory(prefix="vfiospec-") as name:
        folder = Path(name)
        say(f"{kernel.release}, TCG, calls a second of VFIO_DEVICE_GET_INFO inside one guest:")
        rates = _inside(kernel, folder)
        for way, rate in rates.items():
            say(f"  {way:32} {rate:12,.0f}")
        share = rates["try_get_info(), local port"] / rates["bare fcntl.ioctl"]
        say(f"  the local port makes {share:.2f} of bare fcntl.ioctl")
        say(
            "remote port, the executor in C, operations a second (NOP: a read of an empty eventfd):"
        )
        for way, rate in _remote(kernel, folder).items():
            say(f"  {way:32} {rate:12,.0f}")
        say("a whole run, default topology:")
        _whole(spec, folder / "run", say)


def _inside(kernel: Kernel, folder: Path) -> dict[str, float]:
    loop = folder / "loop"
    command = ["cc", "-O2", "-static", "-o", str(loop), str(_LOOP)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise LabError(f"{_LOOP.name} does not compile: {done.stderr.strip()}")
    state = folder / "state"
    state.mkdir()
    program = python_command(
        "-m", "vfiospec.lab.speed.guest", _DEVICE, str(loop), VFIOSPEC_STATE=str(state)
    )
    with hosted(kernel, topology.load("default"), folder, program, work=folder) as vm:
        text = output(vm, _GUEST_DEADLINE)
        try:
            return msgspec.json.decode(text, type=dict[str, float])
        except UNDECODABLE as e:
            raise LabError(f"the guest measured nothing:\n{vm.console_text()}") from e


def _remote(kernel: Kernel, folder: Path) -> dict[str, float]:
    bench = VmBench(kernel, topology.load("default"), folder)
    bench.start()
    try:
        port = bench.port
        found = next(d for d in bench.devices if d.bdf == _DEVICE)
        device = Assigned(port, found.group or 0).open(found.bdf)
        event = port.handle()
        port.do(o.Eventfd(event, 0, 0o4000))
        one: list[o.AnyOp] = [o.Pread(event, 8)]

        def run(ops: list[o.AnyOp]) -> Callable[[], None]:
            def again() -> None:
                port.run(ops)
                port.steps.clear()

            return again

        return {
            "one operation in a message": per_second(run(one)),
            "ten operations in a message": 10 * per_second(run(one * 10)),
            "try_get_info()": per_second(device.try_get_info),
        }
    finally:
        bench.stop()


def _whole(spec: str, out: Path, say: Callable[[str], None]) -> None:
    begin = time.monotonic()
    command = [sys.executable, "-m", "vfiospec", "run", "--kernel", spec, "--out", str(out)]
    subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    spent = time.monotonic() - begin
    run = read_run(out)
    booted = next((b.t for b in run.boots), 0.0)
    testing = (run.footer.duration if run.footer else spent) - booted
    say(f"  {spent:.1f} s from command to verdict, {booted:.1f} s of it until booted")
    say(f"  {run.checks()} checks in {testing:.1f} s: {run.checks() / testing:.0f} a second")
