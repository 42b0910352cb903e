# SPDX-License-Identifier: MIT
"""mtty's mediated devices, opened in a process of their own that takes its data fds with it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import NAMESPACE_URL, uuid5

import pytest

from vfiospec.device import mig_oracle as oracle
from vfiospec.device import ops as o
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned
from vfiospec.device.mdev import Mdev, MdevType
from vfiospec.device.migration import MOST, Migration
from vfiospec.device.mtty import OPTION, Serial
from vfiospec.device.port import ForkedPort, Port

Make = Callable[[str], Mdev]


@pytest.fixture
def make(port: Port) -> Iterator[Make]:
    """Make instances of a type of mtty; skips where there is none. All are taken away at the end.

    Whatever opens them must be set up after this, or else their removal waits for it for ever.
    """
    made: list[Mdev] = []

    def make_one(kind: str) -> Mdev:
        mdev_type = MdevType(port, "mtty", kind)
        if not mdev_type.exists:
            pytest.skip(f"no type {kind}: a kernel built with {OPTION} has it, its module loaded")
        mdev = Mdev(port, str(uuid5(NAMESPACE_URL, f"vfiospec-migration-{len(made)}")))
        call = mdev_type.try_create(mdev.name)
        if not call.ok:
            raise OSError(call.errno, str(call))
        made.append(mdev)
        return mdev

    yield make_one
    for mdev in made:
        mdev.try_remove()


@pytest.fixture
def mtty(make: Make) -> Mdev:
    """A serial card with one port."""
    return make("mtty-1")


@pytest.fixture
def twin(make: Make) -> Mdev:
    """Another of the same type."""
    return make("mtty-1")


@pytest.fixture
def dual(make: Make) -> Mdev:
    """One with two ports."""
    return make("mtty-2")


@pytest.fixture
def process(port: Port, mtty: Mdev) -> Iterator[ForkedPort]:
    """A second process: what it opens, known to us or not, is closed with it."""
    del mtty
    number = port.handle()
    port.do(o.Fork(number))
    child = ForkedPort(port, number)
    yield child
    child.close()


@pytest.fixture
def room(process: ForkedPort) -> Memory:
    """Memory of the second process, for the data of transfers."""
    return Memory(process, MOST)


@pytest.fixture
def opened(process: ForkedPort, room: Memory) -> Iterator[Callable[[Mdev], Serial]]:
    """Open an instance by its group in the second process."""
    with ExitStack() as stack:

        def open_one(mdev: Mdev) -> Serial:
            assigned = Assigned(process, mdev.group)
            stack.callback(assigned.close)
            serial = Serial(mdev, assigned, room)
            stack.callback(lambda: serial.device.close())  # noqa: PLW0108 -- the one it has by then
            return serial

        yield open_one


@pytest.fixture
def serial(opened: Callable[[Mdev], Serial], mtty: Mdev) -> Serial:
    """The card with one port, open."""
    return opened(mtty)


@pytest.fixture
def migration(serial: Serial) -> Migration:
    """Its migration."""
    return serial.migration


@pytest.fixture
def flags(migration: Migration) -> int:
    """VFIO_MIGRATION_*: which of the optional states it has."""
    return migration.flags()


@pytest.fixture
def stream(serial: Serial) -> bytes:
    """The data of a state of the card, which is RUNNING afterwards."""
    data = serial.migration.begin(oracle.STOP_COPY).read()
    serial.migration.set(oracle.RUNNING)
    return data
