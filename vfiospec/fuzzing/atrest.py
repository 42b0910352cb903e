# SPDX-License-Identifier: MIT
"""What the world of programs must look like whenever none of them runs, as it did at the start.

Whatever a program did to what it found open is undone behind it, and what it opened is closed. So
the files answer as before, and no memory is held for a device any more.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from vfiospec.abi import vfio, vfio_iommu
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.device.port import Port
from vfiospec.fuzzing.model import World
from vfiospec.rules import kernel as rules

_HELD: Final = ("VmLck:", "VmPin:")  # lines of /proc/self/status
_ROOM: Final = 256  # bytes behind a structure, for its capabilities


class AtRest:
    """Asks what can be asked without changing anything, and remembers the first answers."""

    def __init__(self, world: World) -> None:
        self._asked = tuple(_questions(world))
        self._before: Sequence[Reply] | None = None

    def look(self, port: Port) -> list[str]:
        """Which rules are broken, and how, against the last look; the first one breaks none."""
        now = port.exchange([op for _, op in self._asked])
        before, self._before = self._before, now
        if before is None:
            return []
        found = []
        for (what, op), was, answer in zip(self._asked, before, now, strict=True):
            if isinstance(op, o.ReadFile):
                if held(answer) > held(was):
                    found.append(f"{rules.NOTHING_HELD.id}: memory stays {what}")
            elif _visible(answer) != _visible(was):
                found.append(f"{rules.UNDONE.id}: {what} answers otherwise than before")
        return list(dict.fromkeys(found))


def held(status: Reply) -> int:
    """KiB that a process is charged for as locked or pinned, of its /proc/self/status."""
    lines = status.bytes.decode(errors="replace").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(_HELD))


def _visible(reply: Reply) -> tuple[object, ...]:
    return reply.ret, reply.errno, reply.data


def _questions(world: World) -> Iterator[tuple[str, AnyOp]]:
    yield "locked or pinned", o.ReadFile("/proc/self/status")
    for fd in world.handles.get("device", ()):
        info = vfio.vfio_device_info(vfio.DEVICE_INFO_MIN)
        yield "VFIO_DEVICE_GET_INFO", o.Ioctl(fd, vfio.VFIO_DEVICE_GET_INFO, 0, info.pack())
        for index in range(vfio.VFIO_PCI_NUM_REGIONS):
            size = vfio.vfio_region_info.sizeof() + _ROOM
            data = vfio.vfio_region_info(size, 0, index).pack() + bytes(_ROOM)
            yield (
                "VFIO_DEVICE_GET_REGION_INFO",
                o.Ioctl(fd, vfio.VFIO_DEVICE_GET_REGION_INFO, 0, data),
            )
        for index in range(vfio.VFIO_PCI_NUM_IRQS):
            asked = vfio.vfio_irq_info(vfio.vfio_irq_info.sizeof(), 0, index)
            yield (
                "VFIO_DEVICE_GET_IRQ_INFO",
                o.Ioctl(fd, vfio.VFIO_DEVICE_GET_IRQ_INFO, 0, asked.pack()),
            )
    for fd in world.handles.get("group", ()):
        status = vfio.vfio_group_status(vfio.vfio_group_status.sizeof())
        yield "VFIO_GROUP_GET_STATUS", o.Ioctl(fd, vfio.VFIO_GROUP_GET_STATUS, 0, status.pack())
    for fd in world.handles.get("container", ()):
        size = vfio_iommu.vfio_iommu_type1_info.sizeof() + _ROOM
        data = vfio_iommu.vfio_iommu_type1_info(size).pack() + bytes(_ROOM)
        # Among its capabilities is how many more mappings there may be.
        yield "VFIO_IOMMU_GET_INFO", o.Ioctl(fd, vfio_iommu.VFIO_IOMMU_GET_INFO, 0, data)
