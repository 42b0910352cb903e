# SPDX-License-Identifier: MIT
"""One process that fuzzes: a guest, an engine, and a folder with what came of it.

`vfiospec fuzz run` starts as many as there are jobs: `python -m fuzz.job SPEC`, a JSON file.
"""

import importlib
import os
import signal
import sys
import time
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from fuzz.engine import COUNTERS, Engine
from vfiospec.device.ops import TraceMode
from vfiospec.fuzzing.campaign import Campaign, CampaignOver, Outcome
from vfiospec.fuzzing.driver import BATCH, Driver, Plan
from vfiospec.fuzzing.feedback import Counters
from vfiospec.fuzzing.layout import Layout
from vfiospec.lab import LabError, topology
from vfiospec.lab.bench import VmBench
from vfiospec.lab.kernel import resolve
from vfiospec.session.health import HealthMonitor

STATS_EVERY: Final = 1.0  # seconds
DONE, LOST, BROKEN = 0, 3, 2


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What a job is told."""

    target: str
    kernel: str
    folder: str
    corpus: str
    seeds: str = ""
    modules: str = ""
    topology: str = "default"
    accel: str = "tcg"
    seconds: float = 0.0  # 0: until stopped
    seed: int = 1
    feedback: str = "auto"
    batch: int = BATCH


class Stats(msgspec.Struct, kw_only=True):
    """What a job says of itself, once a second."""

    state: str = "starting"
    seconds: float = 0.0
    executions: int = 0
    places: dict[str, int] = {}
    features: int = 0
    finds: int = 0
    reboots: int = 0
    avoided: int = 0
    feedback: str = ""
    spent: dict[str, float] = {}
    titles: dict[str, int] = {}


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
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: Any) -> None:  # noqa: ANN401
        del number, frame
        self.stopping = True

    def begin(self) -> None:
        """Boot, and choose what to steer by."""
        spec = self.spec
        self.write_stats(force=True)
        kernel = resolve(spec.kernel, Path(spec.modules) if spec.modules else None, self.say)
        bench = VmBench(
            kernel, topology.load(spec.topology), self.folder, accel=spec.accel, say=self.say
        )
        target = importlib.import_module(f"fuzz.{spec.target}").TARGET
        self.campaign = Campaign(
            bench, target, self.folder, monitor=HealthMonitor, kernel=spec.kernel,
            topology=spec.topology, say=self.say,
        )  # fmt: skip
        self.campaign.start()
        self.layout = Layout.of(self.campaign.guest.port)
        self.layout.save(self.folder / "layout.json")
        traced = self.campaign.supports(TraceMode.ADDRESSES)
        if spec.feedback == "kcov" and not traced:
            raise LabError(
                f"{kernel.release} has no KCOV: build one with the profile fuzz, "
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
                with (self.folder / "places.txt").open("a") as file:
                    file.writelines(f"{place:08x}\n" for place in sorted(new))
            stats.places = self.layout.count(self.driver.covered)
        draft = self.folder / "stats.tmp"
        draft.write_bytes(msgspec.json.encode(stats))
        draft.replace(self.folder / "stats.json")

    def fuzz(self) -> None:
        """Until the time is up; does not return."""
        spec = self.spec
        flags = [
            f"-seed={spec.seed}", "-max_len=4096", "-len_control=0", "-mutate_depth=1", "-reload=1",
            "-timeout=1000000", "-rss_limit_mb=0", "-handle_int=0", "-handle_term=0",
            f"-artifact_prefix={self.folder}/", spec.corpus, *([spec.seeds] if spec.seeds else []),
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
