# SPDX-License-Identifier: MIT
"""A device without an IOMMU, opened by its group: it does what any other does, and reaches all."""

from collections.abc import Callable

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.edu import BUFFER_SIZE, Edu
from vfiospec.device.files import EventFd, Memory
from vfiospec.device.noiommu import NoIommu, physical
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import noiommu as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Promised = Callable[[Rule], int]
OPENED = "vfio-noiommu device opened by user"
LOCKED = 64  # bytes of a DMA


@checks(rules.DEVICE)
@devices()
def test_information(opened: Device, pci: PciDevice) -> None:
    """Regions as sysfs has them, five interrupts, its configuration."""
    info = opened.get_info().struct
    expect.equal("regions", info.num_regions, vfio.VFIO_PCI_NUM_REGIONS)
    expect.equal("interrupts", info.num_irqs, vfio.VFIO_PCI_NUM_IRQS)
    for index, bar in enumerate(pci.bars[:6]):
        size = opened.region(index).info.size
        expect.equal(f"size of region {index}", size, bar.size)
    expect.equal("ids", opened.read_config(0, 4), pci.u32(0))


@checks(rules.DEVICE)
@devices("irq-stimulus")
def test_an_interrupt(opened: Device, port: Port) -> None:
    """MSI arrives: there is nothing that would have to isolate it."""
    edu = Edu(opened)
    trigger = vfio.VFIO_IRQ_SET_DATA_EVENTFD | vfio.VFIO_IRQ_SET_ACTION_TRIGGER
    with EventFd.create(port) as event, edu.in_use():
        call = opened.try_set_irqs(vfio.VFIO_PCI_MSI_IRQ_INDEX, trigger, 0, 1, eventfds=(event,))
        expect.accepted(call)
        edu.raise_interrupt()
        expect.holds(event.wait(2000), "the eventfd signalled", "nothing within 2 s")


@checks(rules.DMA)
@devices("dma-stimulus")
def test_dma_reaches_physical_memory(opened: Device, four_pages: Memory, page: int) -> None:
    """Written by the device where the page of a process lies, and read from there."""
    edu = Edu(opened)
    pattern = bytes(range(1, LOCKED + 1))
    with edu.in_use():
        four_pages.write(page, pattern)
        source, target = physical(four_pages, page), physical(four_pages, 2 * page)
        expect.holds(edu.read_memory(source, LOCKED), "the transfer ended", "it did not")
        expect.holds(edu.write_memory(target, LOCKED), "the transfer ended", "it did not")
    expect.equal("memory", four_pages.read(2 * page, LOCKED), pattern)
    expect.equal("memory behind", four_pages.read(2 * page + LOCKED, 16), b"\x5a" * 16)
    expect.holds(LOCKED < BUFFER_SIZE, "a transfer within its buffer", f"{LOCKED} bytes")


@checks(rules.TOLD)
@devices()
def test_who_opens_it_is_told(own: NoIommu, spec: BenchDevice, log: Callable[[], str]) -> None:
    """Of each fd, by the device's name."""
    for _ in range(2):
        log()
        with own.group.get_device_fd(spec.bdf):
            told = [line for line in log().splitlines() if OPENED in line]
        expect.equal("lines", [spec.bdf in line for line in told], [True])
