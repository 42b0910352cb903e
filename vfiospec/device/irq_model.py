# SPDX-License-Identifier: MIT
"""What VFIO_DEVICE_SET_IRQS must answer and do, predicted from the rules: no kernel is asked.

`predict` follows the order of the kernel's checks: the first that applies decides.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from vfiospec.abi import vfio
from vfiospec.rules import set_irqs as rules
from vfiospec.rules.model import Rule

INTX, MSI, MSIX = (
    vfio.VFIO_PCI_INTX_IRQ_INDEX,
    vfio.VFIO_PCI_MSI_IRQ_INDEX,
    vfio.VFIO_PCI_MSIX_IRQ_INDEX,
)
ERR, REQ = vfio.VFIO_PCI_ERR_IRQ_INDEX, vfio.VFIO_PCI_REQ_IRQ_INDEX
SETS: Final = (MSI, MSIX)
SINGLES: Final = (ERR, REQ)
NONE, BOOL, EVENTFD = (
    vfio.VFIO_IRQ_SET_DATA_NONE,
    vfio.VFIO_IRQ_SET_DATA_BOOL,
    vfio.VFIO_IRQ_SET_DATA_EVENTFD,
)
MASK, UNMASK, TRIGGER = (
    vfio.VFIO_IRQ_SET_ACTION_MASK,
    vfio.VFIO_IRQ_SET_ACTION_UNMASK,
    vfio.VFIO_IRQ_SET_ACTION_TRIGGER,
)
_DATA: Final = vfio.VFIO_IRQ_SET_DATA_TYPE_MASK
_ACTION: Final = vfio.VFIO_IRQ_SET_ACTION_TYPE_MASK
_ITEM: Final = {NONE: 0, BOOL: 1, EVENTFD: 4}  # bytes of data for each interrupt
_U32: Final = (1 << 32) - 1

Promised = Callable[[Rule], int]


class Fd(Enum):
    """What stands in the data where the number of an eventfd belongs."""

    EVENTFD = "eventfd"  # one that nothing else uses
    OTHER = "other-file"
    CLOSED = "closed"
    MINUS_ONE = "minus-one"
    NEGATIVE = "negative"

    @property
    def negative(self) -> bool:
        """No file is meant."""
        return self in {Fd.MINUS_ONE, Fd.NEGATIVE}


@dataclass(frozen=True)
class Request:
    """One call. `argsz` is by default what the data need; `readable`: the data can be read."""

    index: int
    flags: int
    start: int = 0
    count: int = 0
    bools: bytes = b""
    fds: tuple[Fd, ...] = ()
    argsz: int | None = None
    readable: bool = True

    @property
    def claim(self) -> int:
        """The argsz handed over."""
        own = len(self.bools) + 4 * len(self.fds)
        return vfio.IRQ_SET_MIN + own if self.argsz is None else self.argsz


@dataclass(frozen=True)
class Shape:
    """The interrupts of a device: how many of each index, and what its sets can do."""

    counts: tuple[int, ...]
    grows: bool  # MSI-X has no NORESIZE
    one_msi: bool  # no interrupt remapping: no more than one MSI


@dataclass(frozen=True)
class State:
    """What is on. Of MSI and MSI-X: which vectors the set has, and which have an eventfd."""

    mode: int | None = None
    vectors: frozenset[int] = frozenset()
    assigned: frozenset[int] = frozenset()
    singles: frozenset[int] = frozenset()
    unmask: bool = False


Source = tuple[int, int]  # an interrupt: index and number


@dataclass(frozen=True)
class Outcome:
    """The answer (negative: an errno), the rule that decides it, and what it leads to.

    `bound` are the interrupts that get an eventfd, by the place of that in the data.
    """

    ret: int
    rule: Rule
    state: State
    signalled: frozenset[Source] = frozenset()
    bound: dict[Source, int] = field(default_factory=dict)


class _Refused(Exception):  # noqa: N818 -- an answer, not an error
    def __init__(self, rule: Rule) -> None:
        self.rule = rule


def predict(request: Request, state: State, shape: Shape, promised: Promised) -> Outcome:
    """What the kernel must do with a request."""
    try:
        validate(request, shape)
        if request.index == INTX:
            return _line(request, state, promised)
        if request.index in SETS:
            return _set(request, state, shape, promised)
        return _single(request, state, promised)
    except _Refused as e:
        return Outcome(-promised(e.rule), e.rule, state)


def validate(request: Request, shape: Shape) -> None:
    """What is looked at whatever the state; raises _Refused."""
    data, actions = request.flags & _DATA, request.flags & _ACTION
    counts = dict(enumerate(shape.counts))
    room = request.claim - vfio.IRQ_SET_MIN
    checks = (
        (request.claim < vfio.IRQ_SET_MIN, rules.ARGSZ_TOO_SMALL),
        (request.index not in counts, rules.INDEX_OUT_OF_RANGE),
        (request.start + request.count >= _U32, rules.WRAPS),
        (bool(request.flags & ~(_DATA | _ACTION)), rules.UNKNOWN_FLAGS),
        (request.start >= counts.get(request.index, 0), rules.OUT_OF_RANGE),
        (request.start + request.count > counts.get(request.index, 0), rules.OUT_OF_RANGE),
        (data not in _ITEM, rules.ONE_DATA_TYPE),
        (room < request.count * _ITEM.get(data, 0), rules.DATA_BEYOND_ARGSZ),
        (
            not request.readable and request.count * _ITEM.get(data, 0) > 0,
            rules.DATA_BAD_ADDRESS,
        ),
        (actions not in {MASK, UNMASK, TRIGGER}, rules.ONE_ACTION),
        (actions != TRIGGER and request.index != INTX, rules.NOT_MASKABLE),
    )
    for applies, rule in checks:
        if applies:
            raise _Refused(rule)


def _bad(fd: Fd) -> Rule | None:
    return {Fd.CLOSED: rules.FD_CLOSED, Fd.OTHER: rules.FD_NO_EVENTFD}.get(fd)


def _require(condition: bool, rule: Rule) -> None:  # noqa: FBT001 -- reads as prose
    if not condition:
        raise _Refused(rule)


def _line(request: Request, state: State, promised: Promised) -> Outcome:
    on, action = state.mode == INTX, request.flags & _ACTION
    if action == TRIGGER and on and not request.count and request.flags & NONE:
        off = replace(state, mode=None, assigned=frozenset(), unmask=False)
        return Outcome(promised(rules.DISABLE), rules.DISABLE, off)
    if action != TRIGGER:
        _require(on, rules.NOT_ON)
    _require(state.mode in {None, INTX}, rules.ONE_MODE)
    _require(request.count == 1, rules.COUNT_OF_LINE if on else rules.NOT_ON)
    if request.flags & EVENTFD:
        return _line_fd(request, state, promised)
    _require(on, rules.NOT_ON)
    acts = bool(request.flags & NONE or request.bools[0])
    if action != TRIGGER:
        rule = rules.MASK if acts else rules.MASK_ZERO
        return Outcome(promised(rule), rule, state)
    if not acts:
        return Outcome(promised(rules.LOOPBACK_ZERO), rules.LOOPBACK_ZERO, state)
    rule = rules.LOOPBACK if state.assigned else rules.LOOPBACK_UNASSIGNED
    return Outcome(promised(rule), rule, state, frozenset((INTX, n) for n in state.assigned))


def _line_fd(request: Request, state: State, promised: Promised) -> Outcome:
    fd, action = request.fds[0], request.flags & _ACTION
    _require(action != MASK, rules.MASK_EVENTFD)
    if wrong := _bad(fd):
        raise _Refused(wrong)
    if action == UNMASK:
        _require(fd.negative or not state.unmask, rules.UNMASK_EVENTFD_BUSY)
        rule = rules.UNMASK_EVENTFD_GONE if fd.negative else rules.UNMASK_EVENTFD
        return Outcome(promised(rule), rule, replace(state, unmask=not fd.negative))
    rule = _assigning(fd, on=state.mode == INTX)
    assigned: frozenset[int] = frozenset() if fd.negative else frozenset({0})
    bound = {} if fd.negative else {(INTX, 0): 0}
    after = replace(state, mode=INTX, assigned=assigned)
    return Outcome(promised(rule), rule, after, frozenset(), bound)


def _assigning(fd: Fd, *, on: bool) -> Rule:
    if fd.negative:
        return rules.MINUS_ONE if on else rules.MINUS_ONE_ENABLES
    return rules.REPLACE if on else rules.ENABLE


def _set(request: Request, state: State, shape: Shape, promised: Promised) -> Outcome:
    on = state.mode == request.index
    if on and not request.count and request.flags & NONE:
        return Outcome(promised(rules.DISABLE), rules.DISABLE, _sets_off(state))
    _require(on or state.mode is None, rules.ONE_MODE)
    if request.flags & EVENTFD:
        return _block(request, state, shape, promised)
    _require(on, rules.NOT_ON)
    end = request.start + request.count
    rule = rules.LOOPBACK
    if end > len(state.vectors):
        rule = rules.LOOPBACK_BEYOND
        if promised(rule):
            raise _Refused(rule)
    signalled = frozenset(
        (request.index, n)
        for n in state.assigned.intersection(range(request.start, end))
        if request.flags & NONE or request.bools[n - request.start]
    )
    return Outcome(0, rule, state, signalled)


def _sets_off(state: State) -> State:
    return replace(state, mode=None, vectors=frozenset(), assigned=frozenset())


def _block(request: Request, state: State, shape: Shape, promised: Promised) -> Outcome:
    on, end = state.mode == request.index, request.start + request.count
    if not on:
        _require(end > 0, rules.EMPTY_SET)
        if request.index == MSI and end > 1 and shape.one_msi:
            return Outcome(promised(rules.POSITIVE), rules.POSITIVE, state)
        if not request.count and promised(rules.EMPTY_BLOCK_ENABLES):
            raise _Refused(rules.EMPTY_BLOCK_ENABLES)
        state = replace(state, mode=request.index, vectors=frozenset(range(end)))
    elif end > len(state.vectors) or request.start >= len(state.vectors):
        _require(not promised(rules.MINUS_ONE_BEYOND), rules.MINUS_ONE_BEYOND)
    return _assign(request, state, shape, promised, was_on=on)


def _assign(
    request: Request, state: State, shape: Shape, promised: Promised, *, was_on: bool
) -> Outcome:
    vectors, assigned, bound = set(state.vectors), set(state.assigned), {}
    grows = request.index == MSIX and shape.grows
    wrong: Rule | None = None
    number = request.start
    for place, fd in enumerate(request.fds[: request.count]):
        number = request.start + place
        assigned.discard(number)
        if fd.negative:
            continue
        if number not in vectors:
            if not grows:
                wrong = rules.NO_RESIZE
                break
            vectors.add(number)
        wrong = _bad(fd)
        if wrong:
            break
        assigned.add(number)
        bound[request.index, number] = place
    if wrong:
        assigned -= set(range(request.start, number + 1))
        after = replace(state, vectors=frozenset(vectors), assigned=frozenset(assigned))
        return Outcome(-promised(wrong), wrong, after if was_on else _sets_off(state))
    after = replace(state, vectors=frozenset(vectors), assigned=frozenset(assigned))
    return Outcome(promised(rules.ENABLE), rules.ENABLE, after, frozenset(), bound)


def _single(request: Request, state: State, promised: Promised) -> Outcome:
    on = request.index in state.singles
    here = frozenset({(request.index, 0)})
    if request.flags & NONE:
        _require(on, rules.NOT_ON)
        if request.count:
            return Outcome(promised(rules.LOOPBACK), rules.LOOPBACK, state, here)
        off = replace(state, singles=state.singles - {request.index})
        return Outcome(promised(rules.DISABLE), rules.DISABLE, off)
    _require(request.count > 0, rules.SINGLE_NEEDS_COUNT)
    if request.flags & BOOL:
        acts = bool(request.bools[0])
        rule = rules.LOOPBACK if acts else rules.LOOPBACK_ZERO
        rule = rule if on else rules.BOOL_SINGLE_OFF
        return Outcome(promised(rule), rule, state, here if on and acts else frozenset())
    fd = request.fds[0]
    if wrong := _bad(fd):
        raise _Refused(wrong)
    if fd is Fd.NEGATIVE:
        answer = promised(rules.NEGATIVE_SINGLE)
        return Outcome(-answer, rules.NEGATIVE_SINGLE, state)
    if fd is Fd.MINUS_ONE:
        off = replace(state, singles=state.singles - {request.index})
        return Outcome(promised(rules.MINUS_ONE), rules.MINUS_ONE, off)
    rule = rules.REPLACE if on else rules.ENABLE
    after = replace(state, singles=state.singles | {request.index})
    return Outcome(promised(rule), rule, after, frozenset(), {(request.index, 0): 0})
