# SPDX-License-Identifier: MIT
"""Whether to go on from a program that showed something, or to begin anew.

Programs made of nothing are short and quick; at first they show more in a second than mutations
of what is known, and later hardly anything. So each gets a share by what it brought lately.
"""

from random import Random
from typing import Final

_FADES: Final = 0.9  # what is left of an old batch's weight when there is a new one
_LEAST: Final = 0.05  # of the batches: what brings nothing now may do so again
_HOPE: Final = 20.0, 1.0  # places and seconds, as if there had been a batch already


class Balance:
    """Remembers what batches of both kinds brought, in places for each second."""

    def __init__(self) -> None:
        self._brought = {True: _HOPE, False: _HOPE}

    def fresh_share(self) -> float:
        """Of the batches, how many should be of programs made of nothing: 0 to 1."""
        fresh, others = (self._rate(kind) for kind in (True, False))
        return min(max(fresh / (fresh + others), _LEAST), 1 - _LEAST)

    def fresh(self, random: Random) -> bool:
        """What the next batch is."""
        return random.random() < self.fresh_share()

    def learn(self, *, fresh: bool, new: int, seconds: float) -> None:
        """What a batch brought."""
        places, spent = self._brought[fresh]
        self._brought[fresh] = places * _FADES + new, spent * _FADES + seconds

    def _rate(self, kind: bool) -> float:  # noqa: FBT001 -- fresh or not
        places, seconds = self._brought[kind]
        return (places + 0.01) / (seconds + 0.01)
