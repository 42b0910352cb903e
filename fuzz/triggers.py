# SPDX-License-Identifier: MIT
"""The calls that bring out each bug of bugs.toml, by its id, among others that do no harm."""

import os
import struct
from collections.abc import Callable, Mapping
from typing import Final

from vfiospec.abi import pci as regs
from vfiospec.abi import vfio, vfio_iommu
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Fixup, FixupKind
from vfiospec.device.transcript import TranscriptDevice

_PAGE: Final = 4096
_SHIFT: Final = 40  # of a region's index in an offset
_GRACE: Final = 200  # ms, in which what RCU put off is done
_CONFIG: Final = vfio.VFIO_PCI_CONFIG_REGION_INDEX << _SHIFT
_EVENTFD = vfio.VFIO_IRQ_SET_DATA_EVENTFD | vfio.VFIO_IRQ_SET_ACTION_TRIGGER
_SIGNAL = vfio.VFIO_IRQ_SET_DATA_NONE | vfio.VFIO_IRQ_SET_ACTION_TRIGGER
_ONE = (1).to_bytes(8, "little")

Devices = Mapping[str, TranscriptDevice]


class Program:
    """A list of operations in the making."""

    def __init__(self, device: TranscriptDevice) -> None:
        """The device its group is of."""
        self.device = device
        self.ops: list[AnyOp] = []
        self._handle = 0
        self.container = self.group = self.file = 0

    def handle(self) -> int:
        """One that is free."""
        self._handle += 1
        return self._handle

    def add(self, *ops: AnyOp) -> None:
        """Put operations at the end."""
        self.ops += ops

    def attach(self) -> None:
        """Open a container and the group, attach the one to the other, choose type1."""
        self.container, self.group = self.handle(), self.handle()
        self.add(
            o.Open(self.container, "/dev/vfio/vfio", os.O_RDWR),
            o.Open(self.group, f"/dev/vfio/{self.device.group}", os.O_RDWR),
            o.Ioctl(
                self.group,
                vfio.VFIO_GROUP_SET_CONTAINER,
                data=bytes(4),
                fixups=(Fixup(0, FixupKind.FD, self.container),),
            ),
            o.Ioctl(self.container, vfio.VFIO_SET_IOMMU, vfio.VFIO_TYPE1v2_IOMMU),
        )

    def open(self) -> int:
        """A fd of the device."""
        self.file = self.handle()
        name = self.device.bdf.encode() + b"\0"
        self.add(o.Ioctl(self.group, vfio.VFIO_GROUP_GET_DEVICE_FD, data=name, out=self.file))
        return self.file

    def eventfd(self) -> int:
        """An eventfd."""
        event = self.handle()
        self.add(o.Eventfd(event, 0, os.O_NONBLOCK))
        return event

    def irqs(self, index: int, flags: int, count: int = 1, event: int | None = None) -> AnyOp:
        """SET_IRQS from interrupt 0 on; with an eventfd, or -1 for none."""
        fds = b"\xff" * 4 if flags & vfio.VFIO_IRQ_SET_DATA_EVENTFD else b""
        head = vfio.vfio_irq_set(argsz=20 + len(fds), flags=flags, index=index, count=count)
        fixups = (Fixup(20, FixupKind.FD, event),) if event is not None else ()
        return o.Ioctl(self.file, vfio.VFIO_DEVICE_SET_IRQS, data=head.pack() + fds, fixups=fixups)

    def ioeventfd(self, event: int | None, data: int = 0x42) -> AnyOp:
        """Bind a write of four bytes to BAR 0; without an eventfd, take it away."""
        argument = vfio.vfio_device_ioeventfd(
            argsz=32, flags=vfio.VFIO_DEVICE_IOEVENTFD_32, offset=4, data=data, fd=-1
        )
        at = vfio.vfio_device_ioeventfd.offset_of("fd")
        fixups = (Fixup(at, FixupKind.FD, event),) if event is not None else ()
        return o.Ioctl(self.file, vfio.VFIO_DEVICE_IOEVENTFD, data=argument.pack(), fixups=fixups)

    def memory_on(self) -> None:
        """Let the device answer at its BARs."""
        on = regs.PCI_COMMAND_MEMORY.to_bytes(2, "little")
        self.add(o.Pwrite(self.file, on, _CONFIG + regs.PCI_COMMAND))

    def map(self, memory: int, iova: int, size: int, offset: int = 0) -> None:
        """MAP_DMA of a piece of memory."""
        flags = vfio_iommu.VFIO_DMA_MAP_FLAG_READ | vfio_iommu.VFIO_DMA_MAP_FLAG_WRITE
        argument = vfio_iommu.vfio_iommu_type1_dma_map(argsz=32, flags=flags, iova=iova, size=size)
        fixups = (Fixup(8, FixupKind.ADDRESS, memory, offset),)
        self.add(
            o.Ioctl(
                self.container, vfio_iommu.VFIO_IOMMU_MAP_DMA, data=argument.pack(), fixups=fixups
            )
        )

    def dirty(self, flags: int) -> AnyOp:
        """DIRTY_PAGES that starts or stops tracking."""
        argument = vfio_iommu.vfio_iommu_type1_dirty_bitmap(argsz=8, flags=flags)
        return o.Ioctl(self.container, vfio_iommu.VFIO_IOMMU_DIRTY_PAGES, data=argument.pack())

    def bitmap(self, iova: int, size: int, memory: int) -> AnyOp:
        """DIRTY_PAGES that asks which pages of a range are dirty."""
        head = vfio_iommu.vfio_iommu_type1_dirty_bitmap(
            argsz=48, flags=vfio_iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP
        )
        data = head.pack() + struct.pack("<5Q", iova, size, _PAGE, 64, 0)
        fixups = (Fixup(8 + 32, FixupKind.ADDRESS, memory),)
        return o.Ioctl(self.container, vfio_iommu.VFIO_IOMMU_DIRTY_PAGES, data=data, fixups=fixups)

    def noise(self, rounds: int = 2) -> None:
        """Calls that do no harm: what a fuzzer's program is full of."""
        info = (24).to_bytes(4, "little") + bytes(20)
        for index in range(rounds):
            spare = self.handle()
            region = struct.pack("<III", 32, 0, index) + bytes(20)
            self.add(
                o.Eventfd(spare, index),
                o.Ioctl(self.file or spare, vfio.VFIO_DEVICE_GET_INFO, data=info),
                o.Ioctl(self.file or spare, vfio.VFIO_DEVICE_GET_REGION_INFO, data=region),
                o.Close(spare),
            )


