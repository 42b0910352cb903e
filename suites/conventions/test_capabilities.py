# SPDX-License-Identifier: MIT
"""Capabilities behind an INFO reply: how a caller learns the size, and gets them whole."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import caps, vfio
from vfiospec.device.call import Call
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.info import GET_REGION_INFO
from vfiospec.device.pci import PciDevice
from vfiospec.rules import conventions as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

STRUCT = vfio.vfio_region_info.sizeof()
FLAG = vfio.VFIO_REGION_INFO_FLAG_CAPS
SIZES = {
    vfio.VFIO_REGION_INFO_CAP_TYPE: vfio.vfio_region_info_cap_type.sizeof(),
    vfio.VFIO_REGION_INFO_CAP_MSIX_MAPPABLE: caps.HEADER,
}


@pytest.fixture
def chained(device: Device, pci: PciDevice) -> int:
    """A region with capabilities: the BAR with the MSI-X table."""
    index = min(pci.msix_bars)
    if not device.get_region_info(index).struct.flags & vfio.VFIO_REGION_INFO_FLAG_MMAP:
        pytest.skip(f"region {index} cannot be mapped and so has no capability: try another device")
    return index


def ask(device: Device, index: int, argsz: int) -> Call:
    """The reply, which must be a success that says there are capabilities."""
    call = expect.accepted(GET_REGION_INFO.ask(device, argsz, index=index))
    expect.flags(f"flags of {call}", call.unpack(vfio.vfio_region_info).flags, needed=FLAG)
    return call


def needed(device: Device, index: int) -> int:
    """The size the kernel asks for."""
    return int(ask(device, index, STRUCT).unpack(vfio.vfio_region_info).argsz)


def links(call: Call) -> Iterator[tuple[int, caps.CapHeader]]:
    """The chain of a reply, up to its argsz."""
    reply = call.unpack(vfio.vfio_region_info)
    try:
        yield from caps.walk(call.data[: reply.argsz], reply.cap_offset)
    except caps.BrokenChain as e:
        raise expect.Mismatch("a chain within argsz that leads forward", f"{call}, {e}") from e


@checks(rules.CAPS_DO_NOT_FIT)
@devices("msix")
def test_too_small_an_argsz_learns_the_size(device: Device, chained: int) -> None:
    """Each argsz from the structure alone to one byte short learns the size, and no more."""
    size = needed(device, chained)
    expect.holds(size > STRUCT, f"argsz above {STRUCT}", f"argsz = {size}")
    whole = ask(device, chained, size).unpack(vfio.vfio_region_info)
    whole.argsz, whole.cap_offset = size, 0
    for argsz in range(STRUCT, size):
        call = ask(device, chained, argsz)
        expect.equal(f"reply of {call}", call.unpack(vfio.vfio_region_info), whole)
        expect.untouched(call, STRUCT)


@checks(rules.CAPS_FIT)
@devices("msix")
@pytest.mark.parametrize("more", [0, 1, 8, 4096], ids="{}-to-spare".format)
def test_the_size_learned_is_enough(device: Device, chained: int, more: int) -> None:
    """With the size that was asked for, or more, capabilities come right behind the structure."""
    size = needed(device, chained)
    call = ask(device, chained, size + more)
    reply = call.unpack(vfio.vfio_region_info)
    expect.equal("argsz", reply.argsz, size + more)
    expect.equal("cap_offset", reply.cap_offset, STRUCT)
    expect.untouched(call, size)


@checks(rules.CAPS_FIT)
@devices("msix")
def test_the_largest_argsz_gets_them_too(device: Device, chained: int) -> None:
    """An argsz of 0xffffffff gets the same capabilities and keeps its argsz."""
    size = needed(device, chained)
    small, large = ask(device, chained, size), ask(device, chained, 0xFFFFFFFF)
    expect.equal("reply behind argsz", large.data[4:size].hex(" "), small.data[4:size].hex(" "))
    expect.equal("argsz", large.unpack(vfio.vfio_region_info).argsz, 0xFFFFFFFF)
    expect.untouched(large, size)


@checks(rules.CAPS_FIT)
@devices("msix")
def test_they_need_no_byte_behind_argsz(device: Device, chained: int, memory: Memory) -> None:
    """A buffer of just the size that was asked for may end where memory ends."""
    size = needed(device, chained)
    call = GET_REGION_INFO.ask(device, size, index=chained, size=size, at=memory.tail(size))
    expect.accepted(call)
    expect.equal("reply", call.data.hex(" "), ask(device, chained, size).data[:size].hex(" "))


@checks(rules.CAPS_CHAIN)
@devices("msix")
def test_the_chain_can_be_walked(device: Device, chained: int) -> None:
    """Each link leads forward, past the structure, and the last one ends where argsz ends."""
    size = needed(device, chained)
    call = ask(device, chained, size)
    chain = list(links(call))
    at, last = chain[-1]
    expect.holds(chain[0][0] >= STRUCT, f"capabilities from {STRUCT} on", f"{call}, {chain}")
    expect.equal("next of the last capability", last.next, 0)
    expect.holds(all(header.version for _, header in chain), "versions from 1 on", f"{chain}")
    if last.id in SIZES:
        expect.equal(f"end of capability {last.id}", at + SIZES[last.id], size)


@checks(rules.CAPS_BAD_ADDRESS)
@devices("msix")
def test_room_that_is_not_there_is_refused(
    device: Device, chained: int, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """An argsz with room for the capabilities in a buffer without it is refused."""
    size = needed(device, chained)
    for short in (size - 1, STRUCT):
        memory.write(memory.size - short, GET_REGION_INFO.pack(size, size=short, index=chained))
        call = device.try_ioctl(
            vfio.VFIO_DEVICE_GET_REGION_INFO, memory.tail(short), what=f"{short} bytes, not {size}"
        )
        expect.refused(call, promised(rules.CAPS_BAD_ADDRESS))


@checks(rules.CAPS_DO_NOT_FIT)
@devices("msix")
def test_learning_the_size_needs_no_memory_for_them(
    device: Device, chained: int, memory: Memory
) -> None:
    """A buffer of the structure alone, at the end of memory, learns the size."""
    call = GET_REGION_INFO.ask(device, STRUCT, index=chained, size=STRUCT, at=memory.tail(STRUCT))
    expect.accepted(call)
    reply = call.unpack(vfio.vfio_region_info)
    expect.equal("argsz", reply.argsz, needed(device, chained))
    expect.equal("cap_offset", reply.cap_offset, 0)
