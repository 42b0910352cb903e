# SPDX-License-Identifier: MIT
"""Devices that interrupt at our word, and eventfds to hear them; all is put back at the end."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.edu import Edu
from vfiospec.device.files import EventFd
from vfiospec.device.interrupt import Interrupt
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice


@pytest.fixture
def edu(device: Device) -> Iterator[Edu]:
    """The device behind the fd, awake and asserting nothing."""
    made = Edu(device)
    with made.in_use():
        yield made


@pytest.fixture
def intx(edu: Edu) -> Interrupt:
    """Its level interrupt, off."""
    return Interrupt(edu.device, vfio.VFIO_PCI_INTX_IRQ_INDEX)


@pytest.fixture
def msi(edu: Edu) -> Interrupt:
    """Its message-signalled interrupt, off."""
    return Interrupt(edu.device, vfio.VFIO_PCI_MSI_IRQ_INDEX)


@pytest.fixture
def other(port: Port) -> Iterator[EventFd]:
    """Another eventfd."""
    with EventFd.create(port) as made:
        yield made


@pytest.fixture
def held_back(port: Port, spec: BenchDevice) -> Callable[[], bool]:
    """Whether Interrupt Disable is set in the device itself, past what vfio-pci shows."""

    def look() -> bool:
        command = PciDevice(port, spec.bdf).u16(regs.PCI_COMMAND)
        return bool(command & regs.PCI_COMMAND_INTX_DISABLE)

    return look
