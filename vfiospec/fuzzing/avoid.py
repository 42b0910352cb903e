# SPDX-License-Identifier: MIT
"""Known crashes, so that a campaign does not die of the same one again and again.

What is avoided is never more than all programs seen to die of one title have in common at the step
they died of. It is the whole step at first; each further death of the same title takes away what it
does not share. So other ways into the same operation stay open.
"""

from dataclasses import dataclass, field

from vfiospec.fuzzing.model import Operation, Program


@dataclass
class _Pattern:
    """A step that kills: its operation, and the values all that killed had; None: any."""

    name: str
    values: list[int | None]

    def matches(self, step: Operation) -> bool:
        if step.name != self.name:
            return False
        have = step.values
        return all(
            wanted is None or (have[n] if n < len(have) else 0) == wanted
            for n, wanted in enumerate(self.values)
        )

    def widen(self, step: Operation) -> None:
        for n, wanted in enumerate(self.values):
            have = step.values[n] if n < len(step.values) else 0
            if wanted != have:
                self.values[n] = None

    @property
    def says_something(self) -> bool:
        return any(v is not None for v in self.values)


@dataclass
class Avoided:
    """What not to run."""

    patterns: dict[str, list[_Pattern]] = field(default_factory=dict)

    def learn(self, title: str, program: Program, step: int) -> None:
        """A program did harm at a step; only if it did so during one can anything be learnt."""
        if not 0 <= step < len(program):
            return
        culprit = program[step]
        known = self.patterns.setdefault(title, [])
        for pattern in known:
            if pattern.name == culprit.name:
                before = list(pattern.values)
                pattern.widen(culprit)
                if pattern.says_something:
                    return
                pattern.values = before  # nothing in common: another way to the same end
        known.append(_Pattern(culprit.name, list(culprit.values)))

    def matches(self, program: Program) -> bool:
        """Whether a program would run into a known crash."""
        if not self.patterns:
            return False
        return any(
            pattern.matches(step)
            for patterns in self.patterns.values()
            for pattern in patterns
            for step in program
        )
