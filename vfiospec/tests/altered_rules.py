# SPDX-License-Identifier: MIT
"""Rules that promise something else: `pytest -p vfiospec.tests.altered_rules`, ids in ALTERED."""

import os

import pytest

from vfiospec.rules import all_rules
from vfiospec.rules.model import Answer

ALTERED = "VFIOSPEC_ALTERED_RULES"


def pytest_configure(config: pytest.Config) -> None:
    """Have each of the rules expect the next number."""
    del config
    rules = all_rules()
    for rule_id in os.environ[ALTERED].split():
        rule = rules[rule_id]
        wrong = tuple(Answer(a.value + 1, a.kernels, a.why) for a in rule.answers)
        object.__setattr__(rule, "answers", wrong)  # rules are frozen for everybody else
