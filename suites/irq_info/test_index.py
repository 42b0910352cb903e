# SPDX-License-Identifier: MIT
"""Which indexes there are, and what each one says: all bytes of each reply."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.rules import conventions
from vfiospec.rules import irq_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

BEYOND = [0x80, 0x104, 0x10004, 0x80000004, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]
ERR, REQ = vfio.VFIO_PCI_ERR_IRQ_INDEX, vfio.VFIO_PCI_REQ_IRQ_INDEX
WHOLE = vfio.IRQ_INFO_MIN


@checks(conventions.INDEX_OUT_OF_RANGE)
@pytest.mark.parametrize("past", range(16), ids="past-{}".format)
def test_an_index_from_num_irqs_on_is_refused(
    device: Device, past: int, promised: Callable[[Rule], int]
) -> None:
    """num_irqs is the first index there is not."""
    index = device.get_info().struct.num_irqs + past
    expect.refused(device.try_get_irq_info(index), promised(conventions.INDEX_OUT_OF_RANGE))


@checks(conventions.INDEX_OUT_OF_RANGE)
@pytest.mark.parametrize("index", BEYOND, ids="index-{:x}".format)
def test_a_huge_index_is_refused(
    device: Device, index: int, promised: Callable[[Rule], int]
) -> None:
    """All 32 bits of the index count: none is cut off, none is a sign."""
    expect.refused(device.try_get_irq_info(index), promised(conventions.INDEX_OUT_OF_RANGE))


@checks(rules.REQ)
def test_each_device_can_be_asked_for(device: Device, promised: Callable[[Rule], int]) -> None:
    """The last index below num_irqs: one interrupt, set up as a set."""
    expected = vfio.vfio_irq_info(WHOLE, promised(rules.REQ), REQ, 1)
    expect.reply(device.try_get_irq_info(REQ), expected)


@checks(rules.ERR)
@devices("pcie")
def test_a_pcie_device_reports_errors(device: Device, promised: Callable[[Rule], int]) -> None:
    """One interrupt, set up as a set."""
    expected = vfio.vfio_irq_info(WHOLE, promised(rules.ERR), ERR, 1)
    expect.reply(device.try_get_irq_info(ERR), expected)


@checks(rules.EVENTFD)
@pytest.mark.parametrize("index", [0, 1, 2, 4], ids="irq-{}".format)
def test_each_index_takes_eventfds(
    device: Device, index: int, promised: Callable[[Rule], int]
) -> None:
    """Even an index of which the device has none."""
    info = device.get_irq_info(index)
    expect.flags(f"flags of index {index}", info.flags, needed=promised(rules.EVENTFD))
    expect.equal("index", info.index, index)
