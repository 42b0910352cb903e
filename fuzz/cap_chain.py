# SPDX-License-Identifier: MIT
"""Capability chains in an INFO reply.

Invariant: whatever bytes a kernel returns, walk() ends and stays inside the buffer, or raises
BrokenChain. Any other exception, or an endless walk, is a bug.
"""

from itertools import islice

from vfiospec.abi.caps import HEADER, BrokenChain, walk


def check(data: bytes) -> None:
    """Judge one input: four bytes of cap_offset, then the buffer."""
    first, info = int.from_bytes(data[:4], "little"), data[4:]
    try:
        offsets = [at for at, _ in islice(walk(info, first), len(info) + 1)]
    except BrokenChain:
        return
    assert len(offsets) <= len(info), "the walk does not end"
    assert all(at + HEADER <= len(info) for at in offsets), offsets
