# SPDX-License-Identifier: MIT
"""Benches: a kernel with devices bound to vfio-pci, ready to be judged.

Three kinds with one face: a guest (VmBench), this machine in place (InPlaceBench), and a machine
at the end of a command such as ssh (CommandBench).
"""

import errno
import os
import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vfiospec.device import ops as o
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port, TargetLostError
from vfiospec.device.ports import CommandPort, LocalPort
from vfiospec.lab import initramfs, topology
from vfiospec.lab.bind import Before, bind, bind_alone, group_of, restore
from vfiospec.lab.cache import LabError
from vfiospec.lab.gate import refusals
from vfiospec.lab.interrupts import uninterrupted
from vfiospec.lab.kernel import Kernel
from vfiospec.lab.native import build_executor
from vfiospec.lab.pages import share_page
from vfiospec.lab.qemu import Machine, Vm, check_kvm, qemu_binary, qemu_version
from vfiospec.lab.state import RunState
from vfiospec.lab.sysfs import Sysfs
from vfiospec.lab.topology import PROBED_ROLES, Topology

# In this order; what they depend on comes along. What a kernel has built in is left out.
GUEST_MODULES = (
    "virtio_pci", "virtio_console", "iommufd", "vfio", "vfio_iommu_type1", "vfio_pci", "pci_stub",
    "pci_pf_stub", "mtty", "mdpy", "mbochs",
)  # fmt: skip


@dataclass(frozen=True)
class BenchDevice:
    """A device under test. `bdf` and `group` are empty until the bench is up."""

    name: str
    roles: frozenset[str]
    bdf: str = ""
    group: int | None = None
    vendor: str = ""
    device: str = ""


@dataclass(frozen=True)
class Booted:
    """What a kernel says of itself once it is up."""

    release: str
    version: str
    machine: str
    taint: int
    seconds: float
    config: dict[str, str] = field(default_factory=dict)


class PortSysfs:
    """The files of the machine behind a port, as vfiospec.lab.sysfs.Sysfs."""

    def __init__(self, port: Port) -> None:
        self._port = port

    def _do(self, op: o.AnyOp, path: str) -> bytes:
        reply = self._port.do(op)
        if not reply.ok:
            raise OSError(reply.errno, os.strerror(reply.errno), path)
        return reply.bytes

    def read(self, path: str) -> str:
        """Return the text of a file without its trailing newline."""
        return self._do(o.ReadFile(path, 1 << 20), path).decode(errors="replace").rstrip("\n")

    def write(self, path: str, text: str) -> None:
        """Hand `text` to an existing file in one system call."""
        self._do(o.WriteFile(path, text.encode()), path)

    def listdir(self, path: str) -> list[str]:
        """Return the names in a folder, sorted."""
        return sorted(n.decode() for n in self._do(o.ListDir(path), path).split(b"\0") if n)

    def readlink(self, path: str) -> str:
        """Return where a symbolic link points, as written."""
        return self._do(o.ReadLink(path), path).decode()

    def exists(self, path: str) -> bool:
        """Tell whether something lies at `path`."""
        if self._port.do(o.ListDir(path)).errno != errno.ENOTDIR:
            return self._port.do(o.ListDir(path)).ok
        return True


class Bench(ABC):
    """A kernel with its devices. `start`, use `port`, `stop`; `restart` when the kernel is lost."""

    mode: str
    spec: str
    origin: str
    devices: tuple[BenchDevice, ...]
    spares: tuple[BenchDevice, ...] = ()  # that vfio-pci is not given
    port: Port
    booted: Booted
    boots: int = 0
    has_iommu: bool = True  # otherwise devices get their groups by being bound

    @property
    def boot(self) -> int:
        """The number of this boot, from 1."""
        return self.boots

    @abstractmethod
    def start(self) -> None:
        """Bring the kernel up and bind the devices. LabError says why it cannot be done."""

    @abstractmethod
    def stop(self) -> None:
        """Put everything back; safe to call again."""

    @abstractmethod
    def why_lost(self, error: TargetLostError) -> str:
        """Say what happened to a kernel that no longer answers, and give it up."""

    def console(self) -> str:
        """What the kernel printed since this boot; empty where nobody listens."""
        return ""

    @property
    def can_restart(self) -> bool:
        """Whether a lost kernel can be brought up again."""
        return False

    def _look(self, config: dict[str, str], since: float) -> None:
        fs = PortSysfs(self.port)
        if not fs.exists("/dev/vfio/vfio"):
            raise LabError(
                "the kernel has no /dev/vfio/vfio: it needs CONFIG_VFIO, CONFIG_VFIO_CONTAINER, "
                "CONFIG_VFIO_IOMMU_TYPE1 and CONFIG_VFIO_PCI, built in or among the modules"
            )
        self.booted = Booted(
            release=self.port.hello.release,
            version=fs.read("/proc/version"),
            machine=self.port.hello.machine,
            taint=int(fs.read("/proc/sys/kernel/tainted")),
            seconds=time.monotonic() - since,
            config={k: v for k, v in config.items() if "VFIO" in k or "IOMMU" in k},
        )

    def _bind(self, record: Callable[[Before], None]) -> None:
        fs = PortSysfs(self.port)
        groups: set[int] = set()
        ready = []
        for device in self.devices:
            pci = PciDevice(self.port, device.bdf)
            if pci.group is None and not self.has_iommu:
                bind_alone(fs, device.bdf)
                pci = PciDevice(self.port, device.bdf)
            elif pci.group is None:
                raise LabError(f"{device.bdf} ({device.name}) is in no IOMMU group: is there one?")
            elif pci.group not in groups:
                bind(fs, device.bdf, record=record)
                groups.add(group_of(fs, device.bdf))
            vendor, number = pci.ids
            ready.append(
                replace(
                    device,
                    group=pci.group,
                    vendor=f"0x{vendor:04x}",
                    device=f"0x{number:04x}",
                    roles=device.roles or pci.roles(),
                )
            )
        self.devices = tuple(ready)


