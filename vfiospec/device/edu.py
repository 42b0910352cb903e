# SPDX-License-Identifier: MIT
"""QEMU's "edu" device (docs/specs/edu.rst): interrupts and DMA at our word.

Its registers take accesses of 4 bytes; from 0x80 on, of 4 or 8.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from vfiospec.abi import pci, vfio
from vfiospec.device.device import Device
from vfiospec.device.interrupt import Interrupt

IDS: Final = (0x1234, 0x11E8)  # vendor, device
ID_REGISTER: Final = 0x00
LIVENESS: Final = 0x04  # reads as the complement of what was written
FACTORIAL: Final = 0x08
STATUS: Final = 0x20
IRQ_STATUS: Final = 0x24
RAISE: Final = 0x60
ACKNOWLEDGE: Final = 0x64
DMA_FROM, DMA_TO, DMA_COUNT, DMA_COMMAND = 0x80, 0x88, 0x90, 0x98
DMA_BUFFER: Final = 0x40000  # address of the device's own 4096 bytes, as DMA_FROM or DMA_TO
BUFFER_SIZE: Final = 4096
START: Final = 1  # of DMA_COMMAND: reads as 1 until the transfer is done
_FROM_DEVICE, _INTERRUPT = 2, 4


def transfer(
    source: int, target: int, size: int, *, from_device: bool
) -> tuple[tuple[int, int], ...]:
    """The registers, of 8 bytes each, that begin a transfer when written in this order."""
    command = START | (_FROM_DEVICE if from_device else 0)
    return (
        (DMA_FROM, source), (DMA_TO, target), (DMA_COUNT, size), (DMA_COMMAND, command)
    )  # fmt: skip


class Edu:
    """The device behind a device fd; accesses go through BAR 0 by pread(2) and pwrite(2)."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.bar = device.region(0)

    def enable(self, *, bus_master: bool = True) -> None:
        """Let it decode memory and, for MSI and DMA, be bus master."""
        command = self.device.read_config(pci.PCI_COMMAND, 2) | pci.PCI_COMMAND_MEMORY
        command &= ~pci.PCI_COMMAND_MASTER
        command |= pci.PCI_COMMAND_MASTER if bus_master else 0
        self.device.write_config(pci.PCI_COMMAND, 2, command)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Awake for a while; then quiet, its interrupts off, its command register as before."""
        before = self.device.read_config(pci.PCI_COMMAND, 2)
        self.enable()
        self.acknowledge()
        try:
            yield
        finally:
            self.enable()
            self.acknowledge()
            for index in (vfio.VFIO_PCI_INTX_IRQ_INDEX, vfio.VFIO_PCI_MSI_IRQ_INDEX):
                Interrupt(self.device, index).try_off()
            self.device.write_config(pci.PCI_COMMAND, 2, before)

    def hold_back(self, *, disable: bool) -> None:
        """Write the Interrupt Disable bit of its command register, through vfio-pci."""
        command = self.device.read_config(pci.PCI_COMMAND, 2) & ~pci.PCI_COMMAND_INTX_DISABLE
        command |= pci.PCI_COMMAND_INTX_DISABLE if disable else 0
        self.device.write_config(pci.PCI_COMMAND, 2, command)

    def is_held_back(self) -> bool:
        """The Interrupt Disable bit as vfio-pci shows it."""
        command = self.device.read_config(pci.PCI_COMMAND, 2)
        return bool(command & pci.PCI_COMMAND_INTX_DISABLE)

    def raise_interrupt(self, bits: int = 1) -> None:
        """Set bits of its interrupt status: INTx is asserted, or MSI is sent."""
        self.bar.write(RAISE, 4, bits)

    def acknowledge(self, bits: int = 0xFFFFFFFF) -> None:
        """Clear bits of its interrupt status; none left: INTx is released."""
        self.bar.write(ACKNOWLEDGE, 4, bits)

    def status(self) -> int:
        """Its interrupt status."""
        return self.bar.read(IRQ_STATUS, 4)

    def start_dma(self, source: int, target: int, size: int, *, from_device: bool) -> None:
        """Begin a transfer; one of the addresses is the device's DMA_BUFFER. It takes 0.1 s."""
        for register, value in transfer(source, target, size, from_device=from_device):
            self.bar.write(register, 8, value)

    def dma_done(self, seconds: float = 5.0) -> bool:
        """Wait until no transfer is under way."""
        end = time.monotonic() + seconds
        while self.bar.read(DMA_COMMAND, 4) & START:
            if time.monotonic() > end:
                return False
        return True

    def write_memory(self, iova: int, size: int) -> bool:
        """DMA from its buffer to `iova`; False if it did not end in time."""
        self.start_dma(DMA_BUFFER, iova, size, from_device=True)
        return self.dma_done()

    def read_memory(self, iova: int, size: int) -> bool:
        """DMA from `iova` into its buffer; False if it did not end in time."""
        self.start_dma(iova, DMA_BUFFER, size, from_device=False)
        return self.dma_done()
