# SPDX-License-Identifier: MIT
"""Minimising, on a made-up kernel that crashes when it is asked in the right order."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Fixup
from vfiospec.fuzzing.c_world import walk
from vfiospec.fuzzing.minimise import Memory, Minimiser, ddmin
from vfiospec.fuzzing.simpler import simpler

TITLE = "KASAN: slab-use-after-free Read in made_up"
OTHER = "WARNING in made_up"
MAGIC = 0x3B6E


class MadeUpKernel:
    """Crashes on MAGIC with the bit 0x40 in its fifth byte after a close of 7; warns on 99."""

    def __init__(self) -> None:
        self.runs: list[tuple[AnyOp, ...]] = []

    def crashes(self, ops: Sequence[AnyOp]) -> str | None:
        self.runs.append(tuple(ops))
        closed = False
        for op in walk(ops):
            if isinstance(op, o.Close) and op.handle == 99:
                return OTHER
            closed |= isinstance(op, o.Close) and op.handle == 7
            magic = isinstance(op, o.Ioctl) and op.request == MAGIC and op.data
            if magic and closed and len(magic) > 8 and magic[4] & 0x40:
                return TITLE
        return None


GUILTY = o.Ioctl(3, MAGIC, 55, data=bytes(range(0x51, 0x51 + 64)), fixups=(Fixup(20, 0, 7),))
NOISE: tuple[AnyOp, ...] = tuple(o.Pread(3, 4, offset) for offset in range(40))
PROGRAM: tuple[AnyOp, ...] = (*NOISE[:13], o.Close(7), *NOISE[13:30], GUILTY, *NOISE[30:])


def test_only_what_is_needed_is_left() -> None:
    """Two of 42 operations, and of the second one bit beyond its own size."""
    kernel = MadeUpKernel()
    found = Minimiser(kernel.crashes).run(PROGRAM)
    assert found is not None
    assert (found.title, found.complete) == (TITLE, True)
    close, ioctl = found.ops
    assert close == o.Close(7)
    assert isinstance(ioctl, o.Ioctl)
    assert (ioctl.value, ioctl.fixups) == (0, ())
    assert ioctl.data in {bytes(4) + b"\x40" + bytes(length) for length in range(4, 8)}
    assert found.trials == len(kernel.runs) < 150


def test_the_same_trials_in_the_same_order() -> None:
    kernels = MadeUpKernel(), MadeUpKernel()
    for kernel in kernels:
        Minimiser(kernel.crashes).run(PROGRAM)
    assert kernels[0].runs == kernels[1].runs
    assert len(set(kernels[0].runs)) == len(kernels[0].runs), "none is made twice"


def test_another_crash_is_not_taken_for_it() -> None:
    """A program that warns as well is kept until it no longer does."""
    kernel = MadeUpKernel()
    assert Minimiser(kernel.crashes).run((o.Close(99), *PROGRAM), TITLE) is None
    found = Minimiser(kernel.crashes).run((*PROGRAM, o.Close(99)), TITLE)
    assert found is not None
    assert found.title == TITLE
    assert o.Close(99) not in found.ops


def test_nothing_to_make_smaller() -> None:
    assert Minimiser(MadeUpKernel().crashes).run(NOISE) is None
    assert Minimiser(MadeUpKernel().crashes).run(PROGRAM, "another title") is None


@pytest.mark.parametrize("most", [1, 5, 20])
def test_never_more_trials_than_allowed(most: int) -> None:
    """The smallest so far is the answer, and it does crash."""
    kernel = MadeUpKernel()
    found = Minimiser(kernel.crashes, trials=most).run(PROGRAM)
    assert found is not None
    assert (found.trials, len(kernel.runs), found.complete) == (most, most, False)
    assert kernel.crashes(found.ops) == TITLE


def test_it_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    """With half a line at the end of its memory."""
    file = tmp_path / "trials"
    first, second, whole = MadeUpKernel(), MadeUpKernel(), MadeUpKernel()
    Minimiser(first.crashes, trials=30, memory=Memory(file)).run(PROGRAM)
    with file.open("ab") as out:
        out.write(b'{"program":"12')
    found = Minimiser(second.crashes, memory=Memory(file)).run(PROGRAM)
    at_once = Minimiser(whole.crashes).run(PROGRAM)
    assert first.runs + second.runs == whole.runs
    assert found is not None
    assert at_once is not None
    assert (found.ops, found.complete) == (at_once.ops, True)
    third = MadeUpKernel()
    again = Minimiser(third.crashes, memory=Memory(file)).run(PROGRAM)
    assert again is not None
    assert (again.ops, third.runs) == (found.ops, [])


def test_the_inside_of_races_and_second_processes() -> None:
    """Programs lose operations, races lose rounds."""
    race = o.Race(((*NOISE[:5], GUILTY, *NOISE[5:9]), NOISE[:3]), 1000)
    program = (o.In(4, (*NOISE[:4], o.Close(7))), race)
    found = Minimiser(MadeUpKernel().crashes).run(program)
    assert found is not None
    first, second = found.ops
    assert first == o.In(4, (o.Close(7),))
    assert isinstance(second, o.Race)
    assert second.rounds == 1
    assert [len(each) for each in second.programs] == [1, 1]


def test_ddmin_finds_every_needed_item() -> None:
    for needed in ({0}, {9}, {3, 4}, {0, 5, 9}, set(range(10))):
        assert set(ddmin(tuple(range(10)), needed.issubset)) == needed


@pytest.mark.parametrize(
    "op",
    [
        GUILTY,
        o.Alloc(1, 1 << 20, 2, 0xFF, guard=True),
        o.Pwrite(1, b"\xff" * 16, 7 << 40 | 4),
        o.Open(1, "/dev/null", 0o2000002, 0o644),
        o.Race(((o.Eventfd(1, 7, 0o4000),),), 100),
    ],
    ids=lambda op: type(op).__name__,
)
def test_simplifying_ends(op: AnyOp) -> None:
    """Whatever is taken each time; and a plain form is never the operation itself."""
    for choose in (min, max):
        seen = [op]
        while forms := list(simpler(seen[-1])):
            seen.append(choose(forms, key=repr))
            assert len(seen) < 3000
        assert all(one != two for one, two in pairwise(seen))