def find_devices(fs: Sysfs, layout: Topology) -> dict[str, str]:
    """Where a guest has the devices of its topology, by name. LabError if one is missing."""
    found = {}
    for device in (*layout.device, *layout.spare):
        path = "/sys/devices/pci0000:00"
        for slot in layout.path(device):
            devfn = slot.rjust(4, "0")
            names = [n for n in fs.listdir(path) if n.endswith(f":{devfn}")]
            if not names:
                raise LabError(f"the guest has no device at {slot}, where {device.name} belongs")
            path = f"{path}/{names[0]}"
        found[device.name] = path.rpartition("/")[2]
    return found


class VmBench(Bench):
    """A guest with emulated devices. Loses nothing when it dies: `restart` boots a fresh one."""

    mode = "vm"

    def __init__(  # noqa: PLR0913 -- each is a choice of the user's
        self,
        kernel: Kernel,
        layout: Topology,
        folder: Path,
        *,
        accel: str = "tcg",
        cpus: int = 1,
        deadline: float = 15.0,
        bits: int = 64,
        numbers: tuple[int, int] = (0, 1),
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`folder` takes the consoles and the initramfs; `bits` are those of the executor.

        `numbers`: which of how many benches that share the folder this is, to number its boots.
        """
        self.spec, self.origin = kernel.spec, kernel.origin
        self.kernel = kernel
        self.folder = folder
        self._say = say
        self._bits = bits
        self._numbers = numbers
        self._vm: Vm | None = None
        self._state: RunState | None = None
        if accel == "kvm":
            check_kvm()
        binary = qemu_binary()
        self.qemu_version = qemu_version(binary)
        if kernel.config.get("CONFIG_KASAN") == "y":
            layout = layout.told(topology.FOUR_LEVELS)
        self.topology = layout.without(topology.models(binary))
        for name in self.topology.left_out:
            say(f"QEMU {self.qemu_version} has no model for {name}: left out")
        self.has_iommu = self.topology.iommu
        self.devices = tuple(BenchDevice(d.name, frozenset(d.roles)) for d in self.topology.device)
        self.spares = tuple(BenchDevice(d.name, frozenset(d.roles)) for d in self.topology.spare)
        self._machine = Machine(
            image=kernel.image,
            initramfs=folder / f"initramfs{numbers[0] or ''}.cpio",
            topology=self.topology,
            accel=accel,
            cpus=cpus,
            operation_deadline=deadline,
        )

    @property
    def vm(self) -> Vm:
        """The machine that runs now."""
        if self._vm is None:
            raise LabError("no guest is running")
        return self._vm

    @property
    def can_restart(self) -> bool:
        """Guests are cheap."""
        return True

    def start(self) -> None:
        """Boot, and bind every device of the topology."""
        if self._state is None:
            self._state = RunState.begin()
        self.boots += 1
        began = time.monotonic()
        self._say(f"booting {self.kernel.release} ({self._machine.accel})")
        plan = self.kernel.modules.plan(GUEST_MODULES)
        self._machine.initramfs.write_bytes(initramfs.build(build_executor(bits=self._bits), plan))
        with uninterrupted():
            self._vm = Vm(self._machine, self._console)
            self._state.add_process(self._vm.process.pid)
        try:
            self.port = self._vm.wait()
            self._look(dict(self.kernel.config), began)
            self._set_parameters()
            self._repack()
            self._find_devices()
            self._bind(_forget)  # a guest is thrown away: nothing to put back
            self._check_roles()
        except (LabError, TargetLostError, OSError) as e:
            notes = self.port.hello.notes.strip() if hasattr(self, "port") else ""
            self._kill()
            hint = f" ({notes})" if notes else ""
            if isinstance(e, LabError):
                raise LabError(f"{e}{hint}") from e
            raise LabError(f"the guest failed while it was made ready: {e}{hint}") from e
        self.port.steps.clear()

    def _set_parameters(self) -> None:
        fs = PortSysfs(self.port)
        for name, value in self.topology.parameters.items():
            module, _, parameter = name.partition(".")
            path = f"/sys/module/{module}/parameters/{parameter}"
            if not fs.exists(path):
                raise LabError(
                    f"topology {self.topology.name} sets {name}, which this kernel has not: "
                    "judge one that was built with it (vfiospec kernels build)"
                )
            fs.write(path, value)

    def _repack(self) -> None:
        for together in self.topology.repack:
            self._find_devices()
            share_page(self.port, [d.bdf for d in self.devices if d.name in together])

    def _find_devices(self) -> None:
        found = find_devices(PortSysfs(self.port), self.topology)
        self.devices = tuple(replace(device, bdf=found[device.name]) for device in self.devices)
        self.spares = tuple(replace(spare, bdf=found[spare.name]) for spare in self.spares)

    def _check_roles(self) -> None:
        wrong = []
        for device in (*self.devices, *self.spares):
            probed = PciDevice(self.port, device.bdf).roles()
            stated = device.roles & frozenset(PROBED_ROLES)
            if stated != probed:
                wrong.append(
                    f"{device.name} has the roles {', '.join(sorted(probed))}, "
                    f"not {', '.join(sorted(stated))}"
                )
        if wrong:
            raise LabError(f"topology {self.topology.name}: {'; '.join(wrong)}")

    def why_lost(self, error: TargetLostError) -> str:
        """Read the console for the reason, and end the machine."""
        why = self._vm.why(error.reason) if self._vm else error.reason
        self._kill()
        return why

    def console(self) -> str:
        """The console of this boot."""
        return self._console.read_text(errors="replace") if self._console.exists() else ""

    @property
    def boot(self) -> int:
        """The number of this boot, which no other bench of this folder has."""
        one, of = self._numbers
        return one + 1 + of * (self.boots - 1)

    @property
    def _console(self) -> Path:
        return self.folder / f"console-{self.boot}.log"

    def abandon(self) -> None:
        """End this boot; `start` begins the next."""
        self._kill()

    def _kill(self) -> None:
        if self._vm is not None:
            self._vm.kill()
            if self._state is not None:
                self._state.drop_process(self._vm.process.pid)
            self._vm = None

    def stop(self) -> None:
        """End the machine."""
        self._kill()
        self._machine.initramfs.unlink(missing_ok=True)
        if self._state is not None:
            self._state.finish()
            self._state = None


class InPlaceBench(Bench):
    """Devices the user named, on the kernel at the far end of a port; put back afterwards."""

    def __init__(self, bdfs: Sequence[str], command: Sequence[str] = ()) -> None:
        """`command` starts an executor elsewhere; without it, this process makes the calls."""
        self.mode = "remote" if command else "host"
        self.spec = shlex.join(command) if command else "host"
        self.origin = f"the machine behind {self.spec}" if command else "this machine, in place"
        self._command = tuple(command)
        self._state: RunState | None = None
        try:
            self.port = CommandPort(self._command) if command else LocalPort()
        except TargetLostError as e:
            raise LabError(f"{self.spec}: {e}") from e
        self._fs = PortSysfs(self.port)
        found = []
        for bdf in bdfs:
            reasons = refusals(self._fs, bdf)
            if reasons:
                raise LabError(f"{bdf} is not taken: {'; '.join(reasons)}")
            name = bdf.replace(":", "-").replace(".", "-")
            found.append(BenchDevice(name, PciDevice(self.port, bdf).roles(), bdf=bdf))
        self.devices = tuple(found)

    def start(self) -> None:
        """Bind the devices; what was there is on disk before anything is touched."""
        if self.mode == "host" and os.geteuid() != 0:
            raise LabError("binding this machine's devices needs root: run it with sudo")
        began = time.monotonic()
        self.boots += 1
        self._state = RunState.begin()
        try:
            self._look({}, began)
            self._bind(self._state.add_binding)
        except BaseException:
            self.stop()
            raise
        self.port.steps.clear()

    def why_lost(self, error: TargetLostError) -> str:
        """Nobody else knows more."""
        return error.reason

    def abandon(self) -> None:
        """Nothing to give up: this kernel is not ours to end."""

    def stop(self) -> None:
        """Close every file, then put the devices back."""
        if self._state is None:
            return
        self.port.close()
        state, self._state = self._state, None
        port = CommandPort(self._command) if self._command else LocalPort()
        left = []
        for before in state.record.bindings:
            problems = restore(PortSysfs(port), before)
            left += problems
            if not problems:
                state.drop_binding(before.bdf)
        port.close()
        if left:
            raise LabError(f"not put back: {'; '.join(left)}; try vfiospec restore")
        state.finish()


def _forget(before: Before) -> None:
    del before
