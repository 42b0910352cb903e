# SPDX-License-Identifier: MIT
"""Where the structure may lie: up to the last byte of a page, and nowhere else."""

import mmap
from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.rules import irq_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

REQ = vfio.VFIO_PCI_REQ_IRQ_INDEX
WHOLE = vfio.IRQ_INFO_MIN
GET = vfio.VFIO_DEVICE_GET_IRQ_INFO


@checks(rules.REST_UNTOUCHED)
@pytest.mark.parametrize("argsz", [16, 20, 4096, 0xFFFFFFFF], ids="argsz-{}".format)
def test_it_may_end_with_its_page(device: Device, memory: Memory, argsz: int) -> None:
    """Nothing behind the 16 bytes is touched, whatever argsz says."""
    at = memory.tail(WHOLE)
    expect.accepted(device.try_get_irq_info(REQ, argsz, size=WHOLE, at=at))


@checks(rules.BAD_ADDRESS)
@pytest.mark.parametrize("missing", [1, 4], ids="missing-{}".format)
def test_it_may_not_reach_into_a_missing_page(
    device: Device, memory: Memory, missing: int, promised: Callable[[Rule], int]
) -> None:
    """Refused, and what is there of it is untouched."""
    size = WHOLE - missing
    call = device.try_get_irq_info(REQ, WHOLE, size=size, at=memory.tail(size))
    expect.refused(call, promised(rules.BAD_ADDRESS))


@checks(rules.BAD_ADDRESS)
def test_it_may_not_lie_nowhere(device: Device, promised: Callable[[Rule], int]) -> None:
    """A null pointer."""
    expect.refused(device.try_ioctl(GET, 0), promised(rules.BAD_ADDRESS))


@checks(rules.BAD_ADDRESS)
@pytest.mark.parametrize("prot", [0, mmap.PROT_READ], ids=["unreadable", "unwritable"])
def test_it_may_not_lie_in_a_protected_page(
    device: Device, memory: Memory, prot: int, promised: Callable[[Rule], int]
) -> None:
    """The same place does, with leave to read and write."""
    request = vfio.vfio_irq_info(argsz=WHOLE, index=REQ).pack()
    memory.write(0, request)
    expect.accepted(device.try_ioctl(GET, memory.at()))
    memory.write(0, request)
    memory.protect(prot)
    expect.refused(device.try_ioctl(GET, memory.at()), promised(rules.BAD_ADDRESS))
    memory.protect(mmap.PROT_READ)
    expect.equal("the structure", memory.read(0, WHOLE).hex(), request.hex())
