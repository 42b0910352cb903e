# SPDX-License-Identifier: MIT
"""A bench without a kernel, for tests of the session: `pytest -p vfiospec.tests.made_up_bench`.

Its port takes orders by paths: what to log, which taint to have, when to die.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.device.port import TargetLostError
from vfiospec.lab.bench import Bench, BenchDevice, Booted
from vfiospec.lab.topology import Topology
from vfiospec.session import run
from vfiospec.session.health import TAINTED
from vfiospec.tests.made_up_port import MadeUpPort


class MadeUpBench(Bench):
    """Stands where VmBench does."""

    mode = "vm"
    spec, origin, qemu_version = "made-up", "made up for a test", "0"

    def __init__(
        self, kernel: object, layout: Topology, folder: Path, *, say: Callable[[str], None],
        accel: str, cpus: int, deadline: float, bits: int, numbers: tuple[int, int],
    ) -> None:  # fmt: skip
        del kernel, folder, say, accel, cpus, deadline, bits, numbers
        self.topology = layout
        self.devices = tuple(BenchDevice(d.name, frozenset(d.roles)) for d in layout.device)

    @property
    def can_restart(self) -> bool:
        """As often as anybody likes."""
        return True

    def start(self) -> None:
        """Boot afresh, sound and with an empty log."""
        self.boots += 1
        self._taint, self._log = b"0", list[bytes]()
        self.port = MadeUpPort(self._answer)
        self.booted = Booted(self.port.hello.release, "made up", "x86_64", 0, 0.0)
        self.devices = tuple(
            replace(d, bdf=f"0000:00:{number:02x}.0", vendor="0x1234", device="0x0001")
            for number, d in enumerate(self.devices, 1)
        )

    def _answer(self, op: AnyOp) -> Reply:
        match op:
            case o.WriteFile("/log", line):
                self._log.append(b"4,1,1,-;" + line)
            case o.WriteFile("/taint", taint):
                self._taint = taint
            case o.WriteFile("/die"):
                raise TargetLostError("the executor is gone", [op])
            case o.ReadFile("/spill"):
                return Reply(0, 0, b"", ((4, b"\xff"),))
            case o.ReadFile(path) if path == TAINTED:
                return Reply(1, 0, self._taint)
            case o.Drain():
                text, self._log = b"\n".join(self._log), []
                return Reply(len(text), 0, text)
            case _:
                pass
        return Reply()

    def why_lost(self, error: TargetLostError) -> str:
        """Tell a reason only the bench can know."""
        return f"panic after {error.reason}"

    def console(self) -> str:
        """One line."""
        return "the last words"

    def abandon(self) -> None:
        """End of this boot."""

    def stop(self) -> None:
        """Nothing is held."""


def pytest_configure(config: pytest.Config) -> None:
    """Put it in the place of guests."""
    del config
    patch = pytest.MonkeyPatch()
    patch.setattr(run, "VmBench", MadeUpBench)
    kernel = argparse.Namespace(spec="made-up", origin="nowhere", release="6.12", config={})
    patch.setattr(run, "resolve", lambda *_: kernel)
