# SPDX-License-Identifier: MIT
"""The history of layouts that tests and `vfiospec abi history` read.

Invariant: whatever a file holds, load() raises LayoutError or gives a history whose layouts can be
shown, compared and written back; a layout is compatible with itself, and nothing in it is new.
"""

from itertools import pairwise

from vfiospec.layout import LayoutError
from vfiospec.layout.history import dump, load
from vfiospec.layout.judge import judge
from vfiospec.layout.show import layout_text


def check(data: bytes) -> None:
    """Judge one input: the file."""
    try:
        history = load(data)
    except LayoutError:
        return
    assert load(dump(history)) == history
    abis = [history.abi(version.kernel) for version in history.versions[:8]]
    for abi in abis:
        assert list(layout_text(abi.wide, []))
        try:
            assert judge(abi, abi).compatible
        except LayoutError:
            assert not abi.wide.structs
    for old, new in pairwise(abis):
        try:
            judge(old, new)
        except LayoutError:
            assert not old.wide.structs.keys() & new.wide.structs.keys()
