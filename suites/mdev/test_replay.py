# SPDX-License-Identifier: MIT
"""What a container of mediated devices has mapped, once a device behind an IOMMU joins it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from resource import RLIMIT_MEMLOCK

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device import ops as o
from vfiospec.device.call import checked
from vfiospec.device.container import Container, locked_bytes
from vfiospec.device.edu import Edu
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned, Group
from vfiospec.device.port import ForkedPort, Port
from vfiospec.device.privileges import become
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import mdev as rules
from vfiospec.rules import type1
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

pytestmark = devices("dma-stimulus", without=("grouped",))
READ, WRITE = iommu.VFIO_DMA_MAP_FLAG_READ, iommu.VFIO_DMA_MAP_FLAG_WRITE
IOVA, SCRATCH = 0x100000, 0x800000
SIZE = 64
PAGES = 3
MAYMOVE, FIXED = 1, 2  # of mremap(2)
FREE = vfio.VFIO_GROUP_FLAGS_VIABLE


@pytest.fixture
def buffers(port: Port, page: int) -> Iterator[list[Memory]]:
    """Memory for each kind of access, each of another pattern."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(Memory(port, PAGES * page, fill=0x11 * (n + 1))) for n in range(3)
        ]


@dataclass(frozen=True)
class Prober:
    """Tells what a device reaches, by way of memory it reads and writes in any case."""

    edu: Edu
    scratch: Memory

    def _carry(self, source: int, target: int) -> None:
        expect.equal("DMA ended", self.edu.read_memory(source, SIZE), True)
        expect.equal("DMA ended", self.edu.write_memory(target, SIZE), True)

    def access(self, memory: Memory, at: int, iova: int) -> int:
        """The flags of a mapping of `memory` that would do as this one does, at an offset."""
        mine, its = bytes(range(SIZE)), bytes(range(SIZE, 2 * SIZE))
        memory.write(at, mine)
        self.scratch.write(0, bytes(2 * SIZE))
        self._carry(iova + at, SCRATCH + SIZE)
        reads = self.scratch.read(SIZE, SIZE) == mine
        self.scratch.write(0, its)
        self._carry(SCRATCH, iova + at)
        writes = memory.read(at, SIZE) == its
        return (READ if reads else 0) | (WRITE if writes else 0)


@contextmanager
def probing(port: Port, alone: Assigned, joining: Group, bdf: str) -> Iterator[Prober]:
    """The device that joined, open and able to do DMA."""
    with (
        Memory(port, PAGES * port.hello.page_size) as scratch,
        joining.get_device_fd(bdf) as device,
        Edu(device).in_use(),
    ):
        alone.container.map(scratch, SCRATCH, scratch.size)
        yield Prober(Edu(device), scratch)
        alone.container.unmapped(SCRATCH, scratch.size)


@checks(rules.REPLAYED, rules.KEPT)
@pytest.mark.parametrize("flags", [READ | WRITE, READ, WRITE], ids="flags-{}".format)
def test_with_the_access_it_was_mapped_with(
    port: Port,
    alone: Assigned,
    joining: Group,
    buffers: list[Memory],
    spec: BenchDevice,
    page: int,
    flags: int,
) -> None:
    """Each page of mappings that lie apart; once more after the device has left and come again."""
    container, before = alone.container, locked_bytes(port)
    places = [IOVA + n * 16 * page for n in range(len(buffers))]
    for memory, iova in zip(buffers, places, strict=True):
        container.map(memory, iova, memory.size, flags)
    sizes = sum(memory.size for memory in buffers)
    for _ in range(2):
        expect.equal("bytes locked without it", locked_bytes(port), before)
        checked(joining.try_set_container(container))
        expect.equal("bytes locked with it", locked_bytes(port), before + sizes)
        with probing(port, alone, joining, spec.bdf) as prober:
            for memory, iova in zip(buffers, places, strict=True):
                for at in range(0, memory.size, page):
                    what = f"access to {iova + at:#x}"
                    expect.equal(what, prober.access(memory, at, iova), flags)
        checked(joining.try_unset_container())
    for memory, iova in zip(buffers, places, strict=True):
        expect.equal("bytes unmapped", container.unmapped(iova, memory.size), memory.size)


@checks(rules.REPLAYED)
def test_and_not_what_was_unmapped(
    port: Port, alone: Assigned, joining: Group, buffers: list[Memory], spec: BenchDevice, page: int
) -> None:
    """Before the device came, and since."""
    container = alone.container
    first, second, third = buffers
    places = [IOVA + n * PAGES * page for n in range(len(buffers))]
    for memory, iova in zip(buffers, places, strict=True):
        container.map(memory, iova, memory.size)
    container.unmapped(places[1], second.size)
    before = locked_bytes(port)
    checked(joining.try_set_container(container))
    expect.equal("bytes locked", locked_bytes(port) - before, first.size + third.size)
    with probing(port, alone, joining, spec.bdf) as prober:
        expect.equal("access to the one before", prober.access(first, 0, places[0]), READ | WRITE)
        expect.equal("access to the unmapped", prober.access(second, 0, places[1]), 0)
        expect.equal("access to the one behind", prober.access(third, 0, places[2]), READ | WRITE)
        container.unmapped(places[2], third.size)
        expect.equal("access once it is unmapped", prober.access(third, 0, places[2]), 0)
    expect.equal("bytes locked of the one left", locked_bytes(port) - before, first.size)


