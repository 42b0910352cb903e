# SPDX-License-Identifier: MIT
"""The run of a proof: its port can be made wrong, its world be made fresh, its kernel changed."""

from pathlib import Path

from vfiospec.device import ways
from vfiospec.device.access import Access
from vfiospec.device.ops import ReadLink
from vfiospec.device.pci import SYSFS, PciDevice
from vfiospec.device.port import Port, PortError, TargetLostError
from vfiospec.lab import LabError
from vfiospec.lab.bench import BenchDevice, VmBench
from vfiospec.lab.kernel import resolve
from vfiospec.session.health import HealthMonitor
from vfiospec.session.run import Run
from vfiospec.wrong.model import Wrong
from vfiospec.wrong.port import Watch, WrongPort


class ProofRun(Run):
    """A run on a guest whose answers pass through a WrongPort."""

    wrong: Wrong | None = None
    watch: Watch | None = None

    @property
    def wrong_port(self) -> WrongPort:
        """The port that runs now, as what it is."""
        port = self.bench.port
        if not isinstance(port, WrongPort):
            raise LabError("the port of a proof is a wrong one")
        return port

    def _booted(self, reason: str | None) -> None:
        bench = self.bench
        bench.port = WrongPort(bench.port, {d.bdf: d.roles for d in bench.devices})
        super()._booted(reason)

    def ensure_up(self) -> None:
        """Have a kernel that answers, and the port as wrong as it shall be, from its first call."""
        super().ensure_up()
        port = self.wrong_port
        port.begin()
        port.wrong, port.watch = self.wrong, self.watch

    def assigned(self, device: BenchDevice, way: ways.Way = ways.USUAL) -> Access:
        """The device's group, opened with right answers: the wrong ones are for the test."""
        port = self.wrong_port
        kept, port.wrong, port.watch = (port.wrong, port.watch), None, None
        try:
            return super().assigned(device, way)
        finally:
            port.wrong, port.watch = kept

    def pci(self, device: BenchDevice) -> PciDevice:
        """What sysfs says of a device: right answers, since it is kept."""
        port = self.wrong_port
        kept, port.wrong, port.watch = (port.wrong, port.watch), None, None
        try:
            return super().pci(device)
        finally:
            port.wrong, port.watch = kept

    def close_results(self) -> None:
        """Stop writing: what follows is no judgement of the kernel."""
        if self.writer is not None:
            self.writer.close()
        self.writer = None

    def freshen(self) -> None:
        """Close all that is open, so that nothing of a wrong kernel's world is left."""
        self.wrong = self.watch = None
        if self.is_lost:
            return
        port: Port = self.wrong_port
        self.wrong_port.wrong = self.wrong_port.watch = None
        try:
            self.wrong_port.release()
            # Their handles are closed: only forget them.
            self._assigned.clear()
            self._preambles.clear()
            self._pci.clear()
            self.health = HealthMonitor(port)  # from what is logged now on
            if self._unbound(port):
                self.spoil("a wrong port under which a device lost its driver")
        except TargetLostError as e:
            self.lost(e)
        except PortError as e:
            self.spoil(f"what a wrong port left open: {e}")
        port.steps.clear()

    def _unbound(self, port: Port) -> bool:
        """Whether a device is no longer vfio-pci's, as a test may leave it that was broken off."""
        links = [ReadLink(f"{SYSFS}/{d.bdf}/driver") for d in self.devices]
        return any(not r.bytes.endswith(b"/vfio-pci") for r in port.run(links))

    def change_modules(self, modules: Path | None) -> None:
        """Boot the same kernel again, with other modules."""
        old = self.bench
        if self._layout is None or not isinstance(old, VmBench):
            raise LabError("wrong kernels are booted: not with --device")
        old.stop()
        kernel = resolve(self.options.kernel, modules, lambda _: None)
        options = self.options
        self._bench = VmBench(
            kernel, self._layout, options.out, accel=options.accel, cpus=options.cpus,
            deadline=options.deadline, bits=options.bits, numbers=(options.part, options.parts),
            say=self._say,
        )  # fmt: skip
        self._bench.boots = old.boots
        self._wanted_boots += 1
        self.bench.start()
        self._booted(None)
