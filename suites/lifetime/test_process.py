# SPDX-License-Identifier: MIT
"""Processes that end with devices open, memory mapped and pinned."""

import os
import signal

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.container import pinned_pages
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, Memory
from vfiospec.device.group import Assigned
from vfiospec.device.ops import Close, Fork, Open, Wait
from vfiospec.device.pci import ROM
from vfiospec.device.port import ForkedPort, Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import lifetime as rules
from vfiospec.session.marks import checks

IOVA, PAGES = 0x100000, 4
REQ = vfio.VFIO_PCI_REQ_IRQ_INDEX
SET = vfio.VFIO_IRQ_SET_DATA_EVENTFD | vfio.VFIO_IRQ_SET_ACTION_TRIGGER
FIRE = vfio.VFIO_IRQ_SET_DATA_NONE | vfio.VFIO_IRQ_SET_ACTION_TRIGGER


@checks(rules.PROCESS_END)
@pytest.mark.parametrize("by", [0, signal.SIGKILL], ids=["exit", "kill"])
def test_the_end_of_a_process_gives_everything_back(
    closed: int, port: Port, spec: BenchDevice, page: int, by: int
) -> None:
    """Its pages are pinned no more, and the next one can open, set up and map the same."""
    before = pinned_pages(port)
    if before is None:
        pytest.skip("/proc/vmstat does not count pinned pages: judge a kernel from 5.7 on")
    process = port.handle()
    port.do(Fork(process))
    child = ForkedPort(port, process)
    use(child, closed, spec.bdf, page)
    expect.equal("pages pinned", pinned_pages(port), before + PAGES)
    port.do(Wait(process, by))
    expect.equal("pages pinned after its end", pinned_pages(port), before)
    assigned = Assigned(port, closed)
    try:
        with assigned.open(spec.bdf) as device:
            fired = device.try_set_irqs(REQ, FIRE, 0, 1)
            expect.holds(not fired.ok, "no interrupt is on", str(fired))
            with Memory(port, PAGES * page) as memory:
                expect.accepted(assigned.container.try_map(memory, IOVA, memory.size))
                size = assigned.container.unmapped(IOVA, memory.size)
                expect.equal("bytes unmapped", size, memory.size)
    finally:
        assigned.close()


def use(port: Port, group: int, bdf: str, page: int) -> None:
    """Open a device, set up an interrupt, map memory."""
    assigned = Assigned(port, group)
    device = assigned.open(bdf)
    event = EventFd.create(port)
    expect.accepted(device.try_set_irqs(REQ, SET, 0, 1, eventfds=(event,)))
    memory = Memory(port, PAGES * page)
    expect.accepted(assigned.container.try_map(memory, IOVA, memory.size))


@checks(rules.PROCESS_END)
@pytest.mark.parametrize("by", [0, signal.SIGKILL], ids=["exit", "kill"])
def test_what_a_process_had_unmapped_keeps_nothing_of_it(
    closed: int, port: Port, spec: BenchDevice, page: int, by: int
) -> None:
    """Neither its memory nor the BAR it had mapped there: its group can be opened again."""
    process = port.handle()
    port.do(Fork(process))
    child = ForkedPort(port, process)
    assigned = Assigned(child, closed)
    device = assigned.open(spec.bdf)
    regions = [device.region(index) for index in range(ROM)]
    mapped = [r.map(page) for r in regions if r.info.flags & vfio.VFIO_REGION_INFO_FLAG_MMAP]
    memory = Memory(child, PAGES * page)
    assigned.container.map(memory, IOVA, memory.size)
    size = assigned.container.unmapped(IOVA, memory.size)
    port.do(Wait(process, by))
    expect.equal("bytes unmapped", size, memory.size)
    if not mapped:
        pytest.skip("no region of the device can be mapped")
    handle = port.handle()
    reply = port.do(Open(handle, f"/dev/vfio/{closed}", os.O_RDWR | os.O_CLOEXEC))
    expect.equal("errno of opening the group", reply.errno, 0)
    port.do(Close(handle))


@checks(rules.LAST_CLOSE)
def test_a_child_keeps_a_device_alive(closed: int, port: Port, spec: BenchDevice) -> None:
    """What its parent set up and closed works for the child that inherited it."""
    assigned = Assigned(port, closed)
    device = assigned.open(spec.bdf)
    event = EventFd.create(port)
    expect.accepted(device.try_set_irqs(REQ, SET, 0, 1, eventfds=(event,)))
    process = port.handle()
    port.do(Fork(process))
    child = ForkedPort(port, process)
    device.close()
    assigned.close()
    try:
        inherited = Device(child, device.handle)
        expect.accepted(inherited.try_set_irqs(REQ, FIRE, 0, 1))
        expect.equal("signals", event.count(), 1)
    finally:
        port.do(Wait(process))
        event.close()
