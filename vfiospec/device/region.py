# SPDX-License-Identifier: MIT
"""A region of a device fd: read, write and map it."""

import mmap
from dataclasses import dataclass

from vfiospec.abi.vfio import vfio_region_info
from vfiospec.device.call import Call
from vfiospec.device.files import File, Mapping
from vfiospec.device.ops import Pread, Pwrite, Ref


@dataclass(frozen=True)
class Region:
    """One region. Offsets count from its start and may lie outside of it; sizes are bytes."""

    device: File
    index: int
    info: vfio_region_info

    def _at(self, offset: int) -> int:
        return int(self.info.offset) + offset

    def try_read(self, offset: int, size: int, *, at: Ref | None = None) -> Call:
        """pread(2); the bytes are the answer's data."""
        what = f"region {self.index}+{offset:#x}, {size} bytes"
        reply = self.device.port.do(Pread(self.device.handle, size, self._at(offset), at))
        return Call("pread", what, 0, reply)

    def try_write(self, offset: int, data: bytes) -> Call:
        """pwrite(2)."""
        what = f"region {self.index}+{offset:#x}, {data.hex(' ') if len(data) < 9 else len(data)}"  # noqa: PLR2004
        reply = self.device.port.do(Pwrite(self.device.handle, data, self._at(offset)))
        return Call("pwrite", what, 0, reply)

    def read(self, offset: int, size: int) -> int:
        """Read a little-endian number; OSError if it is not all read."""
        call = self.try_read(offset, size)
        if call.ret != size:
            raise OSError(call.errno, str(call))
        return call.reply.value

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a little-endian number; OSError if not all of it is written."""
        call = self.try_write(offset, value.to_bytes(size, "little"))
        if call.ret != size:
            raise OSError(call.errno, str(call))

    def try_map(
        self,
        length: int | None = None,
        *,
        offset: int = 0,
        prot: int = mmap.PROT_READ | mmap.PROT_WRITE,
        flags: int = mmap.MAP_SHARED,
    ) -> tuple[Call, Mapping | None]:
        """mmap(2), by default all of it; the mapping is None if it is refused."""
        size = int(self.info.size) if length is None else length
        reply, mapping = Mapping.of(
            self.device, size, prot=prot, flags=flags, offset=self._at(offset)
        )
        what = f"region {self.index}+{offset:#x}, {size:#x} bytes, prot={prot}, flags={flags:#x}"
        return Call("mmap", what, 0, reply), mapping

    def map(self, length: int | None = None) -> Mapping:
        """mmap(2) from its start; OSError if it is refused."""
        call, mapping = self.try_map(length)
        if mapping is None:
            raise OSError(call.errno, str(call))
        return mapping
