# SPDX-License-Identifier: MIT
"""A bench on its own: a guest that hangs, the machine under it, runs in place inside a guest."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from vfiospec.device import ops as o
from vfiospec.device.port import TargetLostError
from vfiospec.lab import LabError, topology
from vfiospec.lab.bench import VmBench
from vfiospec.lab.hosted import hosted, output, python_command
from vfiospec.lab.kernel import resolve
from vfiospec.results.reader import read_run

INSIDE = Path(__file__).with_name("in_guest.py")


def quiet(text: str) -> None:
    del text


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VmBench]:
    monkeypatch.setenv("VFIOSPEC_STATE", str(tmp_path / "state"))
    kernel = resolve("debian", None, quiet)
    made = VmBench(kernel, topology.load("default"), tmp_path, deadline=5)
    made.start()
    yield made
    made.stop()


def test_a_hang_names_the_operation_and_where_the_kernel_is(bench: VmBench) -> None:
    """A blocking read of an eventfd that nobody signals, past the deadline of 5 s."""
    port = bench.port
    assert bench.vm.qmp("query-status")["status"] == "running"
    assert "0:01:00" not in bench.vm.hmp("info version")
    port.do(o.Eventfd(1))
    with pytest.raises(TargetLostError, match=r"no answer within 5 s.*Pread\(fd=1") as lost:
        port.do(o.Pread(1, 8))
    assert "past its deadline" in bench.why_lost(lost.value)
    assert "eventfd_read" in bench.console()
    assert bench.can_restart
    bench.start()
    assert bench.boots == 2
    assert bench.port.do(o.Eventfd(1)).ok


def test_a_kernel_without_virtio_console_answers_on_a_serial_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a small kernel built for testing may be."""
    monkeypatch.setenv("VFIOSPEC_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("vfiospec.lab.bench.GUEST_MODULES", ("vfio_iommu_type1", "vfio_pci"))
    bench = VmBench(resolve("debian", None, quiet), topology.load("default"), tmp_path)
    bench.start()
    try:
        assert "serial line" in bench.port.hello.notes
        data = bytes(range(256)) * 256
        bench.port.do(o.Alloc(1, len(data)))
        assert bench.port.do(o.Poke(o.Ref(1), data)).ok
        assert bench.port.do(o.Peek(o.Ref(1), len(data))).data == data
    finally:
        bench.stop()


def test_a_kernel_without_vfio_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VFIOSPEC_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("vfiospec.lab.bench.GUEST_MODULES", ("virtio_pci", "virtio_console"))
    bench = VmBench(resolve("debian", None, quiet), topology.load("default"), tmp_path)
    with pytest.raises(LabError, match=r"no /dev/vfio/vfio: it needs CONFIG_VFIO"):
        bench.start()
    bench.stop()
    assert not list((tmp_path / "state").glob("*"))


@pytest.mark.timeout(900)  # six starts of an emulated Python
def test_in_place_inside_a_guest(tmp_path: Path) -> None:
    """A run in place, the gate, a kill -9 and a restore, on a real kernel's real sysfs."""
    kernel = resolve("debian", None, quiet)
    work = tmp_path / "work"
    work.mkdir()
    program = python_command(
        str(INSIDE), str(work), VFIOSPEC_STATE=str(work / "state"), TMPDIR=str(work)
    )
    with hosted(kernel, topology.load("default"), tmp_path, program, work=work) as vm:
        said = output(vm, 800).decode()
        assert "all steps done" in said, said + vm.console_text()
    run = read_run(work / "out")
    assert run.header.mode == "host"
    assert run.verdict() == "PASS"
    assert {o.device.name for o in run.outcomes if o.device} == {"0000-00-14-0"}
    assert run.checks() > 10
    remote = read_run(work / "remote")
    assert (remote.header.mode, remote.verdict()) == ("remote", "PASS")
