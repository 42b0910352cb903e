# SPDX-License-Identifier: MIT
"""mtty, a mediated sample device that migrates: an open serial card, and the state it carries."""

from vfiospec.device import mig_oracle as oracle
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned
from vfiospec.device.mdev import Mdev
from vfiospec.device.migration import Migration, Transfer
from vfiospec.device.uart import KEPT, Uart

OPTION = "CONFIG_SAMPLE_VFIO_MDEV_MTTY"


class Serial:
    """An instance of mtty that is open, with its migration."""

    def __init__(self, mdev: Mdev, assigned: Assigned, memory: Memory) -> None:
        """Open it, in the process of `memory`."""
        self.mdev = mdev
        self.assigned = assigned
        self.device = assigned.open(mdev.name)
        self.migration = Migration(self.device, memory)
        self.device.get_info()  # mtty answers GET_IRQ_INFO only after that

    def uart(self, index: int = 0) -> Uart:
        """One of its ports."""
        return Uart(self.device.region(index))

    def reopen(self) -> None:
        """Close the only fd of the device and open it again."""
        self.device.close()
        self.device = self.assigned.open(self.mdev.name)
        self.migration = Migration(self.device, self.migration.memory)

    def go(self, state: int, stream: bytes) -> Transfer | None:
        """Bring it from any state to another by a reset; RESUMING with data to leave it with."""
        self.device.try_reset()
        transfer = self.migration.set(state) if state != oracle.RUNNING else None
        if state == oracle.RESUMING and transfer is not None:
            transfer.try_write(stream)
        return transfer


def scribble(uart: Uart, seed: int) -> None:
    """Give a port a state of its own."""
    uart.enable()
    for register in KEPT:
        uart.write(register, (seed + register) & 0x7F)
    uart.send(bytes(range(seed, seed + 5)))


def seen(uart: Uart) -> list[int]:
    """The state `scribble` gave it; empties its queue."""
    return [uart.read(register) for register in KEPT] + list(uart.received())
