# SPDX-License-Identifier: MIT
"""One process that fuzzes: a guest, an engine, and a folder with what came of it.

`vfiospec fuzz run` starts as many as there are jobs: `python -m fuzz.job SPEC`, a JSON file.
"""

import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from fuzz.engine import COUNTERS, Engine
from vfiospec.device.ops import TraceMode
from vfiospec.fuzzing.campaign import Campaign, CampaignOver
from vfiospec.fuzzing.driver import Driver, Plan
from vfiospec.fuzzing.feedback import Counters
from vfiospec.fuzzing.guest import Guest, Outcome
from vfiospec.fuzzing.layout import Layout
from vfiospec.lab import LabError, topology
from vfiospec.lab.bench import InPlaceBench, VmBench
from vfiospec.lab.kernel import resolve
from vfiospec.lab.native import build_executor
from vfiospec.session.health import HealthMonitor
from vfiospec.session.jobs import BROKEN, DEADLINE, DONE, LOST, Spec, Stats, load_target

STATS_EVERY: Final = 1.0  # seconds


class Job:
    """Holds the parts together and ends them in order."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.folder = Path(spec.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.stats = Stats()
        self.stopping = False
        self._last = 0.0
        self._until = float("inf")
        self._told: set[int] = set()
        self._places: Counter[str] = Counter()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: Any) -> None:  # noqa: ANN401
        del number, frame
        self.stopping = True

    def begin(self) -> None:
        """Boot, and choose what to steer by."""
        spec = self.spec
        self.write_stats(force=True)
        bench = self.bench()
        target = load_target(spec.target)
        self.campaign = Campaign(
            bench, target, self.folder, monitor=HealthMonitor, kernel=spec.kernel,
            topology=spec.topology, say=self.say,
        )  # fmt: skip
        self.campaign.start()
        self.stats.release = self.campaign.guest.port.hello.release
        self.layout = Layout.of(self.campaign.guest.port)
        self.layout.save(self.folder / "layout.json")
        traced = self.campaign.supports(TraceMode.ADDRESSES)
        if spec.feedback == "kcov" and not traced:
            raise LabError(
                f"{self.stats.release} has no KCOV: build one with the profile fuzz, "
                "or --feedback visible"
            )
        self.campaign.mode = TraceMode.ADDRESSES if traced else TraceMode.PLAIN
        feedback = ("kcov" if traced else "visible") if spec.feedback == "auto" else spec.feedback
        self.stats.feedback = feedback
        self.engine = Engine()
        self.driver = Driver(
            self.campaign, self.engine, Counters(COUNTERS),
            Random(spec.seed),  # noqa: S311 -- a fuzzer has to be repeatable, no secret
            Plan(feedback, spec.batch, comparisons=feedback == "kcov"), heard=self.heard,
            pulse=self.pulse,
        )  # fmt: skip
        self.began = time.monotonic()
        if spec.seconds:
            self._until = self.began + spec.seconds
        self.stats.state = "fuzzing"

    def bench(self) -> Guest:
        """A guest; or devices of this machine, with the calls made by a process of their own."""
        spec = self.spec
        if spec.devices:
            return InPlaceBench(spec.devices, [str(build_executor())])
        kernel = resolve(spec.kernel, Path(spec.modules) if spec.modules else None, self.say)
        layout = topology.load(spec.topology).told(topology.DIES_OF_KASAN)
        return VmBench(
            kernel, layout, self.folder, accel=spec.accel, deadline=DEADLINE, say=self.say
        )

    def say(self, text: str) -> None:
        """Into the job's log."""
        sys.stderr.write(f"job: {text}\n")
        sys.stderr.flush()

    def heard(self, outcome: Outcome) -> None:
        """Each execution."""

    def pulse(self) -> None:
        """Between two batches: figures, and the end."""
        self.write_stats()
        if self.stopping or time.monotonic() > self._until:
            self.end("stopped" if self.stopping else "done", DONE)

    def end(self, state: str, code: int) -> None:
        """End here and now: the engine has no way to be told."""
        self.stats.state = state
        self.write_stats(force=True)
        try:
            self.campaign.stop()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def write_stats(self, *, force: bool = False) -> None:
        """The figures, whole or not at all; and the places reached since the last time."""
        now = time.monotonic()
        if not force and now - self._last < STATS_EVERY:
            return
        self._last = now
        stats = self.stats
        if hasattr(self, "driver"):
            figures = self.campaign.figures
            stats.seconds = now - self.began
            stats.executions, stats.finds = figures.executions, figures.finds
            stats.reboots, stats.avoided = figures.reboots, figures.avoided
            stats.titles, stats.features = figures.titles, len(self.driver.counters)
            stats.spent = {k: round(v, 2) for k, v in self.driver.spent.items()}
            new = self.driver.covered - self._told
            if new:
                self._told |= new
                self._places.update(self.layout.count(new))
                stats.places = dict(self._places)
                with (self.folder / "places.txt").open("a") as file:
                    file.writelines(f"{place:08x}\n" for place in sorted(new))
        draft = self.folder / "stats.tmp"
        draft.write_bytes(msgspec.json.encode(stats))
        draft.replace(self.folder / "stats.json")

    def fuzz(self) -> None:
        """Until the time is up; does not return."""
        spec = self.spec
        flags = [
            f"-seed={spec.seed}", "-max_len=4096", "-len_control=0", "-mutate_depth=1", "-reload=1",
            "-timeout=1000000", "-rss_limit_mb=0", "-handle_int=0", "-handle_term=0",
            f"-artifact_prefix={self.folder}/", spec.corpus, *spec.seeds,
        ]  # fmt: skip
        again = f"{sys.executable} -m fuzz.job {self.folder / 'spec.json'}"
        self.engine.fuzz(
            flags, self.guarded(self.driver.check), mutate=self.guarded(self.driver.mutate),
            cross=self.guarded(self.driver.cross), again=again,
        )  # fmt: skip

    def guarded(self, call: Any) -> Any:  # noqa: ANN401 -- whatever it takes and gives
        """A call of the engine's that ends the job in order when the kernel is lost for good."""

        def guarded(*arguments: Any) -> Any:  # noqa: ANN401
            try:
                return call(*arguments)
            except (CampaignOver, LabError) as e:
                self.say(str(e))
                self.end("lost", LOST)

        return guarded


def main() -> None:
    """Fuzz as a file says."""
    spec = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Spec)
    job = Job(spec)
    try:
        job.begin()
    except (LabError, ImportError, OSError) as e:
        job.say(str(e))
        job.stats.state = f"cannot start: {e}"
        job.write_stats(force=True)
        if hasattr(job, "campaign"):
            job.campaign.stop()
        sys.exit(BROKEN)
    job.fuzz()


if __name__ == "__main__":
    main()