def _opened(device: TranscriptDevice) -> Program:
    program = Program(device)
    program.attach()
    program.open()
    program.noise()
    return program


def _msi_trigger_not_held(devices: Devices) -> Program:
    it = _opened(devices["e1000e"])
    event = it.eventfd()
    it.add(it.irqs(vfio.VFIO_PCI_MSIX_IRQ_INDEX, _EVENTFD, 1, event))
    it.noise()
    it.add(o.Close(event), it.irqs(vfio.VFIO_PCI_MSIX_IRQ_INDEX, _SIGNAL))
    it.noise()
    return it


def _intx_trigger_put_twice(devices: Devices) -> Program:
    it = _opened(devices["edu"])
    first, second = it.eventfd(), it.eventfd()
    it.add(it.irqs(vfio.VFIO_PCI_INTX_IRQ_INDEX, _EVENTFD, 1, first))
    it.noise()
    it.add(it.irqs(vfio.VFIO_PCI_INTX_IRQ_INDEX, _EVENTFD, 1, second))
    it.add(o.Pwrite(first, _ONE), o.Close(first))
    return it


def _ioeventfd(devices: Devices) -> tuple[Program, int]:
    it = _opened(devices["edu"])
    it.memory_on()
    event = it.eventfd()
    it.add(it.ioeventfd(event))
    it.noise()
    return it, event


def _ioeventfd_stays_in_list(devices: Devices) -> Program:
    it, event = _ioeventfd(devices)
    it.add(it.ioeventfd(None), it.ioeventfd(event, data=0x43))
    return it


