# SPDX-License-Identifier: MIT
"""The sweep over points of failure: what it lets pass, and each thing a kernel could do wrong."""

from collections.abc import Callable
from dataclasses import dataclass, field
from errno import EBUSY, EFAULT, ENOENT, ENOMEM

import pytest

from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.files import Memory
from vfiospec.device.ops import Reply
from vfiospec.device.port import Port
from vfiospec.expect import Mismatch
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import faults as rules
from vfiospec.session.eventfds import Ids
from vfiospec.session.health import Health
from vfiospec.session.sweep import Sweep
from vfiospec.tests.made_up_port import MadeUpPort

SLAB, PAGES, COPY = "failslab", "fail_page_alloc", "fail_usercopy"
GOOD = {SLAB: Reply(-1, ENOMEM), COPY: Reply(-1, EFAULT), PAGES: Reply(0)}


@dataclass
class MadeUpKernel:
    """A call with one point of failure for each injector; `answers` says what each leads to."""

    answers: dict[str, Reply]
    files: int = 5
    pinned: int = 3
    leaks: str = ""  # the injector after whose failure a file stays open
    pins: str = ""  # the one after which a page stays pinned
    keeps: str = ""  # the one after which a module stays in use
    holds: str = ""  # the one after which an eventfd is held
    sets: str = ""  # the one after which a register has another value
    enables: str = ""  # the one after which a device stays enabled
    breaks: str = ""  # and the one after which the call is refused for good
    says: str = ""  # what it logs when an allocation of pages fails
    broken: bool = False
    users: int = 3
    lowest: int = 7  # the first id that is free
    register: int = 0x100
    enabled: int = 1
    devices: tuple[BenchDevice, ...] = (BenchDevice("one", frozenset(), "0000:00:01.0"),)
    log: list[str] = field(default_factory=list)
    taint: int = 0
    version: tuple[int, int] = (7, 3)
    machine: str | None = "a guest"

    def answer(self, op: o.AnyOp) -> Reply:
        if isinstance(op, o.FailNth):
            return self.fail(op)
        if isinstance(op, o.ListDir):
            return Reply(0, 0, b"x\0" * self.files)
        if isinstance(op, o.ReadFile):
            return self.read(op.path)
        if isinstance(op, o.Peek):  # the numbers of as many files
            return Reply(0, 0, b"".join(i.to_bytes(4, "little") for i in range(op.size // 4)))
        return Reply(-1, EBUSY) if self.broken and isinstance(op, o.Ioctl) else Reply(0)

    def read(self, path: str) -> Reply:
        if path.endswith("/refcnt"):
            there = "/vfio/" in path
            return Reply(2, 0, b"%d\n" % self.users) if there else Reply(-1, ENOENT)
        if path.endswith("/enable"):
            return Reply(2, 0, b"%d\n" % self.enabled)
        if path == "/proc/vmstat":
            counts = f"nr_foll_pin_acquired {self.pinned}\nnr_foll_pin_released 1\n"
            return Reply(1, 0, counts.encode())
        if "/fdinfo/" in path:
            number = self.lowest + int(path.rpartition("/")[2])
            return Reply(1, 0, b"pos:\t0\neventfd-id: %d\n" % number)
        return Reply(1, 0, b"VmLck:\t0 kB\nVmPin:\t8 kB\n")

    def fail(self, op: o.FailNth) -> Reply:
        points = list(self.answers)
        if op.nth > len(points):
            return Reply(0, values=(op.nth - len(points),))
        failed = points[op.nth - 1]
        self.log.append(f"FAULT_INJECTION: forcing a failure.\\x0aname {failed}, interval 1")
        self.log += [self.says] if failed == PAGES and self.says else []
        self.files += failed == self.leaks
        self.pinned += failed == self.pins
        self.users += failed == self.keeps
        self.lowest += failed == self.holds
        self.register += failed == self.sets
        self.enabled += failed == self.enables
        self.broken = self.broken or failed == self.breaks
        got = self.answers[failed]
        return Reply(got.ret, got.errno, values=(0,))

    def look(self) -> Health:
        log, self.log = self.log, []
        return Health(self.taint, log)

    @property
    def health(self) -> "MadeUpKernel":
        return self


def swept(kernel: MadeUpKernel, undo: Callable[[], object] = lambda: None) -> int:
    port = MadeUpPort(kernel.answer)
    kernel.port = port  # type: ignore[attr-defined]  # as a Run has one
    sweep = Sweep(kernel, Ids(port, Memory(port, 4096)))  # type: ignore[arg-type]

    def attempt(at: Port) -> Call:
        return Call("CALL", "", b"", at.do(o.Ioctl(1, 2)))

    return sweep(rules.MAP_DMA, attempt, undo, state=lambda: kernel.register)


def test_a_good_kernel_passes() -> None:
    """Each failure is told, one of pages is got over; whatever succeeded is undone."""
    undone: list[int] = []
    assert swept(MadeUpKernel(GOOD), lambda: undone.append(1)) == 3
    assert len(undone) == 4  # after two calls that were made again, the third, and the last


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        (MadeUpKernel({SLAB: Reply(-1, EBUSY)}), "one of ENOMEM when an allocation"),
        (MadeUpKernel({SLAB: Reply(-1, EFAULT)}), "when an allocation failed at point 1"),
        (MadeUpKernel({COPY: Reply(0)}), "EFAULT when a copy failed at point 1"),
        (MadeUpKernel({COPY: Reply(-1, ENOMEM)}), "EFAULT when a copy failed at point 1"),
        (MadeUpKernel(GOOD, leaks=SLAB), r"files=6.*what is held|what is held.*files=5"),
        (MadeUpKernel(GOOD, leaks=PAGES), "what is held once"),
        (MadeUpKernel(GOOD, pins=PAGES), r"pages=3.*what is held|what is held.*pages=2"),
        (MadeUpKernel(GOOD, keeps=SLAB), r"users=\{'vfio': 4\}.*what is held|'vfio': 3"),
        (MadeUpKernel(GOOD, holds=COPY), "the eventfds released, after .* at point 2"),
        (MadeUpKernel(GOOD, sets=PAGES), "state=256"),
        (MadeUpKernel(GOOD, enables=SLAB), r"enabled=\('2',\).*what is held|what is held.*\('1',"),
        (MadeUpKernel(GOOD, breaks=COPY), "success after the failure at point 2"),
        (MadeUpKernel({}), "a point of failure"),
    ],
    ids=range(13),
)
def test_each_wrong_is_caught(
    kernel: MadeUpKernel, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vfiospec.session.eventfds.PATIENCE", 0)
    with pytest.raises(Mismatch, match=said):
        swept(kernel)


def test_what_others_have_is_not_judged() -> None:
    """On a machine that is no guest of ours."""
    for kernel in (MadeUpKernel(GOOD, keeps=SLAB), MadeUpKernel(GOOD, holds=COPY)):
        kernel.machine = None
        assert swept(kernel) == 3


def test_reports_are_told_at_the_end() -> None:
    """All points are judged before; the taint that came with it is taken as known."""
    kernel = MadeUpKernel(GOOD, says="WARNING: here")
    kernel.taint = 512
    with pytest.raises(Mismatch, match="a quiet kernel") as caught:
        swept(kernel)
    assert caught.value.actual == "WARNING: here"


def test_a_call_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfiospec.session.sweep.MOST", 3)
    with pytest.raises(Mismatch, match="an end within 3 points"):
        swept(MadeUpKernel(GOOD))