@checks(rules.REPLAY_FAILS, rules.KEPT)
@pytest.mark.parametrize("at", range(3), ids=["first", "second", "third"])
def test_a_mapping_whose_memory_is_gone(
    port: Port,
    alone: Assigned,
    joining: Group,
    buffers: list[Memory],
    promised: Callable[[Rule], int],
    page: int,
    at: int,
) -> None:
    """Whichever it is; without it the device may join."""
    container, before = alone.container, locked_bytes(port)
    places = [IOVA + n * PAGES * page for n in range(len(buffers))]
    with Memory(port, PAGES * page) as lost:
        kept = [*buffers[:at], lost, *buffers[at + 1 :]]
        for memory, iova in zip(kept, places, strict=True):
            container.map(memory, iova, memory.size)
    for _ in range(2):
        call = joining.try_set_container(container)
        expect.refused(call, promised(rules.REPLAY_FAILS))
        expect.equal("bytes locked after it was refused", locked_bytes(port), before)
        expect.equal("ranges after it was refused", container.told_ranges(), None)
        expect.equal("status of its group", joining.get_status(), FREE)
    expect.equal("bytes unmapped", container.unmapped(places[at], lost.size), lost.size)
    checked(joining.try_set_container(container))
    expect.equal("bytes locked", locked_bytes(port) - before, 2 * lost.size)
    checked(joining.try_unset_container())
    expect.equal("bytes locked at the end", locked_bytes(port), before)


def moved(port: Port, old: Memory) -> Memory:
    """The same memory at another address; nothing is left where it was."""
    new = Memory(port, old.size)
    to = (old.address, old.size, old.size, MAYMOVE | FIXED, new.address)
    reply, _ = port.run([o.Syscall("mremap", to), o.Munmap(old.handle)])
    expect.equal("address of the moved memory", reply.ret, new.address)
    return new


@checks(rules.REPLAYED_ANEW)
def test_from_its_new_address(
    port: Port,
    alone: Assigned,
    joining: Group,
    spec: BenchDevice,
    page: int,
    promised: Callable[[Rule], int],
) -> None:
    """A mapping whose memory was moved while the mediated device was gone."""
    container, before = alone.container, locked_bytes(port)
    old = Memory(port, PAGES * page, fill=0x77)
    checked(joining.try_set_container(container))
    container.map(old, IOVA, old.size)
    checked(alone.group.try_unset_container())
    if checked(container.try_check_extension(vfio.VFIO_UPDATE_VADDR)).ret != 1:
        pytest.skip("no VFIO_UPDATE_VADDR: judge a kernel from 5.12 on")
    container.unmapped(IOVA, old.size, iommu.VFIO_DMA_UNMAP_FLAG_VADDR)
    with moved(port, old) as new:
        checked(container.try_map(new, IOVA, new.size, iommu.VFIO_DMA_MAP_FLAG_VADDR))
        checked(alone.group.try_set_container(container))
        checked(joining.try_unset_container())
        expect.equal("bytes locked without it", locked_bytes(port), before)
        expect.accepted(joining.try_set_container(container), promised(rules.REPLAYED_ANEW))
        expect.equal("bytes locked with it", locked_bytes(port), before + new.size)
        with probing(port, alone, joining, spec.bdf) as prober:
            for at in range(0, new.size, page):
                what = f"access to {IOVA + at:#x}"
                expect.equal(what, prober.access(new, at, IOVA), READ | WRITE)
        checked(joining.try_unset_container())
        expect.equal("bytes unmapped", container.unmapped(IOVA, new.size), new.size)


@pytest.fixture
def child(port: Port, alone: Assigned, joining: Group) -> Iterator[ForkedPort]:
    """A process with both groups' files, that may not lock more memory than its limit says."""
    del alone, joining
    process = port.handle()
    port.do(o.Fork(process))
    made = ForkedPort(port, process)
    become(made)
    yield made
    made.close()


@checks(type1.VADDR_OWNER, rules.REPLAYED)
def test_within_the_limit_of_its_new_owner(
    alone: Assigned,
    joining: Group,
    buffer: Memory,
    child: ForkedPort,
    promised: Callable[[Rule], int],
) -> None:
    """Though the one that had mapped it had no limit."""
    container, size = alone.container, buffer.size
    there, its = Container(child, container.handle), Group(child, joining.handle)
    container.map(buffer, IOVA, size)
    checked(joining.try_set_container(container))
    checked(alone.group.try_unset_container())
    if checked(container.try_check_extension(vfio.VFIO_UPDATE_VADDR)).ret != 1:
        pytest.skip("no VFIO_UPDATE_VADDR: judge a kernel from 5.12 on")
    container.unmapped(IOVA, size, iommu.VFIO_DMA_UNMAP_FLAG_VADDR)
    child.do(o.Rlimit(RLIMIT_MEMLOCK, size, size))
    checked(there.try_map(buffer, IOVA, size, iommu.VFIO_DMA_MAP_FLAG_VADDR))
    checked(alone.group.try_set_container(container))
    checked(joining.try_unset_container())
    expect.equal("bytes locked by the child", locked_bytes(child), 0)
    child.do(o.Rlimit(RLIMIT_MEMLOCK, size - 1, size))
    expect.refused(its.try_set_container(there), promised(type1.VADDR_OWNER))
    expect.equal("bytes locked when it was refused", locked_bytes(child), 0)
    child.do(o.Rlimit(RLIMIT_MEMLOCK, size, size))
    expect.accepted(its.try_set_container(there))
    expect.equal("bytes locked by the child", locked_bytes(child), size)
    checked(joining.try_unset_container())
    expect.equal("bytes unmapped", container.unmapped(IOVA, size), size)
