# SPDX-License-Identifier: MIT
"""Mappings of a BAR, alone and together with memory."""

import mmap
from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci, vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device import ops as o
from vfiospec.device.container import Container
from vfiospec.device.files import Mapping, Memory
from vfiospec.device.group import Assigned
from vfiospec.device.port import Port
from vfiospec.device.region import Region
from vfiospec.rules import type1 as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks
from vfiospec.session.run import Run

READ, WRITE = iommu.VFIO_DMA_MAP_FLAG_READ, iommu.VFIO_DMA_MAP_FLAG_WRITE
MAYMOVE, FIXED = 1, 2  # of mremap(2)
PART = 4  # pages of each part
Promised = Callable[[Rule], int]
Counter = Callable[[], int]


@pytest.fixture
def bar(assigned2: Assigned, run: Run, group: int) -> Iterator[Region]:
    """A BAR that can be mapped, of a device that decodes memory."""
    spec = next(d for d in run.devices if d.group == group)
    with assigned2.open(spec.bdf) as device:
        regions = [device.region(i) for i in range(vfio.VFIO_PCI_ROM_REGION_INDEX)]
        mappable = [r for r in regions if r.info.flags & vfio.VFIO_REGION_INFO_FLAG_MMAP]
        if not mappable:
            pytest.skip("the device has no BAR that can be mapped: judge one that has")
        command = device.read_config(pci.PCI_COMMAND, 2)
        device.write_config(pci.PCI_COMMAND, 2, command | pci.PCI_COMMAND_MEMORY)
        yield mappable[0]


@checks(rules.MAP_BAR, rules.MAP_BAD_VADDR)
def test_a_bar_can_be_mapped(
    v2: Container, bar: Region, base: int, page: int, locked: Counter, promised: Promised
) -> None:
    """For one device to reach another one; it is no memory that could be locked."""
    size = min(int(bar.info.size), 16 * page)
    _, readable = bar.try_map(size, prot=mmap.PROT_READ)
    if readable is None:
        pytest.fail("a BAR that can be mapped cannot be mapped for reading")
    with readable:
        # Refused before a page of it was touched, and once they all were
        for _ in range(2):
            wrong = v2.try_map(readable.at(), base, size, WRITE)
            expect.refused(wrong, promised(rules.MAP_BAD_VADDR))
            expect.accepted(v2.try_map(readable.at(), base, size, READ))
            expect.equal("bytes unmapped", v2.unmapped(base, size), size)
    with bar.map(size) as mapping:
        call = v2.try_map(mapping.at(), base, size)
        expect.accepted(call, promised(rules.MAP_BAR))
        expect.equal("bytes locked", locked(), 0)
        expect.equal("bytes unmapped", v2.unmapped(base, size), size)
        expect.equal("bytes locked afterwards", locked(), 0)


def placed(port: Port, mapping: Mapping, room: Memory, offset: int) -> None:
    """Move a mapping over a part of memory, in whose place it is from then on."""
    to = (mapping.address, mapping.size, mapping.size, MAYMOVE | FIXED, room.address + offset)
    moved, _ = port.run([o.Syscall("mremap", to), o.Munmap(mapping.handle)])
    expect.equal("address of the moved mapping", moved.ret, room.address + offset)


@checks(rules.MAP_BAR, rules.MAP_LOCKS, rules.MAP_PINS)
@pytest.mark.parametrize("layout", ["bar-memory", "memory-bar", "memory-bar-memory", "bar-bar"])
def test_a_bar_and_memory_in_one_mapping(
    port: Port,
    v2: Container,
    bar: Region,
    base: int,
    page: int,
    locked: Counter,
    pinned: Counter,
    layout: str,
    promised: Promised,
) -> None:
    """One behind the other in the process: only the memory is locked and pinned, and given back."""
    parts, size = layout.split("-"), PART * page
    if int(bar.info.size) < size:
        pytest.skip("the BAR is too small: judge one of four pages")
    with Memory(port, len(parts) * size, fill=9) as room:
        for n, part in enumerate(parts):
            if part == "bar":
                placed(port, bar.map(size), room, n * size)
        memory = parts.count("memory")
        for _ in range(2):
            call = v2.try_map(room, base, room.size)
            expect.accepted(call, promised(rules.MAP_BAR))
            expect.equal("bytes locked", locked(), memory * size)
            expect.equal("pages pinned", pinned(), memory * PART)
            expect.equal("bytes unmapped", v2.unmapped(base, room.size), room.size)
            expect.equal("bytes locked afterwards", locked(), 0)
            expect.equal("pages pinned afterwards", pinned(), 0)
