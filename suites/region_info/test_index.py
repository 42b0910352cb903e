# SPDX-License-Identifier: MIT
"""Which indexes there are."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.rules import conventions
from vfiospec.rules import region_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

BEYOND = [0x80, 0x107, 0x10007, 0x80000007, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]


@checks(conventions.INDEX_OUT_OF_RANGE)
@pytest.mark.parametrize("past", range(24), ids="past-{}".format)
def test_an_index_from_num_regions_on_is_refused(
    device: Device, past: int, promised: Callable[[Rule], int]
) -> None:
    """num_regions is the first index there is not."""
    index = device.get_info().struct.num_regions + past
    expect.refused(device.try_get_region_info(index), promised(conventions.INDEX_OUT_OF_RANGE))


@checks(conventions.INDEX_OUT_OF_RANGE)
@pytest.mark.parametrize("index", BEYOND, ids="index-{:x}".format)
def test_a_huge_index_is_refused(
    device: Device, index: int, promised: Callable[[Rule], int]
) -> None:
    """All 32 bits of the index count: none is cut off, none is a sign."""
    expect.refused(device.try_get_region_info(index), promised(conventions.INDEX_OUT_OF_RANGE))


@checks(rules.INDEX_KNOWN)
@pytest.mark.parametrize("index", range(8), ids="region-{}".format)
def test_an_index_below_is_answered_and_echoed(device: Device, index: int) -> None:
    """BARs, ROM and configuration space are there to ask about, on every device."""
    call = expect.accepted(device.try_get_region_info(index))
    expect.equal("index", call.unpack(vfio.vfio_region_info).index, index)
