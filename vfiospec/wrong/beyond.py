# SPDX-License-Identifier: MIT
"""Rules that no wrong kernel can break in a proof, and why: their own tests show that they fail."""

from collections.abc import Mapping
from typing import Final

from vfiospec.rules import compatibility, kernel

_PROGRAMS = (
    "its calls are a program's, which the executor makes without a wrapper between them; "
    "vfiospec/tests/test_fuzzing_oracle.py breaks it"
)

_BETWEEN = (
    "it is asked between programs, by calls without a wrapper; "
    "vfiospec/tests/test_fuzzing_afterwards.py breaks it"
)

BEYOND: Final[Mapping[str, str]] = {
    compatibility.KERNEL_LAYOUT.id: (
        "it is read from the kernel's BTF, of which nothing is left to compare if a byte changes; "
        "vfiospec/tests/test_layout_readers.py moves its fields"
    ),
    kernel.RETURN_VALUE.id: _PROGRAMS,
    kernel.NO_STRAY_FILE.id: _PROGRAMS,
    kernel.NOTHING_HELD.id: _BETWEEN,
    kernel.UNDONE.id: _BETWEEN,
    kernel.REFUSED_UNCHANGED.id: _BETWEEN,
    kernel.DMA_INSIDE.id: _BETWEEN,
}
