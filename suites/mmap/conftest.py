# SPDX-License-Identifier: MIT
"""Devices that decode memory, their mappable BARs, and a group of the test's own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.access import Access, Attach
from vfiospec.device.device import Device
from vfiospec.device.files import Mapping
from vfiospec.device.pci import IORESOURCE_PREFETCH, ROM, PciDevice
from vfiospec.device.region import Region


@pytest.fixture
def decoding(device: Device) -> Iterator[Device]:
    """The device with its memory BARs turned on."""
    before = device.read_config(regs.PCI_COMMAND, 2)
    device.write_config(regs.PCI_COMMAND, 2, before | regs.PCI_COMMAND_MEMORY)
    yield device
    device.write_config(regs.PCI_COMMAND, 2, before)


@pytest.fixture
def memory(decoding: Device) -> Callable[[bool], None]:  # type: ignore[explicit-override, unused-ignore]
    """Turn memory decoding on or off."""

    def turn(on: bool) -> None:  # noqa: FBT001 -- as a switch
        command = decoding.read_config(regs.PCI_COMMAND, 2) & ~regs.PCI_COMMAND_MEMORY
        decoding.write_config(regs.PCI_COMMAND, 2, command | (regs.PCI_COMMAND_MEMORY if on else 0))

    return turn


@pytest.fixture
def mappable(decoding: Device) -> list[Region]:
    """The regions that say they can be mapped."""
    regions = [decoding.region(i) for i in range(vfio.VFIO_PCI_NUM_REGIONS - 1)]
    found = [r for r in regions if r.info.flags & vfio.VFIO_REGION_INFO_FLAG_MMAP]
    if not found:
        pytest.skip("no region of the device can be mapped")
    return found


@pytest.fixture
def mapped(mappable: list[Region], page: int) -> Iterator[list[tuple[Region, Mapping]]]:
    """Each mappable region with a mapping of all of its pages, of which none was touched yet."""
    with ExitStack() as stack:
        whole = [(r, r.map(-(-int(r.info.size) // page) * page)) for r in mappable]
        yield [(r, stack.enter_context(m)) for r, m in whole]


@pytest.fixture
def framebuffer(decoding: Device, pci: PciDevice) -> Region:
    """A region of memory without side effects: a prefetchable BAR."""
    bars = [i for i, b in enumerate(pci.bars[:ROM]) if b.flags & IORESOURCE_PREFETCH]
    if not bars:
        pytest.skip("no prefetchable BAR: judge a device with a framebuffer")
    return decoding.region(bars[0])


@pytest.fixture
def own(attach: Attach) -> Iterator[Access]:
    """The group of a device nobody else has open."""
    assigned = attach()
    yield assigned
    assigned.close()
