# SPDX-License-Identifier: MIT
"""Failures on demand in the local port: the nth allocation or copy of a system call fails."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Of this thread; a forked process has a file of its own, which is why none is kept open.
FAIL_NTH: Final = "/proc/thread-self/fail-nth"


class NoFailuresError(Exception):
    """This kernel cannot fail on demand."""


@contextmanager
def failing(nth: int) -> Iterator[list[int]]:
    """Have the system calls within it fail at their nth point of failure.

    Afterwards the list holds how many points were left, 0 if the failure took place.
    """
    left: list[int] = []
    try:
        control = os.open(FAIL_NTH, os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:
        why = f"{FAIL_NTH}: {e.strerror}: the kernel needs CONFIG_FAULT_INJECTION"
        raise NoFailuresError(why) from e
    try:
        _arm(control, nth)
        try:
            yield left
        finally:
            left.append(_disarm(control))
    finally:
        os.close(control)


def _arm(control: int, nth: int) -> None:
    try:
        os.pwrite(control, b"%d" % nth, 0)
    except OSError as e:
        raise NoFailuresError(f"{FAIL_NTH} cannot be written: {e.strerror}") from e


def _disarm(control: int) -> int:
    # Reading and writing copy, so these too may be where it fails: at the point after the call's.
    try:
        left = int(os.pread(control, 16, 0))
    except OSError as e:
        if e.errno != errno.EFAULT:
            raise
        left = 1
    try:
        os.pwrite(control, b"0", 0)
    except OSError as e:
        if e.errno != errno.EFAULT:
            raise
        os.pwrite(control, b"0", 0)
    return left
