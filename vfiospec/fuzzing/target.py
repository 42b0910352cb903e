# SPDX-License-Identifier: MIT
"""What a fuzz target is: which operations, on which devices. And the world it finds."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vfiospec.abi import pci, vfio
from vfiospec.device import edu
from vfiospec.device import ops as o
from vfiospec.device.cdev import cdev_path
from vfiospec.device.container import Container
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, Memory
from vfiospec.device.group import Assigned
from vfiospec.device.ops import AnyOp
from vfiospec.device.port import Port
from vfiospec.fuzzing.calls import REGION_SHIFT
from vfiospec.fuzzing.describe import chosen
from vfiospec.fuzzing.description import Description
from vfiospec.fuzzing.fields import PAGE
from vfiospec.fuzzing.model import Subject, World

FIRST_HANDLE = 1 << 14  # of what programs open; a port counts its own up from 1
_EVENTFDS = 2
_CONFIG = vfio.VFIO_PCI_CONFIG_REGION_INDEX << REGION_SHIFT


@dataclass(frozen=True)
class Target:
    """Some operations on some devices of a topology, by their names there.

    `held` are open in a container of the world's own when a program starts: the first is what
    programs meet first. `free` are left for programs to open by themselves; only devices that need
    no long reset belong there.
    """

    name: str
    about: str
    operations: tuple[str, ...]
    held: tuple[str, ...] = ()
    free: tuple[str, ...] = ()


def operations(
    *kinds: str, also: Sequence[str] = (), without: Sequence[str] = ()
) -> tuple[str, ...]:
    """The names of all operations on some kinds of files, and of some more."""

    def wanted(d: Description) -> bool:
        if any(d.name.startswith(w) for w in without):
            return False
        return d.kind in kinds or any(d.name.startswith(a) for a in also)

    return chosen(wanted)


class Placed(Protocol):
    """A device of a bench: vfiospec.lab.bench.BenchDevice is one."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def bdf(self) -> str: ...  # noqa: D102
    @property
    def group(self) -> int | None: ...  # noqa: D102


def build_world(port: Port, devices: Sequence[Placed], target: Target) -> World:
    """Open what programs find open. The port's steps are how it was made."""
    by_name = {d.name: d for d in devices if d.group is not None}
    # This machine's own devices, in place, have other names: whatever is there is held.
    held = [by_name[n] for n in target.held if n in by_name]
    free = [by_name[n] for n in target.free if n in by_name]
    if not held and not free:
        held = list(by_name.values())
    handles: dict[str, tuple[int, ...]] = {}
    undo: dict[str, tuple[AnyOp, ...]] = {}
    memory = [Memory(port, 64 * PAGE, fill=0xA5, guard=True), Memory(port, PAGE, guard=True)]
    handles["memory"] = tuple(m.handle for m in memory)
    handles["eventfd"] = tuple(EventFd.create(port).handle for _ in range(_EVENTFDS))
    containers, groups, files = [], [], []
    dma = None
    for device in held:
        if device.group is None:
            continue
        assigned = Assigned(port, device.group)
        containers.append(assigned.container.handle)
        groups.append(assigned.group.handle)
        opened = assigned.open(device.bdf)
        files.append(opened.handle)
        undo[f"config {opened.handle}"] = _restored(port, opened.handle)
        if dma is None and _ids(opened) == edu.IDS:
            dma = opened.handle, assigned.container.handle
    if not containers:
        containers.append(Container.create(port).handle)
    handles |= {"container": tuple(containers), "group": tuple(groups), "device": tuple(files)}
    subjects = [
        Subject(d.name, d.bdf, d.group, cdev_path(port, f"/sys/bus/pci/devices/{d.bdf}") or "")
        for d in (*free, *held)
        if d.group is not None
    ]
    return World(handles, tuple(subjects), FIRST_HANDLE, undo, dma)


def _ids(device: Device) -> tuple[int, int]:
    return device.read_config(pci.PCI_VENDOR_ID, 2), device.read_config(pci.PCI_DEVICE_ID, 2)


def _restored(port: Port, fd: int) -> tuple[AnyOp, ...]:
    """What brings a device's command register and power state back."""
    first = port.do(o.Pread(fd, 256, _CONFIG)).bytes
    command = int.from_bytes(first[pci.PCI_COMMAND :][:2], "little")
    command |= pci.PCI_COMMAND_MEMORY | pci.PCI_COMMAND_MASTER
    port.do(o.Pwrite(fd, command.to_bytes(2, "little"), _CONFIG + pci.PCI_COMMAND))
    ops: list[AnyOp] = [o.Pwrite(fd, command.to_bytes(2, "little"), _CONFIG + pci.PCI_COMMAND)]
    at, left = first[pci.PCI_CAPABILITY_LIST], 48
    while at >= 0x40 and left:  # noqa: PLR2004 -- behind the header
        if first[at] == pci.PCI_CAP_ID_PM:
            state = _CONFIG + at + pci.PCI_PM_CTRL
            ops.insert(0, o.Pwrite(fd, first[at + pci.PCI_PM_CTRL :][:2], state))
        at, left = first[at + 1] & 0xFC, left - 1
    return tuple(ops)


Say = Callable[[str], None]
OPEN = os.O_RDWR | os.O_CLOEXEC
