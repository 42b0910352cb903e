# SPDX-License-Identifier: MIT
"""Which interrupts can be on together: one of INTx, MSI and MSI-X, and the other two beside it."""

import pytest

from vfiospec.device.irq_model import (
    BOOL,
    ERR,
    EVENTFD,
    INTX,
    MSI,
    MSIX,
    NONE,
    REQ,
    TRIGGER,
    Fd,
    Request,
)
from vfiospec.rules import set_irqs as rules
from vfiospec.session.irqs import Irqs
from vfiospec.session.marks import checks, devices


def triggers(index: int) -> list[Request]:
    """All that can be asked of TRIGGER for the first interrupt of an index."""
    fds = (Fd.EVENTFD, Fd.OTHER, Fd.CLOSED, Fd.MINUS_ONE, Fd.NEGATIVE)
    return [
        *(Request(index, NONE | TRIGGER, 0, count) for count in (0, 1)),
        *(Request(index, BOOL | TRIGGER, 0, 1, bytes([value])) for value in (0, 1)),
        *(Request(index, data | TRIGGER) for data in (BOOL, EVENTFD)),
        *(Request(index, EVENTFD | TRIGGER, 0, 1, fds=(fd,)) for fd in fds),
    ]


def exclude(irqs: Irqs, one: int, other: int) -> None:
    """While one is on the other is refused; once it is off, the other can be turned on."""
    irqs.on(one)
    irqs.apply(*triggers(other))
    irqs.prove()
    irqs.apply(Request(one, EVENTFD | TRIGGER, 0, 1, fds=(Fd.MINUS_ONE,)))
    irqs.apply(*triggers(other))
    irqs.prove()
    irqs.off(one)
    irqs.on(other)
    irqs.prove()
    irqs.apply(*triggers(one))
    irqs.prove()


both_ways = pytest.mark.parametrize("swap", [False, True], ids=["first", "second"])


@checks(rules.ONE_MODE, rules.REFUSED_CHANGES_NOTHING)
@both_ways
@devices("intx", "msi")
def test_intx_and_msi(irqs: Irqs, *, swap: bool) -> None:
    """Also while the one that is on has no eventfd."""
    exclude(irqs, *((MSI, INTX) if swap else (INTX, MSI)))


@checks(rules.ONE_MODE, rules.REFUSED_CHANGES_NOTHING)
@both_ways
@devices("intx", "msix")
def test_intx_and_msix(irqs: Irqs, *, swap: bool) -> None:
    """Also while the one that is on has no eventfd."""
    exclude(irqs, *((MSIX, INTX) if swap else (INTX, MSIX)))


@checks(rules.ONE_MODE, rules.REFUSED_CHANGES_NOTHING)
@both_ways
@devices("msi", "msix")
def test_msi_and_msix(irqs: Irqs, *, swap: bool) -> None:
    """Also while the one that is on has no eventfd."""
    exclude(irqs, *((MSIX, MSI) if swap else (MSI, MSIX)))


@checks(rules.INDEPENDENT, rules.LOOPBACK, rules.DISABLE, rules.MINUS_ONE)
def test_the_others_are_on_beside_any(irqs: Irqs) -> None:
    """Each signals its own eventfd, and turning one off leaves the others on."""
    singles = [index for index in (ERR, REQ) if irqs.shape.counts[index]]
    modes = [index for index in (INTX, MSI, MSIX) if irqs.shape.counts[index]]
    for mode in modes:
        for index in (*singles, mode):
            irqs.on(index)
            irqs.prove()
        for index in singles:
            irqs.off(index)
            irqs.prove()
            irqs.on(index)
        irqs.off(mode)
        irqs.prove()
        irqs.on(mode)
        for index in singles:
            irqs.apply(Request(index, EVENTFD | TRIGGER, 0, 1, fds=(Fd.MINUS_ONE,)))
            irqs.prove()
        irqs.all_off()
    for index in singles:
        irqs.on(index)
        irqs.prove()


@checks(rules.REPLACE, rules.FD_CLOSED, rules.FD_NO_EVENTFD, rules.NEGATIVE_SINGLE)
def test_a_bad_fd_leaves_the_one_before(irqs: Irqs) -> None:
    """INTx, the error and the request interrupt keep their eventfd."""
    for index in (INTX, ERR, REQ):
        if not irqs.shape.counts[index]:
            continue
        irqs.on(index)
        bad = (Fd.CLOSED, Fd.OTHER) if index == INTX else (Fd.CLOSED, Fd.OTHER, Fd.NEGATIVE)
        for fd in bad:
            irqs.apply(Request(index, EVENTFD | TRIGGER, 0, 1, fds=(fd,)))
            irqs.prove()
        irqs.on(index)
        irqs.prove()
