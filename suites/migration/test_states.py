# SPDX-License-Identifier: MIT
"""Every change from every state, against the arcs of the header; resets and closes."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_feature as feature
from vfiospec.device import mig_oracle as oracle
from vfiospec.device.call import Call
from vfiospec.device.migration import Migration, answered
from vfiospec.device.mtty import Serial
from vfiospec.rules import migration as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
NR = feature.VFIO_DEVICE_STATE_NR
NO_STATES = (oracle.ERROR, NR, NR + 1, 0x7F, 0xFF, 1 << 8 | oracle.STOP, 1 << 31, 0xFFFFFFFF)
SETTABLE = [state for state in oracle.STATES if state != oracle.ERROR]
each_state = pytest.mark.parametrize("state", SETTABLE, ids=lambda s: oracle.STATES[s])


def refused(migration: Migration, call: Call, errno: int, state: int) -> None:
    """The change is refused, no fd is made, and the state stays."""
    expect.equal(str(call), call.answer() if call.ok else call.errno, errno)
    expect.inside(call)
    expect.equal(f"data_fd after {call}", answered(call).data_fd, -1)
    expect.equal(f"state after {call}", migration.state(), state)


@checks(rules.FLAGS, rules.MTTY_FLAGS)
def test_flags(migration: Migration, promised: Promised) -> None:
    """STOP_COPY, and nothing that is unknown."""
    flags = migration.flags()
    every = (
        feature.VFIO_MIGRATION_STOP_COPY
        | feature.VFIO_MIGRATION_P2P
        | feature.VFIO_MIGRATION_PRE_COPY
    )
    expect.flags("flags", flags, needed=feature.VFIO_MIGRATION_STOP_COPY, forbidden=~every)
    expect.equal("flags of mtty", flags, promised(rules.MTTY_FLAGS))


@checks(rules.INITIAL, rules.GET)
def test_first_it_is_running(migration: Migration) -> None:
    """And asked again, it still is."""
    for _ in range(2):
        call = expect.accepted(migration.try_get())
        expect.equal("state", answered(call).device_state, oracle.RUNNING)
        expect.equal("data_fd", answered(call).data_fd, -1)


@checks(rules.ARCS, rules.DATA_FD, rules.NO_ARC, rules.GET)
@each_state
def test_every_change(
    serial: Serial,
    stream: bytes,
    flags: int,
    state: int,
    promised: Promised,
) -> None:
    """From this state to all: it succeeds where a way leads, and begins a transfer as told."""
    migration = serial.migration
    for target in SETTABLE:
        serial.go(state, stream)
        expect.equal(f"state before going to {oracle.STATES[target]}", migration.state(), state)
        call = migration.try_set(target)
        if oracle.path(flags, state, target) is None:
            refused(migration, call, promised(rules.NO_ARC), state)
            continue
        what = f"{oracle.STATES[state]} to {oracle.STATES[target]}"
        expect.accepted(call)
        expect.equal(f"device_state of {what}", answered(call).device_state, target)
        begun = answered(call).data_fd != -1
        expect.equal(f"{what} begins a transfer", begun, oracle.begins(flags, state, target))
        expect.holds(answered(call).data_fd >= -1, "a data_fd of -1 or more", str(call))
        after = expect.accepted(migration.try_get())
        expect.equal(f"state after {what}", answered(after).device_state, target)
        expect.equal(f"data_fd of GET after {what}", answered(after).data_fd, -1)


@checks(rules.NO_ARC, rules.DATA_FD)
@each_state
def test_what_is_no_state(
    serial: Serial,
    stream: bytes,
    state: int,
    promised: Promised,
) -> None:
    """ERROR, and numbers beyond the last: refused from each state, and it stays."""
    serial.go(state, stream)
    for number in NO_STATES:
        call = serial.migration.try_set(number)
        refused(serial.migration, call, promised(rules.NO_ARC), state)


@checks(rules.RESET, rules.ENDED)
@each_state
def test_a_reset(
    serial: Serial,
    stream: bytes,
    state: int,
    promised: Promised,
) -> None:
    """Back to RUNNING, and a transfer is over."""
    transfer = serial.go(state, stream)
    expect.accepted(serial.device.try_reset())
    expect.equal("state after a reset", serial.migration.state(), oracle.RUNNING)
    if transfer is not None:
        call = transfer.try_write(b"1") if state == oracle.RESUMING else transfer.try_read(1)
        expect.refused(call, promised(rules.ENDED))


@checks(rules.CLOSED, rules.RESET)
@each_state
def test_closed_and_opened_again(
    serial: Serial, stream: bytes, state: int, promised: Promised
) -> None:
    """The transfer is over, the state is not; after a reset it begins anew."""
    transfer = serial.go(state, stream)
    serial.reopen()
    expect.equal("state of the device opened again", serial.migration.state(), state)
    if transfer is not None:
        call = transfer.try_write(b"1") if state == oracle.RESUMING else transfer.try_read(1)
        expect.refused(call, promised(rules.CLOSED))
    serial.device.try_reset()
    data = serial.migration.begin(oracle.STOP_COPY).read()
    expect.equal("state saved", data.hex(), stream.hex())
