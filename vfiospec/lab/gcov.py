# SPDX-License-Identifier: MIT
"""Which lines of a kernel ran: what GCOV counted, fetched through debugfs and kept by boot."""

from collections.abc import Iterator
from pathlib import Path

from vfiospec.device import ops as o
from vfiospec.device.port import Port
from vfiospec.lab.cache import LabError
from vfiospec.lab.kernel import Kernel

DEBUGFS = "/sys/kernel/debug/gcov"
OPTION = "CONFIG_GCOV_KERNEL"
DATA, NOTES = ".gcda", ".gcno"


def check(kernel: Kernel) -> Path:
    """The tree of a kernel that counts; LabError if it does not, or if its notes are not here."""
    hint = "build one with `vfiospec kernels build SOURCE --profile coverage`"
    if kernel.config.get(OPTION) != "y":
        raise LabError(f"--coverage: {kernel.release} is built without {OPTION}; {hint}")
    if kernel.tree is None:
        raise LabError(
            f"--coverage: {kernel.image} is no built tree, and what was counted is read with the "
            f"notes of the compiler in it; {hint}"
        )
    return kernel.tree


def collect(port: Port, into: Path) -> int:
    """Fetch what was counted since the boot; how many object files it is of.

    `into` takes it, in place of what it had: counts only grow, until the next boot.
    """
    steps = len(port.steps)
    try:
        found = list(_data(port, DEBUGFS))
        if not found:
            raise LabError(f"nothing in {DEBUGFS}: the kernel has counted nothing, or hides it")
        for path in found:
            reply = port.do(o.ReadFile(path, o.MAX_BUFFER))
            if not reply.ok or len(reply.bytes) == o.MAX_BUFFER:
                raise LabError(f"{path} cannot be read whole: errno {reply.errno}")
            target = into / path.removeprefix(f"{DEBUGFS}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(reply.bytes)
    finally:
        del port.steps[steps:]  # no test's doing
    return len(found)


def _data(port: Port, folder: str) -> Iterator[str]:
    """The files of counts below a folder. Beside each is a link to its notes, by another name."""
    reply = port.do(o.ListDir(folder))
    for name in sorted(n.decode() for n in reply.bytes.split(b"\0") if n) if reply.ok else ():
        if name.endswith(DATA):
            yield f"{folder}/{name}"
        elif not name.endswith(NOTES) and name != "reset":
            yield from _data(port, f"{folder}/{name}")


def link_notes(folder: Path) -> int:
    """Put the notes of the compiler beside each file of counts; how many have none any more.

    `folder` has a folder for each boot, below which each file of counts lies at the path that its
    object file has on this machine.
    """
    missing = 0
    for data in folder.rglob(f"*{DATA}"):
        place = Path("/", *data.relative_to(folder).parts[1:]).with_suffix(NOTES)
        link = data.with_suffix(NOTES)
        link.unlink(missing_ok=True)
        if place.is_file():
            link.symlink_to(place)
        else:
            missing += 1
    return missing
