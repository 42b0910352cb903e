# SPDX-License-Identifier: MIT
"""Eventfds, and a way to bind writes that are taken away again whatever a test does."""

from collections.abc import Iterator

import pytest

from vfiospec.abi import pci as regs
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd
from vfiospec.device.ioeventfd import Binder
from vfiospec.device.pci import PciDevice


@pytest.fixture
def binder(device: Device, event: EventFd) -> Iterator[Binder]:
    """Binds writes, which are gone after the test; the command register as it was, too."""
    made = Binder(device, event)
    command = device.read_config(regs.PCI_COMMAND, 2)
    space = regs.PCI_COMMAND_MEMORY | regs.PCI_COMMAND_IO
    device.write_config(regs.PCI_COMMAND, 2, command | space)
    yield made
    made.close()
    device.write_config(regs.PCI_COMMAND, 2, command)


@pytest.fixture
def free(pci: PciDevice) -> tuple[int, int]:
    """A BAR and an offset of it from which 16 bytes, its last, hold nothing of an MSI-X table."""
    bars = [i for i, bar in enumerate(pci.bars[:6]) if bar.size >= 16]
    best = [i for i in bars if i not in pci.msix_bars] or bars
    if not best:
        pytest.skip("the device has no BAR")
    return best[0], pci.bars[best[0]].size - 16
