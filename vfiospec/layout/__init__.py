# SPDX-License-Identifier: MIT
"""What a compiler makes of the ABI: layouts from headers, DWARF and BTF, and how two compare.

Readers (dwarf, headers, btf) make a Layout; fixtures, show and judge take one.
"""


class LayoutError(Exception):
    """A layout cannot be read or judged; the message is one line for the user."""
