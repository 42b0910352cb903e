# SPDX-License-Identifier: MIT
"""Registers of well-known devices that keep what is written to them until the device is reset.

Without one there is no telling from outside whether a reset reached the device.
"""

from dataclasses import dataclass
from typing import Final

from vfiospec.abi import pci
from vfiospec.device.device import Device


@dataclass(frozen=True)
class Scratch:
    """A register that reads 0 after a reset, and `value` once that is written. Memory space."""

    bar: int
    offset: int
    width: int
    value: int

    def read(self, device: Device) -> int:
        """What it holds."""
        return device.region(self.bar).read(self.offset, self.width)

    def write(self, device: Device, value: int) -> None:
        """Set it."""
        device.region(self.bar).write(self.offset, self.width, value)


# By vendor and device.
_KNOWN: Final = {
    (0x8086, 0x10D3): Scratch(0, 0x3800, 4, 0x12340),  # 82574L: TDBAL, base of the send queue
    (0x1B36, 0x0010): Scratch(0, 0x14, 4, 0x460000),  # NVMe: CC, with EN left clear
    (0x1AF4, 0x1044): Scratch(4, 0x14, 1, 0x1),  # virtio-rng: device_status, ACKNOWLEDGE
}


def scratch_of(ids: tuple[int, int]) -> Scratch | None:
    """The register of a device with this vendor and device number; None if none is known."""
    return _KNOWN.get(ids)


def decode_memory(device: Device, *, on: bool = True) -> int:
    """Have the device decode memory, or not; the command register as it was."""
    before = device.read_config(pci.PCI_COMMAND, 2)
    command = before & ~pci.PCI_COMMAND_MEMORY
    device.write_config(pci.PCI_COMMAND, 2, command | (pci.PCI_COMMAND_MEMORY if on else 0))
    return before
