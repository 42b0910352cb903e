# SPDX-License-Identifier: MIT
"""The three INFO ioctls of a device fd in one form, for what is to hold for each of them."""

from dataclasses import dataclass
from typing import Final

from vfiospec.abi import vfio
from vfiospec.abi.base import AbiStruct
from vfiospec.device.call import UNTOUCHED, Call
from vfiospec.device.device import ROOM, Device
from vfiospec.device.ops import Ref

_FILL: Final = bytes([UNTOUCHED]) * 4
_GARBAGE: Final = int.from_bytes(_FILL, "little")
_MOST: Final = 4096  # bytes of a buffer; a larger argsz is a claim only


@dataclass(frozen=True)
class InfoCall:
    """One INFO ioctl. `minsz`: bytes of its first version; `index`: one any device answers."""

    name: str
    request: int
    struct: type[AbiStruct]
    minsz: int
    index: int | None = None

    def pack(
        self,
        argsz: int | None = None,
        *,
        size: int | None = None,
        index: int | None = None,
        flags: int = _GARBAGE,
    ) -> bytes:
        """The buffer to hand over, `size` bytes: argsz, flags and index, then filling."""
        claim = self.struct.sizeof() if argsz is None else argsz
        room = max(min(claim, _MOST), self.struct.sizeof()) + ROOM if size is None else size
        number = self.index if index is None else index
        head = claim.to_bytes(4, "little") + flags.to_bytes(4, "little")
        head += _FILL if number is None else number.to_bytes(4, "little")
        return head.ljust(room, _FILL[:1])[:room]

    def ask(  # noqa: PLR0913 -- each is a thing a test varies
        self,
        device: Device,
        argsz: int | None = None,
        *,
        size: int | None = None,
        index: int | None = None,
        flags: int = _GARBAGE,
        at: Ref | None = None,
    ) -> Call:
        """Make the call, by default with all of the structure this suite knows."""
        claim = self.struct.sizeof() if argsz is None else argsz
        data = self.pack(claim, size=size, index=index, flags=flags)
        number = self.index if index is None else index
        what = f"argsz={claim}" if number is None else f"index={number}, argsz={claim}"
        return device.try_ioctl(self.request, data, what=what, argsz=claim, at=at)

    def written(self, argsz: int, known: int, step: int) -> int:
        """Bytes a reply has for this argsz, by a kernel that knows `known` bytes.

        What comes behind `minsz` is written in steps of so many bytes.
        """
        return self.minsz + (min(argsz, known) - self.minsz) // step * step

    def count(self, device: Device) -> int:
        """The indexes a device has, holes included; 1 for an ioctl without index."""
        info = device.get_info().struct
        counts = {"get-region-info": info.num_regions, "get-irq-info": info.num_irqs}
        return int(counts.get(self.name, 1))


GET_INFO: Final = InfoCall(
    "get-info", vfio.VFIO_DEVICE_GET_INFO, vfio.vfio_device_info, vfio.DEVICE_INFO_MIN
)
GET_REGION_INFO: Final = InfoCall(
    "get-region-info",
    vfio.VFIO_DEVICE_GET_REGION_INFO,
    vfio.vfio_region_info,
    vfio.REGION_INFO_MIN,
    vfio.VFIO_PCI_CONFIG_REGION_INDEX,
)
GET_IRQ_INFO: Final = InfoCall(
    "get-irq-info",
    vfio.VFIO_DEVICE_GET_IRQ_INFO,
    vfio.vfio_irq_info,
    vfio.IRQ_INFO_MIN,
    vfio.VFIO_PCI_REQ_IRQ_INDEX,
)
INFO_CALLS: Final = (GET_INFO, GET_REGION_INFO, GET_IRQ_INFO)


def snapshot(device: Device) -> dict[str, str]:
    """All that the INFO ioctls say of a device: call -> answer and bytes, for each index."""
    seen = {}
    for info in INFO_CALLS:
        for index in range(info.count(device)):
            call = info.ask(device, index=None if info.index is None else index)
            seen[f"{call.name}({call.what})"] = f"{call.answer()}, {call.data.hex()}"
    return seen
