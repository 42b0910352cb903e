# SPDX-License-Identifier: MIT
"""IOEVENTFD: where a write may go: into BARs, up to their end, and not into the MSI-X table."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.ioeventfd import Binder
from vfiospec.device.pci import PciDevice
from vfiospec.rules import ioeventfd as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, dangerous, devices

Promised = Callable[[Rule], int]
NARROW = {flag: width for flag, width in rules.WIDTHS.items() if width < 8}


def both_ways(binder: Binder, flag: int, at: int) -> None:
    """Bound, and taken away."""
    expect.accepted(binder.bind(flag, at, 0))
    expect.accepted(binder.unbind(flag, at, 0))


def neither_way(binder: Binder, flag: int, at: int, errno: int) -> None:
    """Refused for binding and for taking away."""
    expect.refused(binder.bind(flag, at, 0), errno)
    expect.refused(binder.unbind(flag, at, 0), errno)


@checks(rules.REGION)
@pytest.mark.parametrize("index", [6, 7, 8, 9, 10, 100, 0x7FFFFF], ids="region-{}".format)
def test_other_regions(binder: Binder, index: int, promised: Promised) -> None:
    """ROM, configuration space, VGA, and numbers no region has."""
    first = binder.at(vfio.VFIO_PCI_BAR1_REGION_INDEX, 0)  # the distance of two regions
    for flag in NARROW:
        for offset in (0, 4, first - 4):
            neither_way(binder, flag, index * first + offset, promised(rules.REGION))


@checks(rules.REGION)
def test_a_bar_that_is_not_there(binder: Binder, pci: PciDevice, promised: Promised) -> None:
    """Nor the upper half of a 64-bit one."""
    for index, bar in enumerate(pci.bars[:6]):
        if not bar.size:
            neither_way(binder, 1, binder.at(index, 0), promised(rules.REGION))


@checks(rules.RANGE)
@pytest.mark.parametrize("flag", NARROW, ids="flag-{}".format)
def test_up_to_the_end(binder: Binder, pci: PciDevice, flag: int, promised: Promised) -> None:
    """The last place where it fits, aligned or not; a byte further it does not."""
    width = NARROW[flag]
    for index, bar in enumerate(pci.bars[:6]):
        if not bar.size or index in pci.msix_bars:
            continue
        for offset in (bar.size - width, bar.size - width - 1):
            both_ways(binder, flag, binder.at(index, offset))
        both_ways(binder, flag, binder.at(index, 0))
        for beyond in range(1, width + 2):
            at = binder.at(index, bar.size - width + beyond)
            neither_way(binder, flag, at, promised(rules.RANGE))
        last = binder.at(1, 0) - 1  # of what a region can have
        neither_way(binder, flag, binder.at(index, last), promised(rules.RANGE))


@checks(rules.RANGE)
@pytest.mark.parametrize("shift", [31, 32, 39], ids="bit-{}".format)
def test_a_bar_is_not_there_again(
    binder: Binder, free: tuple[int, int], shift: int, promised: Promised
) -> None:
    """At the same place so much further on, where only an upper bit of the offset is too many."""
    bar, offset = free
    for flag in NARROW:
        both_ways(binder, flag, binder.at(bar, offset))
        at = binder.at(bar, (1 << shift) + offset)
        neither_way(binder, flag, at, promised(rules.RANGE))


@checks(rules.MSIX)
@devices("msix")
@pytest.mark.parametrize("flag", NARROW, ids="flag-{}".format)
def test_the_msix_table(binder: Binder, pci: PciDevice, flag: int, promised: Promised) -> None:
    """No byte of it; the bytes before and behind are free."""
    width = NARROW[flag]
    table = pci.u32(pci.capabilities[regs.PCI_CAP_ID_MSIX] + regs.PCI_MSIX_TABLE)
    bar, start = table & regs.PCI_MSIX_TABLE_BIR, table & regs.PCI_MSIX_TABLE_OFFSET
    end = start + pci.msix_vectors * regs.PCI_MSIX_ENTRY_SIZE
    inside = {start, start + 1, start + 4, (start + end) // 2, end - width, end - 1}
    for offset in inside | {start - width + 1, start - 1 if width > 1 else start}:
        if offset >= 0:
            neither_way(binder, flag, binder.at(bar, offset), promised(rules.MSIX))
    outside = {start - width, end, end + 1, pci.bars[bar].size - width}
    for offset in outside:
        if offset >= 0:
            both_ways(binder, flag, binder.at(bar, offset))


@checks(rules.MSIX)
@devices("msix")
def test_the_same_place_of_another_bar(binder: Binder, pci: PciDevice) -> None:
    """It is the table's BAR that is watched, no other."""
    table = pci.u32(pci.capabilities[regs.PCI_CAP_ID_MSIX] + regs.PCI_MSIX_TABLE)
    bar, start = table & regs.PCI_MSIX_TABLE_BIR, table & regs.PCI_MSIX_TABLE_OFFSET
    others = [i for i, b in enumerate(pci.bars[:6]) if i != bar and b.size > start + 4]
    if not others:
        pytest.skip("the device has no other BAR that is as large")
    for other in others:
        both_ways(binder, vfio.VFIO_DEVICE_IOEVENTFD_32, binder.at(other, start))


@checks(rules.OFFSET_SIGN)
@dangerous
@devices("irq-stimulus", "dma-stimulus")
def test_an_offset_with_the_sign_bit(binder: Binder, promised: Promised) -> None:
    """All ones is beyond any region. Only taking away is tried: that writes nothing."""
    at = (1 << 64) - 1
    expect.refused(binder.unbind(vfio.VFIO_DEVICE_IOEVENTFD_8, at, 0), promised(rules.OFFSET_SIGN))
