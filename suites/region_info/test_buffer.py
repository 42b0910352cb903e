# SPDX-License-Identifier: MIT
"""Where the structure may lie: up to the last byte of a page, and nowhere else."""

import mmap
from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.call import errno_name
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.pci import PciDevice
from vfiospec.rules import region_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

CONFIG = vfio.VFIO_PCI_CONFIG_REGION_INDEX
WHOLE = vfio.REGION_INFO_MIN
GET = vfio.VFIO_DEVICE_GET_REGION_INFO


@checks(rules.REST_UNTOUCHED)
@pytest.mark.parametrize("argsz", [32, 40, 4096, 0xFFFFFFFF], ids="argsz-{}".format)
def test_it_may_end_with_its_page(device: Device, memory: Memory, argsz: int) -> None:
    """Without capabilities nothing behind the 32 bytes is touched, whatever argsz says."""
    at = memory.tail(WHOLE)
    expect.accepted(device.try_get_region_info(CONFIG, argsz, size=WHOLE, at=at))


@checks(rules.REST_UNTOUCHED)
@pytest.mark.parametrize("index", range(8), ids="region-{}".format)
def test_with_argsz_32_no_region_needs_more(device: Device, memory: Memory, index: int) -> None:
    """A capability that does not fit is not written."""
    at = memory.tail(WHOLE)
    expect.accepted(device.try_get_region_info(index, size=WHOLE, at=at))


@checks(rules.BAD_ADDRESS)
@pytest.mark.parametrize("missing", [1, 8, 20], ids="missing-{}".format)
def test_it_may_not_reach_into_a_missing_page(
    device: Device, memory: Memory, missing: int, promised: Callable[[Rule], int]
) -> None:
    """Refused, and what is there of it is untouched."""
    size = WHOLE - missing
    call = device.try_get_region_info(CONFIG, WHOLE, size=size, at=memory.tail(size))
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
    request = vfio.vfio_region_info(argsz=WHOLE, index=CONFIG).pack()
    memory.write(0, request)
    expect.accepted(device.try_ioctl(GET, memory.at()))
    memory.write(0, request)
    memory.protect(prot)
    expect.refused(device.try_ioctl(GET, memory.at()), promised(rules.BAD_ADDRESS))
    memory.protect(mmap.PROT_READ)
    expect.equal("the structure", memory.read(0, WHOLE).hex(), request.hex())


@checks(rules.BAD_ADDRESS)
@devices("msix")
def test_a_capability_may_not_reach_into_a_missing_page(
    device: Device, pci: PciDevice, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """Argsz promised room that is not there."""
    for index in pci.msix_bars:
        at = memory.tail(WHOLE)
        expect.accepted(device.try_get_region_info(index, WHOLE, size=WHOLE, at=at))
        argsz = promised(rules.CAPS_DO_NOT_FIT)
        call = device.try_get_region_info(index, argsz, size=WHOLE, at=at)
        expect.equal("answer", call.answer(), errno_name(promised(rules.BAD_ADDRESS)))


@checks(rules.MSIX_MAPPABLE)
@devices("msix")
def test_a_capability_may_end_with_its_page(
    device: Device, pci: PciDevice, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """The 40 bytes it needs are all it takes, however large argsz is."""
    size = promised(rules.CAPS_DO_NOT_FIT)
    for index in pci.msix_bars:
        call = device.try_get_region_info(index, 4096, size=size, at=memory.tail(size))
        offset = expect.accepted(call).unpack(vfio.vfio_region_info).cap_offset
        expect.equal("cap_offset", offset, promised(rules.MSIX_MAPPABLE))
