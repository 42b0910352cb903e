# SPDX-License-Identifier: MIT
"""The device fd: info, regions and interrupts of one device."""

from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from vfiospec.abi import caps, vfio
from vfiospec.abi.base import AbiStruct
from vfiospec.device.call import UNTOUCHED, Call, checked
from vfiospec.device.controls import Controls
from vfiospec.device.ops import Pread, Pwrite, Ref
from vfiospec.device.region import Region

_ARGSZ = Struct("<I")
_ARGSZ_FLAGS_INDEX = Struct("<III")
_FILL = bytes([UNTOUCHED]) * 8192
_GARBAGE_FLAGS = int.from_bytes(_FILL[:4], "little")

DEVICE_INFO = vfio.vfio_device_info.sizeof()
REGION_INFO = vfio.vfio_region_info.sizeof()
IRQ_INFO = vfio.vfio_irq_info.sizeof()
ROOM = 256  # bytes behind the largest structure: where a write past its end would show


class Info(NamedTuple):
    """A structure the kernel filled, and the whole buffer with what follows the structure."""

    struct: AbiStruct
    raw: bytes

    def capability(self, number: int) -> bytes | None:
        """The bytes from a capability's header to the end of the buffer; None if absent."""
        first = getattr(self.struct, "cap_offset", 0)
        found = caps.capability(self.raw, first, number) if first else None
        return self.raw[found[0] :] if found else None


class Device(Controls):
    """A device fd. `get_*` raise, `try_get_*` return the call whatever it gave."""

    def try_get_info(
        self, argsz: int = DEVICE_INFO, *, size: int | None = None, at: Ref | None = None
    ) -> Call:
        """VFIO_DEVICE_GET_INFO. `size`: bytes of the buffer, by default room beyond `argsz`."""
        data, what = _argument(argsz, DEVICE_INFO, size)
        return self.try_ioctl(vfio.VFIO_DEVICE_GET_INFO, data, what=what, argsz=argsz, at=at)

    def try_get_region_info(
        self,
        index: int,
        argsz: int = REGION_INFO,
        *,
        size: int | None = None,
        at: Ref | None = None,
        flags: int = _GARBAGE_FLAGS,
    ) -> Call:
        """VFIO_DEVICE_GET_REGION_INFO."""
        return self._indexed(
            vfio.VFIO_DEVICE_GET_REGION_INFO, REGION_INFO, index, argsz, size, at, flags
        )

    def try_get_irq_info(
        self,
        index: int,
        argsz: int = IRQ_INFO,
        *,
        size: int | None = None,
        at: Ref | None = None,
        flags: int = _GARBAGE_FLAGS,
    ) -> Call:
        """VFIO_DEVICE_GET_IRQ_INFO."""
        return self._indexed(vfio.VFIO_DEVICE_GET_IRQ_INFO, IRQ_INFO, index, argsz, size, at, flags)

    def _indexed(  # noqa: PLR0913, PLR0917 -- two ioctls of one shape
        self,
        request: int,
        whole: int,
        index: int,
        argsz: int,
        size: int | None,
        at: Ref | None,
        flags: int,
    ) -> Call:
        data, what = _argument(argsz, whole, size, flags, index)
        return self.try_ioctl(request, data, what=what, argsz=argsz, at=at)

    def get_info(self) -> Info:
        """The device's info with all its capabilities."""
        call = checked(self.try_get_info(DEVICE_INFO))
        wanted = call.unpack(vfio.vfio_device_info).argsz
        if wanted > DEVICE_INFO:
            call = checked(self.try_get_info(wanted))
        return Info(call.unpack(vfio.vfio_device_info), call.data[: max(wanted, DEVICE_INFO)])

    def get_region_info(self, index: int) -> Info:
        """A region's info with all its capabilities."""
        call = checked(self.try_get_region_info(index, REGION_INFO))
        wanted = call.unpack(vfio.vfio_region_info).argsz
        if wanted > REGION_INFO:
            call = checked(self.try_get_region_info(index, wanted))
        info = call.unpack(vfio.vfio_region_info)
        if not info.flags & vfio.VFIO_REGION_INFO_FLAG_CAPS:
            info.cap_offset = 0  # the kernel leaves there what the caller had
        return Info(info, call.data[: max(wanted, REGION_INFO)])

    def get_irq_info(self, index: int) -> vfio.vfio_irq_info:
        """An interrupt index's info."""
        return checked(self.try_get_irq_info(index)).unpack(vfio.vfio_irq_info)

    def region(self, index: int) -> Region:
        """A region, to read, write and map."""
        return Region(self, index, vfio.vfio_region_info.unpack(self.get_region_info(index).raw))

    def read_config(self, offset: int, size: int) -> int:
        """Read `size` bytes of config space through its region; OSError if it is not all read."""
        reply = self.port.do(Pread(self.handle, size, self._config() + offset))
        if reply.ret != size:
            raise OSError(reply.errno, f"read of {size} bytes at {offset:#x} of config space")
        return reply.value

    def write_config(self, offset: int, size: int, value: int) -> None:
        """Write `size` bytes of config space; OSError if not all of them are written."""
        data = value.to_bytes(size, "little")
        reply = self.port.do(Pwrite(self.handle, data, self._config() + offset))
        if reply.ret != size:
            raise OSError(reply.errno, f"write of {size} bytes at {offset:#x} of config space")

    def _config(self) -> int:
        return int(self.get_region_info(vfio.VFIO_PCI_CONFIG_REGION_INDEX).struct.offset)


@lru_cache(maxsize=4096)
def _argument(
    argsz: int, whole: int, size: int | None, flags: int = 0, index: int | None = None
) -> tuple[bytes, str]:
    """An info ioctl's buffer, garbage where the caller has nothing to say, and its words."""
    room = max(argsz if argsz <= len(_FILL) // 2 else 0, whole) + ROOM if size is None else size
    if index is None:
        head, what = _ARGSZ.pack(argsz), f"argsz={argsz}"
    else:
        head, what = _ARGSZ_FLAGS_INDEX.pack(argsz, flags, index), f"index={index}, argsz={argsz}"
    return (head + _FILL[: max(room - len(head), 0)])[:room], what
