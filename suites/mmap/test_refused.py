# SPDX-License-Identifier: MIT
"""Which mappings are made, and which are refused."""

import mmap as m
from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.call import Call
from vfiospec.device.device import Device
from vfiospec.device.files import Mapping
from vfiospec.device.pci import ROM, PciDevice
from vfiospec.device.region import Region
from vfiospec.device.ways import Way
from vfiospec.rules import mmap as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

INDEX_SHIFT = 40  # as region-info.offset-layout has it: absent regions tell no offset
FLAG = vfio.VFIO_REGION_INFO_FLAG_MMAP
PROT_NONE = 0
RW = m.PROT_READ | m.PROT_WRITE


def pages(region: Region, page: int) -> int:
    """Bytes of the whole pages a region takes."""
    return -(-int(region.info.size) // page) * page


def refused(made: tuple[Call, Mapping | None], errno: int) -> None:
    """A mapping is refused; one that is made all the same does not stay."""
    call, mapping = made
    if mapping is not None:
        mapping.unmap()
    expect.refused(call, errno)


def accepted(made: tuple[Call, Mapping | None]) -> None:
    """A mapping is made. It does not stay."""
    call, mapping = made
    if mapping is None:
        raise expect.Mismatch("a mapping", str(call))
    mapping.unmap()


@checks(rules.FLAG)
def test_a_region_is_mapped_just_if_its_flag_says_so(
    decoding: Device, page: int, promised: Callable[[Rule], int]
) -> None:
    """Each BAR, the ROM, configuration space."""
    for index in range(vfio.VFIO_PCI_VGA_REGION_INDEX):
        region = decoding.region(index)
        if region.info.flags & FLAG:
            accepted(region.try_map())
        else:
            refused(region.try_map(page), promised(rules.FLAG))


@checks(rules.FLAG)
@pytest.mark.parametrize("offset", [0, 0xA0000], ids="{:#x}".format)
def test_vga_cannot_be_mapped(
    device: Device, page: int, offset: int, promised: Callable[[Rule], int]
) -> None:
    """Whether the device has VGA or not."""
    where = (vfio.VFIO_PCI_VGA_REGION_INDEX << INDEX_SHIFT) + offset
    reply, mapping = Mapping.of(device, page, prot=RW, flags=m.MAP_SHARED, offset=where)
    refused((Call("mmap", f"VGA {offset:#x}", 0, reply), mapping), promised(rules.FLAG))


@checks(rules.FLAG)
@devices("io-bar")
def test_ports_cannot_be_mapped(
    decoding: Device, pci: PciDevice, page: int, promised: Callable[[Rule], int]
) -> None:
    """With each protection, private or shared."""
    for index, bar in enumerate(pci.bars[:ROM]):
        if bar.is_io:
            region = decoding.region(index)
            for prot in (m.PROT_READ, m.PROT_WRITE, RW):
                for flags in (m.MAP_SHARED, m.MAP_PRIVATE):
                    refused(region.try_map(page, prot=prot, flags=flags), promised(rules.FLAG))


@checks(rules.NO_REGION)
@pytest.mark.parametrize(
    "index", [9, 10, 15, 16, 255, 256, 1 << 16, (1 << 22) + 1, (1 << 23) - 1], ids="index-{}".format
)
def test_there_is_nothing_behind_the_last_region(
    device: Device, page: int, index: int, promised: Callable[[Rule], int]
) -> None:
    """Also where the index would fit if its upper bits were lost."""
    known = device.get_info().struct.num_regions
    if index < known:
        pytest.skip(f"the device has {known} regions")
    where = index << INDEX_SHIFT
    reply, mapping = Mapping.of(device, page, prot=RW, flags=m.MAP_SHARED, offset=where)
    refused((Call("mmap", f"index {index}", 0, reply), mapping), promised(rules.NO_REGION))


@checks(rules.SHARED)
@pytest.mark.parametrize("prot", [PROT_NONE, m.PROT_READ, m.PROT_WRITE, RW], ids="prot-{}".format)
def test_a_private_mapping_is_refused(
    mappable: list[Region], page: int, prot: int, promised: Callable[[Rule], int]
) -> None:
    """Whatever its protection."""
    for region in mappable:
        made = region.try_map(page, prot=prot, flags=m.MAP_PRIVATE)
        refused(made, promised(rules.SHARED))


@checks(rules.BOUNDS)
def test_no_mapping_reaches_beyond_the_region(
    mappable: list[Region], page: int, promised: Callable[[Rule], int]
) -> None:
    """By a byte or by pages, from its start, its last page, its end or far behind."""
    errno = promised(rules.BOUNDS)
    for region in mappable:
        size = pages(region, page)
        for more in (1, page, 16 * page, size):
            refused(region.try_map(size + more), errno)
        refused(region.try_map(page + 1, offset=size - page), errno)
        refused(region.try_map(2 * page, offset=size - page), errno)
        for behind in (0, page, 1 << 30, (1 << INDEX_SHIFT) - size - page):
            refused(region.try_map(page, offset=size + behind), errno)


@checks(rules.BOUNDS)
def test_a_mapping_does_not_reach_into_the_next_region(
    mappable: list[Region], page: int, promised: Callable[[Rule], int]
) -> None:
    """From the last page before the next region's offset."""
    for region in mappable:
        made = region.try_map(2 * page, offset=(1 << INDEX_SHIFT) - page)
        refused(made, promised(rules.BOUNDS))


@checks(rules.ROUNDED)
def test_any_length_within_the_region_is_mapped(mappable: list[Region], page: int) -> None:
    """One byte, a page, all of it, all but a byte, its size though that is less than a page."""
    for region in mappable:
        size = pages(region, page)
        for length in {1, page - 1, page, size - page or 1, size - 1, size, int(region.info.size)}:
            accepted(region.try_map(length))


@checks(rules.ROUNDED)
def test_it_is_mapped_from_any_of_its_pages_on(mappable: list[Region], page: int) -> None:
    """The first, one in the middle, the last."""
    for region in mappable:
        size = pages(region, page)
        for start in {0, size // 2 // page * page, size - page}:
            accepted(region.try_map(size - start, offset=start))
            accepted(region.try_map(page, offset=start))
            accepted(region.try_map(1, offset=start))


@checks(rules.UNALIGNED)
@pytest.mark.parametrize("offset", [1, 8, 256, 2048, 4095], ids="offset-{}".format)
def test_an_offset_within_a_page_is_refused(
    mappable: list[Region], page: int, offset: int, promised: Callable[[Rule], int]
) -> None:
    """Even if the rest of the page would be enough."""
    for region in mappable:
        refused(region.try_map(page - offset, offset=offset), promised(rules.UNALIGNED))


@checks(rules.PROTECTION)
@pytest.mark.parametrize("prot", [PROT_NONE, m.PROT_READ, m.PROT_WRITE, RW], ids="prot-{}".format)
def test_each_protection_is_given(mappable: list[Region], prot: int) -> None:
    """With none at all, too."""
    for region in mappable:
        accepted(region.try_map(prot=prot))


@checks(rules.PROTECTION)
def test_a_protection_holds(
    mappable: list[Region], page: int, promised: Callable[[Rule], int]
) -> None:
    """What may only be read is not written, and what may not be read is not read."""
    for region in mappable:
        for prot, touch in ((m.PROT_READ, "store"), (PROT_NONE, "load"), (PROT_NONE, "store")):
            _, mapping = region.try_map(page, prot=prot)
            assert mapping is not None
            with mapping:
                reply = mapping.load(0, 4) if touch == "load" else mapping.store(0, 4, 0)
                expect.equal(f"signal of a {touch}", reply.signal, promised(rules.PROTECTION))
                expect.equal("its address", reply.address, mapping.address)


@checks(rules.EXECUTABLE)
@pytest.mark.parametrize("prot", [m.PROT_EXEC, m.PROT_EXEC | RW], ids="prot-{}".format)
def test_executable_mappings(
    mappable: list[Region], page: int, prot: int, by_group: Way, promised: Callable[[Rule], int]
) -> None:
    """Refused where the file system of anonymous inodes has no programs.

    A group gives such a file; for a device's own file, in /dev, see suites/cdev/test_executable.py.
    """
    del by_group
    for region in mappable:
        made = region.try_map(page, prot=prot)
        if promised(rules.EXECUTABLE):
            refused(made, promised(rules.EXECUTABLE))
        else:
            accepted(made)
