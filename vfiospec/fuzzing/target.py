# SPDX-License-Identifier: MIT
"""What a fuzz target is: which operations, on which devices."""

from collections.abc import Sequence
from dataclasses import dataclass

from vfiospec.fuzzing.describe import chosen
from vfiospec.fuzzing.description import Description


@dataclass(frozen=True)
class Target:
    """Some operations on some devices of a topology, by their names there.

    `held` are open in a container of the world's own when a program starts: the first is what
    programs meet first. `free` are left for programs to open by themselves; only devices that need
    no long reset belong there. Those of `world.MEDIATED` are made where the kernel can, one for
    each mention.
    """

    name: str
    about: str
    operations: tuple[str, ...]
    held: tuple[str, ...] = ()
    free: tuple[str, ...] = ()


def operations(
    *kinds: str, also: Sequence[str] = (), without: Sequence[str] = ()
) -> tuple[str, ...]:
    """The names of all operations on some kinds of files, and of some more."""

    def wanted(d: Description) -> bool:
        if any(d.name.startswith(w) for w in without):
            return False
        return d.kind in kinds or any(d.name.startswith(a) for a in also)

    return chosen(wanted)
