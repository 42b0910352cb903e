# SPDX-License-Identifier: MIT
"""What programs are kept from: accesses whose harm says nothing of the kernel's VFIO."""

from typing import Final

from vfiospec.device import edu
from vfiospec.device.ops import Handle
from vfiospec.fuzzing.calls import REGION_SHIFT
from vfiospec.fuzzing.maker import Maker

_COMMAND: Final = range(edu.DMA_COMMAND, edu.DMA_COMMAND + 8)


def spared(offset: int, data: bytes) -> bytes:
    """What of a write leaves edu's DMA command alone: QEMU ends if that names a wrong range."""
    if offset >= _COMMAND.stop or offset + len(data) <= _COMMAND.start:
        return data
    return data[: max(_COMMAND.start - offset, 0)]


def breaks(maker: Maker, fd: Handle, where: int) -> bool:
    """Whether an access is one that mtty makes to memory that is another's.

    It takes each BAR for a serial port that it has, and any offset for one of its 256 bytes of
    configuration: docs/crashes. What such an access leaves behind is found elsewhere, later.
    """
    return fd in maker.fragile and where >> REGION_SHIFT != 0
