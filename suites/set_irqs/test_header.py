# SPDX-License-Identifier: MIT
"""The header of the call: each field at its limits, whatever the interrupts do."""

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, Memory
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
    Promised,
    Request,
)  # fmt: skip
from vfiospec.rules import set_irqs as rules
from vfiospec.session.irqs import Irqs
from vfiospec.session.marks import checks, devices

EACH = range(vfio.VFIO_PCI_NUM_IRQS)
WHOLE = vfio.IRQ_SET_MIN
TOP = (1 << 32) - 1
either_way = pytest.mark.parametrize("on", [False, True], ids=["off", "on"])


def turn_on(irqs: Irqs) -> None:
    """Turn on what the device has most interrupts of, and the release request."""
    most = max((MSIX, MSI, INTX), key=irqs.shape.counts.__getitem__)
    for index in (most, REQ):
        if irqs.shape.counts[index]:
            irqs.on(index)


def still(irqs: Irqs) -> None:
    """See that what was on still is, and nothing else."""
    irqs.check()
    for index, _ in list(irqs.events):
        irqs.loopback(index)


@checks(rules.ARGSZ_TOO_SMALL, rules.REFUSED_CHANGES_NOTHING)
@either_way
def test_an_argsz_that_ends_within_the_header_is_refused(irqs: Irqs, *, on: bool) -> None:
    """However valid the rest is; the smallest that is enough turns off what was on."""
    if on:
        turn_on(irqs)
    irqs.apply(
        *(
            Request(index, NONE | TRIGGER, count=count, argsz=argsz)
            for argsz in (0, 1, 4, WHOLE - 4, WHOLE - 1)
            for index in EACH
            for count in (0, 1)
        )
    )
    still(irqs)
    irqs.apply(*(Request(index, NONE | TRIGGER, argsz=WHOLE) for index in EACH))


@checks(rules.INDEX_OUT_OF_RANGE, rules.REFUSED_CHANGES_NOTHING)
def test_an_index_there_is_not_is_refused(irqs: Irqs) -> None:
    """From num_irqs on, and where only the low bits are those of an index that is on."""
    irqs.on(REQ)
    beyond = [*range(vfio.VFIO_PCI_NUM_IRQS, 16), 1 << 8 | REQ, 1 << 16 | REQ, 1 << 31 | REQ, TOP]
    irqs.apply(
        *(Request(index, NONE | TRIGGER, count=count) for index in beyond for count in (0, 1))
    )
    irqs.loopback(REQ)


@checks(rules.UNKNOWN_FLAGS, rules.REFUSED_CHANGES_NOTHING)
def test_a_flag_nobody_knows_is_refused(irqs: Irqs) -> None:
    """Each bit above the actions, on each index, beside flags that would do."""
    irqs.on(REQ)
    irqs.apply(
        *(
            Request(index, NONE | TRIGGER | 1 << bit, count=count)
            for bit in range(6, 32)
            for index in EACH
            for count in (0, 1)
        )
    )
    irqs.loopback(REQ)


@checks(rules.OUT_OF_RANGE, rules.WRAPS, rules.REFUSED_CHANGES_NOTHING)
@either_way
def test_a_range_must_lie_within_the_index(irqs: Irqs, *, on: bool) -> None:
    """Starts and counts about the end, about 2^31 and 2^32; absent indexes have no range at all."""
    if on:
        turn_on(irqs)
    requests = []
    for index, most in enumerate(irqs.shape.counts):
        near = {0, 1, most - 1, most, most + 1}
        far = {1 << 31, (1 << 31) - 1, TOP, TOP - 1, TOP - most, TOP - most + 1}
        corners = sorted(value for value in near | far if 0 <= value <= TOP)
        requests += [
            Request(index, flags | TRIGGER, start, count)
            for start in corners
            for count in corners
            for flags in (NONE, BOOL, EVENTFD)
            if start >= most or start + count > most
        ]
    irqs.apply(*requests)
    still(irqs)


@checks(rules.ONE_DATA_TYPE, rules.ONE_ACTION, rules.NOT_MASKABLE, rules.ORDER)
@either_way
def test_there_is_one_data_type_and_one_action(irqs: Irqs, *, on: bool) -> None:
    """All subsets of the flags, with data and argsz for every type."""
    if on:
        turn_on(irqs)
    subsets = [
        data | action
        for data in range(8)
        for action in range(0, 64, 8)
        if data not in {NONE, BOOL, EVENTFD} or action not in {MASK, UNMASK, TRIGGER}
    ]
    irqs.apply(
        *(
            Request(index, flags, count=count, fds=(Fd.MINUS_ONE,) * count, argsz=WHOLE + 4)
            for index in EACH
            for flags in subsets
            for count in (0, 1)
        )
    )
    still(irqs)


