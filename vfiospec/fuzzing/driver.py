# SPDX-License-Identifier: MIT
"""Between an engine that thinks in inputs and a kernel that is best asked in batches."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

from vfiospec.device.ops import TraceMode
from vfiospec.fuzzing import codec
from vfiospec.fuzzing.balance import Balance
from vfiospec.fuzzing.campaign import Campaign
from vfiospec.fuzzing.feedback import Counters, comparisons, places, visible
from vfiospec.fuzzing.guest import Outcome
from vfiospec.fuzzing.model import Program
from vfiospec.fuzzing.mutate import Mutator

BATCH: Final = 64  # mutations of one program, at most
_FIRST: Final = 8  # in one message, while it is not known how long they take
_LONG: Final = 1.0  # seconds they should take together: some programs take as long alone
_PARENTS: Final = 256  # programs that may lend a part to others
_COMPARED: Final = 4096  # pairs remembered
_SMALL: Final = 16  # numbers below it are everywhere: no hint
_COMPARISON_SHARE: Final = 50  # one batch in so many is followed by a run traced for comparisons


class Sink(Protocol):
    """What an engine is told."""

    def mark(self, indexes: Sequence[int]) -> None: ...  # noqa: D102
    def compared(self, one: int, other: int, width: int) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Plan:
    """How to steer: by the kernel's coverage, by what is visible, or not at all."""

    feedback: str = "kcov"
    batch: int = BATCH
    comparisons: bool = True


class Driver:
    """Answers an engine: `check` for an input, `mutate` and `cross` for new ones."""

    def __init__(  # noqa: PLR0913 -- what lies on both sides
        self,
        campaign: Campaign,
        engine: Sink,
        counters: Counters,
        random: Random,
        plan: Plan,
        *,
        heard: Callable[[Outcome], None] = lambda _: None,
        pulse: Callable[[], None] = lambda: None,
    ) -> None:
        """`heard` is told of each outcome, `pulse` called between batches: it may end it all."""
        self.campaign, self.engine, self.plan = campaign, engine, plan
        self.counters = counters
        self.covered: set[int] = set()  # places in the kernel, whatever steers
        self.mutator = Mutator(campaign.target.operations, random)
        self._random = random
        self._heard, self._pulse = heard, pulse
        self._queue: list[bytes] = []
        self._known: dict[bytes, set[int]] = {}
        self._lenders: list[Program] = []
        self._batches = 0
        self._balance = Balance()
        self.spent: dict[str, float] = {"mutate": 0.0, "run": 0.0, "judge": 0.0}

    # -- what the engine calls

    def check(self, data: bytes) -> None:
        """Show the engine what an input did; it is run unless that is known from its batch."""
        features = self._known.pop(data, None)
        if features is None:
            self._pulse()
            outcomes = self.campaign.run([codec.decode(data)])
            features = self._judge(outcomes[0]) if outcomes else set()
        if self.plan.feedback == "none":
            features = set()
        self.engine.mark(self.counters.of(features))

    def mutate(self, data: bytes, max_size: int, seed: int) -> bytes:
        """A mutation of an input: of a batch of them, one that showed something new if one did."""
        del seed
        return self._next(codec.decode(data))[:max_size]

    def cross(self, one: bytes, other: bytes, max_size: int, seed: int) -> bytes:
        """A part of one input in another, and mutations of that."""
        del seed
        made = self.mutator.cross(codec.decode(one), codec.decode(other))
        return self._next(made)[:max_size]

    def _next(self, parent: Program) -> bytes:
        if not self._queue:
            self._pulse()
            self._run_batch(parent)
        return self._queue.pop() if self._queue else codec.encode(self.mutator.fresh())

    # -- batches

    def _run_batch(self, parent: Program) -> None:
        began = time.perf_counter()
        self._batches += 1
        self._known.clear()
        self._lend(parent)
        fresh = not parent or self._balance.fresh(self._random)
        wanted = [self._child(parent, fresh=fresh) for _ in range(self.plan.batch)]
        mutated = time.perf_counter()
        outcomes = self._run_some(wanted)
        ran = time.perf_counter()
        claimed: set[int] = set()
        dull: bytes | None = None
        for outcome in outcomes:
            features = self._judge(outcome)
            new = self.counters.unseen(features) - claimed
            if new or dull is None:
                data = codec.encode(outcome.program)
                self._known[data] = features
                if new:
                    claimed |= new
                    self._queue.append(data)
                else:
                    dull = data
        self._balance.learn(fresh=fresh, new=len(claimed), seconds=ran - mutated)
        if not self._queue and dull is not None:
            self._queue.append(dull)
        if self.plan.comparisons and self._batches % _COMPARISON_SHARE == 0:
            self._compare(parent)
        judged = time.perf_counter()
        self.spent["mutate"] += mutated - began
        self.spent["run"] += ran - mutated
        self.spent["judge"] += judged - ran

    def _run_some(self, wanted: Sequence[Program]) -> list[Outcome]:
        """Run as many as there is time for, a few first to see how long they take."""
        outcomes: list[Outcome] = []
        began = time.perf_counter()
        done, more = 0, _FIRST
        while done < len(wanted) and more > 0:
            outcomes += self.campaign.run(wanted[done : done + more])
            done = min(done + more, len(wanted))
            spent = time.perf_counter() - began
            more = int((_LONG - spent) / max(spent, 1e-6) * done)
        return outcomes

    def _child(self, parent: Program, *, fresh: bool) -> Program:
        return self.mutator.fresh() if fresh else self.mutator.mutate(parent, self._lenders)

    def _lend(self, program: Program) -> None:
        if program:
            if len(self._lenders) < _PARENTS:
                self._lenders.append(program)
            else:
                self._lenders[self._random.randrange(_PARENTS)] = program

    def _judge(self, outcome: Outcome) -> set[int]:
        self._heard(outcome)
        been = places(outcome.trace)
        self.covered |= been
        if self.plan.feedback == "kcov":
            return been
        made = outcome.made
        return visible(outcome.program, made.ops, made.origin, outcome.replies)

    def _compare(self, program: Program) -> None:
        if self.campaign.mode != TraceMode.ADDRESSES:
            return
        pairs = self.mutator.compared
        for outcome in self.campaign.run([program], TraceMode.COMPARISONS):
            for width, one, other in comparisons(outcome.trace):
                self.engine.compared(one, other, width)
                if len(pairs) > _COMPARED:
                    pairs.clear()
                for ours, its in ((one, other), (other, one)):
                    if ours >= _SMALL:
                        pairs[ours] = its
