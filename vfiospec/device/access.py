# SPDX-License-Identifier: MIT
"""What every way to a device has in common: its fds, and the mappings its DMA goes through."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol, Self

from vfiospec.device.call import Call
from vfiospec.device.container import READ_WRITE
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.ops import Ref
from vfiospec.device.port import Port


class Mappings(Protocol):
    """IO virtual addresses of devices. Numbers given as `size` and `iova` are bytes."""

    port: Port

    def map(self, vaddr: Memory | Ref | int, iova: int, size: int, flags: int = READ_WRITE) -> None:
        """Map memory, for VFIO_DMA_MAP_FLAG_READ, WRITE or both; CallError if it is refused."""

    def try_map(
        self, vaddr: Memory | Ref | int, iova: int, size: int, flags: int = READ_WRITE
    ) -> Call:
        """The same; the call, whatever it gave."""

    def try_unmap(self, iova: int, size: int) -> Call:
        """Unmap; the call, whatever it gave."""

    def unmapped(self, iova: int, size: int) -> int:
        """Unmap; bytes that were unmapped. CallError if it is refused."""

    def page_size(self) -> int:
        """The smallest size that can be mapped."""

    def iova_ranges(self) -> list[tuple[int, int]]:
        """First and last address of each range that may be mapped."""

    def seen_by(self, port: Port) -> Self:
        """The same mappings, in the hands of another process of the port."""


class Access(ABC):
    """A way to devices of one group that is open, and theirs alone."""

    port: Port

    @property
    @abstractmethod
    def mappings(self) -> Mappings:
        """What the devices' DMA goes through."""

    @abstractmethod
    def keep(self, bdf: str) -> None:
        """Hold a device open, so that no fd a test closes is the last, which would reset it."""

    @abstractmethod
    def open(self, bdf: str) -> Device:
        """A fresh fd of a device; CallError or OSError says which step failed."""

    @abstractmethod
    def release(self, bdf: str) -> None:
        """Close the kept fd of a device: the next open is a first one, which resets it."""

    @abstractmethod
    def close(self) -> None:
        """Close everything, devices first."""


Attach = Callable[[], Access]
