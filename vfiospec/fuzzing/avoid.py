# SPDX-License-Identifier: MIT
"""Known crashes, so that a campaign does not die of the same one again and again.

What is avoided of an operation is what lies between all the deaths of one title at it: of each
field, the numbers from the least to the greatest seen, or the files and addresses seen. It is one
step at first. So a bug of negative offsets costs a few deaths until most of them are avoided, and
never an offset that is not negative.
"""

from dataclasses import dataclass, field
from typing import Self

from vfiospec.fuzzing.describe import descriptions
from vfiospec.fuzzing.fields import Field, Source
from vfiospec.fuzzing.maker import resolve
from vfiospec.fuzzing.model import Operation, Program

_WORD = 8  # bytes of a value that is no field of a structure


@dataclass
class _Seen:
    """What one field held in the steps that killed."""

    low: int | None = None
    high: int | None = None
    others: set[tuple[int, int, str]] = field(default_factory=set)  # what is no number

    def add(self, about: Field, value: int) -> None:
        number, other = _number(about, value)
        if number is None:
            self.others.add(other)
        else:
            self.low = number if self.low is None else min(self.low, number)
            self.high = number if self.high is None else max(self.high, number)

    def holds(self, about: Field, value: int) -> bool:
        number, other = _number(about, value)
        if number is None:
            return other in self.others
        return self.low is not None and self.high is not None and self.low <= number <= self.high


def _number(about: Field, value: int) -> tuple[int | None, tuple[int, int, str]]:
    found = resolve(about, value)
    if found[0] != Source.NUMBER:
        return None, found
    return found[1] & ((1 << (8 * (about.width or _WORD))) - 1), found


@dataclass
class _Pattern:
    """What lies between the steps that killed."""

    fields: tuple[Field, ...]
    seen: list[_Seen]

    @classmethod
    def of(cls, step: Operation) -> Self:
        fields = descriptions()[step.name].fields
        made = cls(fields, [_Seen() for _ in fields])
        made.widen(step)
        return made

    def widen(self, step: Operation) -> None:
        for seen, about, value in zip(self.seen, self.fields, self._values(step), strict=True):
            seen.add(about, value)

    def matches(self, step: Operation) -> bool:
        each = zip(self.seen, self.fields, self._values(step), strict=True)
        return all(seen.holds(about, value) for seen, about, value in each)

    def _values(self, step: Operation) -> tuple[int, ...]:
        have = step.values[: len(self.fields)]
        return have + (0,) * (len(self.fields) - len(have))


@dataclass
class Avoided:
    """What not to run."""

    patterns: dict[tuple[str, str], _Pattern] = field(default_factory=dict)  # by title, operation

    def learn(self, title: str, program: Program, step: int) -> None:
        """A program did harm at a step; only if it did so during one can anything be learnt."""
        if not 0 <= step < len(program):
            return
        culprit = program[step]
        if not descriptions()[culprit.name].fields:
            return  # all of its kind look the same
        known = self.patterns.get((title, culprit.name))
        if known is None:
            self.patterns[title, culprit.name] = _Pattern.of(culprit)
        else:
            known.widen(culprit)

    def matches(self, program: Program) -> bool:
        """Whether a program would run into a known crash."""
        if not self.patterns:
            return False
        return any(
            step.name == name and pattern.matches(step)
            for (_, name), pattern in self.patterns.items()
            for step in program
        )
