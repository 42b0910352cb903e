# SPDX-License-Identifier: MIT
"""How much there is to read before the device stops: VFIO_MIG_GET_PRECOPY_INFO."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_feature as feature
from vfiospec.device import mig_oracle as oracle
from vfiospec.device.call import Call
from vfiospec.device.migration import Migration, Transfer
from vfiospec.device.mtty import Serial
from vfiospec.rules import migration as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
OPT_IN = feature.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2
SET = feature.VFIO_DEVICE_FEATURE_SET
MIN = feature.PRECOPY_INFO_MIN
each_state = pytest.mark.parametrize(
    "state", [oracle.PRE_COPY, oracle.PRE_COPY_P2P], ids=lambda s: oracle.STATES[s]
)


def info(call: Call) -> feature.vfio_precopy_info:
    """The structure of a call that succeeded, which left all behind it alone."""
    expect.untouched(expect.accepted(call), MIN)
    return call.unpack(feature.vfio_precopy_info)


def flags_of(transfer: Transfer, sent: int) -> int:
    """What `flags` comes back as."""
    return int(info(transfer.try_precopy_info(flags=sent)).flags)


@checks(rules.PRECOPY_INFO)
@each_state
def test_what_is_left(migration: Migration, state: int) -> None:
    """Not zero at first, less by what was read, zero at the end, in either state."""
    transfer = migration.begin(state)
    first = info(transfer.try_precopy_info())
    expect.holds(first.initial_bytes > 0, "initial_bytes is not zero", repr(first))
    left = int(first.initial_bytes)
    expect.equal("dirty_bytes", first.dirty_bytes, 0)
    other = oracle.PRE_COPY_P2P if state == oracle.PRE_COPY else oracle.PRE_COPY
    for size, now in ((1, other), (7, state), (left - 9, other), (1, state)):
        expect.accepted(transfer.try_read(size), size)
        left -= size
        migration.set(now)
        after = info(transfer.try_precopy_info())
        expect.equal("initial_bytes", after.initial_bytes, left)
        expect.equal("dirty_bytes", after.dirty_bytes, 0)
        expect.equal("argsz", after.argsz, MIN)


@checks(rules.PRECOPY_STATE)
def test_elsewhere(migration: Migration, promised: Promised) -> None:
    """Not of a transfer that went on to STOP_COPY, nor of one that is over."""
    transfer = migration.begin(oracle.PRE_COPY)
    for state in (oracle.STOP_COPY, oracle.STOP, oracle.RUNNING, oracle.RUNNING_P2P):
        migration.set(state)
        expect.refused(transfer.try_precopy_info(), promised(rules.PRECOPY_STATE))


@checks(rules.ENDED)
def test_an_old_one(migration: Migration, promised: Promised) -> None:
    """The file of the transfer before tells nothing of the next."""
    old = migration.begin(oracle.PRE_COPY)
    migration.set(oracle.RUNNING)
    new = migration.begin(oracle.PRE_COPY)
    expect.refused(old.try_precopy_info(), promised(rules.ENDED))
    info(new.try_precopy_info())


@checks(rules.PRECOPY_ARGSZ)
@pytest.mark.parametrize("argsz", [0, 8, 16, MIN - 1], ids="argsz-{}".format)
def test_too_small_an_argsz(migration: Migration, argsz: int, promised: Promised) -> None:
    """Refused, with nothing written."""
    transfer = migration.begin(oracle.PRE_COPY)
    expect.refused(transfer.try_precopy_info(argsz), promised(rules.PRECOPY_ARGSZ))


@checks(rules.PRECOPY_ARGSZ)
@pytest.mark.parametrize("argsz", [MIN, MIN + 1, 4096, 0xFFFFFFFF], ids="argsz-{}".format)
def test_a_larger_argsz(migration: Migration, argsz: int) -> None:
    """Kept, and nothing more is written."""
    transfer = migration.begin(oracle.PRE_COPY)
    expect.equal("argsz", info(transfer.try_precopy_info(argsz)).argsz, argsz)


@checks(rules.PRECOPY_ADDRESS)
def test_an_address_that_is_none(migration: Migration, promised: Promised) -> None:
    """No structure there."""
    transfer = migration.begin(oracle.PRE_COPY)
    for address in (0, 8, 1 << 63):
        call = transfer.try_precopy_info(address=address)
        expect.refused(call, promised(rules.PRECOPY_ADDRESS))


@checks(rules.PRECOPY_FLAGS, rules.PRECOPY_V2)
@pytest.mark.parametrize("sent", [0, 1, 2, 0xA5A5A5A5, 0xFFFFFFFF], ids="flags-{:x}".format)
def test_flags(serial: Serial, sent: int, promised: Promised) -> None:
    """Left alone, until they are asked for; nothing new is there to be read."""
    transfer = serial.migration.begin(oracle.PRE_COPY)
    expect.equal("flags", flags_of(transfer, sent), sent)
    probe = OPT_IN | SET | feature.VFIO_DEVICE_FEATURE_PROBE
    for asked, now in ((probe, sent), (OPT_IN | SET, 0)):
        call, unknown = serial.device.try_feature(asked), promised(rules.PRECOPY_V2)
        if unknown:
            expect.refused(call, unknown)
        else:
            expect.accepted(call)
        expect.equal(f"flags after {call}", flags_of(transfer, sent), sent if unknown else now)


@checks(rules.PRECOPY_OPT_IN)
def test_whoever_comes_next_has_not_asked(serial: Serial, promised: Promised) -> None:
    """It lasts while the device is open by anyone, through resets, and no longer."""
    if promised(rules.PRECOPY_V2):
        pytest.skip("MIG_PRECOPY_INFOv2 is of kernels since 7.2")
    serial.device.try_feature(OPT_IN | SET)
    serial.device.try_reset()
    with serial.assigned.open(serial.mdev.name):
        transfer = serial.migration.begin(oracle.PRE_COPY)
        expect.equal("flags with a second fd open", flags_of(transfer, 5), 0)
    serial.reopen()
    serial.device.try_reset()
    transfer = serial.migration.begin(oracle.PRE_COPY)
    expect.equal("flags for the next user", flags_of(transfer, 5), 5)


@checks(rules.PRECOPY_IOCTL)
def test_other_ioctls(migration: Migration, promised: Promised) -> None:
    """None is known, neither when saving nor when resuming."""
    known = feature.VFIO_MIG_GET_PRECOPY_INFO
    transfer = migration.begin(oracle.PRE_COPY)
    for number in (known - 1, known + 1, feature.VFIO_DEVICE_FEATURE, 0):
        expect.refused(transfer.try_ioctl(number), promised(rules.PRECOPY_IOCTL))
    resuming = migration.begin(oracle.RESUMING)
    expect.refused(resuming.try_ioctl(known), promised(rules.PRECOPY_IOCTL))


@checks(rules.PRECOPY_END)
@each_state
def test_the_end_for_now(migration: Migration, state: int, promised: Promised) -> None:
    """All that is there was read, and more may come."""
    transfer = migration.begin(state)
    left = int(info(transfer.try_precopy_info()).initial_bytes)
    expect.accepted(transfer.try_read(left), left)
    expect.refused(transfer.try_read(1), promised(rules.PRECOPY_END))
