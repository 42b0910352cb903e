# SPDX-License-Identifier: MIT
"""One run: the bench that is judged, the world of open devices on it, and the results file."""

import errno
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from vfiospec import __version__
from vfiospec.device import transcript, ways
from vfiospec.device.access import Access
from vfiospec.device.group import Assigned
from vfiospec.device.ops import WriteFile
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port, Step, TargetLostError
from vfiospec.lab import LabError, coverage, gcov, topology
from vfiospec.lab.bench import Bench, BenchDevice, InPlaceBench, PortSysfs, VmBench
from vfiospec.lab.kernel import resolve
from vfiospec.lab.qemu import Vm
from vfiospec.results import model
from vfiospec.results.writer import RecordStream, ResultsWriter, claim
from vfiospec.rules.model import kernel_version
from vfiospec.session import ways as axis
from vfiospec.session.health import HealthMonitor
from vfiospec.session.options import Options

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CONSOLE_LINES = 60  # of a dead guest's console, kept with the test that killed it


def prepare(out: Path) -> int:
    """Make the folder of a run, and lock it while this process lives; the lock's descriptor.

    LabError if it cannot be, holds a run, or another process is writing one to it. A boot writes
    there before there are results, so their file alone does not keep two runs apart.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = claim(out)
    except OSError as e:
        raise LabError(f"--out {out}: {e.strerror}") from e
    if lock is None:
        raise LabError(f"another run is writing to {out}: choose another --out")
    if (out / model.RESULTS_FILE).exists():
        os.close(lock)
        raise LabError(f"{out} already holds a run: choose another --out")
    return lock


class Run:
    """The bench and what was opened on it, for the plugin and the fixtures."""

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        """Read what is known without booting: the devices. LabError for what cannot be."""
        self.options = options
        self._say = say
        self._bench: Bench | None = None
        self._known: tuple[BenchDevice, ...] = ()
        self._layout: topology.Topology | None = None
        if options.in_place:
            self._bench = InPlaceBench(options.devices, options.executor)
            self._known = self._bench.devices
        else:
            self._layout = topology.load(options.topology)
            self._known = tuple(
                BenchDevice(d.name, frozenset(d.roles)) for d in self._layout.device
            )
        self.began = time.monotonic()
        self.started = datetime.now(UTC)
        self._assigned: dict[int, tuple[ways.Way, Access]] = {}
        self._pci: dict[str, PciDevice] = {}
        self._preambles: dict[int, list[Step]] = {}
        self._lacking: dict[ways.Way, str] = {}
        self._lost: str | None = None
        self._spoilt = ""
        self._wanted_boots = 1
        self.health: HealthMonitor | None = None
        self._folder: int | None = None  # a lock on it, for as long as this process lives
        self.writer: ResultsWriter | RecordStream | None = None
        self.header: model.Header | None = None  # once it is written
        self.listeners: list[Callable[[model.Record], None]] = []

    # -- the bench

    @property
    def bench(self) -> Bench:
        """The bench; there is none before `begin`."""
        if self._bench is None:
            raise LabError("nothing has been booted yet")
        return self._bench

    @property
    def devices(self) -> tuple[BenchDevice, ...]:
        """The devices: their names and roles at any time, where they lie once the bench is up."""
        return self._bench.devices if self._bench else self._known

    @property
    def chapters(self) -> tuple[str, ...]:
        """The only suites that can be judged on this topology; empty if all can."""
        return self._layout.chapters if self._layout else ()

    @property
    def has_iommu(self) -> bool:
        """Whether the machine is meant to have an IOMMU."""
        return self._layout is None or self._layout.iommu

    @property
    def port(self) -> Port:
        """The port to the kernel that runs now."""
        return self.bench.port

    @property
    def version(self) -> tuple[int, int]:
        """The running kernel's version."""
        return kernel_version(self.bench.booted.release)

    def begin(self, planned: int) -> None:
        """Boot, bind, and open the results file. LabError if nothing can be judged."""
        options = self.options
        if options.records is None:
            self._folder = prepare(options.out)
        if self._layout is not None:
            kernel = resolve(options.kernel, options.modules, self._say)
            self._say(f"{kernel.spec}: {kernel.origin}")
            if options.coverage:
                coverage.check_tools()
                gcov.check(kernel)
            self._bench = VmBench(
                kernel, self._layout, options.out, accel=options.accel, cpus=options.cpus,
                deadline=options.deadline, bits=options.bits, numbers=(options.part, options.parts),
                say=self._say,
            )  # fmt: skip
        self._start()
        if options.records is None:
            self.writer = ResultsWriter(options.out / model.RESULTS_FILE)
        else:
            self.writer = RecordStream(options.records)
        self.header = self._header(planned)
        self.write(self.header)
        self._booted(None)

    def _start(self) -> None:
        try:
            self.bench.start()
        except OSError as e:
            room = f"{self.options.out}: {e.strerror}; make room, or choose another --out"
            raise LabError(room if e.errno in _NO_ROOM else str(e)) from e

    def _booted(self, reason: str | None) -> None:
        bench = self.bench
        self._lost = None
        self._assigned.clear()
        self._pci.clear()
        self._preambles.clear()
        self._lacking.clear()
        self.health = HealthMonitor(bench.port)
        bench.port.steps.clear()
        self.write(
            model.Boot(
                n=bench.boot,
                release=bench.booted.release,
                seconds=bench.booted.seconds,
                reason=reason,
                t=self.elapsed(),
            )
        )

    @property
    def is_fresh(self) -> bool:
        """Whether no device was opened since this boot."""
        return not self._assigned

    def spoil(self, reason: str) -> None:
        """Have the next test run in a fresh boot."""
        self._spoilt = reason

    def ensure_up(self) -> None:
        """Boot a fresh kernel if the last one was lost. LabError if that may not be."""
        if self._lost is None:
            if self._spoilt and isinstance(self.bench, VmBench):
                self.count()
                self.bench.abandon()
                self._wanted_boots += 1
                self._boot_again(self._spoilt)
            return
        if not self.bench.can_restart:
            raise LabError(f"not judged: {self._lost}, and this kernel cannot be booted again")
        if self.bench.boots - self._wanted_boots >= self.options.max_reboots:
            raise LabError(f"not judged: all {self.options.max_reboots} reboots are used up")
        self._boot_again(self._lost)

    def _boot_again(self, reason: str) -> None:
        self._spoilt = ""
        self._say(f"booting again after: {reason}")
        self._start()
        self._booted(reason)

    def lost(self, error: TargetLostError) -> tuple[str, str]:
        """Give the kernel up; why it was lost, and the end of its console."""
        if self._lost is None:
            self._lost = self.bench.why_lost(error)
            self.health = None
        return self._lost, "\n".join(self.bench.console().splitlines()[-_CONSOLE_LINES:])

    @property
    def is_lost(self) -> bool:
        """Whether the kernel no longer answers."""
        return self._lost is not None

    def count(self) -> None:
        """With --coverage, fetch what was counted since the boot: a kernel that dies keeps it."""
        if self._bench is None or not self.options.coverage or self.is_lost:
            return
        folder = self.options.out / coverage.FOLDER / coverage.COUNTS
        gcov.collect(self.port, folder / f"guest-{self.options.part}-boot-{self.bench.boots}")

    def panic(self) -> None:
        """Crash the guest: a hook of our own tests. Never on a machine that is not a guest."""
        if not isinstance(self.bench, VmBench):
            raise LabError("--panic-in is for guests")
        self.port.do(WriteFile("/proc/sysrq-trigger", b"c"))

    def end(self) -> None:
        """Put everything back."""
        if self._bench is None:
            return
        if self.writer is not None:
            try:
                self.count()
            except TargetLostError as e:
                self.lost(e)
        for _, assigned in self._assigned.values():
            if not isinstance(self._bench, VmBench) and not self.is_lost:
                assigned.close()
        self._bench.stop()

    # -- the world

    def device(self, name: str | None) -> BenchDevice | None:
        """A device by its name; None if it was left out of this bench, or there is none."""
        return next((d for d in self.devices if d.name == name), None)

    def assigned(self, device: BenchDevice, way: ways.Way = ways.USUAL) -> Access:
        """A way to the device's group, open, with the device held open."""
        if device.group is None:
            raise LabError(f"{device.name} is in no IOMMU group")
        if self._assigned.get(device.group, (way,))[0] is not way:
            self.give_up(device)  # a group has one owner at a time
        before = len(self.port.steps)
        if device.group not in self._assigned:
            self._assigned[device.group] = (way, ways.attach(way, self.port, device.group))
        assigned = self._assigned[device.group][1]
        assigned.keep(device.bdf)
        self._preambles.setdefault(device.group, []).extend(self.port.steps[before:])
        del self.port.steps[before:]
        return assigned

    def grouped(self, device: BenchDevice) -> Assigned:
        """The same in the usual way, with the fds of the group and its container."""
        found = self.assigned(device)
        if not isinstance(found, Assigned):
            raise TypeError(f"{ways.USUAL} has no group")
        return found

    def lacking(self, way: ways.Way) -> str:
        """Why this kernel has not a way to its devices; empty if it has."""
        if way not in self._lacking:
            before = len(self.port.steps)
            self._lacking[way] = axis.lacking(way, PortSysfs(self.port))
            del self.port.steps[before:]
        return self._lacking[way]

    def give_up(self, device: BenchDevice) -> int:
        """Close all that is open of the device's group, and return the group's number.

        The next test that asks for the group opens it anew.
        """
        if device.group is None:
            raise LabError(f"{device.name} is in no IOMMU group")
        held = self._assigned.pop(device.group, None)
        self._preambles.pop(device.group, None)
        if held is not None:
            before = len(self.port.steps)
            held[1].close()
            del self.port.steps[before:]
        return device.group

    @property
    def machine(self) -> Vm | None:
        """The emulated machine under the kernel; None where there is none."""
        return self.bench.vm if isinstance(self.bench, VmBench) else None

    def pci(self, device: BenchDevice) -> PciDevice:
        """What sysfs says of a device, read once in each boot."""
        if device.bdf not in self._pci:
            before = len(self.port.steps)
            self._pci[device.bdf] = PciDevice(self.port, device.bdf)
            del self.port.steps[before:]
        return self._pci[device.bdf]

    def preamble(self, device: BenchDevice | None) -> list[Step]:
        """The steps that opened what a test on this device was given."""
        return self._preambles.get(device.group, []) if device and device.group is not None else []

    def transcript_target(self, test: str) -> transcript.Target:
        """The first line of a test's transcript."""
        return transcript.Target(
            test=test,
            kernel=self.options.kernel,
            release=self.bench.booted.release,
            topology="" if self.options.in_place else self.options.topology,
            devices=tuple(
                transcript.TranscriptDevice(d.name, d.bdf, d.group) for d in self.devices
            ),
        )

    # -- results

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return round(time.monotonic() - self.began, 4)

    def write(self, record: model.Record) -> None:
        """Write a record and show it to whoever listens."""
        if self.writer is not None:
            self.writer.write(record)
            for listener in self.listeners:
                listener(record)

    def _header(self, planned: int) -> model.Header:
        bench = self.bench
        qemu = layout = None
        if isinstance(bench, VmBench):
            qemu = model.QemuFacts(
                version=bench.qemu_version, accel=self.options.accel, machine="q35"
            )
            layout = model.TopologyFacts(
                name=bench.topology.name,
                sha256=bench.topology.sha256,
                left_out=list(bench.topology.left_out),
            )
        booted = bench.booted
        return model.Header(
            suite_version=__version__,
            started=self.started.isoformat(timespec="seconds").replace("+00:00", "Z"),
            command=[Path(sys.argv[0]).name, *sys.argv[1:]],
            mode="host" if bench.mode == "host" else "vm" if bench.mode == "vm" else "remote",
            kernel=model.KernelFacts(
                spec=bench.spec, origin=bench.origin, release=booted.release,
                version=booted.version, machine=booted.machine, config=booted.config,
                taint=booted.taint,
            ),
            qemu=qemu,
            topology=layout,
            devices=[
                model.DeviceFacts(
                    name=d.name, bdf=d.bdf, roles=sorted(d.roles), vendor=d.vendor,
                    device=d.device, group=d.group, driver="vfio-pci",
                )
                for d in bench.devices
            ],
            planned=planned,
            require=list(self.options.require),
        )  # fmt: skip
