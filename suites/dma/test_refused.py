# SPDX-License-Identifier: MIT
"""A device reaches nothing that it was not given. The IOMMU's reports in the log are expected."""

from typing import TYPE_CHECKING

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.access import Attach, Mappings
from vfiospec.device.edu import DMA_BUFFER, Edu
from vfiospec.device.files import Memory
from vfiospec.device.group import Group
from vfiospec.device.ways import Way
from vfiospec.device.ways import attach as open_way
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import dma as rules
from vfiospec.session.marks import checks, devices
from vfiospec.session.run import Run

if TYPE_CHECKING:
    from suites.dma.conftest import GroupStage, Stage

READ, WRITE = iommu.VFIO_DMA_MAP_FLAG_READ, iommu.VFIO_DMA_MAP_FLAG_WRITE
BASE, SPARE = 1 << 20, 1 << 19  # the device has 28 bits of address
PATTERN = bytes(range(1, 241))
SIZE = len(PATTERN)
FIRST = 0x10  # what the first page of the memory is filled with


def load(edu: Edu, mappings: Mappings, pattern: bytes = PATTERN) -> None:
    """Fill the device's buffer with a pattern, from memory that is gone afterwards."""
    page = mappings.page_size()
    with Memory(mappings.port, page) as source:
        source.write(0, pattern)
        mappings.map(source, SPARE, page, READ)
        expect.holds(edu.read_memory(SPARE, len(pattern)), "the transfer ends", "it does not")
        mappings.unmapped(SPARE, page)


def loaded(edu: Edu, mappings: Mappings) -> bytes:
    """What the device's buffer holds."""
    page = mappings.page_size()
    with Memory(mappings.port, page) as target:
        mappings.map(target, SPARE, page, WRITE)
        expect.holds(edu.write_memory(SPARE, SIZE), "the transfer ends", "it does not")
        mappings.unmapped(SPARE, page)
        return target.read(0, SIZE)


def intact(memory: Memory, page: int) -> None:
    """Nothing was written to the first two pages."""
    data = memory.read(0, 2 * page)
    expect.equal("first page", set(data[:page]), {FIRST})
    expect.equal("second page", set(data[page:]), {FIRST + 1})


@checks(rules.READ_ONLY)
@devices("dma-stimulus")
def test_a_mapping_for_reading_is_not_written_to(stage: "Stage", memory: Memory, page: int) -> None:
    """Nor is what is mapped for both beside it spared."""
    stage.mappings.map(memory, BASE, page, READ)
    stage.mappings.map(memory.at(2 * page), BASE + page, page, READ | WRITE)
    load(stage.edu, stage.mappings)
    stage.edu.write_memory(BASE, SIZE)
    intact(memory, page)
    stage.edu.write_memory(BASE + page, SIZE)
    expect.equal("the page beside", memory.read(2 * page, SIZE), PATTERN)
    intact(memory, page)


@checks(rules.WRITE_ONLY)
@devices("dma-stimulus")
def test_a_mapping_for_writing_is_not_read_from(stage: "Stage", memory: Memory, page: int) -> None:
    """The device does not get to know a byte of it; but it writes there."""
    stage.mappings.map(memory, BASE, page, WRITE)
    load(stage.edu, stage.mappings)
    stage.edu.read_memory(BASE, SIZE)
    got = loaded(stage.edu, stage.mappings)
    expect.equal("bytes of the memory in the device", got.count(FIRST), 0)
    load(stage.edu, stage.mappings)
    stage.edu.write_memory(BASE, SIZE)
    expect.equal("bytes written", memory.read(0, SIZE), PATTERN)


@checks(rules.UNMAPPED)
@devices("dma-stimulus")
def test_what_was_unmapped_is_not_reached(stage: "Stage", memory: Memory, page: int) -> None:
    """Though it was used before, and its neighbour still is: the IOMMU may not remember it."""
    stage.mappings.map(memory, BASE, page)
    stage.mappings.map(memory.at(2 * page), BASE + page, page)
    load(stage.edu, stage.mappings)
    stage.edu.write_memory(BASE, SIZE)
    expect.equal("bytes before", memory.read(0, SIZE), PATTERN)
    memory.write(0, bytes([FIRST]) * page)
    stage.mappings.unmapped(BASE, page)
    stage.edu.write_memory(BASE, SIZE)
    intact(memory, page)
    stage.edu.write_memory(BASE + page, SIZE)
    expect.equal("the neighbour", memory.read(2 * page, SIZE), PATTERN)


@checks(rules.UNMAPPED)
@devices("dma-stimulus")
def test_what_is_unmapped_during_a_transfer_is_not_reached(
    stage: "Stage", memory: Memory, page: int
) -> None:
    """The device takes a while before it moves anything."""
    stage.mappings.map(memory, BASE, 2 * page)
    load(stage.edu, stage.mappings)
    stage.edu.start_dma(DMA_BUFFER, BASE + page - 100, SIZE, from_device=True)
    expect.equal("bytes unmapped", stage.mappings.unmapped(BASE, 2 * page), 2 * page)
    expect.holds(stage.edu.dma_done(), "the transfer ends", "it does not")
    intact(memory, page)


