# SPDX-License-Identifier: MIT
"""Objects, modules and vmlinux files that layouts are read from.

Invariant: whatever a file holds, read_object() gives a layout that can be shown, or raises
LayoutError with one line. Any other exception is a bug.
"""

from vfiospec.layout import LayoutError
from vfiospec.layout.dwarf import read_object
from vfiospec.layout.show import layout_text


def check(data: bytes) -> None:
    """Judge one input: the file."""
    layout, said = None, ""
    try:
        layout = read_object(data, "input")
    except LayoutError as e:
        said = str(e)
    assert "\n" not in said
    assert layout is None or list(layout_text(layout, []))
