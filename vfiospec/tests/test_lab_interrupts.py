# SPDX-License-Identifier: MIT
"""Signals that come while something is begun."""

import signal
import threading

import pytest

from vfiospec.lab.interrupts import uninterrupted


def test_ctrl_c_comes_at_the_end() -> None:
    """As it would have come: once what was begun is known."""
    begun = []

    def begin() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            begun.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert begun == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_does_nothing_in_another_thread() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
