# SPDX-License-Identifier: MIT
"""A guest that runs a program of this machine: its files are shared, its kernel is another.

For what must run inside: the local port on a real VFIO driver, runs in place, measurements.
"""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from vfiospec.lab import initramfs
from vfiospec.lab.bench import GUEST_MODULES
from vfiospec.lab.cache import LabError
from vfiospec.lab.kernel import Kernel
from vfiospec.lab.native import build_executor
from vfiospec.lab.qemu import Machine, Vm
from vfiospec.lab.topology import Topology

_SHARING = ("9pnet_virtio", "9p")
PACKAGE_ROOT = Path(__file__).parent.parent.parent


def python_command(*words: str, **environment: str) -> list[str]:
    """This interpreter with this package, as a guest can start it: nothing is written back."""
    settings = {
        "PYTHONPATH": ":".join([str(PACKAGE_ROOT), *(p for p in sys.path if p)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        **environment,
    }
    return ["/usr/bin/env", *(f"{k}={v}" for k, v in settings.items()), sys.executable, *words]


@contextlib.contextmanager
def hosted(
    kernel: Kernel, layout: Topology, folder: Path, command: Sequence[str], work: Path | None = None
) -> Iterator[Vm]:
    """Boot a guest that runs a command over its channel; end it afterwards."""
    missing = kernel.modules.missing(_SHARING)
    if missing and kernel.config.get("CONFIG_9P_FS") not in ("y", None):
        raise LabError(f"{kernel.release} cannot share files: it has no {', '.join(missing)}")
    extra = {"/guest.argv": b"".join(word.encode() + b"\0" for word in command)}
    if work is not None:
        extra["/guest.work"] = str(work).encode()
    plan = kernel.modules.plan((*GUEST_MODULES, *_SHARING))
    image = folder / "hosted.cpio"
    image.write_bytes(initramfs.build(build_executor(), plan, extra))
    machine = Machine(image=kernel.image, initramfs=image, topology=layout, share=True, work=work)
    vm = Vm(machine, folder / "hosted-console.log")
    try:
        yield vm
    finally:
        vm.kill()
        image.unlink()


def output(vm: Vm, deadline: float) -> bytes:
    """Everything a guest's program wrote until it ended. LabError if it did not in time."""
    until, data = time.monotonic() + deadline, b""
    while True:
        left = until - time.monotonic()
        try:
            vm.channel.settimeout(max(left, 0.01))
            got = vm.channel.recv(1 << 16)
        except OSError as e:
            raise LabError(
                f"the program in the guest did not end in {deadline:.0f} s: {vm.why(str(e))}"
            ) from e
        if not got:
            return data
        data += got
