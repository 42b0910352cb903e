# SPDX-License-Identifier: MIT
"""MAP_DMA without READ and without WRITE, by the compatible call, with a device to map it for."""

from collections.abc import Callable

from vfiospec import expect
from vfiospec.device.compat import InGroup
from vfiospec.device.files import Memory
from vfiospec.rules import iommufd_compat as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, dangerous, devices

IOVA = 0x100000


@dangerous
@checks(rules.MAP_NEITHER)
@devices("dma-stimulus")
def test_for_neither(
    inside: InGroup, memory: Memory, promised: Callable[[Rule], int], quiet: Callable[[], None]
) -> None:
    """Dangerous: a kernel that is told to panic on warnings does."""
    with inside.open():
        call = inside.iommufd.try_map(memory, IOVA, memory.size, 0)
        expect.refused(call, promised(rules.MAP_NEITHER))
    quiet()
