# SPDX-License-Identifier: MIT
"""A device that can be reset, as it was found once a test is done."""

from collections.abc import Iterator

import pytest

from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.pci import PciDevice
from vfiospec.device.scratch import Scratch, decode_memory, scratch_of

KEPT = ((regs.PCI_COMMAND, 2), (regs.PCI_CACHE_LINE_SIZE, 2), (regs.PCI_INTERRUPT_LINE, 1))


@pytest.fixture
def resettable(device: Device) -> Iterator[Device]:
    """A device that says it can be reset; what the test changes of its header is put back."""
    if not device.get_info().struct.flags & vfio.VFIO_DEVICE_FLAGS_RESET:
        pytest.skip("the device cannot be reset alone: needs VFIO_DEVICE_FLAGS_RESET")
    before = [(at, size, device.read_config(at, size)) for at, size in KEPT]
    decode_memory(device)
    yield device
    for at, size, value in before:
        device.write_config(at, size, value)


@pytest.fixture
def scratch(pci: PciDevice) -> Scratch:
    """A register that a reset clears."""
    found = scratch_of(pci.ids)
    if found is None:
        pytest.skip("no register of this device is known that a reset clears")
    return found
