# SPDX-License-Identifier: MIT
"""The file of a transfer: how it is open, what it gives, and when it ends."""

import fcntl
import os
from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.device import mig_oracle as oracle
from vfiospec.device.migration import Migration
from vfiospec.device.mtty import Serial
from vfiospec.rules import migration as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
BEGINNERS = (oracle.PRE_COPY, oracle.PRE_COPY_P2P, oracle.STOP_COPY, oracle.RESUMING)
ENDS = (
    (oracle.PRE_COPY, oracle.RUNNING),
    (oracle.PRE_COPY_P2P, oracle.RUNNING_P2P),
    (oracle.STOP_COPY, oracle.STOP),
    (oracle.RESUMING, oracle.STOP),
    (oracle.PRE_COPY, oracle.RESUMING),
    (oracle.STOP_COPY, oracle.RESUMING),
    (oracle.RESUMING, oracle.STOP_COPY),
)


def name(state: int) -> str:
    """A state in words."""
    return oracle.STATES[state]


each_beginner = pytest.mark.parametrize("state", BEGINNERS, ids=name)


@checks(rules.DATA_FD_KIND)
@each_beginner
def test_how_it_is_open(migration: Migration, state: int) -> None:
    """For reading a state that is saved, for writing one that is to be."""
    transfer = migration.begin(state)
    expect.equal("FD_CLOEXEC", transfer.descriptor_flags() & fcntl.FD_CLOEXEC, fcntl.FD_CLOEXEC)
    way = os.O_WRONLY if state == oracle.RESUMING else os.O_RDONLY
    expect.equal("access mode", transfer.status_flags() & os.O_ACCMODE, way)


@checks(rules.WRONG_WAY)
@each_beginner
def test_the_wrong_way(migration: Migration, state: int, promised: Promised) -> None:
    """What is read cannot be written, and the other way round."""
    transfer = migration.begin(state)
    call = transfer.try_read(1) if state == oracle.RESUMING else transfer.try_write(b"1")
    expect.refused(call, promised(rules.WRONG_WAY))


@checks(rules.NO_OFFSET)
@each_beginner
def test_it_has_no_offset(migration: Migration, state: int, promised: Promised) -> None:
    """No pread, no pwrite, no seek, and the data stays where it was."""
    transfer = migration.begin(state)
    if state == oracle.RESUMING:
        call = transfer.try_write(b"1", offset=0)
    else:
        call = transfer.try_read(1, offset=0)
    expect.refused(call, promised(rules.NO_OFFSET))
    for offset, whence in ((0, os.SEEK_SET), (0, os.SEEK_CUR), (0, os.SEEK_END), (8, os.SEEK_SET)):
        expect.refused(transfer.try_seek(offset, whence), promised(rules.NO_OFFSET))
    if state == oracle.STOP_COPY:
        expect.equal("bytes of the state", len(transfer.read()), migration.data_size())


@checks(rules.END, rules.SIZE)
def test_the_end(migration: Migration) -> None:
    """As much as was estimated, then nothing, and nothing again."""
    transfer = migration.begin(oracle.STOP_COPY)
    expect.equal("bytes of the state", len(transfer.read()), migration.data_size())
    for size in (1, 4096):
        expect.accepted(transfer.try_read(size), 0)


@checks(rules.PARTS, rules.END)
@pytest.mark.parametrize("size", [1, 7, 24, 25, 59, 60, 61], ids="size-{}".format)
def test_in_parts(migration: Migration, stream: bytes, size: int) -> None:
    """The same data, each part full but the last."""
    parts = list(migration.begin(oracle.STOP_COPY).parts(size))
    expect.equal("data", b"".join(parts).hex(), stream.hex())
    expect.equal("sizes of all but the last", {len(part) for part in parts[:-1]} | {size}, {size})


@checks(rules.SIZE)
def test_the_size_in_each_state(serial: Serial, stream: bytes) -> None:
    """Asked at any time, it is what STOP_COPY gives."""
    for state in oracle.STATES:
        if state != oracle.ERROR:
            serial.go(state, stream)
            expect.equal(f"size in {name(state)}", serial.migration.data_size(), len(stream))


@checks(rules.SESSION)
@pytest.mark.parametrize("first", [oracle.PRE_COPY, oracle.PRE_COPY_P2P], ids=name)
def test_saving_goes_on(migration: Migration, stream: bytes, first: int) -> None:
    """Through all of the saving group, with reads between, the data is that of a state at once."""
    transfer = migration.begin(first)
    other = oracle.PRE_COPY_P2P if first == oracle.PRE_COPY else oracle.PRE_COPY
    data = transfer.try_read(5).data
    for state in (other, first, oracle.STOP_COPY):
        expect.holds(migration.set(state) is None, "no transfer begins", f"one in {name(state)}")
        data += transfer.try_read(9).data
    expect.equal("data", (data + transfer.read()).hex(), stream.hex())


@checks(rules.SESSION, rules.NO_ARC)
def test_a_refused_change_ends_nothing(migration: Migration, stream: bytes) -> None:
    """What cannot follow STOP_COPY leaves its transfer alone."""
    transfer = migration.begin(oracle.STOP_COPY)
    data = transfer.try_read(10).data
    for state in (oracle.PRE_COPY, oracle.PRE_COPY_P2P, oracle.ERROR, 99):
        expect.holds(not migration.try_set(state).ok, f"no way to {state}", "there is one")
    expect.equal("data", (data + transfer.read()).hex(), stream.hex())


@checks(rules.ENDED)
@pytest.mark.parametrize(("state", "after"), ENDS, ids=[f"{name(a)}-{name(b)}" for a, b in ENDS])
def test_its_end(serial: Serial, stream: bytes, state: int, after: int, promised: Promised) -> None:
    """Neither it nor a transfer before it works once the next state is there; a new one does."""
    old = serial.go(state, stream)
    serial.migration.set(after)
    serial.migration.set(oracle.RUNNING if after != oracle.RESUMING else after)
    assert old is not None
    call = old.try_write(b"1") if state == oracle.RESUMING else old.try_read(1)
    expect.refused(call, promised(rules.ENDED))
    serial.device.try_reset()
    expect.equal("data", serial.migration.begin(oracle.STOP_COPY).read().hex(), stream.hex())
    call = old.try_write(b"1") if state == oracle.RESUMING else old.try_read(1)
    expect.refused(call, promised(rules.ENDED))
