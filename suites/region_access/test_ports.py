# SPDX-License-Identifier: MIT
"""I/O port BARs, by a device that has the same registers behind ports and in memory."""

import pytest

from vfiospec import expect
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.pci import ROM, PciDevice
from vfiospec.device.region import Region
from vfiospec.rules import region_access as rules
from vfiospec.session.marks import checks, devices

RTL8139 = (0x10EC, 0x8139)
MULTICAST = 0x08  # eight bytes that are read as they were written
PATTERN = bytes(range(0x31, 0x39))

Twins = tuple[Region, Region]


@pytest.fixture
def twins(decoding: Device, pci: PciDevice) -> Twins:
    """The device's registers behind ports, and in memory."""
    if pci.ids != RTL8139:
        pytest.skip("no RTL8139, which shows one set of registers in two BARs")
    ports = next(i for i, b in enumerate(pci.bars[:ROM]) if b.is_io)
    memory = next(i for i, b in enumerate(pci.bars[:ROM]) if b.is_memory)
    return decoding.region(ports), decoding.region(memory)


@checks(rules.CONTENT)
@devices("io-bar", "subpage")
@pytest.mark.parametrize("start", range(8), ids="start-{}".format)
def test_ports_are_read_as_memory_is(twins: Twins, start: int) -> None:
    """Each count up to 8 from each offset: the station's address, then the filter."""
    ports, memory = twins
    before = memory.try_read(MULTICAST, 8).data
    memory.write(MULTICAST, 4, int.from_bytes(PATTERN[:4], "little"))
    memory.write(MULTICAST + 4, 4, int.from_bytes(PATTERN[4:], "little"))
    alone = b"".join(memory.try_read(o, 1).data for o in range(16))
    seen = [ports.try_read(start, n) for n in range(1, 9)]
    for offset in (0, 4):
        word = int.from_bytes(before[offset : offset + 4], "little")
        memory.write(MULTICAST + offset, 4, word)
    for count, call in enumerate(seen, 1):
        expect.accepted(call, count)
        expect.equal(f"{call}", call.data.hex(), alone[start : start + count].hex())


@checks(rules.CONTENT)
@devices("io-bar", "subpage")
@pytest.mark.parametrize("width", [1, 2, 4, 8], ids="width-{}".format)
def test_ports_are_written_as_memory_is(twins: Twins, memory: Memory, width: int) -> None:
    """In each width, from a buffer as it is; all of the filter is written."""
    ports, same = twins
    before = same.try_read(MULTICAST, 8).data
    memory.write(0, PATTERN)
    calls = [
        ports.try_write(MULTICAST + at, at=memory.at(at), size=width) for at in range(0, 8, width)
    ]
    seen = b"".join(same.try_read(MULTICAST + o, 1).data for o in range(8))
    for offset in (0, 4):
        word = int.from_bytes(before[offset : offset + 4], "little")
        same.write(MULTICAST + offset, 4, word)
    for call in calls:
        expect.accepted(call, width)
    expect.equal("filter", seen.hex(), PATTERN.hex())