def _ioeventfd_still_armed(devices: Devices) -> Program:
    it, event = _ioeventfd(devices)
    it.add(it.ioeventfd(None), o.Pwrite(event, _ONE))
    return it


def _ioeventfd_without_lock(devices: Devices) -> Program:
    it, event = _ioeventfd(devices)
    both = (it.ioeventfd(None), it.ioeventfd(event))
    it.add(o.Race((both, both, both), 200))
    return it


def _request_trigger_stays(devices: Devices) -> Program:
    it = _opened(devices["e1000e"])
    event = it.eventfd()
    it.add(it.irqs(vfio.VFIO_PCI_REQ_IRQ_INDEX, _EVENTFD, 1, event))
    it.noise()
    it.add(
        it.irqs(vfio.VFIO_PCI_REQ_IRQ_INDEX, _EVENTFD),
        o.Poll((), 0, _GRACE),
        it.irqs(vfio.VFIO_PCI_REQ_IRQ_INDEX, _SIGNAL),
    )
    return it


def _msi_permissions_stay(devices: Devices) -> Program:
    it = _opened(devices["edu"])
    it.add(o.Close(it.file))
    it.open()
    it.add(*(o.Pread(it.file, 4, _CONFIG + at) for at in range(0x40, 0x60, 4)))
    return it


def _container_not_held(devices: Devices) -> Program:
    it = Program(devices["e1000e"])
    it.attach()
    it.noise()
    it.add(o.Close(it.container), o.Close(it.group))
    return it


def _registration_leaked(devices: Devices) -> Program:
    device = devices["rtl8139"]
    it = Program(device)
    it.group = it.handle()
    it.add(o.Open(it.group, f"/dev/vfio/{device.group}", os.O_RDWR))
    it.open()
    it.noise()
    unbind = f"/sys/bus/pci/devices/{device.bdf}/driver/unbind"
    it.add(o.Close(it.group), o.WriteFile(unbind, device.bdf.encode()))
    return it


def _tracking_flag_stays(devices: Devices) -> Program:
    it = Program(devices["e1000e"])
    it.attach()
    memory = it.handle()
    it.add(o.Alloc(memory, 2 * _PAGE))
    it.map(memory, 0, _PAGE)
    it.noise()
    it.add(
        it.dirty(vfio_iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_START),
        it.dirty(vfio_iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP),
        it.bitmap(0, _PAGE, memory),
    )
    return it


def _bitmap_without_spare_word(devices: Devices) -> Program:
    it = Program(devices["e1000e"])
    it.attach()
    memory, answer = it.handle(), it.handle()
    it.add(o.Alloc(memory, 65 * _PAGE), o.Alloc(answer, _PAGE))
    it.map(memory, 0, _PAGE)
    it.map(memory, _PAGE, 64 * _PAGE, _PAGE)
    it.noise()
    it.add(
        it.dirty(vfio_iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_START),
        it.bitmap(0, 65 * _PAGE, answer),
    )
    return it


def _config_bounds_forgotten(devices: Devices) -> Program:
    it = _opened(devices["edu"])
    it.add(*(o.Pread(it.file, 4, _CONFIG + at) for at in (0xFC, 0x100, 0x104)))
    return it


def _mmap_index_unchecked(devices: Devices) -> Program:
    it = _opened(devices["e1000e"])
    for index in (vfio.VFIO_PCI_ROM_REGION_INDEX, vfio.VFIO_PCI_CONFIG_REGION_INDEX):
        it.add(o.Mmap(it.handle(), _PAGE, 1, 1, it.file, index << _SHIFT))
    return it


TRIGGERS: Final[Mapping[str, Callable[[Devices], Program]]] = {
    function.__name__.lstrip("_").replace("_", "-"): function
    for function in (
        _msi_trigger_not_held, _intx_trigger_put_twice, _ioeventfd_stays_in_list,
        _ioeventfd_still_armed, _ioeventfd_without_lock, _request_trigger_stays,
        _msi_permissions_stay, _container_not_held, _registration_leaked, _tracking_flag_stays,
        _bitmap_without_spare_word, _config_bounds_forgotten, _mmap_index_unchecked,
    )
}  # fmt: skip
