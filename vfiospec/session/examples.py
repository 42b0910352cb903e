# SPDX-License-Identifier: MIT
"""How many examples a property of the suites is tried on, and which."""

import pytest
from hypothesis import HealthCheck, settings

# Each example makes calls in a guest: 30 keep a property below a second.
EXAMPLES = {"default": 30, "nightly": 2000}


def choose(config: pytest.Config) -> None:
    """Take the profile of --examples. The same examples each time, unless --hypothesis-seed."""
    name = config.getoption("examples")
    settings.register_profile(
        f"vfiospec-{name}",
        max_examples=EXAMPLES[name],
        derandomize=config.getoption("hypothesis_seed", None) is None,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        # Fixtures hold devices, which each example leaves as it found them.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    settings.load_profile(f"vfiospec-{name}")
