# SPDX-License-Identifier: MIT
"""Capability chains behind INFO replies: every link is checked, so a walk ends on any bytes."""

from collections.abc import Iterator
from typing import NamedTuple

from vfiospec.abi.vfio import vfio_info_cap_header

HEADER = vfio_info_cap_header.sizeof()


class BrokenChain(ValueError):  # noqa: N818 -- named for what it says, as in `except BrokenChain`
    """A capability chain that cannot be followed to its end."""


class CapHeader(NamedTuple):
    """What each capability begins with; next is an offset in the INFO buffer, 0 at the last one."""

    id: int
    version: int
    next: int


def walk(info: bytes, first: int) -> Iterator[tuple[int, CapHeader]]:
    """Each capability as (offset, header), from first (a cap_offset; 0 means no chain).

    info is the whole INFO buffer as the kernel filled it. Raises BrokenChain where a link
    leaves the buffer, points into the first HEADER bytes, goes backwards or into the
    header it came from. The kernel only ever appends, so a link that turns back is a fault.
    """
    lowest, offset = HEADER, first
    while offset:
        if offset < lowest:
            message = f"capability at {offset}: the chain may not go below {lowest} here"
            raise BrokenChain(message)
        if offset + HEADER > len(info):
            message = f"capability at {offset}: its header ends behind the {len(info)} byte buffer"
            raise BrokenChain(message)
        raw = vfio_info_cap_header.unpack(info[offset : offset + HEADER])
        header = CapHeader(raw.id, raw.version, raw.next)
        yield offset, header
        lowest, offset = offset + HEADER, header.next


def capability(info: bytes, first: int, id: int) -> tuple[int, CapHeader] | None:  # noqa: A002
    """Find the first capability with that id: (offset, header) or None; BrokenChain as walk()."""
    return next((found for found in walk(info, first) if found[1].id == id), None)
