# SPDX-License-Identifier: MIT
"""How many examples a property of the suites is tried on, and which."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.configuration import set_hypothesis_home_dir

from vfiospec.lab.cache import cache_root

# Each example makes calls in a guest: 30 keep a property below a second.
EXAMPLES = {"default": 30, "nightly": 2000}


def choose(config: pytest.Config, *, shrink: bool = True) -> None:
    """Take the profile of --examples. The same examples each time, unless --hypothesis-seed.

    Without `shrink` the first example that fails is enough.
    """
    set_hypothesis_home_dir(cache_root() / "hypothesis")  # not into the folder the user is in
    name = config.getoption("examples")
    settings.register_profile(
        f"vfiospec-{name}",
        max_examples=EXAMPLES[name],
        derandomize=config.getoption("hypothesis_seed", None) is None,
        deadline=None,
        phases=[p for p in Phase if shrink or p not in (Phase.shrink, Phase.explain)],
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        # Fixtures hold devices, which each example leaves as it found them.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    settings.load_profile(f"vfiospec-{name}")
