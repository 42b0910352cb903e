# SPDX-License-Identifier: MIT
"""How a program becomes another one: a few steps more, fewer, elsewhere, or with other values."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random
from typing import Final

from vfiospec.fuzzing.describe import descriptions
from vfiospec.fuzzing.description import Description
from vfiospec.fuzzing.fields import Source
from vfiospec.fuzzing.idioms import IDIOMS
from vfiospec.fuzzing.maker import resolve
from vfiospec.fuzzing.model import ANY_KIND, MAX_OPERATIONS, RAW, Operation, Program

_WORD: Final = (1 << 64) - 1
_USUAL_LENGTH: Final = 10  # beyond it, steps are taken away rather than added
# What the steps of an idiom are all about, and of how many: devices as most targets have that
# nobody holds, interrupts as vfio-pci has.
_AGREED: Final = {"device": 6, "index": 5}
_NEAR: Final = (-1, 1, -4, 4, -8, 8, -4096, 4096)


class Mutator:
    """Makes programs of some operations. The same seed gives the same programs.

    `compared` are numbers the kernel compared an argument with, as (ours, its): where a field
    holds the one, the other is worth a try.
    """

    def __init__(self, operations: Sequence[str], random: Random) -> None:
        """`operations` are the names it may use."""
        known = descriptions()
        self._about = [known[name] for name in operations]
        self._weights = list(accumulate(d.weight for d in self._about))
        self._random = random
        mine = set(operations)
        self._idioms = [i for i in IDIOMS if all(step.name in mine for step in i)]
        self.compared: dict[int, int] = {}
        self._ways: tuple[tuple[int, Callable[[list[Operation]], None]], ...] = (
            (30, self._change), (25, self._insert), (10, self._remove), (6, self._swap),
            (6, self._repeat), (4, self._move), (8, self._hint), (6, self._idiom),
        )  # fmt: skip
        self._chances = list(accumulate(weight for weight, _ in self._ways))

    def fresh(self) -> Program:
        """A program out of nothing."""
        count = self._random.choice((1, 2, 3, 4, 5, 5, 6, 8))
        steps = [self.operation() for _ in range(count)]
        if self._idioms and self._random.random() < 0.3:  # noqa: PLR2004 -- a share of them
            steps[:0] = self.some_idiom()
        return tuple(steps[:MAX_OPERATIONS])

    def operation(self) -> Operation:
        """One step: mostly valid, a few fields broken."""
        (about,) = self._random.choices(self._about, cum_weights=self._weights)
        return Operation(about.name, self._on(about), self._values(about))

    def mutate(self, program: Program, others: Sequence[Program] = ()) -> Program:
        """A program like this one; `others` may lend a part."""
        if not program:
            return self.fresh()
        random = self._random
        steps = list(program)
        if others and random.random() < 0.12:  # noqa: PLR2004 -- a share of the mutations
            steps = list(self.cross(tuple(steps), random.choice(others)))
        for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5))):
            (way,) = random.choices(self._ways, cum_weights=self._chances)
            way[1](steps)
            if not steps:
                steps.append(self.operation())
        return tuple(steps[:MAX_OPERATIONS])

    def cross(self, one: Program, other: Program) -> Program:
        """The start of one program and the end of another, or one put into the other."""
        random = self._random
        if random.random() < 0.5:  # noqa: PLR2004 -- either way
            left, right = random.randint(0, len(one)), random.randint(0, len(other))
            return (one[:left] + other[right:])[:MAX_OPERATIONS] or one
        at = random.randint(0, len(one))
        start = random.randint(0, len(other))
        part = other[start : start + random.randint(1, 4)]
        return (one[:at] + part + one[at:])[:MAX_OPERATIONS]

    # -- one step's parts

    def _on(self, about: Description) -> int:
        random = self._random
        if about.kind == "*":
            return random.randrange(36)
        chance = random.random()
        if chance < 0.7:  # noqa: PLR2004
            return 0
        return random.randrange(6) if chance < 0.97 else ANY_KIND | random.randrange(24)  # noqa: PLR2004

    def _values(self, about: Description) -> tuple[int, ...]:
        random = self._random
        values = [0] * len(about.fields)
        ways = sum(len(f.choices) > 1 for f in about.fields)
        if ways:
            # Half of the steps are as the header would have them but for what they are about.
            for n, f in enumerate(about.fields):
                if f.name in _TOPIC or about.shape != "ioctl":
                    values[n] = self._choice(len(f.choices))
            for _ in range(random.choice((0, 0, 0, 1, 1, 2))):
                at = random.randrange(len(values))
                values[at] = self._value(about, at, values[at])
        return tuple(values)

    def _choice(self, count: int) -> int:
        random = self._random
        if random.random() < 0.2:  # noqa: PLR2004
            return random.randrange(count)
        return min(int(random.expovariate(0.35)), count - 1)  # the first ones are the good ones

    def _value(self, about: Description, at: int, value: int) -> int:
        random = self._random
        field = about.fields[at]
        if random.random() < 0.75:  # noqa: PLR2004 -- its own choices, mostly
            return random.randrange(len(field.choices)) if field.choices else 0
        source, number, _ = resolve(field, value)
        if source != Source.NUMBER or random.random() < 0.2:  # noqa: PLR2004
            number = random.getrandbits(random.choice((3, 8, 12, 16, 32, 64)))
        elif random.random() < 0.5:  # noqa: PLR2004
            number ^= 1 << random.randrange(8 * (field.width or 1))
        else:
            number += random.choice(_NEAR)
        return RAW + (number & _WORD)

    # -- ways to change a program

    def _change(self, steps: list[Operation]) -> None:
        at = self._random.randrange(len(steps))
        step = steps[at]
        about = descriptions()[step.name]
        if not about.fields or self._random.random() < 0.12:  # noqa: PLR2004
            steps[at] = step._replace(on=self._on(about))
            return
        values = list(step.values) + [0] * (len(about.fields) - len(step.values))
        which = self._random.randrange(len(about.fields))
        values[which] = self._value(about, which, values[which])
        steps[at] = step._replace(values=tuple(values))

    def _insert(self, steps: list[Operation]) -> None:
        if len(steps) >= _USUAL_LENGTH and self._random.random() < 0.8:  # noqa: PLR2004
            self._remove(steps)
            return
        steps.insert(self._random.randint(0, len(steps)), self.operation())

    def _idiom(self, steps: list[Operation]) -> None:
        if not self._idioms or len(steps) >= _USUAL_LENGTH:
            self._insert(steps)
            return
        at = self._random.randint(0, len(steps))
        steps[at:at] = self.some_idiom()

    def some_idiom(self) -> list[Operation]:
        """One of them, on the first device and index or, as often, others in all its steps."""
        steps = list(self._random.choice(self._idioms))
        for name, count in _AGREED.items():
            number = self._random.randrange(count) if self._random.random() < 0.5 else 0  # noqa: PLR2004
            for at, step in enumerate(steps):
                names = [f.name for f in descriptions()[step.name].fields]
                if number and name in names:
                    values = _with(step.values, names.index(name), number)
                    steps[at] = step._replace(values=values)
        return steps

    def _remove(self, steps: list[Operation]) -> None:
        if len(steps) > 1:
            del steps[self._random.randrange(len(steps))]

    def _swap(self, steps: list[Operation]) -> None:
        a, b = (self._random.randrange(len(steps)) for _ in range(2))
        steps[a], steps[b] = steps[b], steps[a]

    def _repeat(self, steps: list[Operation]) -> None:
        if len(steps) < _USUAL_LENGTH:
            steps.insert(self._random.randint(0, len(steps)), self._random.choice(steps))

    def _move(self, steps: list[Operation]) -> None:
        step = steps.pop(self._random.randrange(len(steps)))
        steps.insert(self._random.randint(0, len(steps)), step)

    def _hint(self, steps: list[Operation]) -> None:
        """Put what the kernel compared a value with in the place of that value."""
        places = [
            (at, n, self.compared[number])
            for at, step in enumerate(steps)
            for n, f in enumerate(descriptions()[step.name].fields)
            if n < len(step.values)
            and (number := resolve(f, step.values[n])[1] & _WORD) in self.compared
        ]
        if not places:
            self._change(steps)
            return
        at, n, wanted = self._random.choice(places)
        values = _with(steps[at].values, n, RAW + (wanted & _WORD))
        steps[at] = steps[at]._replace(values=values)


def _with(values: tuple[int, ...], at: int, value: int) -> tuple[int, ...]:
    """Values with another one in a place; those that are left out at the end are 0."""
    whole = values + (0,) * (at + 1 - len(values))
    return (*whole[:at], value, *whole[at + 1 :])


# What an operation is about, rather than how it is said: varied in half of all new steps.
_TOPIC: Final = frozenset(
    {
        "index",
        "value",
        "device",
        "flags",
        "device_state",
        "count",
        "region_index",
        "pt_id",
        "iova",
        "size",
    }
)
