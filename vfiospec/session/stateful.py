# SPDX-License-Identifier: MIT
"""Runs state machines of the suites: sequences of calls, each held against a small model."""

from collections.abc import Callable
from typing import cast

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

STEPS = 25  # calls of one sequence


def search(machine: Callable[[], RuleBasedStateMachine], steps: int = STEPS) -> None:
    """Make sequences of a machine's steps, as many as a property has examples.

    The same ones each time, unless --seed; each machine starts from what its fixtures made.
    """
    kind = cast("type[RuleBasedStateMachine]", machine)  # it is only called
    run_state_machine_as_test(kind, settings=settings(stateful_step_count=steps))
