# SPDX-License-Identifier: MIT
"""Where regions lie in the device fd."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.call import errno_name
from vfiospec.device.device import Device
from vfiospec.device.ops import Pread
from vfiospec.device.pci import ROM
from vfiospec.device.port import Port
from vfiospec.rules import region_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

WIDTH = 4


@checks(rules.OFFSET_UNIQUE)
def test_regions_do_not_overlap(device: Device) -> None:
    """Each region ends before the next begins, in whatever order they lie."""
    infos = [device.try_get_region_info(i) for i in range(device.get_info().struct.num_regions)]
    regions = [c.unpack(vfio.vfio_region_info) for c in infos if c.ok]
    spans = sorted((r.offset, r.offset + r.size, r.index) for r in regions if r.size)
    for (_, end, lower), (start, _, upper) in pairwise(spans):
        said = f"region {lower} ends at {end:#x}, region {upper} starts at {start:#x}"
        expect.holds(end <= start, "no two regions overlap", said)


@checks(rules.OFFSET_UNIQUE)
def test_no_two_regions_have_one_offset(device: Device) -> None:
    """Not even empty ones."""
    infos = [device.try_get_region_info(i) for i in range(device.get_info().struct.num_regions)]
    offsets = [c.unpack(vfio.vfio_region_info).offset for c in infos if c.ok]
    expect.equal("distinct offsets", len(set(offsets)), len(offsets))


@checks(rules.OFFSET_UNIQUE)
def test_every_region_ends_within_the_file(device: Device) -> None:
    """An offset of a file is a signed 64-bit number."""
    for index in range(vfio.VFIO_PCI_VGA_REGION_INDEX):
        info = device.get_region_info(index).struct
        end = info.offset + info.size
        expect.holds(end < 1 << 63, "below 2^63", f"region {index} ends at {end:#x}")


@checks(rules.OFFSET_LAYOUT)
@pytest.mark.parametrize("index", range(8), ids="region-{}".format)
def test_an_offset_is_the_index_shifted(
    device: Device, index: int, promised: Callable[[Rule], int]
) -> None:
    """As it has been since vfio-pci exists."""
    offset = device.get_region_info(index).struct.offset
    expect.equal(f"offset of region {index}", offset, index << promised(rules.OFFSET_LAYOUT))


@checks(rules.OFFSET_LAYOUT)
@devices("vga")
def test_the_offset_of_vga_is_the_index_shifted(
    device: Device, promised: Callable[[Rule], int]
) -> None:
    """The region that other devices do not have."""
    offset = device.get_region_info(vfio.VFIO_PCI_VGA_REGION_INDEX).struct.offset
    expected = vfio.VFIO_PCI_VGA_REGION_INDEX << promised(rules.OFFSET_LAYOUT)
    expect.equal("offset of the VGA region", offset, expected)


@checks(rules.OFFSET_USE)
@pytest.mark.parametrize("index", range(ROM), ids="bar{}".format)
def test_the_last_bytes_of_a_bar_can_be_read(device: Device, port: Port, index: int) -> None:
    """All that the size promises is there."""
    info = device.get_region_info(index).struct
    if info.size >= WIDTH:
        reply = port.do(Pread(device.handle, WIDTH, info.offset + info.size - WIDTH))
        expect.equal(f"bytes read at the end of BAR {index}", reply.ret, WIDTH)


@checks(rules.OFFSET_USE)
@pytest.mark.parametrize("index", range(ROM), ids="bar{}".format)
def test_nothing_can_be_read_behind_a_bar(
    device: Device, port: Port, index: int, promised: Callable[[Rule], int]
) -> None:
    """The size is the end: of a BAR, and of an empty region, which has nothing at all."""
    info = device.get_region_info(index).struct
    reply = port.do(Pread(device.handle, WIDTH, info.offset + info.size))
    refusal = errno_name(promised(rules.OFFSET_USE))
    expect.equal(f"a read behind BAR {index}", errno_name(reply.errno), refusal)
