# SPDX-License-Identifier: MIT
"""What is asked between two batches, of all programs of the last one together."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from vfiospec.device import ops as o
from vfiospec.device.ops import Reply, TraceMode
from vfiospec.device.port import Port
from vfiospec.fuzzing import reach, refusals
from vfiospec.fuzzing.atrest import AtRest
from vfiospec.fuzzing.guest import Outcome
from vfiospec.fuzzing.maker import Concrete
from vfiospec.fuzzing.model import Program, World
from vfiospec.fuzzing.oracle import Violation

_REACH_EVERY: Final = 12_800  # programs: it takes about half a second of waiting for edu
_REFUSAL_EVERY: Final = 64  # programs: it takes two to six of them
LOOK_EVERY: Final = 256  # programs
_ADDRESSES: Final = 3  # the last ones that programs had mapped
KEEP: Final = 512  # bytes of each answer that come back


class Afterwards:
    """Holds what a world was like before any program ran in it."""

    def __init__(self, port: Port, world: World) -> None:
        self._port, self._world = port, world
        self._rest = AtRest(world)
        self._rest.look(port)
        self._refusals = 0
        self._to_refuse = self._to_reach = 0  # programs since the last time
        self._since: list[Outcome] = []
        self._told: set[str] = set()
        self._mapped: deque[int] = deque(maxlen=_ADDRESSES)

    def at_rest(self, outcomes: Sequence[Outcome]) -> Iterator[tuple[str, Program]]:
        """Every few batches: what is not as it was at the last look, and the program it is from.

        That one is empty if no program does it alone.
        """
        self._since += outcomes
        if len(self._since) < LOOK_EVERY:
            return
        suspects, self._since = self._since, []
        for title in self.differences():
            yield title, self._culprit(title, suspects)

    def differences(self) -> list[str]:
        """What is not as it was at the last look."""
        return self._rest.look(self._port)

    def _culprit(self, title: str, suspects: Sequence[Outcome]) -> Program:
        if title not in self._told:
            self._told.add(title)
            for suspect in suspects:
                self.execute([suspect.made])
                if title in self.differences():
                    return suspect.program
        return ()

    def refusal(self, outcomes: Sequence[Outcome]) -> tuple[Outcome, Violation] | None:
        """Now and then, try one call that was refused in a program; another one each time."""
        self._to_refuse += len(outcomes)
        if self._to_refuse < _REFUSAL_EVERY:
            return None
        self._to_refuse = 0
        self._refusals += 1
        for n in range(len(outcomes)):
            outcome = outcomes[(self._refusals + n) % len(outcomes)]
            refused = list(refusals.refused(outcome))
            if refused:
                at = refused[self._refusals % len(refused)]
                broken = refusals.changed(outcome, at, self._world, self.execute)
                return (outcome, broken) if broken else None
        return None

    def refusals(self, outcome: Outcome) -> Iterator[str]:
        """What the refused calls of one program changed: each is tried."""
        for at in refusals.refused(outcome):
            broken = refusals.changed(outcome, at, self._world, self.execute)
            if broken:
                yield broken.title

    def reach(self, outcomes: Sequence[Outcome]) -> str:
        """Now and then, whether a device reaches what it must not; "" if it does not."""
        for outcome in outcomes:
            self._mapped.extend(reach.mapped(outcome))
        self._to_reach += len(outcomes)
        if self._to_reach < _REACH_EVERY:
            return ""
        self._to_reach = 0
        return reach.strays(self._port, self._world, self._mapped)

    def execute(self, made: Sequence[Concrete]) -> Sequence[Reply]:
        """Run programs that have run before, for their answers alone."""
        return self._port.exchange(
            [
                o.Trace(tuple(m.ops), tuple(m.after), self._world.first, TraceMode.PLAIN, KEEP)
                for m in made
            ]
        )
