# SPDX-License-Identifier: MIT
"""Every action with every kind of data on every index, in each state a device can be in."""

from collections.abc import Sequence
from itertools import product

import pytest

from vfiospec.abi import vfio
from vfiospec.device.irq_model import (
    BOOL,
    ERR,
    EVENTFD,
    INTX,
    MASK,
    MSI,
    MSIX,
    NONE,
    REQ,
    TRIGGER,
    UNMASK,
    Fd,
    Request,
)
from vfiospec.rules import set_irqs as rules
from vfiospec.session.irqs import Irqs
from vfiospec.session.marks import checks, devices

ANSWERS = (
    rules.COUNT_OF_LINE,
    rules.DISABLE,
    rules.ENABLE,
    rules.FD_CLOSED,
    rules.FD_NO_EVENTFD,
    rules.LOOPBACK,
    rules.NEGATIVE,
    rules.NOT_MASKABLE,
    rules.NOT_ON,
    rules.ONE_MODE,
    rules.REFUSED_CHANGES_NOTHING,
    rules.SINGLE_NEEDS_COUNT,
)
DATA: tuple[tuple[int, int, bytes, tuple[Fd, ...]], ...] = (
    (NONE, 0, b"", ()),
    (NONE, 1, b"", ()),
    (BOOL, 0, b"", ()),
    *((BOOL, 1, bytes([value]), ()) for value in (0, 1, 0x80)),
    (EVENTFD, 0, b"", ()),
    *((EVENTFD, 1, b"", (fd,)) for fd in Fd),
)
EVERYTHING = [
    Request(index, action | data, 0, count, bools, fds)
    for index, action, (data, count, bools, fds) in product(
        range(vfio.VFIO_PCI_NUM_IRQS), (MASK, UNMASK, TRIGGER), DATA
    )
]


def assign(index: int, fd: Fd = Fd.EVENTFD, action: int = TRIGGER) -> Request:
    return Request(index, action | EVENTFD, 0, 1, fds=(fd,))


def judge(irqs: Irqs, *state: Request) -> None:
    """Make every request in a state, which is brought about anew when a request changed it."""
    irqs.apply(*state) if state else None
    there = irqs.state
    for one in EVERYTHING:
        if irqs.predict(one).state == there:
            continue
        irqs.apply(one)
        irqs.prove()
        irqs.all_off()
        irqs.apply(*state) if state else None
    irqs.apply(*(one for one in EVERYTHING if irqs.predict(one).state == there))
    irqs.prove()


@checks(*ANSWERS, rules.BOOL_SINGLE_OFF)
def test_while_all_is_off(irqs: Irqs) -> None:
    """What a device answers that was just opened."""
    judge(irqs)


@checks(*ANSWERS, rules.INDEPENDENT)
@pytest.mark.parametrize("singles", [(REQ,), (ERR, REQ)], ids=["request", "error-and-request"])
@devices("pcie")
def test_while_a_release_request_is_on(irqs: Irqs, singles: Sequence[int]) -> None:
    """Alone, and beside the error interrupt."""
    judge(irqs, *map(assign, singles))


@checks(*ANSWERS, rules.LOOPBACK_UNASSIGNED, rules.MASK_EVENTFD, rules.UNMASK_EVENTFD_BUSY)
@pytest.mark.parametrize(
    "state",
    [
        (assign(INTX),),
        (assign(INTX, Fd.MINUS_ONE),),
        (assign(INTX), Request(INTX, MASK | NONE, 0, 1)),
        (assign(INTX), assign(INTX, action=UNMASK)),
    ],
    ids=["on", "without-eventfd", "masked", "unmask-eventfd"],
)
@devices("intx")
def test_while_intx_is_on(irqs: Irqs, state: tuple[Request, ...]) -> None:
    """With an eventfd, without, masked, and with one that unmasks."""
    judge(irqs, *state)


@checks(*ANSWERS, rules.LOOPBACK_UNASSIGNED)
@pytest.mark.parametrize("fd", [Fd.EVENTFD, Fd.MINUS_ONE], ids=["on", "without-eventfd"])
@devices("msi")
def test_while_msi_is_on(irqs: Irqs, fd: Fd) -> None:
    """With an eventfd and without."""
    judge(irqs, assign(MSI, fd))


@checks(*ANSWERS, rules.LOOPBACK_UNASSIGNED)
@pytest.mark.parametrize("fd", [Fd.EVENTFD, Fd.MINUS_ONE], ids=["on", "without-eventfd"])
@devices("msix")
def test_while_msix_is_on(irqs: Irqs, fd: Fd) -> None:
    """With an eventfd and without."""
    judge(irqs, assign(MSIX, fd))
