# SPDX-License-Identifier: MIT
"""Any maps and unmaps of type1 v2 against a model of intervals."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from vfiospec import expect
from vfiospec.device.container import Container, locked_bytes
from vfiospec.device.files import Memory
from vfiospec.rules import type1 as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

WINDOW = 24  # pages of IOVA space
MOST = 6  # pages of a mapping


@dataclass
class Model:
    """The mappings: first page -> pages."""

    maps: dict[int, int] = field(default_factory=dict)

    def overlaps(self, first: int, count: int) -> bool:
        """Whether a range has a page in common with a mapping."""
        return any(f < first + count and first < f + n for f, n in self.maps.items())

    def cuts(self, first: int, count: int) -> bool:
        """Whether a range begins or ends within a mapping."""
        ends = (first, first + count)
        return any(f < end < f + n for f, n in self.maps.items() for end in ends)

    def unmap(self, first: int, count: int) -> int:
        """Remove what lies in a range; pages that were mapped."""
        gone = [f for f in self.maps if first <= f < first + count]
        return sum(self.maps.pop(f) for f in gone)


def steps(most: int) -> st.SearchStrategy[tuple[str, int, int]]:
    """A call, a first page, and a number of pages."""
    return st.tuples(
        st.sampled_from(["map", "map", "unmap"]), st.integers(0, WINDOW - 1), st.integers(1, most)
    )


@checks(rules.INTERVALS)
@given(calls=st.lists(steps(MOST), min_size=4, max_size=25))
def test_any_calls_agree_with_the_model(
    v2: Container,
    base: int,
    buffer: Memory,
    page: int,
    promised: Callable[[Rule], int],
    calls: list[tuple[str, int, int]],
) -> None:
    """The answers, the sizes, the number that is left, and the locked memory."""
    model, avail, locked = Model(), v2.available(), locked_bytes(v2.port)
    for name, first, count in calls:
        iova, size = base + first * page, count * page
        if name == "map":
            call = v2.try_map(buffer.at(count % 3 * page), iova, size)
            if model.overlaps(first, count):
                expect.refused(call, promised(rules.MAP_OVERLAP))
            else:
                expect.accepted(call)
                model.maps[first] = count
        elif model.cuts(first, count):
            expect.refused(v2.try_unmap(iova, size), promised(rules.UNMAP_BISECT))
        else:
            expect.equal(
                f"unmapped({first}, {count})",
                v2.unmapped(iova, size),
                model.unmap(first, count) * page,
            )
    expect.equal("avail", v2.available(), avail - len(model.maps))
    expect.equal("bytes locked", locked_bytes(v2.port) - locked, sum(model.maps.values()) * page)
    everything = (WINDOW + MOST) * page
    expect.equal("bytes at last", v2.unmapped(base, everything), sum(model.maps.values()) * page)