@checks(rules.UNMAPPED)
@devices("dma-stimulus")
def test_a_failed_mapping_is_not_reached(stage: "Stage", memory: Memory, page: int) -> None:
    """What was mapped before the hole in its memory was found."""
    guarded = Memory(stage.mappings.port, page, fill=FIRST, guard=True)
    with guarded:
        load(stage.edu, stage.mappings)
        call = stage.mappings.try_map(guarded, BASE, 2 * page)
        expect.holds(not call.ok, "refused", str(call))
        stage.edu.write_memory(BASE, SIZE)
        expect.equal("the memory", set(guarded.read(0, page)), {FIRST})
    intact(memory, page)


@checks(rules.BUS_MASTER)
@devices("dma-stimulus")
def test_who_is_not_bus_master_reaches_nothing(
    stage: "Stage", memory: Memory, page: int, spec: BenchDevice
) -> None:
    """When the bit is cleared, and after the device was opened anew."""
    stage.mappings.map(memory, BASE, 2 * page)
    load(stage.edu, stage.mappings)
    stage.edu.enable(bus_master=False)
    stage.edu.write_memory(BASE, SIZE)
    intact(memory, page)
    stage.edu.enable()
    stage.device.close()
    stage.device = stage.assigned.open(spec.bdf)
    stage.edu = Edu(stage.device)
    stage.edu.write_memory(BASE, SIZE)
    intact(memory, page)


@checks(rules.CLOSED)
@devices("dma-stimulus")
@pytest.mark.parametrize("how", ["device-first", "device-last"])
def test_after_close_nothing_is_reached(
    attach: Attach, spec: BenchDevice, memory: Memory, page: int, how: str
) -> None:
    """A transfer that was begun moves nothing; nor does one with the group attached elsewhere."""
    assigned = attach()
    device = assigned.open(spec.bdf)
    edu = Edu(device)
    edu.enable()
    assigned.mappings.map(memory, BASE, 2 * page)
    load(edu, assigned.mappings)
    edu.start_dma(DMA_BUFFER, BASE, SIZE, from_device=True)
    if how == "device-first":
        device.close()
        assigned.close()
    else:
        assigned.close()
        device.close()
    again = attach()
    reopened = again.open(spec.bdf)
    try:
        edu = Edu(reopened)
        edu.enable(bus_master=False)
        expect.holds(edu.dma_done(), "the transfer ends", "it does not")
        edu.enable()
        edu.write_memory(BASE, SIZE)
        intact(memory, page)
    finally:
        reopened.close()
        again.close()


def another(run: Run, spec: BenchDevice) -> BenchDevice:
    """A second device of the kind, in another group."""
    for device in run.devices:
        same = (device.vendor, device.device) == (spec.vendor, spec.device)
        if same and device.group != spec.group:
            return device
    pytest.skip("one such device only: `vfiospec topologies` shows which has two")


@checks(rules.GROUPS)
@devices("dma-stimulus")
def test_each_group_reaches_the_mappings_of_the_container(
    group_stage: "GroupStage", run: Run, spec: BenchDevice, memory: Memory, page: int
) -> None:
    """Made before it came and after; when it leaves, the other one still does."""
    stage = group_stage
    other = another(run, spec)
    number = run.give_up(other)
    stage.mappings.map(memory, BASE, page)
    load(stage.edu, stage.mappings)
    with Group.of(stage.mappings.port, number) as group:
        expect.accepted(group.try_set_container(stage.container))
        stage.mappings.map(memory.at(2 * page), BASE + page, page)
        with group.get_device_fd(other.bdf) as device:
            second = Edu(device)
            second.enable()
            for where in (0, 2 * page):
                second.read_memory(BASE + where // 2, SIZE)
                got = loaded(second, stage.mappings)
                wanted = memory.read(where, SIZE)
                expect.equal(f"read by the second from {where:#x}", got, wanted)
            stage.edu.write_memory(BASE + page, SIZE)
            expect.equal("written by the first", memory.read(2 * page, SIZE), PATTERN)
        expect.accepted(group.try_unset_container())
    stage.edu.write_memory(BASE, SIZE)
    expect.equal("written by the first, alone", memory.read(0, SIZE), PATTERN)


@checks(rules.GROUPS)
@devices("dma-stimulus")
def test_a_group_that_left_reaches_nothing(
    stage: "Stage", run: Run, spec: BenchDevice, reached_by: Way, memory: Memory, page: int
) -> None:
    """It is elsewhere, where nothing is mapped there."""
    other = another(run, spec)
    stage.mappings.map(memory, BASE, page)
    elsewhere = open_way(reached_by, run.port, run.give_up(other))
    device = elsewhere.open(other.bdf)
    try:
        second = Edu(device)
        second.enable()
        load(second, elsewhere.mappings)
        second.write_memory(BASE, SIZE)
        intact(memory, page)
    finally:
        device.close()
        elsewhere.close()
