# SPDX-License-Identifier: MIT
"""32-bit programs: their ioctls enter the kernel by a gate of their own."""

from collections.abc import Iterator
from operator import attrgetter

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.call import Call
from vfiospec.device.device import Device
from vfiospec.device.files import File, Memory
from vfiospec.device.group import Assigned
from vfiospec.device.info import INFO_CALLS, InfoCall
from vfiospec.device.ops import Ioctl32, MemoryKind
from vfiospec.device.port import Port
from vfiospec.rules import compatibility as rules
from vfiospec.session.marks import checks


@pytest.fixture
def low(port: Port, page: int) -> Iterator[Memory]:
    """A page where a 32-bit program could have it."""
    if port.hello.implementation != "c":
        pytest.skip("only the executor in C makes calls of 32-bit programs")
    with Memory(port, page, kind=MemoryKind.LOW) as made:
        yield made


def i386(file: File, request: int, argument: Memory | int) -> Call:
    """An ioctl as a 32-bit program makes it; skips where the kernel runs none."""
    if isinstance(argument, Memory):
        op = Ioctl32(file.handle, request, 0, argument.at())
    else:
        op = Ioctl32(file.handle, request, argument)
    reply = file.port.do(op)
    if reply.signal:
        pytest.skip("this kernel runs no 32-bit programs: CONFIG_IA32_EMULATION")
    return Call(f"32-bit ioctl {request:#x}", "", 0, reply)


@checks(rules.I386)
@pytest.mark.parametrize("info", INFO_CALLS, ids=attrgetter("name"))
def test_a_device_answers_alike(device: Device, info: InfoCall, low: Memory) -> None:
    """The same bytes for each index."""
    for index in range(info.count(device)):
        wide = info.ask(device, index=None if info.index is None else index)
        assert isinstance(wide.sent, bytes)
        low.write(0, wide.sent)
        narrow = i386(device, info.request, low)
        expect.equal(f"answer to {narrow}", narrow.answer(), wide.answer())
        got = low.read(0, len(wide.sent))
        expect.equal(f"{wide} for a 32-bit program", got.hex(" "), wide.data.hex(" "))


@checks(rules.I386)
def test_a_group_answers_alike(assigned: Assigned, low: Memory) -> None:
    """Its status, byte by byte."""
    wide = expect.accepted(assigned.group.try_get_status())
    low.write(0, wide.sent if isinstance(wide.sent, bytes) else b"")
    expect.accepted(i386(assigned.group, vfio.VFIO_GROUP_GET_STATUS, low))
    expect.equal("status", low.read(0, len(wide.data)).hex(), wide.data.hex())


@checks(rules.I386)
def test_a_container_answers_alike(assigned: Assigned, low: Memory) -> None:
    """Its version, an extension, and type1's info with all capabilities."""
    container = assigned.container
    expect.accepted(i386(container, vfio.VFIO_GET_API_VERSION, 0), vfio.VFIO_API_VERSION)
    asked = vfio.VFIO_TYPE1v2_IOMMU
    wide = container.try_check_extension(asked)
    expect.equal("extension", i386(container, vfio.VFIO_CHECK_EXTENSION, asked).ret, wide.ret)
    info = expect.accepted(container.try_get_iommu_info(1024))
    low.write(0, info.sent if isinstance(info.sent, bytes) else b"")
    expect.accepted(i386(container, iommu.VFIO_IOMMU_GET_INFO, low))
    expect.equal("type1 info", low.read(0, len(info.data)).hex(), info.data.hex())
