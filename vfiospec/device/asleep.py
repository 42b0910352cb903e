# SPDX-License-Identifier: MIT
"""What D3hot does to a device that is reset on its way back to D0, done to one that is not.

No emulated device loses anything there, though some say that they do.
"""

from vfiospec.abi import pci as regs
from vfiospec.device.files import File
from vfiospec.device.ops import Pwrite
from vfiospec.device.pci import SYSFS, PciDevice
from vfiospec.device.port import Port

_OTHER = 0x30  # bits of a cache line size


def keeps_its_state(pci: PciDevice) -> bool:
    """The device says that it comes back from D3hot with all that it had."""
    control = pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL
    return bool(pci.u16(control) & regs.PCI_PM_CTRL_NO_SOFT_RESET)


def change_behind(port: Port, bdf: str) -> int:
    """Give a device another cache line size without a word to vfio-pci; the one it has then."""
    line = PciDevice(port, bdf).u8(regs.PCI_CACHE_LINE_SIZE) ^ _OTHER
    with File.open(port, f"{SYSFS}/{bdf}/config") as config:
        port.do(Pwrite(config.handle, bytes([line]), regs.PCI_CACHE_LINE_SIZE))
    return line


def lose_state(port: Port, pci: PciDevice) -> None:
    """Take from a device in D3hot what it may lose there; one that says it loses nothing stays."""
    if not keeps_its_state(pci):
        change_behind(port, pci.bdf)
