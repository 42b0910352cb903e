# SPDX-License-Identifier: MIT
"""The same calls on one device in each way the kernel has, made once for all tests."""

from dataclasses import dataclass, field
from functools import partial

import pytest

from vfiospec.device.surveys import Surveyed, survey
from vfiospec.device.ways import ALL, Way, attach
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules.model import Rule
from vfiospec.session.run import Run

Surveys = dict[Way, dict[Rule, Surveyed]]


@dataclass
class Kept:
    """What was asked before, by boot and device."""

    found: dict[tuple[int, str], Surveys] = field(default_factory=dict)


@pytest.fixture(scope="session")
def kept() -> Kept:
    """Nothing, at first."""
    return Kept()


@pytest.fixture
def surveys(run: Run, spec: BenchDevice, kept: Kept) -> Surveys:
    """All answers, by way."""
    key = (run.bench.boots, spec.name)
    if key not in kept.found:
        group, port = run.give_up(spec), run.port
        kept.found[key] = {
            way: survey(way, partial(attach, way, port, group), spec.bdf, port)
            for way in ALL
            if not run.lacking(way)
        }
        del port.steps[:]
    return kept.found[key]
