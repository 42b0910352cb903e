# SPDX-License-Identifier: MIT
"""Threads that call at once. The oracle: answers each could give alone, and the state afterwards.

That the kernel stays quiet is asserted after every test of the suites.
"""

import errno
import signal
from collections.abc import Callable, Iterable, Sequence

import pytest

from vfiospec import expect
from vfiospec.abi import pci, vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device import ops as o
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, Memory
from vfiospec.device.group import Assigned
from vfiospec.device.port import Port
from vfiospec.device.scratch import decode_memory
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import lifetime as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Promised = Callable[[Rule], int]
OPENS = 8
ROUNDS = 60
OK = 0
SIGBUS = -100 - signal.SIGBUS
TRIGGER = vfio.VFIO_IRQ_SET_ACTION_TRIGGER
SET = vfio.VFIO_IRQ_SET_DATA_EVENTFD | TRIGGER
OFF = vfio.VFIO_IRQ_SET_DATA_NONE | TRIGGER
REQ, INTX = vfio.VFIO_PCI_REQ_IRQ_INDEX, vfio.VFIO_PCI_INTX_IRQ_INDEX
IOVA = 0x200000


def race(
    port: Port,
    programs: Sequence[Sequence[o.AnyOp]],
    allowed: Sequence[set[int]],
    *,
    rounds: int = ROUNDS,
) -> None:
    """Run the programs at once; each operation of a program gives only these errnos."""
    values = port.do(o.Race(tuple(tuple(p) for p in programs), rounds)).values
    for at in range(0, len(values), 5):
        program, operation, ret, number, count = values[at : at + 5]
        expect.holds(
            number in allowed[program],
            f"program {program} answers {names(allowed[program])}",
            f"operation {operation} of program {program} gave {ret}, {names([number])}, "
            f"{count} times",
        )
    total = sum(values[at + 4] for at in range(0, len(values), 5))
    expect.equal("operations made", total, rounds * sum(map(len, programs)))


def names(numbers: Iterable[int]) -> str:
    """Errnos as words."""
    return ", ".join(
        signal.Signals(-100 - n).name if n < -100 else errno.errorcode.get(n, str(n))
        for n in numbers
    )


def set_irqs(device: Device, index: int, flags: int, event: EventFd | None) -> o.AnyOp:
    """A SET_IRQS of vector 0, with an eventfd or without a count."""
    head = vfio.vfio_irq_set.sizeof()
    request = vfio.vfio_irq_set(head + (4 if event else 0), flags, index, 0, 1 if event else 0)
    fixups = (event.fixup(head),) if event else ()
    data = request.pack() + (bytes(4) if event else b"")
    return o.Ioctl(device.handle, vfio.VFIO_DEVICE_SET_IRQS, 0, data, fixups)


@checks(rules.THREADS)
@devices("intx")
def test_interrupts_set_up_and_torn_down(device: Device, port: Port) -> None:
    """Turning INTx on replaces or begins; turning it off finds it on or off already."""
    with EventFd.create(port) as event, EventFd.create(port) as other:
        on, again = (set_irqs(device, INTX, SET, e) for e in (event, other))
        off = set_irqs(device, INTX, OFF, None)
        race(port, [[on, off], [again, off], [off]], [{OK, errno.EINVAL}] * 3)
        port.do(off)
        expect.accepted(device.try_set_irqs(INTX, SET, 0, 1, eventfds=(event,)))
        event.count()
        expect.accepted(device.try_set_irqs(INTX, OFF, 0, 1))
        expect.equal("signals afterwards", event.count(), 1)
        expect.accepted(device.try_set_irqs(INTX, OFF))


@checks(rules.THREADS)
def test_the_request_eventfd_exchanged(device: Device, port: Port) -> None:
    """Each exchange succeeds, and each signal reaches one of the two."""
    with EventFd.create(port) as event, EventFd.create(port) as other:
        on, again = (set_irqs(device, REQ, SET, e) for e in (event, other))
        fire = o.Ioctl(
            device.handle, vfio.VFIO_DEVICE_SET_IRQS, 0,
            vfio.vfio_irq_set(vfio.IRQ_SET_MIN, OFF, REQ, 0, 1).pack(),
        )  # fmt: skip
        port.do(on)
        race(port, [[on], [again], [fire]], [{OK}] * 3)
        expect.equal("signals", event.count() + other.count(), ROUNDS)
        expect.accepted(device.try_set_irqs(REQ, SET, 0, 1, eventfds=(-1,)))


