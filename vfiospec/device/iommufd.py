# SPDX-License-Identifier: MIT
"""/dev/iommu: address spaces and page tables as objects, and a container's ioctls on top."""

from typing import TypeVar

from vfiospec.abi import iommufd as abi
from vfiospec.abi import iommufd_hwpt as hwpt
from vfiospec.abi.base import AbiStruct
from vfiospec.device.call import Call, checked
from vfiospec.device.container import Container
from vfiospec.device.files import File, Memory
from vfiospec.device.ops import Fixup, FixupKind, ReadFile, Ref
from vfiospec.device.port import Port

IOMMUFD_PATH = "/dev/iommu"
ANYWHERE = abi.IOMMU_IOAS_MAP_WRITEABLE | abi.IOMMU_IOAS_MAP_READABLE
WRITE_READ_FIXED = ANYWHERE | abi.IOMMU_IOAS_MAP_FIXED_IOVA
EVERYTHING = (1 << 64) - 1  # as the length of an unmap
T = TypeVar("T", bound=AbiStruct)


def pinned_bytes(port: Port) -> int:
    """Bytes that stay in memory for the process that makes the calls: VmPin."""
    for line in port.do(ReadFile("/proc/self/status")).bytes.decode().splitlines():
        if line.startswith("VmPin:"):
            return int(line.split()[1]) * 1024
    raise LookupError("/proc/self/status has no VmPin: the kernel needs CONFIG_MMU and procfs")


class Iommufd(Container):
    """An iommufd. Its objects are known by ids; the calls of a container work on it too."""

    kind = "iommufd"

    @classmethod
    def create(cls, port: Port) -> "Iommufd":
        """Open /dev/iommu."""
        return cls.open(port, IOMMUFD_PATH)

    def try_call(  # noqa: PLR0913 -- all that an ioctl can be handed
        self,
        request: int,
        argument: AbiStruct,
        *,
        size: int | None = None,
        more: bytes = b"",
        fixups: tuple[Fixup, ...] = (),
        at: Ref | None = None,
    ) -> Call:
        """Any of its ioctls; `size` is the field all their structures begin with."""
        claimed = argument.sizeof() + len(more) if size is None else size
        data = claimed.to_bytes(4, "little") + argument.pack()[4:] + more
        what = f"size={claimed}, {argument!r}"
        return self.try_ioctl(request, data, what=what, argsz=claimed, fixups=fixups, at=at)

    def call(self, request: int, argument: T, *, fixups: tuple[Fixup, ...] = ()) -> T:
        """The same; the structure after the call. CallError if it is refused."""
        return checked(self.try_call(request, argument, fixups=fixups)).unpack(type(argument))

    def try_destroy(self, number: int) -> Call:
        """IOMMU_DESTROY."""
        return self.try_call(abi.IOMMU_DESTROY, abi.iommu_destroy(id=number))

    def try_alloc_ioas(self, flags: int = 0) -> Call:
        """IOMMU_IOAS_ALLOC."""
        return self.try_call(abi.IOMMU_IOAS_ALLOC, abi.iommu_ioas_alloc(flags=flags))

    def alloc_ioas(self) -> int:
        """IOMMU_IOAS_ALLOC: the id of a new address space."""
        call = checked(self.try_alloc_ioas())
        return int(call.unpack(abi.iommu_ioas_alloc).out_ioas_id)

    def try_map_ioas(
        self,
        ioas: int,
        memory: Memory | Ref | int,
        iova: int,
        length: int,
        flags: int = WRITE_READ_FIXED,
    ) -> Call:
        """IOMMU_IOAS_MAP of memory of ours, or of a number taken as an address."""
        struct = abi.iommu_ioas_map
        where = memory.at() if isinstance(memory, Memory) else memory
        fixups: tuple[Fixup, ...] = ()
        if isinstance(where, Ref):
            at = struct.offset_of("user_va")
            fixups = (Fixup(at, FixupKind.ADDRESS, where.handle, where.offset),)
        address = where if isinstance(where, int) else 0
        argument = struct(flags=flags, ioas_id=ioas, user_va=address, length=length, iova=iova)
        return self.try_call(abi.IOMMU_IOAS_MAP, argument, fixups=fixups)

    def try_map_file(  # noqa: PLR0913, PLR0917 -- the fields of iommu_ioas_map_file
        self,
        ioas: int,
        file: File,
        iova: int,
        length: int,
        start: int = 0,
        flags: int = WRITE_READ_FIXED,
    ) -> Call:
        """IOMMU_IOAS_MAP_FILE of a memfd, or of a dma-buf that the kernel takes."""
        struct = abi.iommu_ioas_map_file
        argument = struct(flags=flags, ioas_id=ioas, start=start, length=length, iova=iova)
        fixups = (file.fixup(struct.offset_of("fd")),)
        return self.try_call(abi.IOMMU_IOAS_MAP_FILE, argument, fixups=fixups)

    def try_unmap_ioas(self, ioas: int, iova: int, length: int) -> Call:
        """IOMMU_IOAS_UNMAP; the answer's `length` is what was unmapped."""
        argument = abi.iommu_ioas_unmap(ioas_id=ioas, iova=iova, length=length)
        return self.try_call(abi.IOMMU_IOAS_UNMAP, argument)

    def try_allow(self, ioas: int, memory: Memory, *spans: tuple[int, int]) -> Call:
        """IOMMU_IOAS_ALLOW_IOVAS of ranges, each by its first and last address, from memory."""
        memory.write(0, b"".join(abi.iommu_iova_range(*span).pack() for span in spans))
        struct = abi.iommu_ioas_allow_iovas
        fixups = (memory.fixup(struct.offset_of("allowed_iovas")),)
        argument = struct(ioas_id=ioas, num_iovas=len(spans))
        return self.try_call(abi.IOMMU_IOAS_ALLOW_IOVAS, argument, fixups=fixups)

    def try_vfio_ioas(self, op: int, ioas: int = 0) -> Call:
        """IOMMU_VFIO_IOAS: which address space stands for the container's."""
        argument = abi.iommu_vfio_ioas(ioas_id=ioas, op=op)
        return self.try_call(abi.IOMMU_VFIO_IOAS, argument)

    def try_alloc_page_table(self, device: int, parent: int, flags: int = 0) -> Call:
        """IOMMU_HWPT_ALLOC of a device's page table in an address space, both by their ids."""
        argument = hwpt.iommu_hwpt_alloc(flags=flags, dev_id=device, pt_id=parent)
        return self.try_call(hwpt.IOMMU_HWPT_ALLOC, argument)

    def alloc_page_table(self, device: int, parent: int) -> int:
        """IOMMU_HWPT_ALLOC: the id of the new page table. CallError if refused."""
        call = checked(self.try_alloc_page_table(device, parent))
        return int(call.unpack(hwpt.iommu_hwpt_alloc).out_hwpt_id)

    def try_get_hw_info(self, device: int, data: Memory | None = None, room: int = 0) -> Call:
        """IOMMU_GET_HW_INFO of a device by its id, the data into memory."""
        struct = hwpt.iommu_hw_info
        fixups = (data.fixup(struct.offset_of("data_uptr")),) if data else ()
        argument = struct(dev_id=device, data_len=room)
        return self.try_call(hwpt.IOMMU_GET_HW_INFO, argument, fixups=fixups)
