# SPDX-License-Identifier: MIT
"""The container fd: an IOMMU context, and type1's calls on it."""

from dataclasses import dataclass
from typing import Self, TypeVar

from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.abi.base import AbiStruct
from vfiospec.device.call import UNTOUCHED, Call, checked
from vfiospec.device.device import Info
from vfiospec.device.files import File, Memory
from vfiospec.device.ops import Fixup, FixupKind, ReadFile, Ref, WriteFile
from vfiospec.device.port import Port

T = TypeVar("T", bound=AbiStruct)

CONTAINER_PATH = "/dev/vfio/vfio"
READ_WRITE = iommu.VFIO_DMA_MAP_FLAG_READ | iommu.VFIO_DMA_MAP_FLAG_WRITE
INFO_ROOM = 1024  # bytes of a buffer that holds type1's capabilities with room to spare
_UNTOUCHED = bytes([UNTOUCHED])
_PINNED, _RELEASED = "nr_foll_pin_acquired", "nr_foll_pin_released"
_CAPABILITIES: dict[type[AbiStruct], int] = {
    iommu.vfio_iommu_type1_info_cap_iova_range: iommu.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
    iommu.vfio_iommu_type1_info_cap_migration: iommu.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
    iommu.vfio_iommu_type1_info_dma_avail: iommu.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
}


def locked_bytes(port: Port) -> int:
    """Bytes the process that makes the calls is charged for as locked: VmLck."""
    for line in port.do(ReadFile("/proc/self/status")).bytes.decode().splitlines():
        if line.startswith("VmLck:"):
            return int(line.split()[1]) * 1024
    raise LookupError("/proc/self/status has no VmLck: the kernel needs CONFIG_MMU and procfs")


def pinned_pages(port: Port) -> int | None:
    """Pages that are pinned in the whole machine; None where the kernel does not count them."""
    port.do(WriteFile("/proc/sys/vm/stat_refresh", b"1"))  # or the counters lag behind
    text = port.do(ReadFile("/proc/vmstat", 1 << 16)).bytes.decode()
    counts = {name: int(value) for name, value in map(str.split, text.splitlines())}
    if _PINNED not in counts:
        return None
    return counts[_PINNED] - counts[_RELEASED]


@dataclass(frozen=True)
class Bitmap:
    """Where the kernel is to put dirty bits: one for each `pgsize` bytes."""

    data: Ref | int
    size: int
    pgsize: int

    def pack(self) -> bytes:
        """Struct vfio_bitmap; an address in our memory is written by the fixup."""
        address = self.data if isinstance(self.data, int) else 0
        return iommu.vfio_bitmap(self.pgsize, self.size, address).pack()

    def fixups(self, offset: int) -> tuple[Fixup, ...]:
        """The address, for a vfio_bitmap that lies at an offset of a buffer."""
        return _address(self.data, offset + iommu.vfio_bitmap.offset_of("data"))


def _address(where: Ref | int, offset: int) -> tuple[Fixup, ...]:
    if isinstance(where, int):
        return ()
    return (Fixup(offset, FixupKind.ADDRESS, where.handle, where.offset),)


