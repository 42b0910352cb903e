# SPDX-License-Identifier: MIT
"""A state carried to a second device, and data that is no state."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.device import mig_oracle as oracle
from vfiospec.device.mdev import Mdev
from vfiospec.device.mtty import Serial, scribble, seen
from vfiospec.device.uart import UART_FCR, UART_LCR, UART_LSR, UART_LSR_OE
from vfiospec.rules import migration as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, dangerous

Promised = Callable[[Rule], int]
Opened = Callable[[Mdev], Serial]
HEAD = 24  # bytes that say what kind of device the state is of
LEAVING = [state for state in oracle.STATES if state not in {oracle.ERROR, oracle.RESUMING}]


def name(state: int) -> str:
    """A state in words."""
    return oracle.STATES[state]


@checks(rules.CARRIED, rules.PARTS)
@pytest.mark.parametrize("size", [1, 13, 24, 4096], ids="parts-of-{}".format)
@pytest.mark.parametrize("start", [oracle.STOP_COPY, oracle.PRE_COPY], ids=name)
def test_a_second_device(serial: Serial, opened: Opened, twin: Mdev, start: int, size: int) -> None:
    """It has the registers and the queue of the first, which keeps its own."""
    other = opened(twin)
    scribble(serial.uart(), 3)
    scribble(other.uart(), 70)
    saving = serial.migration.begin(start)
    if start != oracle.STOP_COPY:
        serial.migration.set(oracle.STOP_COPY)
    resuming = other.migration.begin(oracle.RESUMING)
    for part in saving.parts(size):
        expect.accepted(resuming.try_write(part), len(part))
    for one in (serial, other):
        one.migration.set(oracle.RUNNING)
    before = seen(serial.uart())
    expect.equal("bytes of the first device's queue", before[-5:], list(range(3, 8)))
    expect.equal("state of the second device", seen(other.uart()), before)


@checks(rules.CARRIED)
def test_a_divisor_and_a_queue_without_room(serial: Serial, opened: Opened, twin: Mdev) -> None:
    """What is not shown by the registers that are kept."""
    first, second = serial.uart(), opened(twin)
    second.uart().enable()
    first.write(UART_FCR, 0)
    first.divide(0x1234)
    data = serial.migration.begin(oracle.STOP_COPY).read()
    expect.accepted(second.migration.begin(oracle.RESUMING).try_write(data), len(data))
    second.migration.set(oracle.RUNNING)
    uart = second.uart()
    expect.equal("divisor", uart.divisor(), 0x1234)
    uart.write(UART_LCR, 0)
    uart.send(b"12")
    expect.flags("line with too much", uart.read(UART_LSR), needed=UART_LSR_OE)


@checks(rules.CARRIED)
def test_both_ports(opened: Opened, twin: Mdev, dual: Mdev) -> None:
    """A card with two ports carries both."""
    del twin
    card = opened(dual)
    for index in (0, 1):
        scribble(card.uart(index), 10 + 40 * index)
    data = card.migration.begin(oracle.STOP_COPY).read()
    card.device.try_reset()
    before = [seen(card.uart(index)) for index in (0, 1)]
    for index in (0, 1):
        scribble(card.uart(index), 50)
    resuming = card.migration.begin(oracle.RESUMING)
    expect.accepted(resuming.try_write(data), len(data))
    card.migration.set(oracle.RUNNING)
    expect.equal("states", [seen(card.uart(index)) for index in (0, 1)], before)


@checks(rules.CARRIED, rules.ARCS)
@pytest.mark.parametrize("after", LEAVING, ids=name)
def test_whatever_follows(serial: Serial, after: int) -> None:
    """The data is taken in on the way from RESUMING to any state."""
    scribble(serial.uart(), 5)
    data = serial.migration.begin(oracle.STOP_COPY).read()
    serial.device.try_reset()
    scribble(serial.uart(), 90)
    serial.migration.begin(oracle.RESUMING).try_write(data)
    serial.migration.set(after)
    serial.device.try_reset()
    expect.equal("bytes in the queue", seen(serial.uart())[-5:], list(range(5, 10)))


@checks(rules.INVALID)
@pytest.mark.parametrize("after", LEAVING, ids=name)
@pytest.mark.parametrize("short", [1, 30, None], ids="short-{}".format)
def test_too_little(
    serial: Serial, stream: bytes, short: int | None, after: int, promised: Promised
) -> None:
    """Refused, still RESUMING, and the rest makes it good."""
    cut = 0 if short is None else len(stream) - short
    resuming = serial.migration.begin(oracle.RESUMING)
    if cut:
        resuming.try_write(stream[:cut])
    call = serial.migration.try_set(after)
    expect.equal(f"errno of {call}", call.errno, promised(rules.INVALID))
    expect.equal("state", serial.migration.state(), oracle.RESUMING)
    expect.accepted(resuming.try_write(stream[cut:]), len(stream) - cut)
    serial.migration.set(after)
    expect.equal("state", serial.migration.state(), after)


@dangerous
@checks(rules.INVALID, rules.CLOSED)
@pytest.mark.parametrize("after", LEAVING, ids=name)
def test_left_after_it_was_closed(serial: Serial, after: int, promised: Promised) -> None:
    """A device that was closed in RESUMING is in RESUMING still, and has no data at all."""
    serial.migration.begin(oracle.RESUMING)
    serial.reopen()
    call = serial.migration.try_set(after)
    expect.refused(call, promised(rules.INVALID))
    expect.equal("state", serial.migration.state(), oracle.RESUMING)
    serial.device.try_reset()


@checks(rules.TOO_MUCH)
def test_too_much(serial: Serial, stream: bytes, promised: Promised) -> None:
    """At once, or a byte more at the end."""
    resuming = serial.migration.begin(oracle.RESUMING)
    expect.refused(resuming.try_write(stream + b"1"), promised(rules.TOO_MUCH))
    expect.accepted(resuming.try_write(stream), len(stream))
    expect.refused(resuming.try_write(b"1"), promised(rules.TOO_MUCH))


@checks(rules.FOREIGN)
def test_a_wrong_head(serial: Serial, stream: bytes, promised: Promised) -> None:
    """With any of its bytes another."""
    for at in range(HEAD):
        data = bytearray(stream)
        data[at] ^= 0x40
        resuming = serial.migration.begin(oracle.RESUMING)
        expect.refused(resuming.try_write(bytes(data)), promised(rules.FOREIGN))
        serial.device.try_reset()


@checks(rules.FOREIGN, rules.PARTS)
@pytest.mark.parametrize("first", [1, 8, HEAD - 1], ids="first-{}".format)
def test_a_wrong_head_in_parts(
    serial: Serial, stream: bytes, first: int, promised: Promised
) -> None:
    """With any of its bytes another: the part that completes it is refused."""
    for at in range(HEAD):
        data = bytearray(stream)
        data[at] ^= 0x40
        resuming = serial.migration.begin(oracle.RESUMING)
        expect.accepted(resuming.try_write(bytes(data[:first])), first)
        expect.refused(resuming.try_write(bytes(data[first:])), promised(rules.FOREIGN))
        serial.device.try_reset()


@checks(rules.FOREIGN)
def test_the_state_of_another_type(
    serial: Serial, opened: Opened, dual: Mdev, promised: Promised
) -> None:
    """One port is not two."""
    other = opened(dual)
    data = other.migration.begin(oracle.STOP_COPY).read()
    other.device.try_reset()
    resuming = serial.migration.begin(oracle.RESUMING)
    expect.refused(resuming.try_write(data[:HEAD]), promised(rules.FOREIGN))
    serial.device.try_reset()
    own = serial.migration.begin(oracle.STOP_COPY).read()
    resuming = other.migration.begin(oracle.RESUMING)
    expect.refused(resuming.try_write(own), promised(rules.FOREIGN))


@checks(rules.INVALID)
def test_what_was_refused_is_not_taken_in(
    serial: Serial, stream: bytes, promised: Promised
) -> None:
    """Data that was refused for its head does not become the state."""
    resuming = serial.migration.begin(oracle.RESUMING)
    data = bytes([stream[0] ^ 1]) + stream[1:]
    expect.holds(not resuming.try_write(data).ok, "the data is refused", "it is taken")
    call = serial.migration.try_set(oracle.RUNNING)
    expect.equal(f"answer of {call}", call.errno, promised(rules.INVALID))
