# SPDX-License-Identifier: MIT
"""What is done to devices from outside, through sysfs and debugfs, as operations of the port."""

from collections.abc import Callable, Mapping
from typing import Final

from vfiospec.device import ops as o
from vfiospec.fuzzing.calls import DEBUGFS_FILES
from vfiospec.fuzzing.description import Description
from vfiospec.fuzzing.maker import Maker, Resolved


def _unbind(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    """Take a device from its driver: one that nobody uses any more, or this would wait for ever."""
    del about, on
    subject = maker.loose(values[0][1])
    if subject is None or subject.taken is None or subject.given is None:
        return
    maker.let_go("mapping", "device", "group")
    maker.back()
    maker.away = subject
    maker.put(subject.taken)
    if subject not in maker.undone:
        maker.undone.add(subject)
        maker.made.after.append(subject.given)


def _bind(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    del about, on
    subject = maker.loose(values[0][1])
    if maker.away is not None:
        maker.back()
    elif subject is not None and subject.given is not None:
        maker.put(subject.given)  # it is bound already


def _sriov(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    del about, on
    subject = maker.subject(values[0][1])
    if subject is None or not maker.world.loose:
        return  # in place, where nothing is loose, a parameter of a module is not ours
    path = f"{subject.folder}/sriov_numvfs"
    maker.put(o.WriteFile("/sys/module/vfio_pci/parameters/enable_sriov", b"Y"))
    maker.put(o.WriteFile(path, str(values[1][1] & 0xFFFF).encode()))
    maker.made.after.append(o.WriteFile(path, b"0"))


def _debugfs(maker: Maker, about: Description, on: int, values: Resolved) -> None:
    del about, on
    subject = maker.subject(values[0][1])
    if subject is not None:
        name = DEBUGFS_FILES[values[1][1] % len(DEBUGFS_FILES)]
        maker.put(o.ReadFile(f"/sys/kernel/debug/vfio/{subject.bdf}/{name}"))


SYSFS: Final[Mapping[str, Callable[[Maker, Description, int, Resolved], None]]] = {
    "unbind": _unbind, "bind": _bind, "sriov": _sriov, "debugfs": _debugfs,
}  # fmt: skip