class Container(File):
    """/dev/vfio/vfio. Numbers given as `size` and `iova` are bytes."""

    kind = "container"

    @classmethod
    def create(cls, port: Port) -> Self:
        """Open a new container."""
        return cls.open(port, CONTAINER_PATH)

    def try_get_api_version(self, value: int = 0) -> Call:
        """VFIO_GET_API_VERSION; `value` is passed though it has none."""
        return self.try_ioctl(vfio.VFIO_GET_API_VERSION, value)

    def try_check_extension(self, extension: int) -> Call:
        """VFIO_CHECK_EXTENSION."""
        return self.try_ioctl(vfio.VFIO_CHECK_EXTENSION, extension, what=str(extension))

    def try_set_iommu(self, model: int) -> Call:
        """VFIO_SET_IOMMU."""
        return self.try_ioctl(vfio.VFIO_SET_IOMMU, model, what=str(model))

    def try_get_iommu_info(
        self,
        argsz: int = iommu.vfio_iommu_type1_info.sizeof(),
        *,
        size: int = INFO_ROOM,
        at: Ref | None = None,
    ) -> Call:
        """VFIO_IOMMU_GET_INFO with a buffer of `size` bytes."""
        data = (argsz.to_bytes(4, "little") + _UNTOUCHED * size)[:size]
        return self.try_ioctl(
            iommu.VFIO_IOMMU_GET_INFO, data, what=f"argsz={argsz}", argsz=argsz, at=at
        )

    def get_iommu_info(self) -> Info:
        """Type1's info with all its capabilities."""
        call = checked(self.try_get_iommu_info(INFO_ROOM))
        return Info(call.unpack(iommu.vfio_iommu_type1_info), call.data)

    def _capability(self, kind: type[T]) -> tuple[T, bytes]:
        """A capability, and its bytes with all behind; LookupError if there is none."""
        raw = self.get_iommu_info().capability(_CAPABILITIES[kind])
        if raw is None:
            raise LookupError(f"type1's info lacks the capability {kind.__name__}")
        return kind.unpack(raw), raw

    def iova_ranges(self) -> list[tuple[int, int]]:
        """First and last address of each range that may be mapped."""
        cap, raw = self._capability(iommu.vfio_iommu_type1_info_cap_iova_range)
        step, head = iommu.vfio_iova_range.sizeof(), cap.sizeof()
        parts = (raw[head + step * i :] for i in range(cap.nr_iovas))
        return [(r.start, r.end) for r in map(iommu.vfio_iova_range.unpack, parts)]

    def told_ranges(self) -> list[tuple[int, int]] | None:
        """The same; None if type1 tells of none, as for mediated devices alone."""
        cap = self.get_iommu_info().capability(iommu.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
        return None if cap is None else self.iova_ranges()

    def available(self) -> int:
        """How many more mappings are allowed."""
        return int(self._capability(iommu.vfio_iommu_type1_info_dma_avail)[0].avail)

    def seen_by(self, port: Port) -> Self:
        """The same container, in the hands of another process of the port."""
        return type(self)(port, self.handle)

    def page_size(self) -> int:
        """The smallest size that can be mapped."""
        sizes = int(self.get_iommu_info().struct.iova_pgsizes)
        return sizes & -sizes

    def map(self, vaddr: Memory | Ref | int, iova: int, size: int, flags: int = READ_WRITE) -> None:
        """VFIO_IOMMU_MAP_DMA; CallError if it is refused."""
        checked(self.try_map(vaddr, iova, size, flags))

    def try_map(  # noqa: PLR0913 -- the fields of vfio_iommu_type1_dma_map
        self,
        vaddr: Memory | Ref | int,
        iova: int,
        size: int,
        flags: int = READ_WRITE,
        *,
        argsz: int = iommu.DMA_MAP_MIN,
        more: bytes = b"",
    ) -> Call:
        """VFIO_IOMMU_MAP_DMA of memory of ours, or of a number taken as an address."""
        where = vaddr.at() if isinstance(vaddr, Memory) else vaddr
        address = where if isinstance(where, int) else 0
        request = iommu.vfio_iommu_type1_dma_map(argsz, flags, address, iova, size)
        return self.try_ioctl(
            iommu.VFIO_IOMMU_MAP_DMA,
            request.pack() + more,
            what=f"argsz={argsz}, flags={flags:#x}, iova={iova:#x}, size={size:#x}",
            argsz=argsz,
            fixups=_address(where, iommu.vfio_iommu_type1_dma_map.offset_of("vaddr")),
        )

    def try_unmap(
        self,
        iova: int,
        size: int,
        flags: int = 0,
        *,
        argsz: int | None = None,
        bitmap: Bitmap | None = None,
    ) -> Call:
        """VFIO_IOMMU_UNMAP_DMA; the answer's `size` field is what was unmapped."""
        more = bitmap.pack() if bitmap else b""
        claimed = iommu.DMA_UNMAP_MIN + len(more) if argsz is None else argsz
        request = iommu.vfio_iommu_type1_dma_unmap(claimed, flags, iova, size)
        return self.try_ioctl(
            iommu.VFIO_IOMMU_UNMAP_DMA,
            request.pack() + more,
            what=f"argsz={claimed}, flags={flags:#x}, iova={iova:#x}, size={size:#x}",
            argsz=claimed,
            fixups=bitmap.fixups(iommu.DMA_UNMAP_MIN) if bitmap else (),
        )

    def unmapped(self, iova: int, size: int, flags: int = 0) -> int:
        """VFIO_IOMMU_UNMAP_DMA; bytes that were unmapped. CallError if it is refused."""
        call = checked(self.try_unmap(iova, size, flags))
        return int(call.unpack(iommu.vfio_iommu_type1_dma_unmap).size)

    def try_dirty_pages(self, flags: int, *, argsz: int = iommu.DIRTY_BITMAP_MIN) -> Call:
        """VFIO_IOMMU_DIRTY_PAGES without more than the header: START, STOP."""
        request = iommu.vfio_iommu_type1_dirty_bitmap(argsz, flags)
        what = f"argsz={argsz}, flags={flags:#x}"
        return self.try_ioctl(iommu.VFIO_IOMMU_DIRTY_PAGES, request.pack(), what=what, argsz=argsz)

    def try_get_dirty(
        self,
        iova: int,
        size: int,
        bitmap: Bitmap,
        *,
        flags: int = iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
        argsz: int | None = None,
    ) -> Call:
        """VFIO_IOMMU_DIRTY_PAGES with GET_BITMAP."""
        head = iommu.vfio_iommu_type1_dirty_bitmap.sizeof()
        get = iommu.vfio_iommu_type1_dirty_bitmap_get
        whole = head + get.sizeof()
        claimed = whole if argsz is None else argsz
        request = iommu.vfio_iommu_type1_dirty_bitmap(claimed, flags).pack()
        request += iova.to_bytes(8, "little") + size.to_bytes(8, "little") + bitmap.pack()
        return self.try_ioctl(
            iommu.VFIO_IOMMU_DIRTY_PAGES,
            request,
            what=f"argsz={claimed}, flags={flags:#x}, iova={iova:#x}, size={size:#x}",
            argsz=claimed,
            fixups=bitmap.fixups(head + get.offset_of("bitmap")),
        )
