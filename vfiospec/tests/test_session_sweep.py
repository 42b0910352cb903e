# SPDX-License-Identifier: MIT
"""The sweep over points of failure: what it lets pass, and each thing a kernel could do wrong."""

from collections.abc import Callable
from dataclasses import dataclass, field
from errno import EBUSY, EFAULT, ENOMEM

import pytest

from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.ops import Reply
from vfiospec.device.port import Port
from vfiospec.expect import Mismatch
from vfiospec.rules import faults as rules
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
    pins: str = ""  # and the one after which a page stays pinned
    breaks: str = ""  # and the one after which the call is refused for good
    says: str = ""  # what it logs when an allocation of pages fails
    broken: bool = False
    log: list[str] = field(default_factory=list)
    taint: int = 0
    version: tuple[int, int] = (7, 3)

    def answer(self, op: o.AnyOp) -> Reply:
        if isinstance(op, o.ListDir):
            return Reply(0, 0, b"x\0" * self.files)
        if isinstance(op, o.ReadFile) and op.path == "/proc/vmstat":
            counts = f"nr_foll_pin_acquired {self.pinned}\nnr_foll_pin_released 1\n"
            return Reply(1, 0, counts.encode())
        if isinstance(op, o.ReadFile):
            return Reply(1, 0, b"VmLck:\t0 kB\nVmPin:\t8 kB\n")
        if not isinstance(op, o.FailNth):
            return Reply(-1, EBUSY) if self.broken else Reply(0)
        points = list(self.answers)
        if op.nth > len(points):
            return Reply(0, values=(op.nth - len(points),))
        failed = points[op.nth - 1]
        self.log.append(f"FAULT_INJECTION: forcing a failure.\\x0aname {failed}, interval 1")
        self.log += [self.says] if failed == PAGES and self.says else []
        self.files += failed == self.leaks
        self.pinned += failed == self.pins
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
    sweep = Sweep(kernel)  # type: ignore[arg-type]

    def attempt(at: Port) -> Call:
        return Call("CALL", "", b"", at.do(o.Ioctl(1, 2)))

    return sweep(rules.MAP_DMA, attempt, undo)


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
        (MadeUpKernel(GOOD, breaks=COPY), "success after the failure at point 2"),
        (MadeUpKernel({}), "a point of failure"),
    ],
    ids=range(9),
)
def test_each_wrong_is_caught(kernel: MadeUpKernel, said: str) -> None:
    with pytest.raises(Mismatch, match=said):
        swept(kernel)


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
