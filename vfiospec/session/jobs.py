# SPDX-License-Identifier: MIT
"""Processes that fuzz, and who watches over them.

An engine's loop never returns and one process has one target, so each job is a process of its own
with a guest of its own. Jobs share a corpus folder. What a job says of itself is a file it replaces
once a second; a job that ends by itself before its time is started again.
"""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import msgspec

import vfiospec
from vfiospec.fuzzing.target import Target
from vfiospec.lab import LabError
from vfiospec.undecodable import UNDECODABLE

ROOT: Final = Path(vfiospec.__file__).parent.parent
DONE, BROKEN, LOST = 0, 2, 3  # how a job ends
DEADLINE: Final = 60.0  # seconds a batch may take: a kernel under test with all its checks is slow
_GRACE: Final = 20.0  # seconds a job gets to end its guest
_QUICK: Final = 30.0  # a job that ends sooner than this after its start is not worth another


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What a job is told."""

    target: str
    kernel: str
    folder: str
    corpus: str
    seeds: tuple[str, ...] = ()
    modules: str = ""
    topology: str = "default"
    accel: str = "tcg"
    devices: tuple[str, ...] = ()  # of this machine, in place
    seconds: float = 0.0  # 0: until stopped
    seed: int = 1
    feedback: str = "auto"
    batch: int = 64


class Stats(msgspec.Struct, kw_only=True):
    """What a job says of itself."""

    state: str = "starting"
    release: str = ""
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


def read_stats(folder: Path) -> Stats:
    """What a job said last; of one that has not spoken, that it is starting."""
    try:
        return msgspec.json.decode((folder / "stats.json").read_bytes(), type=Stats)
    except (OSError, *UNDECODABLE):
        return Stats()


def targets() -> list[str]:
    """The kernel's targets there are."""
    folder = ROOT / "fuzz"
    if not folder.is_dir():
        raise LabError(
            f"the targets are not in {ROOT}: install vfiospec from a checkout (pip install -e .)"
        )
    return sorted(p.stem for p in folder.glob("[a-z]*.py") if "\nTARGET = " in p.read_text())


def check_target(name: str) -> None:
    """LabError if there is no target of that name."""
    if name not in targets():
        raise LabError(f"no target {name!r}; there are {', '.join(targets())}")


def load_target(name: str) -> Target:
    """A target by its name. LabError if there is none."""
    check_target(name)
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    found: Target = importlib.import_module(f"fuzz.{name}").TARGET
    return found


@dataclass
class Job:
    """One process."""

    spec: Spec
    process: subprocess.Popen[bytes]
    started: float
    starts: int = 1

    @property
    def folder(self) -> Path:
        """What it writes to."""
        return Path(self.spec.folder)

    @property
    def stats(self) -> Stats:
        """What it said last."""
        return read_stats(self.folder)


@dataclass
class Supervisor:
    """Starts jobs, starts them again, stops them. A context manager: none outlives it."""

    specs: list[Spec]
    jobs: list[Job] = field(default_factory=list)
    until: float = float("inf")

    def __enter__(self) -> Self:
        for spec in self.specs:
            self.jobs.append(Job(spec, _start(spec), time.monotonic()))
        seconds = max((s.seconds for s in self.specs), default=0.0)
        if seconds:
            self.until = time.monotonic() + seconds
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def look(self) -> bool:
        """Start again what ended too early; False once all are done. LabError if one cannot."""
        going = False
        for job in self.jobs:
            code = job.process.poll()
            if code is None:
                going = True
            elif code not in {DONE, LOST} and time.monotonic() < self.until:
                self._restart(job, code)
                going = True
        return going

    def _restart(self, job: Job, code: int) -> None:
        if code == BROKEN or time.monotonic() - job.started < _QUICK:
            raise LabError(f"{_last_words(job.folder)}; its log is {job.folder / 'log'}")
        left = max(self.until - time.monotonic(), 1.0) if job.spec.seconds else 0.0
        # Another seed: the same one would go the same way to the same end.
        job.spec = msgspec.structs.replace(job.spec, seconds=left, seed=job.spec.seed + 1000)
        job.process, job.started = _start(job.spec), time.monotonic()
        job.starts += 1

    def stop(self) -> None:
        """End every job, in order if it can, at once if not."""
        running = [job for job in self.jobs if job.process.poll() is None]
        for job in running:
            job.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + _GRACE
        for job in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                job.process.wait(max(end - time.monotonic(), 0.1))
            if job.process.poll() is None:
                job.process.kill()
                job.process.wait()


def _start(spec: Spec) -> subprocess.Popen[bytes]:
    folder = Path(spec.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stats.json").unlink(missing_ok=True)
    path = folder / "spec.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(spec)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 -- this interpreter, our own module
            [sys.executable, "-m", "fuzz.job", str(path)],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,  # Ctrl-C is for whoever watches to handle
        )  # fmt: skip


def _last_words(folder: Path) -> str:
    state = read_stats(folder).state
    if state.startswith("cannot start"):
        return state.removeprefix("cannot start: ")
    lines = (folder / "log").read_text(errors="replace").splitlines()
    return next((x for x in reversed(lines) if x.strip()), "a job ended without a word")
