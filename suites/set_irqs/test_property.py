# SPDX-License-Identifier: MIT
"""Any requests, one after the other: the kernel does what the rules predict."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfiospec.abi import vfio
from vfiospec.device.irq_model import BOOL, EVENTFD, NONE, TRIGGER, Fd, Request, Shape
from vfiospec.rules import set_irqs as rules
from vfiospec.session.irqs import Irqs
from vfiospec.session.marks import checks

WHOLE = vfio.IRQ_SET_MIN
TOP = (1 << 32) - 1
FLAGS = st.one_of(
    st.sampled_from([data | action for data in (1, 2, 4) for action in (8, 16, 32)]),
    st.integers(0, 63),
    st.integers(0, TOP),
)
INDEXES = st.one_of(st.integers(0, vfio.VFIO_PCI_NUM_IRQS), st.integers(0, TOP))


def numbers(count: int) -> st.SearchStrategy[int]:
    """Starts and counts: mostly about those an index has, some anywhere."""
    return st.one_of(
        st.integers(0, min(count + 1, 4)), st.integers(max(count - 2, 0), count + 1),
        st.integers(0, TOP), st.integers(TOP - count - 1, TOP),
    )  # fmt: skip


@st.composite
def headers(draw: st.DrawFn, shape: Shape) -> Request:
    """Any header, with data for as many interrupts as argsz may speak of."""
    index = draw(INDEXES)
    count = shape.counts[index] if index < len(shape.counts) else 1
    start, many = draw(numbers(count)), draw(numbers(count))
    flags = draw(FLAGS)
    within = min(many, max(count, 1))
    data: dict[str, object] = {"fds": tuple(draw(st.sampled_from(Fd)) for _ in range(within))}
    if flags & BOOL and not flags & EVENTFD:
        data = {"bools": draw(st.binary(min_size=within, max_size=within))}
    if flags & NONE and not flags & (BOOL | EVENTFD):
        data = {}
    argsz = draw(st.one_of(st.none(), st.integers(0, WHOLE + 4 * within + 1)))
    readable = draw(st.sampled_from([True, True, True, False]))
    if not data and (argsz is not None or not readable):
        data = {"fds": (Fd.MINUS_ONE,) * within}
    return Request(index, flags, start, many, argsz=argsz, readable=readable, **data)  # type: ignore[arg-type]


@st.composite
def sensible(draw: st.DrawFn, shape: Shape) -> Request:
    """A request that passes validation: what it does depends on what was done before."""
    index = draw(st.sampled_from([i for i, count in enumerate(shape.counts) if count]))
    most = min(shape.counts[index], 6)
    start = draw(st.integers(0, most - 1))
    many = draw(st.integers(0, most - start))
    data = draw(st.sampled_from([NONE, BOOL, EVENTFD, EVENTFD]))
    if data == BOOL:
        bools = draw(st.binary(min_size=many, max_size=many))
        return Request(index, BOOL | TRIGGER, start, many, bools)
    if data == EVENTFD:
        kinds = st.sampled_from([Fd.EVENTFD, Fd.EVENTFD, *Fd])
        fds = tuple(draw(kinds) for _ in range(many))
        action = draw(st.sampled_from([TRIGGER, TRIGGER, TRIGGER, vfio.VFIO_IRQ_SET_ACTION_UNMASK]))
        return Request(index, EVENTFD | action, start, many, fds=fds)
    action = draw(st.sampled_from([8, 16, 32, 32, 32]))
    return Request(index, NONE | action, start, many)


@checks(rules.ORDER, rules.REFUSED_CHANGES_NOTHING)
@given(data=st.data())
def test_any_header_is_judged_in_order(irqs: Irqs, data: st.DataObject) -> None:
    """The first check that applies decides the answer."""
    requests = data.draw(st.lists(headers(irqs.shape), min_size=1, max_size=8))
    irqs.apply(*requests)
    irqs.prove()
    irqs.all_off()


@checks(rules.ENABLE, rules.DISABLE, rules.REPLACE, rules.LOOPBACK, rules.BAD_BLOCK)
@pytest.mark.parametrize("depth", [12])
@given(data=st.data())
def test_any_sequence_leads_where_the_rules_say(
    irqs: Irqs, depth: int, data: st.DataObject
) -> None:
    """What is on, requested and signalled after it."""
    irqs.apply(*data.draw(st.lists(sensible(irqs.shape), min_size=2, max_size=depth)))
    irqs.prove()
    irqs.all_off()
    irqs.check()
