# SPDX-License-Identifier: MIT
"""What the header says of a change between two migration states: whether it leads there, and how.

Knows the arcs and the two rules by which combined changes are chosen, and nothing of a kernel.
"""

from collections import deque
from typing import Final

from vfiospec.abi import vfio_feature as abi

ERROR, STOP = abi.VFIO_DEVICE_STATE_ERROR, abi.VFIO_DEVICE_STATE_STOP
RUNNING, STOP_COPY = abi.VFIO_DEVICE_STATE_RUNNING, abi.VFIO_DEVICE_STATE_STOP_COPY
RESUMING, RUNNING_P2P = abi.VFIO_DEVICE_STATE_RESUMING, abi.VFIO_DEVICE_STATE_RUNNING_P2P
PRE_COPY, PRE_COPY_P2P = abi.VFIO_DEVICE_STATE_PRE_COPY, abi.VFIO_DEVICE_STATE_PRE_COPY_P2P

STATES: Final = {
    ERROR: "error", STOP: "stop", RUNNING: "running", STOP_COPY: "stop-copy",
    RESUMING: "resuming", RUNNING_P2P: "running-p2p", PRE_COPY: "pre-copy",
    PRE_COPY_P2P: "pre-copy-p2p",
}  # fmt: skip
SAVING: Final = frozenset((PRE_COPY, PRE_COPY_P2P, STOP_COPY))
_BASIC: Final = frozenset(
    ((STOP, STOP_COPY), (STOP_COPY, STOP), (STOP, RESUMING), (RESUMING, STOP))
)
_FORBIDDEN: Final = frozenset(((STOP_COPY, PRE_COPY), (STOP_COPY, PRE_COPY_P2P)))
_WITHOUT_P2P: Final = frozenset(((RUNNING, STOP), (STOP, RUNNING)))
_P2P: Final = frozenset(
    ((RUNNING, RUNNING_P2P), (RUNNING_P2P, RUNNING), (RUNNING_P2P, STOP), (STOP, RUNNING_P2P))
)
_PRE_COPY: Final = frozenset(((RUNNING, PRE_COPY), (PRE_COPY, RUNNING)))
_PRE_COPY_ALONE: Final = frozenset(((PRE_COPY, STOP_COPY),))
_PRE_COPY_P2P: Final = frozenset(
    (
        (PRE_COPY, PRE_COPY_P2P), (PRE_COPY_P2P, PRE_COPY), (PRE_COPY_P2P, RUNNING_P2P),
        (RUNNING_P2P, PRE_COPY_P2P), (PRE_COPY_P2P, STOP_COPY),
    )
)  # fmt: skip

Arc = tuple[int, int]


def arcs(flags: int) -> frozenset[Arc]:
    """The arcs of a device with these VFIO_MIGRATION_* flags."""
    p2p = bool(flags & abi.VFIO_MIGRATION_P2P)
    found = _BASIC | (_P2P if p2p else _WITHOUT_P2P)
    if flags & abi.VFIO_MIGRATION_PRE_COPY:
        found |= _PRE_COPY | (_PRE_COPY_P2P if p2p else _PRE_COPY_ALONE)
    return found


def states(flags: int) -> list[int]:
    """The states that can be set on a device with these flags."""
    return sorted({state for arc in arcs(flags) for state in arc})


def path(flags: int, start: int, end: int) -> list[int] | None:
    """The states of the shortest way, both ends included; None if there is none.

    A way never leads through the saving group from outside or out of it, only within it.
    """
    if (start, end) in _FORBIDDEN:
        return None
    known = arcs(flags)
    queue = deque([[start]])
    while queue:
        way = queue.popleft()
        if way[-1] == end:
            return way
        within = len(way) == 1 or way[-1] not in SAVING or {start, end} <= SAVING
        for source, target in sorted(known):
            if source == way[-1] and target not in way and within:
                queue.append([*way, target])
    return None


def begins(flags: int, start: int, end: int) -> bool:
    """Whether the last arc of the way begins a transfer: into the saving group, or RESUMING."""
    way = path(flags, start, end)
    if way is None or len(way) == 1:
        return False
    return end == RESUMING or (end in SAVING and way[-2] not in SAVING)
