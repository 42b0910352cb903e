# SPDX-License-Identifier: MIT
"""Where the structure may lie: up to the last byte of a page, and nowhere else."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.pci import PciDevice
from vfiospec.rules import conventions
from vfiospec.rules import region_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

CONFIG = vfio.VFIO_PCI_CONFIG_REGION_INDEX
WHOLE = vfio.REGION_INFO_MIN
GET = vfio.VFIO_DEVICE_GET_REGION_INFO


@checks(conventions.ARGSZ_BEYOND)
@pytest.mark.parametrize("index", range(8), ids="region-{}".format)
def test_with_argsz_32_no_region_needs_more(device: Device, memory: Memory, index: int) -> None:
    """A capability that does not fit is not written."""
    at = memory.tail(WHOLE)
    expect.accepted(device.try_get_region_info(index, size=WHOLE, at=at))


@checks(rules.MSIX_MAPPABLE)
@devices("msix")
def test_a_capability_may_end_with_its_page(
    device: Device, pci: PciDevice, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """The 40 bytes it needs are all it takes, however large argsz is."""
    size = promised(rules.CAPS_DO_NOT_FIT)
    for index in pci.msix_bars:
        call = device.try_get_region_info(index, 4096, size=size, at=memory.tail(size))
        offset = expect.accepted(call).unpack(vfio.vfio_region_info).cap_offset
        expect.equal("cap_offset", offset, promised(rules.MSIX_MAPPABLE))
