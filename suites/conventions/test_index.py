# SPDX-License-Identifier: MIT
"""Indexes of regions and interrupts: those there are, those there are not, and holes."""

from collections.abc import Callable
from operator import attrgetter

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.info import GET_IRQ_INFO, GET_REGION_INFO, InfoCall
from vfiospec.rules import conventions as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

indexed = pytest.mark.parametrize("info", [GET_REGION_INFO, GET_IRQ_INFO], ids=attrgetter("name"))
# A kernel that looked at some bits of an index only would take these for 0, 2 and 7.
HUGE = sorted({(1 << bit) + low for bit in range(5, 32) for low in (0, 2, 7)})


@checks(rules.INDEX_OUT_OF_RANGE)
@indexed
def test_an_index_behind_the_last_is_refused(
    device: Device, info: InfoCall, promised: Callable[[Rule], int]
) -> None:
    """Each index from the maximum on to 31 is refused."""
    for index in range(info.count(device), 32):
        expect.refused(info.ask(device, index=index), promised(rules.INDEX_OUT_OF_RANGE))


@checks(rules.INDEX_OUT_OF_RANGE)
@indexed
def test_a_huge_index_is_refused(
    device: Device, info: InfoCall, promised: Callable[[Rule], int]
) -> None:
    """An index that is only small in its low bits, or as a signed number, is refused."""
    for index in (*HUGE, 0xFFFFFFF8, 0xFFFFFFFE, 0xFFFFFFFF):
        expect.refused(info.ask(device, index=index), promised(rules.INDEX_OUT_OF_RANGE))


@checks(rules.INDEX_KEPT, rules.ARGSZ_KEPT)
@indexed
def test_the_index_comes_back(device: Device, info: InfoCall) -> None:
    """A reply repeats the index it speaks of, and argsz where all of it had room."""
    for index in range(info.count(device)):
        call = info.ask(device, 256, index=index)
        reply = call.unpack(info.struct)
        if call.ok:
            expect.equal(f"index of {call}", reply.index, index)
            expect.equal(f"argsz of {call}", reply.argsz, 256)


@checks(rules.UNSUPPORTED_IRQ)
@devices("conventional")
def test_the_error_interrupt_of_a_conventional_device_is_refused(
    device: Device, promised: Callable[[Rule], int]
) -> None:
    """Errors are reported by PCI Express; another device answers with a negative errno."""
    call = GET_IRQ_INFO.ask(device, index=vfio.VFIO_PCI_ERR_IRQ_INDEX)
    expect.refused(call, promised(rules.UNSUPPORTED_IRQ))


@checks(rules.UNSUPPORTED_IRQ)
@devices("pcie")
def test_the_error_interrupt_of_a_pcie_device_is_there(device: Device) -> None:
    """A PCI Express device has the index that a conventional one has not."""
    expect.accepted(GET_IRQ_INFO.ask(device, index=vfio.VFIO_PCI_ERR_IRQ_INDEX))
