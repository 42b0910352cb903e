# SPDX-License-Identifier: MIT
"""One call made to fail at each of its points of failure, judged each time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vfiospec import expect
from vfiospec.device import ops as o
from vfiospec.device.call import Call, errno_name
from vfiospec.device.container import locked_bytes, pinned_pages
from vfiospec.device.faults import FailingPort, Injector, failures
from vfiospec.device.iommufd import pinned_bytes
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import Port
from vfiospec.rules.faults import COPY
from vfiospec.rules.model import Rule
from vfiospec.session.eventfds import Ids
from vfiospec.session.run import Run

# Far more than any call has; a call that never comes to its end would go round for ever.
MOST: Final = 1000
# Of those that are modules, the users are counted.
MODULES: Final = ("vfio", "vfio_pci", "vfio_pci_core", "vfio_iommu_type1", "iommufd")

Attempt = Callable[[Port], Call]
Undo = Callable[[], object]


@dataclass(frozen=True)
class Held:
    """What a process, or the whole machine, has that a call could leak, and what else counts."""

    files: int
    locked: int
    pinned: int
    pages: int | None
    users: dict[str, int]  # of modules
    enabled: tuple[str, ...]  # how often each device is
    state: object = None


def users(port: Port) -> dict[str, int]:
    """How many use each module of VFIO: open files, devices and other modules."""
    counts = port.run([o.ReadFile(f"/sys/module/{name}/refcnt") for name in MODULES])
    return {name: int(c.bytes) for name, c in zip(MODULES, counts, strict=True) if c.ok}


class _Left:
    """What there was before a sweep, with which the process is compared."""

    def __init__(self, run: Run, ids: Ids, state: Callable[[], object]) -> None:
        self._port = run.port
        self._devices = [f"{SYSFS}/{device.bdf}/enable" for device in run.devices]
        # On a machine that is not a guest of ours others have eventfds, pin pages, use the modules.
        self._alone = run.machine is not None
        self._ids = ids
        self._state = state
        self._before = self._held()
        self._free = ids.free() if self._alone else []

    def _held(self) -> Held:
        """What the process that makes the calls has now."""
        port = self._port
        files = port.do(o.ListDir("/proc/self/fd")).bytes.count(b"\0")
        pages, modules = (pinned_pages(port), users(port)) if self._alone else (None, {})
        counts = port.run([o.ReadFile(path) for path in self._devices])
        enabled = tuple(reply.bytes.decode().strip() for reply in counts)
        locked, pinned = locked_bytes(port), pinned_bytes(port)
        return Held(files, locked, pinned, pages, modules, enabled, self._state())

    def nothing(self, when: str) -> None:
        """Hold that it has what it had."""
        expect.equal(f"what is held {when}", self._held(), self._before)
        if self._free:
            self._ids.none_kept(self._free, when)


class Sweep:
    """Makes one call again and again, each time with a failure one point further on.

    After each that fails, nothing may be left of it: the process has what it had, the kernel holds
    no eventfd that was closed, and the same call succeeds, which `undo` then takes back. What the
    kernel reports meanwhile is told at the end, so that one report does not hide what lies behind.
    """

    def __init__(self, run: Run, ids: Ids) -> None:
        """Of a run whose kernel is up, and the ids of its eventfds."""
        self.port = run.port
        self._ids = ids
        self._run = run
        self._trouble: set[str] = set()

    def __call__(  # noqa: PLR0913 -- what some calls need beside the first three
        self,
        rule: Rule,
        attempt: Attempt,
        undo: Undo,
        *,
        also: tuple[Rule, ...] = (),
        unanswered: Undo | None = None,
        state: Callable[[], object] = lambda: None,
    ) -> int:
        """Judge a call by its rule; how many points of failure it came to.

        `also` are rules that allow another answer to an allocation that fails. `unanswered` takes
        back what a call did of which a copy failed, where that is judged elsewhere: it is called
        before anything is asked. `state` tells what else must be as before.
        """
        version = self._run.version
        allowed = {each.answer(version) for each in (rule, *also)}
        left = _Left(self._run, self._ids, state)
        self._look()
        for nth in range(1, MOST):
            failing = FailingPort(self.port, nth)
            call = attempt(failing)
            if not failing.fired:
                expect.holds(call.ok, "success where nothing failed", str(call))
                undo()
                expect.holds(nth > 1, "a point of failure", f"{call}, and came to none")
                self._look()
                told = "; ".join(sorted(self._trouble))
                expect.holds(not told, "a quiet kernel", told)
                return nth - 1
            copied = self._judge(call, nth, allowed)
            if not copied and unanswered is not None:
                unanswered()
            if not call.ok:
                left.nothing(f"after {call} at point {nth}")
                again = attempt(self.port)
                expect.holds(again.ok, f"success after the failure at point {nth}", str(again))
            undo()
            left.nothing(f"once {call} is undone")
        raise expect.Mismatch(f"an end within {MOST} points of failure", "none")

    def _judge(self, call: Call, nth: int, allowed: set[int]) -> bool:
        """Whether every copy was made; Mismatch if the answer is not one of its cause."""
        failed = self._look()
        expect.inside(call)
        if Injector.COPY in failed:
            # What was to be copied is missing, on one side or the other.
            at = f"copy failed at point {nth}: {call}"
            errno = COPY.answer(self._run.version)
            expect.holds(call.errno == errno, f"{errno_name(errno)} when a {at}", call.answer())
            return False
        at = f"allocation failed at point {nth}: {call}"
        names = ", ".join(errno_name(number) for number in sorted(allowed))
        within = call.ok or call.errno in allowed
        expect.holds(within, f"one of {names} when an {at}", call.answer())
        return True

    def _look(self) -> list[Injector]:
        """What failed since the last look; what the kernel reported is kept."""
        monitor = self._run.health
        if monitor is None:
            return []
        health = monitor.look()
        if health.trouble:
            monitor.taint = health.taint
            self._trouble.update(health.trouble)
        return failures(health.log)
