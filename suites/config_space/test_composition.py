# SPDX-License-Identifier: MIT
"""An access of many bytes is the same as accesses of each."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.device import ops as o
from vfiospec.device.region import Region
from vfiospec.rules import config_space as rules
from vfiospec.rules.config_space_layout import Layout
from vfiospec.session.marks import checks

LONGEST = 24
SEEN = 2 * regs.PCI_CFG_SPACE_SIZE  # bytes of config space that are looked at


@checks(rules.COMPOSED)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 8], ids="length-{}".format)
def test_every_read_is_of_the_same_bytes(space: Region, length: int) -> None:
    """From each offset of the first 256 bytes."""
    whole = space.try_read(0, regs.PCI_CFG_SPACE_SIZE).data
    at = int(space.info.offset)
    offsets = range(len(whole) - length + 1)
    replies = space.device.port.run([o.Pread(space.device.handle, length, at + i) for i in offsets])
    for i, reply in zip(offsets, replies, strict=True):
        expect.equal(f"{length} bytes at {i:#x}", reply.bytes.hex(), whole[i : i + length].hex())


@checks(rules.COMPOSED)
@given(data=st.data())
def test_any_read_is_of_its_bytes(space: Region, data: st.DataObject) -> None:
    """In extended space too."""
    size = int(space.info.size)
    offset = data.draw(st.integers(0, size - 1), label="offset")
    length = data.draw(st.integers(1, min(size - offset, 64)), label="length")
    at, fd = int(space.info.offset) + offset, space.device.handle
    ops = [o.Pread(fd, length, at), *(o.Pread(fd, 1, at + i) for i in range(length))]
    together, *each = space.device.port.run(ops)
    expect.equal("bytes", together.bytes.hex(), b"".join(r.bytes for r in each).hex())


@checks(rules.COMPOSED, rules.WIDTH)
@given(data=st.data())
def test_any_write_is_of_its_bytes(
    space: Region,
    hardware: Region,
    layout: Layout,
    again: Callable[[], None],
    same: Callable[[str, bytes, bytes], None],
    data: st.DataObject,
) -> None:
    """What a write leaves, virtual and real, is what writes of its bytes leave."""
    start = data.draw(st.sampled_from(_written(layout)), label="start")
    seen = min(layout.size, SEEN)
    length = data.draw(st.integers(2, min(LONGEST, seen - start)), label="length")
    value = data.draw(st.binary(min_size=length, max_size=length), label="value")
    before = space.try_read(0, seen).data
    value = bytes(
        v if _may_write(layout, start + i) else before[start + i] for i, v in enumerate(value)
    )
    try:
        expect.accepted(space.try_write(start, value), length)
        shown, real = _both(space, hardware, seen)
        again()
        for i in range(length):
            expect.accepted(space.try_write(start + i, value[i : i + 1]), 1)
        shown_each, real_each = _both(space, hardware, seen)
    finally:
        again()
    same("after writes of each byte, virtual", shown_each, shown)
    same("after writes of each byte, real", real_each, real)


def _both(space: Region, hardware: Region, size: int) -> tuple[bytes, bytes]:
    return space.try_read(0, size).data, hardware.try_read(0, size).data


def _may_write(layout: Layout, at: int) -> bool:
    """Sweeps may, and a BAR, whose bits are all virtual, needs no sweep's care."""
    bar = regs.PCI_BASE_ADDRESS_0 <= at < regs.PCI_CARDBUS_CIS
    return bool(layout.swept[at]) or bar


def _written(layout: Layout) -> list[int]:
    """Where writes begin: near registers that can be written, in the header and behind it."""
    near = {
        max(at - back, 0)
        for area in layout.areas
        for at in range(area.start, min(area.end, area.start + regs.PCI_STD_HEADER_SIZEOF))
        if layout.writable[at] and at < min(layout.size, SEEN) - 2
        for back in (0, 1, 3)
    }
    return sorted(near)
