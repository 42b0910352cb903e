# SPDX-License-Identifier: MIT
"""The world a target's programs find: its devices held, its files open, its memory there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import NAMESPACE_URL, uuid5

from vfiospec.abi import pci, vfio
from vfiospec.device import edu
from vfiospec.device import ops as o
from vfiospec.device.cdev import cdev_path
from vfiospec.device.container import Container
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, Memory
from vfiospec.device.group import Assigned
from vfiospec.device.mdev import Mdev, MdevType
from vfiospec.device.ops import AnyOp
from vfiospec.device.port import Port
from vfiospec.fuzzing.calls import REGION_SHIFT
from vfiospec.fuzzing.fields import MEMORY, PAGE
from vfiospec.fuzzing.model import Subject, World
from vfiospec.fuzzing.target import Target

FIRST_HANDLE = 1 << 14  # of what programs open; a port counts its own up from 1
_EVENTFDS = 2
_CONFIG = vfio.VFIO_PCI_CONFIG_REGION_INDEX << REGION_SHIFT

# Kinds of mediated device that programs may work with, by their parent: the type that is made.
MEDIATED: Final = {"mtty": "mtty-1"}


@dataclass(frozen=True)
class _Mediated:
    """One of them, placed."""

    name: str
    bdf: str  # its UUID
    group: int | None


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
    held, free, removal = _placed(port, devices, target)
    handles: dict[str, tuple[int, ...]] = {}
    undo: dict[str, tuple[AnyOp, ...]] = {}
    memory = [Memory(port, MEMORY, fill=0xA5, guard=True), Memory(port, PAGE, guard=True)]
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
        if device.name in MEDIATED:  # others that migrate have resets that take long
            undo[f"migration {opened.handle}"] = (o.Ioctl(opened.handle, vfio.VFIO_DEVICE_RESET),)
        if dma is None and _ids(opened) == edu.IDS:
            dma = opened.handle, assigned.container.handle
    if not containers:
        containers.append(Container.create(port).handle)
    handles |= {"container": tuple(containers), "group": tuple(groups), "device": tuple(files)}
    subjects = tuple(_subject(port, d) for d in (*free, *held))
    fragile = frozenset(
        file for file, device in zip(files, held, strict=True) if device.name in MEDIATED
    )
    return World(handles, subjects, FIRST_HANDLE, undo, dma, len(free), fragile, removal)


def _placed(
    port: Port, devices: Sequence[Placed], target: Target
) -> tuple[list[Placed], list[Placed], tuple[AnyOp, ...]]:
    """The devices that are held, those that are left, and how to take away what was made."""
    by_name = {d.name: d for d in devices if d.group is not None}
    if not by_name.keys() & {*target.held, *target.free}:
        # This machine's own devices, in place, have other names: whatever is there is held.
        return list(by_name.values()), [], ()
    made: list[Mdev] = []

    def find(names: Sequence[str]) -> list[Placed]:
        found: list[Placed] = []
        for name in names:
            if name in by_name:
                found.append(by_name[name])
            elif name in MEDIATED and (mdev := _instance(port, name, len(made))) is not None:
                made.append(mdev)
                found.append(_Mediated(name, mdev.name, mdev.group))
        return found

    held, free = find(target.held), find(target.free)
    return held, free, tuple(o.WriteFile(f"{mdev.folder}/remove", b"1") for mdev in made)


def _instance(port: Port, name: str, number: int) -> Mdev | None:
    """A mediated device; None where the kernel has no such type."""
    kind = _kind(port, name)
    mdev = Mdev(port, str(uuid5(NAMESPACE_URL, f"vfiospec-fuzz-{number}")))
    if not kind.exists:
        return None
    if not mdev.exists:
        call = kind.try_create(mdev.name)
        if not call.ok:
            raise OSError(call.errno, str(call))
    return mdev


def _subject(port: Port, device: Placed) -> Subject:
    mediated = device.name in MEDIATED
    folder = f"/sys/bus/{'mdev' if mediated else 'pci'}/devices/{device.bdf}"
    name = device.bdf.encode()
    if mediated:  # no driver takes one by itself, or again
        taken = o.WriteFile(f"{folder}/remove", b"1")
        given = o.WriteFile(f"{_kind(port, device.name).folder}/create", name)
    else:
        driver = f"/sys/bus/pci/drivers/{_driver(port, folder)}"
        taken, given = (o.WriteFile(f"{driver}/{what}", name) for what in ("unbind", "bind"))
    cdev = cdev_path(port, folder) or ""
    return Subject(
        device.name, device.bdf, device.group or 0, cdev, folder, mediated, taken, given
    )  # fmt: skip


def _driver(port: Port, folder: str) -> str:
    return port.do(o.ReadLink(f"{folder}/driver")).bytes.decode().rpartition("/")[2]


def _kind(port: Port, name: str) -> MdevType:
    return MdevType(port, name, MEDIATED[name])


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
