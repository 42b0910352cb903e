# SPDX-License-Identifier: MIT
"""What a trial says of a program, and what of the programs before it."""

from collections.abc import Sequence

from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp
from vfiospec.session.trials import TrialGround, Tried

LEAVES, NEEDS, BREAKS = (o.Close(n) for n in (1, 2, 3))


class MadeUpGround(TrialGround):
    """A kernel that a program breaks by itself, or after another one that was innocent."""

    def __init__(self) -> None:
        self._up = self._used = False
        self.boots = 0
        self._left = False

    def run(self, ops: Sequence[AnyOp]) -> Tried:
        if not self._up:
            self.boots += 1
            self._left = False
        title = "broken" if BREAKS in ops or (NEEDS in ops and self._left) else None
        self._left = self._left or LEAVES in ops
        self._up, self._used = title is None, True
        return Tried(title, [(op, None) for op in ops])


def test_half_of_a_crash_is_no_crash() -> None:
    ground = MadeUpGround()
    assert ground.crashes([LEAVES]) is None
    assert ground.crashes([NEEDS]) is None
    assert ground.boots == 2


def test_a_crash_in_a_guest_that_was_used_is_one_in_a_fresh_one_too() -> None:
    ground = MadeUpGround()
    assert ground.crashes([BREAKS]) == "broken"
    assert ground.boots == 1
    assert ground.crashes([LEAVES]) is None
    assert ground.crashes([BREAKS]) == "broken"
    assert ground.boots == 3
