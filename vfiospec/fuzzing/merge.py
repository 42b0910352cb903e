# SPDX-License-Identifier: MIT
"""A small corpus that shows all a large one does."""

import re
from collections.abc import Callable, Sequence
from hashlib import sha256

from vfiospec.fuzzing import codec
from vfiospec.fuzzing.model import Program

# Runs programs and says what each showed; None for one that cannot be run.
Run = Callable[[Sequence[Program]], Sequence[set[int] | None]]

_BATCH = 16
_NAMED = 3  # steps a name holds
_PREFIX = re.compile(r"^(VFIO_)?(DEVICE_(?!FD)|IOMMU_)?")


def merge(
    programs: Sequence[Program], run: Run, say: Callable[[str], None] = lambda _: None
) -> list[Program]:
    """The fewest short programs that show what all of them do, each as short as it can be.

    What a program shows only the first time counts for nothing: a corpus has to show it again.
    """
    shown = _shown_twice(programs, run, say)
    chosen = _cover(shown)
    say(f"{len(chosen)} of {len(shown)} programs show all that was seen; making them shorter")
    kept: list[Program] = []
    covered: set[int] = set()
    for program in chosen:
        needed = shown[program] - covered
        if not needed:
            continue
        shorter, features = _shorten(program, needed, run)
        covered |= features if shorter != program else shown[program]
        kept.append(shorter)
    return kept


def _shown_twice(
    programs: Sequence[Program], run: Run, say: Callable[[str], None]
) -> dict[Program, set[int]]:
    shown: dict[Program, set[int]] = {}
    distinct = list(dict.fromkeys(p for p in programs if p))
    for start in range(0, len(distinct), _BATCH):
        batch = distinct[start : start + _BATCH]
        for program, one, two in zip(batch, run(batch), run(batch), strict=True):
            if one is not None and two is not None:
                shown[program] = one & two
        if start % (16 * _BATCH) == 0:
            say(f"{start + len(batch)} of {len(distinct)} programs run")
    return shown


def _cover(shown: dict[Program, set[int]]) -> list[Program]:
    """Greedy: what shows most that is new comes first; of equals, the shortest."""
    left = dict(shown)
    covered: set[int] = set()
    chosen = []
    while left:
        best = max(left, key=lambda p: (len(left[p] - covered), -len(p)))
        if not left[best] - covered:
            break
        covered |= left.pop(best)
        chosen.append(best)
    return chosen


def _shorten(program: Program, needed: set[int], run: Run) -> tuple[Program, set[int]]:
    """Without the steps that are not needed to show what is, and what it shows then."""
    features = set(needed)
    while len(program) > 1:
        fewer = [program[:n] + program[n + 1 :] for n in range(len(program))]
        for candidate, showed in zip(fewer, run(fewer), strict=True):
            if showed is not None and needed <= showed:
                program, features = candidate, showed
                break
        else:
            break
    return program, features


def name_of(program: Program) -> str:
    """A name that says what a program does: `set-irqs-eventfd-close-1f2e3d`."""
    words = [_PREFIX.sub("", step.name).lower() for step in program[-_NAMED:]]
    said = re.sub(r"[^a-z0-9]+", "-", "-".join(words)).strip("-")
    return f"{said[:60]}-{sha256(codec.encode(program)).hexdigest()[:6]}"
