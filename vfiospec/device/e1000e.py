# SPDX-License-Identifier: MIT
"""Intel's 82574L network card ("e1000e"): MSI-X interrupts at our word, each on a vector of choice.

Registers and bits are named as in the 82574 data sheet, chapter 10.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from vfiospec.abi import pci, vfio
from vfiospec.device.device import Device
from vfiospec.device.interrupt import Interrupt

IDS: Final = (0x8086, 0x10D3)
VECTORS: Final = 5
ICR, ICS, IMS, IMC, IVAR, EITR = 0xC0, 0xC8, 0xD0, 0xD8, 0xE4, 0xE8
_CAUSES: Final = (1 << 20, 1 << 21, 1 << 22, 1 << 23, 1 << 24)  # RXQ0, RXQ1, TXQ0, TXQ1, OTHER
_VALID: Final = 8  # of a field of IVAR, 4 bits for each cause


class E1000e:
    """The device behind a device fd; accesses go through BAR 0 by pread(2) and pwrite(2)."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.bar = device.region(vfio.VFIO_PCI_BAR0_REGION_INDEX)

    def start(self) -> None:
        """Let cause N interrupt by vector N, without a pause between two of them."""
        command = self.device.read_config(pci.PCI_COMMAND, 2)
        command |= pci.PCI_COMMAND_MEMORY | pci.PCI_COMMAND_MASTER
        self.device.write_config(pci.PCI_COMMAND, 2, command)
        self.bar.write(IMC, 4, 0xFFFFFFFF)
        self.bar.read(ICR, 4)
        for vector in range(VECTORS):
            self.bar.write(EITR + 4 * vector, 4, 0)
        self.bar.write(IVAR, 4, sum((_VALID | n) << 4 * n for n in range(VECTORS)))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Awake for a while; then quiet, MSI-X off, its command register as before."""
        before = self.device.read_config(pci.PCI_COMMAND, 2)
        self.start()
        try:
            yield
        finally:
            self.start()
            Interrupt(self.device, vfio.VFIO_PCI_MSIX_IRQ_INDEX).try_off()
            self.device.write_config(pci.PCI_COMMAND, 2, before)

    def interrupt(self, vector: int) -> None:
        """Send the message of a vector."""
        cause = _CAUSES[vector]
        self.bar.write(IMC, 4, 0xFFFFFFFF)
        self.bar.write(ICR, 4, 0xFFFFFFFF)
        self.bar.write(IMS, 4, cause)
        self.bar.write(ICS, 4, cause)
