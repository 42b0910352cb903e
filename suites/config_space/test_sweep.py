# SPDX-License-Identifier: MIT
"""Every register at once: write ones, zeros and in between, and look at both sides."""

from collections.abc import Callable

import pytest

from vfiospec.device.region import Region
from vfiospec.rules import config_space as rules
from vfiospec.rules.config_space_layout import Layout
from vfiospec.session.marks import checks

Same = Callable[[str, bytes, bytes], None]
# No byte of the last one is a width: virtio's window into its BARs would take it for one.
PATTERNS = {"ones": b"\xff", "zeros": b"\0", "fives": b"\x55\x95\x56\x59", "tens": b"\xaa"}
sweeps = pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)


def _value(pattern: bytes, size: int) -> bytes:
    return (pattern * size)[:size]


@checks(rules.READ_ONLY, rules.THROUGH, rules.UNASSIGNED)
@sweeps
def test_the_device_gets_what_may_reach_it(
    hardware: Region,
    layout: Layout,
    reference: Callable[[bytes], bytes],
    sweep: Callable[[bytes], None],
    uncounted: Callable[[bytes], bytes],
    same: Same,
    pattern: bytes,
) -> None:
    """As if the host had written just the bits that are neither virtual nor read-only."""
    value = _value(pattern, layout.size)
    expected = reference(value)
    sweep(value)
    real = hardware.try_read(0, layout.size).data
    same("in the device", uncounted(real), uncounted(expected))


@checks(rules.READ_ONLY, rules.KEPT, rules.READS)
@sweeps
def test_the_user_sees_what_was_written_or_the_device(
    extended: Region,
    hardware: Region,
    layout: Layout,
    sweep: Callable[[bytes], None],
    same: Same,
    pattern: bytes,
) -> None:
    """Virtual bits as written or as they were, all others as the device has them."""
    value = _value(pattern, layout.size)
    before = extended.try_read(0, layout.size).data
    sweep(value)
    real = hardware.try_read(0, layout.size).data
    expected = bytes(
        r & ~k | k & (v & w if s else b) | (b & k & ~w)
        for r, k, w, v, s, b in zip(
            real, layout.kept, layout.writable, value, layout.swept, before, strict=True
        )
    )
    same("as the user sees it", extended.try_read(0, layout.size).data, expected)


@checks(rules.READS)
def test_what_is_not_virtual_is_the_devices(
    extended: Region, hardware: Region, layout: Layout, same: Same
) -> None:
    """Before anything is written."""
    shown = extended.try_read(0, layout.size).data
    real = hardware.try_read(0, layout.size).data
    expected = bytes(r & ~k | s & k for r, k, s in zip(real, layout.kept, shown, strict=True))
    same("as the user sees it", shown, expected)
