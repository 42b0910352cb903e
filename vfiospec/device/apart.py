# SPDX-License-Identifier: MIT
"""Devices reached by their own files, bound to an iommufd and attached to an address space."""

from typing import Self

from vfiospec.abi import iommufd as abi
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device import ops as o
from vfiospec.device.access import Access
from vfiospec.device.call import Call, checked
from vfiospec.device.cdev import Cdev, cdev_path
from vfiospec.device.container import READ_WRITE
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.iommufd import Iommufd
from vfiospec.device.ops import Ref
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import Port

_RANGES_ROOM = 64  # ranges; an IOMMU leaves a handful


class AddressSpace:
    """An IOAS of an iommufd, with the calls of `vfiospec.device.access.Mappings`."""

    def __init__(self, iommufd: Iommufd, ioas: int) -> None:
        """Take over an address space, by its id."""
        self.port = iommufd.port
        self.iommufd = iommufd
        self.ioas = ioas

    def map(self, vaddr: Memory | Ref | int, iova: int, size: int, flags: int = READ_WRITE) -> None:
        """IOMMU_IOAS_MAP at a fixed address; CallError if it is refused."""
        checked(self.try_map(vaddr, iova, size, flags))

    def try_map(
        self, vaddr: Memory | Ref | int, iova: int, size: int, flags: int = READ_WRITE
    ) -> Call:
        """IOMMU_IOAS_MAP, with the flags of VFIO_IOMMU_MAP_DMA."""
        wanted = abi.IOMMU_IOAS_MAP_FIXED_IOVA
        if flags & iommu.VFIO_DMA_MAP_FLAG_READ:
            wanted |= abi.IOMMU_IOAS_MAP_READABLE
        if flags & iommu.VFIO_DMA_MAP_FLAG_WRITE:
            wanted |= abi.IOMMU_IOAS_MAP_WRITEABLE
        return self.iommufd.try_map_ioas(self.ioas, vaddr, iova, size, wanted)

    def try_unmap(self, iova: int, size: int) -> Call:
        """IOMMU_IOAS_UNMAP."""
        return self.iommufd.try_unmap_ioas(self.ioas, iova, size)

    def unmapped(self, iova: int, size: int) -> int:
        """IOMMU_IOAS_UNMAP; bytes that were unmapped. CallError if it is refused."""
        return int(checked(self.try_unmap(iova, size)).unpack(abi.iommu_ioas_unmap).length)

    def _ranges(self, into: Memory) -> abi.iommu_ioas_iova_ranges:
        struct = abi.iommu_ioas_iova_ranges
        argument = struct(ioas_id=self.ioas, num_iovas=_RANGES_ROOM)
        at = into.fixup(struct.offset_of("allowed_iovas"))
        return self.iommufd.call(abi.IOMMU_IOAS_IOVA_RANGES, argument, fixups=(at,))

    def page_size(self) -> int:
        """What start and length of a mapping are multiples of."""
        with Memory(self.port, _RANGES_ROOM * abi.iommu_iova_range.sizeof()) as memory:
            return int(self._ranges(memory).out_iova_alignment)

    def iova_ranges(self) -> list[tuple[int, int]]:
        """First and last address of each range that may be mapped."""
        step = abi.iommu_iova_range.sizeof()
        with Memory(self.port, _RANGES_ROOM * step) as memory:
            count = self._ranges(memory).num_iovas
            raw = memory.read(0, count * step)
        found = (abi.iommu_iova_range.unpack(raw[step * i :]) for i in range(count))
        return [(r.start, r.last) for r in found]

    def seen_by(self, port: Port) -> Self:
        """The same address space, in the hands of another process of the port."""
        return type(self)(Iommufd(port, self.iommufd.handle), self.ioas)


class _Opened(Cdev):
    """An fd of a bound device that tells when it is closed."""

    others: list["_Opened"]

    def join(self, others: list["_Opened"]) -> Self:
        """Be one of the fds of a device."""
        self.others = others
        others.append(self)
        return self

    def dup(self) -> Self:
        """A further one, which holds the device too."""
        return super().dup().join(self.others)

    def close(self) -> o.Reply:
        """close(2); the last of a device's fds unbinds it."""
        self.others.remove(self)
        return super().close()


class Apart(Access):
    """Devices by their own files: /dev/vfio/devices/vfioN.

    A device is bound by one of its files only, so a second fd of it is a descriptor of the first.
    """

    def __init__(self, port: Port) -> None:
        """Open an iommufd, and make an address space in it."""
        self.port = port
        self.iommufd = Iommufd.create(port)
        self.space = AddressSpace(self.iommufd, self.iommufd.alloc_ioas())
        self._open: dict[str, list[_Opened]] = {}
        self._keepers: dict[str, _Opened] = {}

    @property
    def mappings(self) -> AddressSpace:
        """The address space all its devices are attached to."""
        return self.space

    def keep(self, bdf: str) -> None:
        """Hold a device bound."""
        if bdf not in self._keepers:
            self._keepers[bdf] = self._fd(bdf)

    def open(self, bdf: str) -> Device:
        """A descriptor of a device, which is bound and attached unless it is already."""
        return self._fd(bdf)

    def _fd(self, bdf: str) -> _Opened:
        opened = self._open.setdefault(bdf, [])
        if opened:
            return opened[0].dup()
        path = cdev_path(self.port, f"{SYSFS}/{bdf}")
        if path is None:
            raise OSError(f"{bdf} has no file of its own: needs CONFIG_VFIO_DEVICE_CDEV")
        made = _Opened.at(self.port, path).join(opened)
        try:
            made.bind(self.iommufd)
            made.attach(self.space.ioas)
        except BaseException:
            made.close()
            raise
        return made

    def release(self, bdf: str) -> None:
        """Close the kept fd of a device: the next open is a first one, which resets it."""
        keeper = self._keepers.pop(bdf, None)
        if keeper is not None:
            keeper.close()

    def close(self) -> None:
        """Close all that is kept, and the iommufd."""
        for bdf in list(self._keepers):
            self.release(bdf)
        self.iommufd.close()
