# SPDX-License-Identifier: MIT
"""The tests that are not steady over the runs of one kernel build and bench."""

from collections import Counter
from dataclasses import dataclass

from vfiospec.report.flaky import Flake, Target, flakes, sightings
from vfiospec.report.site.model import Site


@dataclass(frozen=True, slots=True)
class FlakyPage:
    """What is not steady, and how many runs there were to tell by."""

    flakes: list[Flake]
    repeated: int
    targets: int


def flaky(site: Site) -> FlakyPage:
    """Return what is not steady in a site's runs."""
    seen = (sighting for one in site.runs for sighting in sightings(one.run))
    times = Counter(Target.of(one.run) for one in site.runs)
    return FlakyPage(flakes(seen), sum(n > 1 for n in times.values()), len(times))
