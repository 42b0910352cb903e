# SPDX-License-Identifier: MIT
"""Runs state machines of the suites: sequences of calls, each held against a small model."""

import sys
from collections.abc import Callable
from typing import cast

from hypothesis import settings
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from vfiospec.expect import Mismatch

STEPS = 25  # calls of one sequence


def search(machine: Callable[[], RuleBasedStateMachine], steps: int = STEPS) -> None:
    """Make sequences of a machine's steps, as many as a property has examples.

    The same ones each time, unless --seed; each machine starts from what its fixtures made. A
    kernel that keeps something from one sequence to the next fails by what it did at first: that
    the same sequence went otherwise later is no other fault.
    """
    first: list[Mismatch] = []

    def watched() -> RuleBasedStateMachine:
        made = machine()
        teardown = made.teardown

        def noting() -> None:
            error = sys.exc_info()[1]
            if isinstance(error, Mismatch):
                first.append(error)
            teardown()

        made.teardown = noting  # type: ignore[method-assign]  # the machine's own follows
        return made

    kind = cast("type[RuleBasedStateMachine]", watched)  # it is only called
    try:
        run_state_machine_as_test(kind, settings=settings(stateful_step_count=steps))
    except Flaky as e:
        if first:
            raise first[0] from e
        raise
