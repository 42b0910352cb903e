# SPDX-License-Identifier: MIT
"""Instances of the sample drivers, open by their groups; all are taken away after a test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import NAMESPACE_URL, uuid5

import pytest

from vfiospec.device.call import checked
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned, Group
from vfiospec.device.mdev import Mdev, MdevType
from vfiospec.device.port import Port
from vfiospec.session.run import Run

Make = Callable[[str], Mdev]
Opened = Callable[[Mdev], Device]
PAGES = 4  # pages of the memory to map


def uuid(number: int) -> str:
    """A UUID of ours."""
    return str(uuid5(NAMESPACE_URL, f"vfiospec-mdev-{number}"))


@pytest.fixture
def kind(port: Port) -> Callable[[str], MdevType]:
    """A type by its name, mtty-1 of mtty; skips where there is none."""

    def find(name: str) -> MdevType:
        parent = name.partition("-")[0]
        found = MdevType(port, parent, name)
        if not found.exists:
            option = f"CONFIG_SAMPLE_VFIO_MDEV_{parent.upper()}"
            pytest.skip(f"no type {name}: a kernel built with {option} has it, its module loaded")
        return found

    return find


@pytest.fixture
def make(port: Port, kind: Callable[[str], MdevType]) -> Iterator[Make]:
    """Make instances. Whatever opens them must be set up after this: removal waits for it."""
    made: list[Mdev] = []

    def make_one(name: str) -> Mdev:
        mdev_type = kind(name)
        mdev = Mdev(port, uuid(len(made)))
        call = mdev_type.try_create(mdev.name)
        if not call.ok:
            raise OSError(call.errno, str(call))
        made.append(mdev)
        return mdev

    yield make_one
    for mdev in made:
        mdev.try_remove()


@pytest.fixture
def opened(port: Port, make: Make) -> Iterator[Opened]:
    """Open an instance by its group."""
    del make
    with ExitStack() as stack:

        def open_one(mdev: Mdev) -> Device:
            own = Assigned(port, mdev.group)
            stack.callback(own.close)
            return stack.enter_context(own.open(mdev.name))

        yield open_one


@pytest.fixture
def serial(make: Make, opened: Opened) -> Device:
    """A serial card with one port."""
    device = opened(make("mtty-1"))
    device.get_info()  # until then it takes itself to have no interrupts
    return device


@pytest.fixture
def screen(make: Make, opened: Opened) -> Device:
    """A display whose pixels are in a region."""
    device = opened(make("mdpy-vga"))
    device.get_info()  # as for the serial card
    return device


@pytest.fixture
def bochs(make: Make, opened: Opened) -> Device:
    """A display whose pixels are in a dma-buf."""
    return opened(make("mbochs-small"))


@pytest.fixture
def alone(port: Port, make: Make) -> Iterator[Assigned]:
    """A mediated device's group in a container of its own."""
    own = Assigned(port, make("mtty-1").group)
    yield own
    own.close()


@pytest.fixture
def physical(port: Port, run: Run, alone: Assigned) -> Iterator[Group]:
    """The group of a device behind an IOMMU, in the same container."""
    if not run.devices:
        pytest.skip("no device beside it: judge one with --device BDF")
    with Group.of(port, run.give_up(run.devices[0])) as group:
        checked(group.try_set_container(alone.container))
        yield group


@pytest.fixture
def buffer(port: Port, page: int) -> Iterator[Memory]:
    """Memory to map."""
    with Memory(port, PAGES * page) as made:
        yield made


@pytest.fixture
def joining(port: Port, alone: Assigned, closed: int) -> Iterator[Group]:
    """The group of a device that does DMA, not in the container yet."""
    del alone
    with Group.of(port, closed) as group:
        yield group
