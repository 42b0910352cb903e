# SPDX-License-Identifier: MIT
"""Whether a device still reaches memory that nothing maps for it: asked of QEMU's edu."""

import time
from collections.abc import Iterable, Iterator
from typing import Final

from vfiospec.abi import vfio_iommu
from vfiospec.device import edu
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Fixup, FixupKind, Ref
from vfiospec.device.port import Port
from vfiospec.fuzzing.fields import PAGE
from vfiospec.fuzzing.guest import Outcome
from vfiospec.fuzzing.model import World
from vfiospec.rules import kernel as rules

FARTHEST: Final = 1 << 28  # where edu's addresses end
_OWN: Final = 0x100000  # where the device is shown a pattern first
_SIZE: Final = 2048  # bytes of one transfer
_MEMORY: Final = 64 * PAGE
_WAIT, _PAUSE = 5.0, 0.03  # seconds for one transfer, and between two looks at it
_MAP = vfio_iommu.vfio_iommu_type1_dma_map
_FLAGS = vfio_iommu.VFIO_DMA_MAP_FLAG_READ | vfio_iommu.VFIO_DMA_MAP_FLAG_WRITE
_PATTERN: Final = bytes(range(1, 129)) * (PAGE // 128)


def mapped(outcome: Outcome) -> Iterator[int]:
    """The addresses that a program had mapped, as far as edu reaches."""
    for op in outcome.made.ops:
        if isinstance(op, o.Ioctl) and op.request == vfio_iommu.VFIO_IOMMU_MAP_DMA and op.data:
            at = int.from_bytes(op.data[_MAP.offset_of("iova") :][:8], "little")
            if at + _SIZE <= FARTHEST:
                yield at


def strays(port: Port, world: World, addresses: Iterable[int]) -> str:
    """What is wrong after a device wrote to addresses of which none is mapped; "" if nothing is.

    It is shown a pattern through a mapping first, so that it knows one that memory does not hold,
    and that the mapping's end is seen too. Nothing is asked where there is no edu, or no mapping.
    """
    if world.dma is None:
        return ""
    (fd, container), memory = world.dma, world.handles["memory"][0]
    port.exchange(world.undo.get(f"config {fd}", ()))
    if not _learnt(port, fd, container, memory):
        return ""
    port.exchange([o.Poke(Ref(memory, 0), bytes(_MEMORY))])
    for address in dict.fromkeys((_OWN, *addresses)):
        port.exchange(_transfer(fd, edu.DMA_BUFFER, address, from_device=True))
        _idle(port, fd)
    (after,) = port.exchange([o.Peek(Ref(memory, 0), _MEMORY)])
    if not any(after.bytes):
        return ""
    return f"{rules.DMA_INSIDE.id}: a device reached memory that nothing maps"


def _learnt(port: Port, fd: int, container: int, memory: int) -> bool:
    """Have the device read a pattern from a mapping that is gone again afterwards."""
    if not _idle(port, fd):
        return False
    port.exchange([o.Poke(Ref(memory, 0), _PATTERN)])
    asked = _MAP(_MAP.sizeof(), _FLAGS, 0, _OWN, PAGE)
    here = (Fixup(_MAP.offset_of("vaddr"), FixupKind.ADDRESS, memory, 0),)
    (answer,) = port.exchange(
        [o.Ioctl(container, vfio_iommu.VFIO_IOMMU_MAP_DMA, 0, asked.pack(), here)]
    )
    if answer.ret:
        return False
    port.exchange(_transfer(fd, _OWN, edu.DMA_BUFFER, from_device=False))
    learnt = _idle(port, fd)
    gone = vfio_iommu.vfio_iommu_type1_dma_unmap(vfio_iommu.DMA_UNMAP_MIN, 0, _OWN, PAGE)
    port.exchange([o.Ioctl(container, vfio_iommu.VFIO_IOMMU_UNMAP_DMA, 0, gone.pack())])
    return learnt


def _transfer(fd: int, source: int, target: int, *, from_device: bool) -> list[AnyOp]:
    return [
        o.Pwrite(fd, value.to_bytes(8, "little"), register)
        for register, value in edu.transfer(source, target, _SIZE, from_device=from_device)
    ]


def _idle(port: Port, fd: int) -> bool:
    end = time.monotonic() + _WAIT
    while True:
        (answer,) = port.exchange([o.Pread(fd, 4, edu.DMA_COMMAND)])
        if answer.ret == 4 and not answer.bytes[0] & edu.START:  # noqa: PLR2004 -- the register's bytes
            return True
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE)
