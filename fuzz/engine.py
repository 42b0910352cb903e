# SPDX-License-Identifier: MIT
"""Atheris: the one module that knows which engine drives the kernel's targets.

libFuzzer keeps the corpus and chooses what to build on. Each time it asks for a mutation, a whole
batch of them is run in one message, and it is handed the one that showed something new; so the way
to the guest is paid for once in a batch. What the kernel covered is copied into counters that
libFuzzer takes for its own.
"""

import ctypes
import mmap
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

COUNTERS: Final = 1 << 16
_ENTRY: Final = 16  # bytes of one entry of the table of addresses: where, and flags

Input = Callable[[bytes], None]
Mutate = Callable[[bytes, int, int], bytes]
Cross = Callable[[bytes, bytes, int, int], bytes]


class Engine:
    """libFuzzer with counters of our own. One for each process, and `fuzz` never returns."""

    def __init__(self) -> None:
        """Load it. ImportError if it is not installed."""
        self._core = _load()
        self._lib = ctypes.CDLL(self._core.__file__)
        self.counters = mmap.mmap(-1, COUNTERS)
        self._addresses = mmap.mmap(-1, COUNTERS * _ENTRY)
        start = _address(self.counters)
        table = _address(self._addresses)
        for n in range(COUNTERS):  # no two alike, or they would count as one
            self._addresses[n * _ENTRY : n * _ENTRY + 8] = (0x1000 + n).to_bytes(8, "little")
        at = ctypes.c_void_p
        self._function("cov_8bit_counters_init")(at(start), at(start + COUNTERS))
        self._function("cov_pcs_init")(at(table), at(table + COUNTERS * _ENTRY))
        self._compare = self._function("weak_hook_memcmp")
        self._compare.argtypes = [at, at, at, ctypes.c_size_t, ctypes.c_int]
        self._compare.restype = None

    def _function(self, name: str) -> Any:  # noqa: ANN401 -- ctypes has no better
        return getattr(self._lib, f"__sanitizer_{name}")

    def mark(self, indexes: Sequence[int]) -> None:
        """Have counters count; number 0 always does: libFuzzer gives up on inputs without any."""
        counters = self.counters
        counters[0] = 1
        for index in indexes:
            counters[index] = 1

    def compared(self, one: int, other: int, width: int) -> None:
        """Tell libFuzzer what the kernel compared."""
        a, b = (
            ctypes.create_string_buffer((v & (1 << 64) - 1).to_bytes(8, "little"), 8)
            for v in (one, other)
        )
        self._compare(None, a, b, width, 1)

    def fuzz(
        self, arguments: Sequence[str], check: Input, *, mutate: Mutate, cross: Cross, again: str
    ) -> None:
        """Fuzz. `again` is the command that starts this process, for what starts others like it."""
        import atheris  # noqa: PLC0415

        atheris.Setup([again, *arguments], check, custom_mutator=mutate, custom_crossover=cross)
        atheris.Fuzz()


def _load() -> Any:  # noqa: ANN401 -- an extension module without types
    # The core looks for a mutator when it is loaded, among what is global then; later it is deaf.
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | os.RTLD_GLOBAL)
    try:
        from atheris import custom_crossover, custom_mutator  # noqa: PLC0415

        del custom_crossover, custom_mutator
    finally:
        sys.setdlopenflags(flags)
    from atheris import core_with_libfuzzer  # noqa: PLC0415

    return core_with_libfuzzer


def _address(memory: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))
