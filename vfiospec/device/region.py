# SPDX-License-Identifier: MIT
"""A region of a device fd: read, write and map it."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vfiospec.abi import pci as regs
from vfiospec.abi.vfio import vfio_region_info
from vfiospec.device.call import Call
from vfiospec.device.files import File, Mapping, Memory
from vfiospec.device.ops import AnyOp, Pread, Pwrite, Ref, Syscall
from vfiospec.device.pci import PciDevice

_WORD: Final = 8  # bytes of a member of struct iovec, and of the widest access
_ENTRY: Final = 16  # bytes of an entry of the MSI-X table


def table_window(pci: PciDevice, index: int) -> range:
    """Offsets of the MSI-X table in a BAR; empty if the table is not there."""
    if index not in pci.msix_bars:
        return range(0)
    capability = pci.capabilities[regs.PCI_CAP_ID_MSIX]
    start = pci.u32(capability + regs.PCI_MSIX_TABLE) & regs.PCI_MSIX_TABLE_OFFSET
    return range(start, start + pci.msix_vectors * _ENTRY)


def plain_offset(pci: PciDevice, index: int) -> int:
    """The first offset of a BAR that is no part of the MSI-X table, aligned for any access."""
    window = table_window(pci, index)
    return 0 if 0 not in window else -(-window.stop // _WORD) * _WORD


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

    def try_write(
        self, offset: int, data: bytes | None = None, *, at: Ref | None = None, size: int = 0
    ) -> Call:
        """pwrite(2) of `data`, or of `size` bytes that lie in memory."""
        count = size if data is None else len(data)
        shown = data.hex(" ") if data and count <= _WORD else f"{count} bytes"
        what = f"region {self.index}+{offset:#x}, {shown}"
        reply = self.device.port.do(self.write_op(offset, data, at=at, size=size))
        return Call("pwrite", what, 0, reply)

    def read_op(self, offset: int, size: int) -> AnyOp:
        """What `try_read` does, to be done with others in one message."""
        return Pread(self.device.handle, size, self._at(offset))

    def write_op(
        self, offset: int, data: bytes | None = None, *, at: Ref | None = None, size: int = 0
    ) -> AnyOp:
        """What `try_write` does, to be done with others in one message."""
        return Pwrite(self.device.handle, data, self._at(offset), at, size)

    def try_vector(self, name: str, offset: int, parts: Sequence[int], memory: Memory) -> Call:
        """preadv(2) or pwritev(2): parts of these sizes, each behind the other in `memory`.

        The parts start at its second half; the vector lies at its start.
        """
        vector, address = b"", memory.address + memory.size // 2
        for size in parts:
            vector += address.to_bytes(_WORD, "little") + size.to_bytes(_WORD, "little")
            address += size
        memory.write(0, vector)
        fixup = self.device.fixup()
        args = (fixup, memory.address, len(parts), self._at(offset), 0)
        what = f"region {self.index}+{offset:#x}, {' + '.join(map(str, parts))} bytes"
        return Call(name, what, 0, self.device.port.do(Syscall(name, args)))

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
