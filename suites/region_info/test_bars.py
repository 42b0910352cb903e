# SPDX-License-Identifier: MIT
"""BARs, held against what the PCI core says in sysfs `resource`."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.pci import ROM, PciDevice
from vfiospec.rules import region_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

every_bar = pytest.mark.parametrize("index", range(ROM), ids="bar{}".format)
NOT_OF_THE_BAR = vfio.VFIO_REGION_INFO_FLAG_MMAP | vfio.VFIO_REGION_INFO_FLAG_CAPS


@checks(rules.BAR, rules.UNIMPLEMENTED)
@every_bar
def test_a_region_is_as_large_as_its_bar(device: Device, pci: PciDevice, index: int) -> None:
    """The size is that of the resource; a BAR that is not there has size 0."""
    info = device.get_region_info(index).struct
    expect.equal(f"size of BAR {index}", info.size, pci.bars[index].size)


@checks(rules.BAR, rules.UNIMPLEMENTED)
@every_bar
def test_a_bar_can_be_read_and_written(
    device: Device, pci: PciDevice, index: int, promised: Callable[[Rule], int]
) -> None:
    """Both flags for a BAR that is there, none at all for one that is not."""
    flags = device.get_region_info(index).struct.flags
    if pci.bars[index].size:
        flags &= ~NOT_OF_THE_BAR
        expect.equal(f"access flags of BAR {index}", flags, promised(rules.BAR))
    else:
        expect.equal(f"flags of BAR {index}", flags, promised(rules.UNIMPLEMENTED))


@checks(rules.BAR_MMAP)
@every_bar
def test_a_bar_of_a_page_can_be_mapped(
    device: Device, pci: PciDevice, page: int, index: int, promised: Callable[[Rule], int]
) -> None:
    """Memory of at least a page can be mapped, ports and nothing cannot. Smaller ones: subpage."""
    bar, mmap = pci.bars[index], promised(rules.BAR_MMAP)
    flags = device.get_region_info(index).struct.flags & mmap
    if not bar.is_memory or not bar.size or bar.size >= page:
        mappable = mmap if bar.is_memory and bar.size else 0
        expect.equal(f"MMAP flag of BAR {index}", flags, mappable)


@checks(rules.BAR_POWER_OF_TWO)
@every_bar
def test_a_size_is_a_power_of_two(device: Device, index: int) -> None:
    """As every BAR is."""
    size = device.get_region_info(index).struct.size
    expect.holds(size & (size - 1) == 0, "a power of two, or 0", f"size of BAR {index} = {size}")


@checks(rules.IO_BAR)
@devices("io-bar")
def test_ports_are_read_and_written_only(
    device: Device, pci: PciDevice, promised: Callable[[Rule], int]
) -> None:
    """Just the two flags: ports cannot be mapped and hold no MSI-X table."""
    for index, bar in enumerate(pci.bars[:ROM]):
        if bar.is_io:
            flags = device.get_region_info(index).struct.flags
            expect.equal(f"flags of BAR {index}", flags, promised(rules.IO_BAR))


@checks(rules.BAR_UPPER_HALF)
@devices("bar64")
def test_the_upper_half_of_a_wide_bar_is_empty(
    device: Device, pci: PciDevice, promised: Callable[[Rule], int]
) -> None:
    """A 64-bit BAR takes two indexes; the second one has nothing."""
    for index, bar in enumerate(pci.bars[: ROM - 1]):
        if bar.is_64bit:
            upper = device.get_region_info(index + 1).struct
            expect.equal(f"size of BAR {index + 1}", upper.size, promised(rules.BAR_UPPER_HALF))
            expect.equal(f"flags of BAR {index + 1}", upper.flags, promised(rules.BAR_UPPER_HALF))
