# SPDX-License-Identifier: MIT
"""Tests that both passed and failed on one and the same kernel build and bench."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from vfiospec.report.compare import Status, status
from vfiospec.results.reader import Run

_Z = 1.96  # of the normal distribution, for 95 %


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """What must be the same for two outcomes to contradict each other."""

    release: str
    version: str  # the whole line: it tells two builds of one release apart
    machine: str
    mode: str
    topology: str  # its name, "" where there is none
    topology_sha256: str
    accel: str

    @classmethod
    def of(cls, run: Run) -> "Target":
        """Return what a run judged."""
        header = run.header
        kernel, topology, qemu = header.kernel, header.topology, header.qemu
        return cls(
            release=kernel.release,
            version=kernel.version,
            machine=kernel.machine,
            mode=header.mode,
            topology=topology.name if topology else "",
            topology_sha256=topology.sha256 if topology else "",
            accel=qemu.accel if qemu else "",
        )


@dataclass(frozen=True, slots=True)
class Sighting:
    """One judgement of one test; started is the ISO 8601 time of its run."""

    test: str
    target: Target
    started: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Flake:
    """A test that is not steady: how often it was judged and failed, and how often it changed.

    low and high bound the rate of failure with 95 % confidence (Wilson's score interval, which
    stands few runs). last_changed is when the run began that last contradicted the one before.
    """

    test: str
    target: Target
    runs: int
    failures: int
    changes: int
    last_changed: str
    low: float
    high: float

    @property
    def rate(self) -> float:
        """The share of failures."""
        return self.failures / self.runs


def sightings(run: Run) -> Iterator[Sighting]:
    """Yield the judgements of a run; what was skipped, or failed for the lab's sake, is none."""
    target = Target.of(run)
    for outcome in run.outcomes:
        said = status(outcome)
        if said in (Status.PASS, Status.FAIL):
            yield Sighting(outcome.id, target, run.header.started, said is Status.PASS)


def flakes(seen: Iterable[Sighting], at_least: int = 2) -> list[Flake]:
    """Return the tests with both outcomes over at_least runs, those that changed most first."""
    by_test: defaultdict[tuple[str, Target], list[Sighting]] = defaultdict(list)
    for sighting in seen:
        by_test[sighting.test, sighting.target].append(sighting)
    found = []
    for (test, target), all_of_it in by_test.items():
        ordered = sorted(all_of_it, key=lambda sighting: sighting.started)
        failures = sum(not sighting.passed for sighting in ordered)
        if len(ordered) < at_least or failures in (0, len(ordered)):
            continue
        changed = [
            after.started for before, after in pairwise(ordered) if before.passed != after.passed
        ]
        low, high = interval(failures, len(ordered))
        flake = Flake(test, target, len(ordered), failures, len(changed), changed[-1], low, high)
        found.append(flake)
    return sorted(found, key=lambda flake: (-flake.changes, flake.test, flake.target))


def interval(hits: int, tries: int) -> tuple[float, float]:
    """Return the Wilson score interval of a share, with 95 % confidence."""
    share, z2 = hits / tries, _Z * _Z
    middle = (share + z2 / (2 * tries)) / (1 + z2 / tries)
    spread = _Z * math.sqrt(share * (1 - share) / tries + z2 / (4 * tries * tries))
    spread /= 1 + z2 / tries
    return max(0.0, middle - spread), min(1.0, middle + spread)