@checks(rules.THREADS)
def test_memory_mapped_and_unmapped(assigned: Assigned, port: Port, page: int) -> None:
    """A range is mapped or it is not; afterwards as many mappings are free as before."""
    container = assigned.container
    with Memory(port, 2 * page) as memory:
        request = iommu.vfio_iommu_type1_dma_map
        flags = iommu.VFIO_DMA_MAP_FLAG_READ
        maps = o.Ioctl(
            container.handle, iommu.VFIO_IOMMU_MAP_DMA, 0,
            request(iommu.DMA_MAP_MIN, flags, 0, IOVA, memory.size).pack(),
            (memory.fixup(request.offset_of("vaddr")),),
        )  # fmt: skip
        unmaps = o.Ioctl(
            container.handle, iommu.VFIO_IOMMU_UNMAP_DMA, 0,
            iommu.vfio_iommu_type1_dma_unmap(iommu.DMA_UNMAP_MIN, 0, IOVA, memory.size).pack(),
        )  # fmt: skip
        before = container.get_iommu_info().raw
        race(
            port,
            [[maps], [maps], [unmaps], [unmaps, maps]],
            [{OK, errno.EEXIST}, {OK, errno.EEXIST}, {OK}, {OK, errno.EEXIST}],
        )
        port.do(unmaps)
        expect.equal("info of type1", container.get_iommu_info().raw.hex(), before.hex())
        expect.accepted(container.try_map(memory, IOVA, memory.size))
        expect.equal("bytes unmapped", container.unmapped(IOVA, memory.size), memory.size)


@checks(rules.THREADS)
@devices("irq-stimulus")
def test_memory_switched_off_under_reads(device: Device, port: Port, page: int) -> None:
    """A read finds memory on, or fails; a load finds it on, or faults. Then all work again."""
    bar = device.region(0)
    config = device.region(vfio.VFIO_PCI_CONFIG_REGION_INDEX)
    command = device.read_config(pci.PCI_COMMAND, 2) | pci.PCI_COMMAND_MEMORY
    at = int(config.info.offset) + pci.PCI_COMMAND
    off, on = (
        o.Pwrite(device.handle, value.to_bytes(2, "little"), at)
        for value in (command & ~pci.PCI_COMMAND_MEMORY, command)
    )
    with bar.map(page) as mapping:
        load = o.Load(mapping.at(0), 4)
        read = o.Pread(device.handle, 4, int(bar.info.offset))
        try:
            race(
                port,
                [[off, on], [read], [load], [load]],
                [{OK}, {OK, errno.EIO}, {OK, SIGBUS}, {OK, SIGBUS}],
            )
        finally:
            port.do(on)
        expect.equal("register by the mapping", mapping.load(0, 4).value, bar.read(0, 4))


@checks(rules.THREADS)
@devices("flr")
def test_a_device_reset_under_reads(device: Device, port: Port) -> None:
    """Reads and resets exclude each other."""
    device.write_config(
        pci.PCI_COMMAND, 2, device.read_config(pci.PCI_COMMAND, 2) | pci.PCI_COMMAND_MEMORY
    )
    bar = device.region(0)
    reset = o.Ioctl(device.handle, vfio.VFIO_DEVICE_RESET)
    read = o.Pread(device.handle, 4, int(bar.info.offset))
    info = o.Ioctl(
        device.handle, vfio.VFIO_DEVICE_GET_INFO, 0,
        vfio.vfio_device_info(vfio.DEVICE_INFO_MIN).pack(),
    )  # fmt: skip
    expect.accepted(bar.try_read(0, 4), 4)  # of first reads at once there is another test
    values = port.do(o.Race(((reset,), (read, info), (read,)), 3)).values
    answers = {(values[i], values[i + 3]) for i in range(0, len(values), 5)}
    expect.equal("answers", answers, {(0, OK), (1, OK), (2, OK)})


@checks(rules.THREADS)
@pytest.mark.parametrize("threads", [2, 6], ids="threads-{}".format)
def test_a_device_opened_and_closed(
    assigned: Assigned, port: Port, spec: BenchDevice, threads: int
) -> None:
    """Each thread gets an fd of its own, closes it, and the device stays as it was."""
    name = spec.bdf.encode() + b"\0"
    programs: list[list[o.AnyOp]] = []
    for _ in range(threads):
        handle = port.handle()
        get = o.Ioctl(
            assigned.group.handle, vfio.VFIO_GROUP_GET_DEVICE_FD, 0, name, (), None, handle
        )
        programs.append([get, o.Close(handle)])
    race(port, programs, [{OK}] * threads)
    with assigned.open(spec.bdf) as device:
        device.get_info()


@checks(rules.FIRST_READS)
@devices("irq-stimulus")
def test_first_reads_of_a_bar(
    closed: int, port: Port, spec: BenchDevice, promised: Promised
) -> None:
    """One after another each succeeds; at once, those that are not the first may not."""
    own = Assigned(port, closed)
    allowed = {OK, promised(rules.FIRST_READS)}
    try:
        for _ in range(OPENS):
            with own.open(spec.bdf) as device:
                decode_memory(device)
                read = o.Pread(device.handle, 4, int(device.region(0).info.offset))
                race(port, [[read]] * 4, [allowed] * 4, rounds=1)
                expect.accepted(device.region(0).try_read(0, 4), 4)
    finally:
        own.close()