@checks(rules.DATA_BEYOND_ARGSZ, rules.REFUSED_CHANGES_NOTHING)
@either_way
def test_argsz_covers_the_data(irqs: Irqs, *, on: bool) -> None:
    """A byte less than the data take is too little, for one interrupt and for all of them."""
    if on:
        turn_on(irqs)
    requests = []
    for index, most in enumerate(irqs.shape.counts):
        for count in sorted({1, most // 2, most} - {0}):
            whole = (Fd.MINUS_ONE,) * count
            for short in sorted({1, 2, 3, 4, 4 * count} - {0}):
                request = Request(
                    index, EVENTFD | TRIGGER, 0, count, fds=whole, argsz=WHOLE + 4 * count - short
                )
                requests.append(request)
            for short in sorted({1, count}):
                bools = bytes([1]) * count
                requests.append(
                    Request(index, BOOL | TRIGGER, 0, count, bools, argsz=WHOLE + count - short)
                )
    irqs.apply(*requests)
    still(irqs)


@checks(rules.ARGSZ_BEYOND_DATA)
@pytest.mark.parametrize("argsz", [WHOLE + 5, 64, 4096, 1 << 31, TOP], ids="argsz-{}".format)
def test_a_larger_argsz_is_accepted(irqs: Irqs, argsz: int) -> None:
    """Only the data of the range are used."""
    assigned = Request(REQ, EVENTFD | TRIGGER, 0, 1, fds=(Fd.EVENTFD,), argsz=argsz)
    irqs.apply(assigned)
    irqs.apply(Request(REQ, BOOL | TRIGGER, 0, 1, bytes([1]), argsz=argsz))
    irqs.apply(Request(REQ, NONE | TRIGGER, 0, 1, argsz=argsz))
    irqs.apply(Request(REQ, NONE | TRIGGER, 0, 0, argsz=argsz))


@checks(rules.ARGSZ_BEYOND_DATA)
def test_nothing_behind_the_data_is_read(
    device: Device, irqs: Irqs, memory: Memory, promised: Promised
) -> None:
    """Header and data may end at the end of memory, whatever argsz claims."""
    irqs.on(REQ)
    for data in (b"", b"\x01"):
        flags = (BOOL if data else NONE) | TRIGGER
        request = vfio.vfio_irq_set(TOP, flags, REQ, 0, 1).pack() + data
        call = device.try_ioctl(
            vfio.VFIO_DEVICE_SET_IRQS, request, what="argsz=2^32-1", at=memory.tail(len(request))
        )
        expect.accepted(call, promised(rules.LOOPBACK))
        expect.equal("signals", irqs.events[REQ, 0].count(), 1)


@checks(rules.DATA_BAD_ADDRESS, rules.ORDER, rules.REFUSED_CHANGES_NOTHING)
@either_way
def test_data_without_memory_are_refused(irqs: Irqs, *, on: bool) -> None:
    """The header ends where memory ends: EFAULT, unless it is wrong itself or there is no data."""
    if on:
        turn_on(irqs)
    irqs.apply(
        *(
            Request(index, data | action, 0, count, argsz=WHOLE + room, readable=False)
            for index in EACH
            for data in (BOOL, EVENTFD)
            for action in (0, MASK, UNMASK, TRIGGER, MASK | UNMASK)
            for count, room in ((1, 4), (1, 3), (1, 0), (2, 8))
        )
    )
    still(irqs)


@checks(rules.DATA_BAD_ADDRESS)
def test_data_that_run_out_of_memory_are_refused(
    device: Device, irqs: Irqs, port_event: EventFd, memory: Memory, promised: Promised
) -> None:
    """An eventfd's number of which the last bytes have no memory."""
    irqs.on(REQ)
    for missing in (1, 2, 3):
        request = vfio.vfio_irq_set(WHOLE + 4, EVENTFD | TRIGGER, REQ, 0, 1).pack()
        request += b"\xff" * (4 - missing)
        call = device.try_ioctl(
            vfio.VFIO_DEVICE_SET_IRQS, request, what="data cut", at=memory.tail(len(request))
        )
        expect.refused(call, promised(rules.DATA_BAD_ADDRESS))
    irqs.loopback(REQ)
    expect.equal("signals of another eventfd", port_event.count(), 0)


@checks(rules.BAD_ADDRESS)
def test_a_header_without_memory_is_refused(
    device: Device, irqs: Irqs, memory: Memory, promised: Promised
) -> None:
    """No address, and a header of which the last bytes are missing."""
    irqs.on(REQ)
    request = vfio.vfio_irq_set(WHOLE, NONE | TRIGGER, REQ, 0, 0).pack()
    errno = promised(rules.BAD_ADDRESS)
    expect.refused(device.try_ioctl(vfio.VFIO_DEVICE_SET_IRQS), errno)
    for short in (1, 4, 8, 16):
        call = device.try_ioctl(
            vfio.VFIO_DEVICE_SET_IRQS,
            request[:-short],
            what=f"{short} bytes missing",
            at=memory.tail(WHOLE - short),
        )
        expect.refused(call, errno)
    irqs.loopback(REQ)


@checks(rules.OUT_OF_RANGE)
@devices(without=("pcie",))
def test_the_error_interrupt_is_there_if_its_info_says_so(irqs: Irqs) -> None:
    """An index that GET_IRQ_INFO refuses takes no eventfd either."""
    irqs.apply(Request(ERR, EVENTFD | TRIGGER, 0, 1, fds=(Fd.EVENTFD,)))
