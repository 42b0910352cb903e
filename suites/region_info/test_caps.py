# SPDX-License-Identifier: MIT
"""The capability of a BAR with an MSI-X table, and that there is no other."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import caps, vfio
from vfiospec.device.device import Device
from vfiospec.device.pci import PciDevice
from vfiospec.rules import conventions
from vfiospec.rules import region_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

CAPS = vfio.VFIO_REGION_INFO_FLAG_CAPS
MMAP = vfio.VFIO_REGION_INFO_FLAG_MMAP


@pytest.fixture
def table(pci: PciDevice) -> int:
    """The BAR that holds the MSI-X table."""
    (bar,) = pci.msix_bars
    return bar


@checks(rules.MSIX_MAPPABLE)
def test_only_a_mappable_bar_with_the_table_has_capabilities(
    device: Device, pci: PciDevice
) -> None:
    """FLAG_CAPS is on that BAR, and on no other region."""
    for index in range(vfio.VFIO_PCI_VGA_REGION_INDEX):
        flags = device.get_region_info(index).struct.flags
        mappable = index in pci.msix_bars and flags & MMAP
        expect.equal(f"FLAG_CAPS of region {index}", flags & CAPS, CAPS if mappable else 0)


@checks(rules.MSIX_MAPPABLE, rules.BAR_MMAP)
@devices("msix")
def test_the_bar_with_the_table_can_be_mapped(device: Device, pci: PciDevice, page: int) -> None:
    """All of it, the table included, if it is a page or more."""
    for index in pci.msix_bars:
        if pci.bars[index].size >= page:
            flags = device.get_region_info(index).struct.flags
            expect.flags(f"flags of BAR {index}", flags, needed=MMAP | CAPS)


@checks(rules.MSIX_MAPPABLE)
@devices("msix")
def test_the_chain_is_one_header(
    device: Device, table: int, promised: Callable[[Rule], int]
) -> None:
    """Right behind the structure: MSIX_MAPPABLE, version 1, no next."""
    call = expect.accepted(device.try_get_region_info(table, 64))
    first = call.unpack(vfio.vfio_region_info).cap_offset
    expect.equal("cap_offset", first, promised(rules.MSIX_MAPPABLE))
    header = caps.CapHeader(vfio.VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, version=1, next=0)
    expect.equal("capabilities", list(caps.walk(call.data, first)), [(first, header)])


@checks(rules.MSIX_MAPPABLE, conventions.ARGSZ_BEYOND, conventions.ARGSZ_KEPT)
@devices("msix")
@pytest.mark.parametrize("room", [0, 1, 7, 8, 216, 1 << 30], ids="room-{}".format)
def test_a_capability_that_fits_is_written_and_no_more(
    device: Device, table: int, room: int, promised: Callable[[Rule], int]
) -> None:
    """From the size it needs on: argsz is kept, and what follows the header untouched."""
    needed = promised(rules.CAPS_DO_NOT_FIT)
    call = expect.accepted(device.try_get_region_info(table, needed + room))
    info = call.unpack(vfio.vfio_region_info)
    expect.equal("argsz", info.argsz, needed + room)
    expect.equal("cap_offset", info.cap_offset, promised(rules.MSIX_MAPPABLE))
    expect.untouched(call, needed)


@checks(rules.CAPS_DO_NOT_FIT, conventions.ARGSZ_BEYOND)
@devices("msix")
@pytest.mark.parametrize("argsz", [32, 33, 36, 39], ids="argsz-{}".format)
def test_a_capability_that_does_not_fit_is_announced(
    device: Device, table: int, argsz: int, promised: Callable[[Rule], int]
) -> None:
    """The call succeeds, tells the size it needs, and writes nothing behind the structure."""
    call = expect.accepted(device.try_get_region_info(table, argsz))
    info = call.unpack(vfio.vfio_region_info)
    expect.equal("argsz", info.argsz, promised(rules.CAPS_DO_NOT_FIT))
    expect.equal("cap_offset", info.cap_offset, 0)
    expect.flags("flags", info.flags, needed=CAPS)
    expect.untouched(call, vfio.REGION_INFO_MIN)


@checks(rules.CAPS_DO_NOT_FIT)
@devices("msix")
def test_size_flags_and_offset_do_not_depend_on_argsz(device: Device, table: int) -> None:
    """Whether the capability fits or not, the rest of the reply is the same."""
    small = expect.accepted(device.try_get_region_info(table, 32))
    large = expect.accepted(device.try_get_region_info(table, 40))
    expect.equal("flags and index", small.data[4:12].hex(), large.data[4:12].hex())
    expect.equal("size and offset", small.data[16:32].hex(), large.data[16:32].hex())
