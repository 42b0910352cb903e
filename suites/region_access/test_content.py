# SPDX-License-Identifier: MIT
"""Reads and writes of memory without side effects, held against a mapping of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfiospec import expect
from vfiospec.device.files import Mapping, Memory
from vfiospec.device.ops import Load, Peek, Poke, Store
from vfiospec.device.region import Region
from vfiospec.rules import region_access as rules
from vfiospec.session.marks import checks, devices

View = tuple[Region, Mapping]
PATTERN = bytes((i * 37 + 11) & 0xFF for i in range(128))
BLANK = bytes([0xEE]) * 128
MOST = 33  # four accesses of 8 bytes, and one more byte


@checks(rules.CONTENT)
@devices("vga")
@pytest.mark.parametrize("start", range(8), ids="start-{}".format)
def test_a_read_gives_what_the_mapping_shows(framebuffer: View, start: int) -> None:
    """For each count up to 33."""
    region, mapping = framebuffer
    port = region.device.port
    port.do(Poke(mapping.at(), PATTERN))
    replies = port.run([region.read_op(start, n) for n in range(1, MOST + 1)])
    for count, reply in enumerate(replies, 1):
        expect.equal(f"bytes read of {count} at {start}", reply.ret, count)
        wanted = PATTERN[start : start + count].hex()
        expect.equal(f"{count} bytes at {start}", reply.bytes.hex(), wanted)


@checks(rules.CONTENT)
@devices("vga")
@pytest.mark.parametrize("start", range(8), ids="start-{}".format)
def test_a_write_shows_in_the_mapping_and_nowhere_else(framebuffer: View, start: int) -> None:
    """For each count up to 33; the bytes around it are as they were."""
    region, mapping = framebuffer
    ops = []
    for count in range(1, MOST + 1):
        ops += [
            Poke(mapping.at(), BLANK),
            region.write_op(start + 16, PATTERN[:count]),
            Peek(mapping.at(), len(BLANK)),
        ]
    replies = region.device.port.run(ops)
    for count in range(1, MOST + 1):
        _, written, seen = replies[3 * count - 3 : 3 * count]
        expect.equal(f"bytes written of {count} at {start}", written.ret, count)
        wanted = BLANK[: start + 16] + PATTERN[:count] + BLANK[start + 16 + count :]
        expect.equal(f"{count} bytes at {start + 16}", seen.bytes.hex(), wanted.hex())


@checks(rules.CONTENT)
@devices("vga")
@pytest.mark.parametrize("width", [1, 2, 4, 8], ids="width-{}".format)
def test_loads_and_stores_of_each_width_agree(framebuffer: View, width: int) -> None:
    """What is stored through the mapping is read, and what is written is loaded."""
    region, mapping = framebuffer
    for offset in range(0, 64, width):
        value = int.from_bytes(PATTERN[offset : offset + width], "little")
        region.device.port.do(Store(mapping.at(offset), width, value))
        expect.equal(f"stored at {offset}", region.read(offset, width), value)
        region.write(offset, width, value ^ ((1 << 8 * width) - 1))
        loaded = region.device.port.do(Load(mapping.at(offset), width)).value
        expect.equal(f"written at {offset}", loaded, value ^ ((1 << 8 * width) - 1))


@checks(rules.CONTENT)
@devices("vga")
@pytest.mark.parametrize("start", [-17, -9, -8, -4, -1], ids="page{}".format)
def test_a_page_boundary_is_no_boundary(framebuffer: View, page: int, start: int) -> None:
    """Reads and writes across it, from unaligned offsets on."""
    region, mapping = framebuffer
    expect.accepted(region.try_write(page + start, PATTERN[:MOST]), MOST)
    shown = region.device.port.do(Peek(mapping.at(page + start), MOST)).bytes
    expect.equal("written", shown.hex(), PATTERN[:MOST].hex())
    expect.equal("read", region.try_read(page + start, MOST).data.hex(), PATTERN[:MOST].hex())


@checks(rules.CONTENT)
@devices("vga")
@pytest.mark.parametrize("at", range(8), ids="buffer-{}".format)
def test_the_buffer_may_lie_anywhere(framebuffer: View, memory: Memory, at: int) -> None:
    """An unaligned buffer is filled and emptied like any other, and nothing around it."""
    region, _ = framebuffer
    memory.write(64 + at, PATTERN[:MOST])
    expect.accepted(region.try_write(0, at=memory.at(64 + at), size=MOST), MOST)
    expect.accepted(region.try_read(0, MOST, at=memory.at(256 + at)), MOST)
    around = memory.read(256, 64)
    wanted = b"\xa5" * at + PATTERN[:MOST] + b"\xa5" * (31 - at)
    expect.equal("memory around the buffer", around.hex(), wanted.hex())


@checks(rules.CONTENT)
@devices("vga")
@given(
    pieces=st.lists(
        st.tuples(st.integers(0, 8191), st.binary(min_size=1, max_size=80)), min_size=1, max_size=8
    ),
    reads=st.lists(st.tuples(st.integers(0, 8191), st.integers(1, 80)), min_size=1, max_size=8),
)
def test_any_writes_add_up(
    framebuffer: View,
    page: int,
    pieces: list[tuple[int, bytes]],
    reads: list[tuple[int, int]],
) -> None:
    """Any writes leave what a model of bytes says, and any reads find it."""
    region, mapping = framebuffer
    port = region.device.port
    model = bytearray(2 * page)
    port.do(Poke(mapping.at(), bytes(model)))
    fitting = [(o, d[: 2 * page - o]) for o, d in pieces]
    port.run([region.write_op(o, d) for o, d in fitting])
    for offset, data in fitting:
        model[offset : offset + len(data)] = data
    expect.equal("mapping", port.do(Peek(mapping.at(), 2 * page)).bytes.hex(), model.hex())
    short = [(o, min(n, 2 * page - o)) for o, n in reads]
    for (offset, count), reply in zip(
        short, port.run([region.read_op(o, n) for o, n in short]), strict=True
    ):
        wanted = model[offset : offset + count].hex()
        expect.equal(f"{count} bytes at {offset}", reply.bytes.hex(), wanted)


@checks(rules.ACROSS)
@devices("vga")
@pytest.mark.parametrize("left", [1, 3, 4, 8, 13], ids="left-{}".format)
def test_a_write_ends_with_its_region(framebuffer: View, left: int) -> None:
    """What is left of the region is written, and the call says how much that was."""
    region, _ = framebuffer
    start = int(region.info.size) - left
    before = region.try_read(start, left).data
    call = region.try_write(start, PATTERN[: left + 8])
    written = region.try_read(start, left).data
    region.try_write(start, before)
    expect.accepted(call, left)
    expect.equal("end of the region", written.hex(), PATTERN[:left].hex())
