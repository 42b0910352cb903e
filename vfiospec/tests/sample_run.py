# SPDX-License-Identifier: MIT
"""A small run with one outcome of each kind, for the tests of results and report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vfiospec.results.model import (
    RESULTS_FILE,
    Boot,
    DeviceFacts,
    DeviceRef,
    Footer,
    Header,
    KernelFacts,
    Outcome,
    QemuFacts,
    Record,
    Start,
    TopologyFacts,
)
from vfiospec.results.reader import Run, read_run
from vfiospec.results.writer import ResultsWriter


def header(planned: int = 7) -> Header:
    """Return the header of a VM run."""
    return Header(
        suite_version="0.1.0",
        started="2026-11-21T05:00:00Z",
        command=["vfiospec", "run", "--kernel", "debian bookworm"],
        mode="vm",
        kernel=KernelFacts(
            spec="debian:bookworm",
            origin="linux-image-6.1.0-56-amd64",
            release="6.1.0-56-amd64",
            version="#1 SMP",
            machine="x86_64",
            config={"CONFIG_VFIO_PCI": "m"},
        ),
        qemu=QemuFacts(version="7.2.9", accel="tcg", machine="q35"),
        topology=TopologyFacts(name="vtd-basic", sha256="0" * 64),
        devices=[
            DeviceFacts(
                name="e1000e",
                bdf="0000:00:14.0",
                roles=["msix"],
                vendor="0x8086",
                device="0x10d3",
                group=3,
                driver="vfio-pci",
            )
        ],
        planned=planned,
    )


def outcome(test_id: str, kind: str, **more: Any) -> Outcome:  # noqa: ANN401 - any field
    """Return an outcome of the chapter that is the id's first part."""
    fields: dict[str, Any] = {
        "id": test_id,
        "nodeid": f"suites/test_x.py::{test_id}",
        "chapter": test_id.partition(".")[0],
        "rules": ["device-info.argsz-too-small"],
        "device": DeviceRef(name="e1000e", bdf="0000:00:14.0"),
        "outcome": kind,
        "duration": 0.25,
        "boot": 1,
        "t": 14.0,
    }
    return Outcome(**(fields | more))


PASSED = outcome("device-info.smallest-argsz", "passed")
FAILED = outcome(
    "device-info.argsz-too-small.argsz-15",
    "failed",
    expected="EINVAL",
    actual="VFIO_DEVICE_GET_INFO(argsz=15) -> 0",
    message="A wrong\nkernel: the call took 15 s # and hung",
    details="transcript \x1b[31mtext\x00",
    log=["vfio-pci 0000:00:14.0: \udc80 odd"],
    dmar=["DMAR: fault"],
    rerun="vfiospec run --only device-info.argsz-too-small.argsz-15",
)
XFAILED = outcome("irq.loopback", "xfailed", finding="F-003", message="see F-003")
XPASSED = outcome("irq.mask", "xpassed", finding="F-004")
SKIPPED = outcome("migration.state", "skipped", message="no migration # device: use mtty")
SKIPPED_TOO = outcome("migration.stop", "skipped", message="no migration # device: use mtty")
ERROR = outcome("irq.eventfd", "error", message="the guest died")
ALL = (PASSED, FAILED, XFAILED, XPASSED, SKIPPED, SKIPPED_TOO, ERROR)


def footer(outcomes: Sequence[Outcome], **more: Any) -> Footer:  # noqa: ANN401 - any field
    """Return the footer that fits the outcomes."""
    counts: dict[str, int] = {}
    for record in outcomes:
        counts[record.outcome] = counts.get(record.outcome, 0) + 1
    fields: dict[str, Any] = {
        "finished": "2026-11-21T05:01:00Z",
        "counts": counts,
        "exit_code": 0,
        "duration": 20.0,
    }
    return Footer(**(fields | more))


def records(outcomes: Sequence[Outcome] = ALL) -> list[Record]:
    """Return the records of a whole run with these outcomes."""
    middle: list[Record] = []
    for record in outcomes:
        middle += [Start(id=record.id, t=13.0), record]
    boot = Boot(n=1, release="6.1.0-56-amd64", seconds=13.2, t=13.2)
    return [header(len(outcomes)), boot, *middle, footer(outcomes)]


def write(directory: Path, lines: Sequence[Record]) -> Path:
    """Write records to directory/results.jsonl and return that path."""
    path = directory / RESULTS_FILE
    with ResultsWriter(path) as writer:
        for record in lines:
            writer.write(record)
    return path


def run(directory: Path, outcomes: Sequence[Outcome] = ALL, *, ended: bool = True) -> Run:
    """Write a run and read it back; without a footer unless it ended."""
    lines = records(outcomes)
    return read_run(write(directory, lines if ended else lines[:-1]))
