# SPDX-License-Identifier: MIT
"""The share of programs made of nothing follows what they bring."""

from random import Random

import pytest

from vfiospec.fuzzing.balance import Balance


def after(fresh: tuple[int, float], others: tuple[int, float], batches: int = 30) -> Balance:
    """Both kinds brought so many places in so many seconds, again and again."""
    balance = Balance()
    for _ in range(batches):
        balance.learn(fresh=True, new=fresh[0], seconds=fresh[1])
        balance.learn(fresh=False, new=others[0], seconds=others[1])
    return balance


def test_at_first_both_are_tried_alike() -> None:
    assert Balance().fresh_share() == pytest.approx(0.5)


def test_what_brings_more_in_a_second_gets_more() -> None:
    assert after((30, 1.0), (10, 1.0)).fresh_share() == pytest.approx(0.75, abs=0.05)
    assert after((10, 1.0), (10, 0.25)).fresh_share() == pytest.approx(0.2, abs=0.05)


def test_what_brings_nothing_is_still_tried_now_and_then() -> None:
    balance = after((0, 1.0), (5, 1.0), 200)
    assert balance.fresh_share() == pytest.approx(0.05)
    random = Random(1)  # noqa: S311 -- no secret
    assert 10 < sum(balance.fresh(random) for _ in range(1000)) < 120


def test_what_was_long_ago_counts_for_little() -> None:
    balance = after((100, 1.0), (1, 1.0))
    for _ in range(90):
        balance.learn(fresh=True, new=0, seconds=1.0)
        balance.learn(fresh=False, new=1, seconds=1.0)
    assert balance.fresh_share() < 0.1
