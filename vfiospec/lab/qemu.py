# SPDX-License-Identifier: MIT
"""An emulated machine: QEMU as a process, the executor's channel, QMP, the console.

Sockets are handed to QEMU as open files, so nothing lies in the file system that a crash could
leave behind, and paths have no length to mind.
"""

import contextlib
import ctypes
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from qemu.qmp.legacy import QEMUMonitorProtocol

from vfiospec.device.port import TargetLostError, socket_pair
from vfiospec.device.ports import RemotePort
from vfiospec.lab.cache import LabError
from vfiospec.lab.topology import Topology

BINARY = "qemu-system-x86_64"
# Seconds from the start of QEMU to the executor's greeting. KVM that does not work hangs.
BOOT_DEADLINE = {"tcg": 120.0, "kvm": 30.0}
_PR_SET_PDEATHSIG = 1
EMULATOR = "QEMU gave up, not the kernel: "
_GAVE_UP = re.compile(r"hardware error:|Assertion .* failed|assertion failed|Bail out!")
_TROUBLE = re.compile(
    r"(Kernel panic.*|BUG:.*|Oops:.*|general protection fault.*|KASAN:.*|"
    r"vfiospec: the operation under way is past its deadline|"
    r"VFS: Unable to mount root.*|watchdog: BUG:.*)"
)


def qemu_binary() -> str:
    """The QEMU to run. LabError if there is none."""
    found = shutil.which(BINARY)
    if found is None:
        raise LabError(f"no {BINARY}: apt install qemu-system-x86")
    return found


def qemu_version(binary: str) -> str:
    """QEMU's version, as it says."""
    text = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    match = re.search(r"version (\S+)", text.stdout)
    return match.group(1) if match else "unknown"


def check_kvm() -> None:
    """LabError if KVM is not even worth a try. Only a boot, with a deadline, proves it works."""
    words = Path("/proc/cpuinfo").read_text(errors="replace").split()
    if "vmx" not in words and "svm" not in words:
        raise LabError("--accel kvm: the processor has neither vmx nor svm; use --accel tcg")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise LabError("--accel kvm: /dev/kvm cannot be opened by this user; use --accel tcg")


