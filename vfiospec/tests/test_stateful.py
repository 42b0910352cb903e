# SPDX-License-Identifier: MIT
"""State machines of the suites: a fault shows as itself, also one that comes and goes."""

import pytest
from hypothesis.stateful import RuleBasedStateMachine, rule

from vfiospec.expect import Mismatch, equal
from vfiospec.session.stateful import search


class Counting(RuleBasedStateMachine):
    """A kernel that says `answers` once each, and then what it should."""

    def __init__(self, answers: list[int]) -> None:
        super().__init__()
        self.answers = answers

    @rule()
    def ask(self) -> None:
        equal("the answer", self.answers.pop() if self.answers else 1, 1)


def test_a_machine_whose_kernel_is_right_passes() -> None:
    search(lambda: Counting([]), steps=3)


def test_a_fault_is_a_judgement() -> None:
    with pytest.raises(Mismatch, match="the answer = 2"):
        search(lambda: Counting([2] * 10), steps=3)


def test_a_fault_that_comes_and_goes_is_the_judgement_it_was_at_first() -> None:
    """A kernel that keeps something over a close answers otherwise the second time."""
    answers = [3, 1, 1]
    with pytest.raises(Mismatch, match="the answer = 3"):
        search(lambda: Counting(answers), steps=3)
