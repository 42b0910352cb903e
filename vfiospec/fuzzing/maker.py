# SPDX-License-Identifier: MIT
"""Keeps count of what a program opens while it is made concrete, and of what is to be undone."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from vfiospec.abi import vfio, vfio_feature, vfio_iommu
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Handle
from vfiospec.fuzzing.description import Description
from vfiospec.fuzzing.fields import PAGE, Field, Source
from vfiospec.fuzzing.model import ANY_KIND, RAW, Subject, World

KINDS: Final = ("container", "group", "device", "iommufd", "eventfd", "file")
_DATA_NONE = vfio.VFIO_IRQ_SET_DATA_NONE | vfio.VFIO_IRQ_SET_ACTION_TRIGGER

# What a value stands for: (source, number, kind of file).
Resolved = Sequence[tuple[int, int, str]]


@dataclass
class Concrete:
    """A program as the port makes it. `origin` says of each operation which step it is."""

    ops: list[AnyOp] = field(default_factory=list)
    origin: list[int] = field(default_factory=list)
    after: list[AnyOp] = field(default_factory=list)


class Maker:
    """The state of a program that is being made concrete."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.made = Concrete()
        self.next = world.first
        self.mine: dict[str, list[Handle]] = {}
        self.step = -1
        self.undone: set[object] = set()
        self.copies: dict[Handle, Handle] = {}  # of the world's own files
        self.fragile = set(world.fragile)
        self.sizes: dict[Handle, int] = {}  # of mappings
        self.recent: list[AnyOp] = []  # quick calls that open nothing
        self.away: Subject | None = None  # a device that was taken from its driver

    def put(self, op: AnyOp) -> None:
        """Append an operation of the port."""
        self.made.ops.append(op)
        self.made.origin.append(self.step)

    def new(self, kind: str) -> Handle:
        """A handle for a file of a kind, or a mapping, that the program opens."""
        handle = self.next
        self.next += 1
        self.mine.setdefault(kind, []).append(handle)
        return handle

    def mapping(self, size: int) -> Handle:
        """A handle for a mapping of that many bytes."""
        handle = self.new("mapping")
        self.sizes[handle] = -(-size // PAGE) * PAGE
        return handle

    def pick(self, kind: str, which: int) -> Handle | None:
        """A file of a kind: the program's own first, the newest at the front, then the world's."""
        own, others = self.mine.get(kind, []), self.world.handles.get(kind, ())
        if not own and not others:
            return None
        at = which % (len(own) + len(others))
        return own[-1 - at] if at < len(own) else others[at - len(own)]

    def file(self, kind: str, on: int) -> Handle:
        """The file an operation is made on; where there is none of its kind, one is opened."""
        if kind == "*" or on & ANY_KIND:
            which = on & ~ANY_KIND
            picked = self.pick(KINDS[which % len(KINDS)], which // len(KINDS))
            if picked is not None:
                return picked
            kind = "container" if kind == "*" else kind
        picked = self.pick(kind, on & ~ANY_KIND)
        return picked if picked is not None else self.opened(kind, 0, os.O_RDWR | os.O_CLOEXEC)

    def opened(self, kind: str, which: int, flags: int) -> Handle:
        """Open a file."""
        if kind in {"eventfd", "file"}:
            handle = self.new("eventfd")
            self.put(o.Eventfd(handle, 0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
            return handle
        handle = self.new(kind)
        if kind == "device":
            self.became(handle, self.subject(which))
        self.put(o.Open(handle, self.path(kind, which), flags))
        return handle

    def became(self, handle: Handle, subject: Subject | None) -> None:
        """Note which device a file is of."""
        if subject is not None and subject.fragile:
            self.fragile.add(handle)

    def subject(self, which: int) -> Subject | None:
        """A device by its number."""
        subjects = self.world.subjects
        return subjects[which % len(subjects)] if subjects else None

    def loose(self, which: int) -> Subject | None:
        """One of the devices that are open nowhere, but for what the program opened."""
        count = self.world.loose
        return self.world.subjects[which % count] if count else None

    def let_go(self, *kinds: str) -> None:
        """Close all files and mappings of some kinds that the program opened."""
        for kind in kinds:
            for handle in self.mine.pop(kind, []):
                self.put(o.Munmap(handle) if kind == "mapping" else o.Close(handle))

    def back(self) -> None:
        """Give its driver the device that was taken from it. One at a time keeps their numbers."""
        if self.away is not None and self.away.given is not None:
            self.put(self.away.given)
            self.away = None

    def path(self, kind: str, which: int) -> str:
        """Where a file of a kind is opened."""
        subject = self.subject(which)
        if kind == "group" and subject is not None:
            return f"/dev/vfio/{subject.group}"
        if kind == "device" and subject is not None:
            return subject.cdev or "/dev/vfio/devices/none"
        return "/dev/iommu" if kind == "iommufd" else "/dev/vfio/vfio"

    def copied(self, kind: str, source: Handle) -> Handle:
        """A handle for another descriptor of the same file."""
        handle = self.new(kind)
        original = self.original(source)
        if original < self.world.first:
            self.copies[handle] = original
        if source in self.fragile:
            self.fragile.add(handle)
        return handle

    def original(self, fd: Handle) -> Handle:
        """The world's own file that a handle is another descriptor of, or the handle itself."""
        return self.copies.get(fd, fd)

    def undo(self, about: Description, fd: Handle, data: bytes) -> None:
        """Have what the operation changes on the world's own files changed back."""
        fd = self.original(fd)
        if fd >= self.world.first:
            return  # it is closed with the program
        for what in about.undo:
            index = int.from_bytes(data[8:12], "little") if what == "irqs" else 0
            key = (what, fd, index)
            if key in self.undone:
                continue
            self.undone.add(key)
            self.made.after += self.undoing(what, fd, index)

    def undoing(self, what: str, fd: Handle, index: int) -> Sequence[AnyOp]:
        """What brings one thing back."""
        if what == "irqs" and index < vfio.VFIO_PCI_NUM_IRQS:
            off = vfio.vfio_irq_set(vfio.IRQ_SET_MIN, _DATA_NONE, index, 0, 0)
            return (o.Ioctl(fd, vfio.VFIO_DEVICE_SET_IRQS, 0, off.pack()),)
        if what == "mappings":
            size = vfio_iommu.DMA_UNMAP_MIN
            every = vfio_iommu.vfio_iommu_type1_dma_unmap(size, 2, 0, 0)
            older = vfio_iommu.vfio_iommu_type1_dma_unmap(size, 0, 0, 1 << 62)  # before 5.12
            number = vfio_iommu.VFIO_IOMMU_UNMAP_DMA
            return (o.Ioctl(fd, number, 0, every.pack()), o.Ioctl(fd, number, 0, older.pack()))
        if what == "dirty":
            stop = vfio_iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
            data = vfio_iommu.vfio_iommu_type1_dirty_bitmap(8, stop).pack()
            return (o.Ioctl(fd, vfio_iommu.VFIO_IOMMU_DIRTY_PAGES, 0, data),)
        if what == "power":
            awake = vfio_feature.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT
            flags = awake | vfio_feature.VFIO_DEVICE_FEATURE_SET
            data = vfio_feature.vfio_device_feature(8, flags).pack()
            return (o.Ioctl(fd, vfio_feature.VFIO_DEVICE_FEATURE, 0, data),)
        return self.world.undo.get(f"{what} {fd}", ())


def resolve(about: Field, value: int) -> tuple[int, int, str]:
    """What a value of a field stands for: (source, number, kind)."""
    if value >= RAW:
        return Source.NUMBER, value - RAW, ""
    return about.choices[value % len(about.choices)]
