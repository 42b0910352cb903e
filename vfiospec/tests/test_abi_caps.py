# SPDX-License-Identifier: MIT
"""walk() over capability chains: good ones are followed, broken ones are named, all of them end."""

import struct
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfiospec.abi.caps import HEADER, BrokenChain, CapHeader, capability, walk


def chain(size: int, *links: tuple[int, int, int]) -> bytes:
    """Make an INFO buffer with headers (offset, id, next) in it."""
    info = bytearray(size)
    for offset, cap, following in links:
        struct.pack_into("=HHI", info, offset, cap, 1, following)
    return bytes(info)


def test_no_chain() -> None:
    """A cap_offset of 0 means that there are no capabilities."""
    assert list(walk(bytes(64), 0)) == []


def test_the_chain_of_a_container() -> None:
    """Offsets as v6.1 gives them: the third capability is not aligned to 8."""
    info = chain(116, (24, 2, 56), (56, 3, 68), (68, 1, 0))
    assert list(walk(info, 24)) == [
        (24, CapHeader(2, 1, 56)),
        (56, CapHeader(3, 1, 68)),
        (68, CapHeader(1, 1, 0)),
    ]


def test_a_header_may_be_the_last_bytes() -> None:
    """A capability without a body, as MSIX_MAPPABLE is, ends the buffer."""
    assert list(walk(chain(40, (32, 3, 0)), 32)) == [(32, CapHeader(3, 1, 0))]


def test_links_may_touch() -> None:
    """The next header may begin where a capability without a body ends."""
    info = chain(48, (32, 3, 40), (40, 1, 0))
    assert [offset for offset, _ in walk(info, 32)] == [32, 40]


@pytest.mark.parametrize(
    ("info", "first", "message"),
    [
        (chain(64, (32, 1, 32)), 32, "at 32: the chain may not go below 40"),
        (chain(64, (32, 1, 48), (48, 2, 32)), 32, "at 32: the chain may not go below 56"),
        (chain(64, (32, 1, 24), (24, 2, 0)), 32, "at 24: the chain may not go below 40"),
        (chain(64, (32, 1, 36)), 32, "at 36: the chain may not go below 40"),
        (chain(64, (32, 1, 4)), 32, "at 4: the chain may not go below 40"),
        (chain(64), 4, "at 4: the chain may not go below 8"),
        (chain(64, (32, 1, 57)), 32, "at 57: its header ends behind the 64 byte buffer"),
        (chain(64, (32, 1, 0xFFFFFFFF)), 32, "at 4294967295: its header ends behind"),
        (chain(64), 64, "at 64: its header ends behind the 64 byte buffer"),
        (b"", 8, "at 8: its header ends behind the 0 byte buffer"),
        (chain(64), -8, "at -8: the chain may not go below 8"),
    ],
    ids=[
        "itself",
        "cycle",
        "backwards",
        "overlap",
        "into the fixed part",
        "first too low",
        "one byte over",
        "far past the end",
        "first past the end",
        "empty buffer",
        "negative",
    ],
)
def test_a_broken_chain_is_named(info: bytes, first: int, message: str) -> None:
    """The message says which offset is wrong and why."""
    with pytest.raises(BrokenChain, match=message):
        list(islice(walk(info, first), len(info) + 1))  # a walk in a circle would never end


def test_what_comes_before_the_break_is_given() -> None:
    """The capabilities up to a bad link are seen before the exception."""
    walking = walk(chain(64, (32, 1, 16)), 32)
    assert next(walking) == (32, CapHeader(1, 1, 16))
    with pytest.raises(BrokenChain):
        next(walking)


def test_capability_finds_the_first_of_its_id() -> None:
    """The first with that id is found; an id that is not there gives None."""
    info = chain(64, (32, 1, 40), (40, 2, 48), (48, 2, 0))
    assert capability(info, 32, 2) == (40, CapHeader(2, 1, 48))
    assert capability(info, 32, 7) is None


def test_capability_does_not_hide_a_broken_chain() -> None:
    """Looking for an id behind a bad link is an error, not an absence."""
    with pytest.raises(BrokenChain):
        capability(chain(64, (32, 1, 8)), 32, 2)


@given(info=st.binary(max_size=256), first=st.integers(0, 2**32 - 1) | st.integers(0, 256))
def test_any_bytes_end(info: bytes, first: int) -> None:
    """Whatever a kernel returns, the walk stays in the buffer and ends within its length."""
    offsets = []
    try:
        for offset, _ in islice(walk(info, first), len(info) + 1):
            assert HEADER <= offset <= len(info) - HEADER
            offsets.append(offset)
    except BrokenChain:
        pass
    assert len(offsets) <= len(info) // HEADER
    assert offsets == sorted(set(offsets))


@given(data=st.data())
def test_every_well_formed_chain_is_followed(data: st.DataObject) -> None:
    """Headers at rising offsets, however far apart, come back as they were put in."""
    gaps = data.draw(st.lists(st.integers(HEADER, 64), min_size=1, max_size=12))
    offsets = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    links = [
        (at, n, following)
        for n, (at, following) in enumerate(zip(offsets, [*offsets[1:], 0], strict=True))
    ]
    info = chain(offsets[-1] + HEADER, *links)
    assert [(at, head.id, head.next) for at, head in walk(info, offsets[0])] == links
