# SPDX-License-Identifier: MIT
"""Devices that decode or do not, memory a region can be compared with, and a view of the bus."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import pytest

from vfiospec.abi import pci as regs
from vfiospec.device.device import Device
from vfiospec.device.files import Mapping
from vfiospec.device.pci import IORESOURCE_PREFETCH, ROM, PciDevice
from vfiospec.device.region import Region
from vfiospec.lab.qemu import Vm

_DECODE = regs.PCI_COMMAND_MEMORY | regs.PCI_COMMAND_IO
_EVENTS = ("memory_region_ops_read", "memory_region_ops_write")
_LINE = re.compile(
    r"memory_region_ops_(read|write) cpu -?\d+ mr \S+ addr (\S+) value (\S+) size (\d+)"
)


class Access(NamedTuple):
    """One access the device was given. `offset` counts from where the view starts."""

    kind: str
    offset: int
    width: int
    value: int


class Bus:
    """What QEMU saw go to its devices, as a context manager: all accesses while it is open."""

    def __init__(self, machine: Vm, path: Path) -> None:
        """The log goes to `path`."""
        self._machine = machine
        self._path = path

    def __enter__(self) -> Self:
        self._machine.hmp(f"logfile {self._path}")
        self._machine.hmp(f"log {','.join(f'trace:{event}' for event in _EVENTS)}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._machine.hmp("log none")
        for event in _EVENTS:
            self._machine.hmp(f"trace-event {event} off")

    def within(self, start: int, size: int) -> list[Access]:
        """The accesses to these addresses, in order."""
        found = []
        for kind, address, value, width in _LINE.findall(self._path.read_text()):
            offset = int(address, 16) - start
            if 0 <= offset < size:
                found.append(Access(kind, offset, int(width), int(value, 16)))
        return found


@pytest.fixture
def bus(machine: Vm, tmp_path: Path) -> Bus:
    """A view of the bus."""
    if _EVENTS[0] not in machine.hmp("info trace-events"):
        pytest.skip("this QEMU has no traces: build it with --enable-trace-backends=log")
    return Bus(machine, tmp_path / "bus.log")


@pytest.fixture
def decoding(device: Device) -> Iterator[Device]:
    """The device with its memory and I/O port BARs turned on."""
    before = device.read_config(regs.PCI_COMMAND, 2)
    device.write_config(regs.PCI_COMMAND, 2, before | _DECODE)
    yield device
    device.write_config(regs.PCI_COMMAND, 2, before)


@pytest.fixture
def memory_off(decoding: Device) -> Device:
    """The device with its memory BARs turned off, and its I/O port BARs on."""
    command = decoding.read_config(regs.PCI_COMMAND, 2)
    decoding.write_config(regs.PCI_COMMAND, 2, command & ~regs.PCI_COMMAND_MEMORY)
    return decoding


@pytest.fixture
def framebuffer(decoding: Device, pci: PciDevice, page: int) -> Iterator[tuple[Region, Mapping]]:
    """Two pages of a device's memory without side effects, as a region and as a mapping.

    A prefetchable BAR is such memory. What was there is there again afterwards.
    """
    bars = [i for i, b in enumerate(pci.bars[:ROM]) if b.flags & IORESOURCE_PREFETCH]
    if not bars:
        pytest.skip("no prefetchable BAR: judge a device with a framebuffer")
    region = decoding.region(bars[0])
    with region.map(2 * page) as mapping:
        before = region.try_read(0, 2 * page).data
        yield region, mapping
        region.try_write(0, before)
