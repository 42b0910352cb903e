# SPDX-License-Identifier: MIT
"""The lists of capabilities: what the device has, but for what vfio-pci does not know."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.device.region import Region
from vfiospec.rules import config_space as rules
from vfiospec.rules import config_space_caps as caps
from vfiospec.rules.config_space_layout import Layout, walk, walk_extended
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices


def _words(found: list[tuple[int, int]]) -> str:
    return ", ".join(f"{kind:#x} at {at:#x}" for kind, at in found) or "none"


@checks(caps.LIST)
def test_the_list_is_the_devices(space: Region, layout: Layout) -> None:
    """Kinds and offsets, in order."""
    shown = space.try_read(0, regs.PCI_CFG_SPACE_SIZE).data
    expect.equal("capabilities", _words(list(walk(shown))), _words(layout.capabilities))


@checks(caps.EXTENDED_LIST)
@devices("pcie")
def test_the_extended_list_is_the_devices(space: Region, layout: Layout) -> None:
    """Kinds and offsets, in order."""
    shown = space.try_read(0, layout.size).data
    found = [(kind, at) for kind, at in walk_extended(shown) if kind]
    expect.equal("extended capabilities", _words(found), _words(layout.extended))


@checks(caps.LIST_BIT)
def test_status_says_whether_there_is_a_list(
    space: Region, layout: Layout, promised: Callable[[Rule], int]
) -> None:
    """In its own bit."""
    bit = promised(caps.LIST_BIT)
    expected = bit if layout.capabilities else 0
    expect.equal("list bit of STATUS", space.read(regs.PCI_STATUS, 2) & bit, expected)


@checks(caps.LIST)
def test_each_header_reads_the_same_by_any_width(space: Region, layout: Layout) -> None:
    """Kind and pointer by a byte each, as a word, in a dword."""
    for kind, at in layout.capabilities:
        by_bytes = space.read(at, 1) | space.read(at + regs.PCI_CAP_LIST_NEXT, 1) << 8
        expect.equal(f"header at {at:#x} as a word", space.read(at, 2), by_bytes)
        expect.equal(f"header at {at:#x} in a dword", space.read(at, 4) & 0xFFFF, by_bytes)
        expect.equal(f"kind at {at:#x}", by_bytes & regs.PCI_CAP_ID_MASK, kind)


@checks(rules.READ_ONLY, caps.LIST)
@pytest.mark.parametrize("width", [1, 2, 4], ids="width-{}".format)
def test_no_header_can_be_written(
    space: Region, hardware: Region, layout: Layout, width: int
) -> None:
    """Neither as the user sees it nor in the device."""
    # Vendor specific ones pass writes through, and in MSI-X's dword nothing is to be tried.
    headers = [at for kind, at in layout.capabilities if kind != regs.PCI_CAP_ID_VNDR]
    for at in [*headers, *(at for _, at in layout.extended)]:
        before, real = space.read(at, 2), hardware.read(at, 2)
        for part in range(0, 2, width):
            value = space.read(at + part, width) ^ (0xFF if width == 1 else 0xFFFF)
            space.write(at + part, width, value)
        expect.equal(f"header at {at:#x}", space.read(at, 2), before)
        expect.equal(f"header at {at:#x} of the device", hardware.read(at, 2), real)


@checks(rules.READS)
@devices("pcie")
def test_extended_headers_read_the_same_by_any_width(space: Region, layout: Layout) -> None:
    """By bytes, by words, whole."""
    for kind, at in layout.extended:
        whole = space.read(at, 4)
        expect.equal(f"kind at {at:#x}", whole & 0xFFFF, kind)
        for width in (1, 2):
            parts = [space.read(at + i, width) << 8 * i for i in range(0, 4, width)]
            expect.equal(f"header at {at:#x}", sum(parts), whole)
