# SPDX-License-Identifier: MIT
"""Failures on demand in the local port, with a plain file in place of the kernel's fail-nth."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from vfiospec.device import local_failures
from vfiospec.device import ops as o
from vfiospec.device.faults import FailingPort
from vfiospec.device.port import PortError
from vfiospec.device.ports import LocalPort


@pytest.fixture
def port() -> Iterator[LocalPort]:
    made = LocalPort()
    yield made
    made.close()


@pytest.fixture
def fail_nth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "fail-nth"
    path.write_bytes(b"0")
    monkeypatch.setattr(local_failures, "FAIL_NTH", str(path))
    return path


def test_a_call_that_ends_before_its_point(port: LocalPort, fail_nth: Path) -> None:
    """A file says what was written: as if the call came to no point of failure at all."""
    reply = port.do(o.FailNth(7, o.Open(1, "/dev/null")))
    assert reply.ok
    assert reply.values == (7,)
    assert fail_nth.read_bytes() == b"0", "what was asked for is taken back"
    assert port.do(o.FailNth(3, o.Open(2, "/nonexistent"))).values == (3,)


def test_a_failure_that_took_place(
    port: LocalPort, fail_nth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel counts down to 0."""
    del fail_nth
    monkeypatch.setattr("os.pread", lambda *_: b"0\n")
    assert port.do(o.FailNth(2, o.Open(1, "/dev/null"))).values == (0,)


def test_asking_fails_where_the_call_did_not(
    port: LocalPort, fail_nth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The point after the call's is the copy of the answer: one was left."""
    del fail_nth

    def fault(*_: object) -> bytes:
        raise OSError(14, "Bad address")

    monkeypatch.setattr("os.pread", fault)
    assert port.do(o.FailNth(2, o.Open(1, "/dev/null"))).values == (1,)


def test_a_kernel_that_cannot(port: LocalPort, fail_nth: Path) -> None:
    fail_nth.unlink()
    with pytest.raises(PortError, match="needs CONFIG_FAULT_INJECTION"):
        port.do(o.FailNth(1, o.Open(1, "/dev/null")))


def test_a_close_that_fails_gives_its_handle_back(port: LocalPort, fail_nth: Path) -> None:
    del fail_nth
    handle = port.handle()
    port.do(o.Open(handle, "/dev/null"))
    port.do(o.FailNth(1, o.Close(handle)))
    assert port.handle() == handle


def test_a_port_that_fails_makes_one_call(port: LocalPort, fail_nth: Path) -> None:
    """The handles are those of the port it stands for."""
    del fail_nth
    failing = FailingPort(port, 4)
    handle = failing.handle()
    assert failing.do(o.Open(handle, "/dev/null")).ok
    assert failing.left == 4
    assert not failing.fired
    assert port.do(o.Pread(handle, 1)).ret == 0
    with pytest.raises(PortError, match="one call"):
        failing.do(o.Close(handle))