class Sockets(NamedTuple):
    """Numbers of the open sockets QEMU inherits."""

    channel: int  # the virtio-serial port
    line: int  # the second serial line, where a kernel without virtio console answers
    monitor: int


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What to boot."""

    image: Path
    initramfs: Path
    topology: Topology
    accel: str = "tcg"
    cpus: int = 1
    memory_mib: int = 1024
    operation_deadline: float = 15.0
    share: bool = False  # this machine's files, to be read in the guest
    work: Path | None = None  # a folder of this machine the guest may write to

    def arguments(self, binary: str, sockets: Sockets, console: Path) -> list[str]:
        """QEMU's command line."""
        words = [
            "console=ttyS0", "loglevel=4", "quiet", "intel_iommu=on", "oops=panic", "panic=-1",
            "nokaslr", "random.trust_cpu=on", "no_timer_check",
            f"vfiospec_deadline_ms={int(self.operation_deadline * 700)}",
            *self.topology.kernel_arguments,
        ]  # fmt: skip
        return [
            binary, "-machine", "q35,kernel-irqchip=split", "-accel", self.accel,
            "-cpu", "host" if self.accel == "kvm" else "max",
            "-smp", str(self.cpus), "-m", str(self.memory_mib),
            "-nodefaults", "-display", "none", "-vga", "none", "-no-reboot",
            "-kernel", str(self.image), "-initrd", str(self.initramfs),
            "-append", " ".join(words),
            "-chardev", f"file,id=console,path={_escaped(console)}", "-serial", "chardev:console",
            "-chardev", f"socket,id=line,fd={sockets.line}", "-serial", "chardev:line",
            "-chardev", f"socket,id=channel,fd={sockets.channel}",
            *self._iommu(),
            "-device", "virtio-serial-pci,addr=0x10",
            "-device", "virtserialport,chardev=channel,name=vfiospec",
            "-chardev", f"socket,id=monitor,fd={sockets.monitor}",
            "-mon", "chardev=monitor,mode=control",
            *self._shares(),
            *self.topology.arguments(),
        ]  # fmt: skip

    def _iommu(self) -> list[str]:
        remapping = "on" if self.topology.intremap else "off"
        return ["-device", f"intel-iommu,intremap={remapping}"] if self.topology.iommu else []

    def _shares(self) -> list[str]:
        words = []
        for tag, path, more in (("host", Path("/"), ",readonly=on"), ("work", self.work, "")):
            if self.share and path is not None:
                what = f"local,path={_escaped(path)},mount_tag={tag},security_model=none"
                words += ["-virtfs", f"{what},multidevs=remap{more}"]
        return words


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Vm:
    """One boot. `port` makes operations in the guest, `qmp` speaks to the machine under it."""

    port: RemotePort

    def __init__(self, machine: Machine, console: Path) -> None:
        """Start QEMU; the kernel is not up before `wait`."""
        self.machine = machine
        self.console = console
        binary = qemu_binary()
        pairs = [socket_pair() for _ in Sockets._fields]
        self._channel, self._line, self._monitor = (mine for mine, _ in pairs)
        sockets = Sockets(*(theirs.fileno() for _, theirs in pairs))
        self._errors: IO[bytes] = (console.parent / f"{console.stem}.qemu.log").open("w+b")
        console.touch()
        self.started = time.monotonic()
        try:
            self.process = subprocess.Popen(  # noqa: S603
                machine.arguments(binary, sockets, console),
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                pass_fds=sockets,
                start_new_session=True,  # Ctrl-C is for us to handle
                preexec_fn=_die_with_parent,  # noqa: PLW1509 -- one prctl(2), no lock is taken
            )
        except OSError as e:
            raise LabError(f"cannot start {binary}: {e.strerror}") from e
        finally:
            for _, theirs in pairs:
                theirs.close()
        self._qmp: QEMUMonitorProtocol | None = None

    @property
    def channel(self) -> socket.socket:
        """The far end of it is the guest's: an executor, or a program it runs instead."""
        return self._channel

    def wait(self) -> RemotePort:
        """Wait for the executor in the guest. LabError says why it never came."""
        try:
            deadline = BOOT_DEADLINE[self.machine.accel]
            # Whichever speaks first; a guest that dies closes both.
            ready, _, _ = select.select([self._channel, self._line], [], [], deadline)
            self.port = RemotePort(ready[0] if ready else self._channel, deadline)
        except TargetLostError as e:
            why = self.why(e.reason)
            self.kill()
            hint = "; try --accel tcg" if self.machine.accel == "kvm" else ""
            raise LabError(
                f"the kernel did not boot: {why}; its console is in {self.console}{hint}"
            ) from e
        self.port.set_deadline(self.machine.operation_deadline)
        return self.port

    def qmp(self, command: str, **arguments: Any) -> Any:  # noqa: ANN401 -- QMP's are as wide
        """Make one QMP command. LabError if the machine refuses it."""
        if self._qmp is None:
            self._qmp = QEMUMonitorProtocol(self._monitor)
            self._qmp.connect()
        answer = self._qmp.cmd_raw(command, arguments or None)
        if "error" in answer:
            raise LabError(f"QMP {command}: {answer['error'].get('desc', answer['error'])}")
        return answer.get("return")

    def hmp(self, line: str) -> str:
        """Make one command of the human monitor, for what QMP has not."""
        return str(self.qmp("human-monitor-command", **{"command-line": line}))

    def why(self, fallback: str) -> str:
        """Say what happened to a guest that no longer answers."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2.0)  # a panic ends QEMU; give the console time to arrive
        text = self.console_text()
        match = _TROUBLE.search(text)
        if match:
            return match.group(1).strip()
        self._errors.seek(0)
        lines = [x for x in self._errors.read().decode(errors="replace").splitlines() if x]
        # Told something that no machine is told, an emulated device may end it all.
        if gave_up := [x for x in lines if _GAVE_UP.search(x)]:
            return f"{EMULATOR}{gave_up[0]}"
        if self.process.poll() is not None and not text.strip():
            problems = [x for x in lines if "warning" not in x]
            return problems[-1] if problems else f"QEMU ended with {self.process.returncode}"
        if self.process.poll() is not None:
            return "the guest ended without a word"
        return fallback

    def console_text(self) -> str:
        """Everything the guest printed so far."""
        return self.console.read_text(errors="replace")

    def kill(self) -> None:
        """End the machine; safe to call again."""
        if self._qmp is not None:
            with contextlib.suppress(Exception):  # a monitor that is gone raises whatever it likes
                self._qmp.close()
            self._qmp = None
        self.process.kill()
        self.process.wait()
        for end in (self._channel, self._line, self._monitor):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._errors.close()
