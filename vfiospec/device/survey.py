# SPDX-License-Identifier: MIT
"""One sequence of calls on a device, the same whatever way it was reached: question -> answer.

Answers are words that do not depend on the way: errors by name, sizes in pages, eventfds by how
often they were signalled. Numbers the kernel gives out as it likes are left out: file descriptors,
ids of an iommufd's objects, addresses in our memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.access import Access
from vfiospec.device.call import Call
from vfiospec.device.device import DEVICE_INFO, IRQ_INFO, REGION_INFO, Device
from vfiospec.device.scratch import decode_memory, scratch_of
from vfiospec.device.ways import Way

Answers = dict[str, str]
Telling = Iterator[tuple[str, str]]  # a question and its answer, as they are asked

CONFIG: Final = vfio.VFIO_PCI_CONFIG_REGION_INDEX
_PAST_THE_LAST: Final = 0xFFFFFFFF
_FEATURES: Final = 32


@dataclass(frozen=True)
class Subject:
    """A device that was reached, and by what."""

    way: Way
    access: Access
    device: Device
    bdf: str
    page: int

    @property
    def ids(self) -> tuple[int, int]:
        """Vendor and device."""
        return self.device.read_config(0, 2), self.device.read_config(2, 2)


Survey = Callable[[Subject], Telling]


def told(call: Call) -> str:
    """The answer, and all of the buffer as it came back."""
    return f"{call.answer()}, {call.data.hex()}" if call.data else call.answer()


def device_info(subject: Subject) -> Telling:
    """VFIO_DEVICE_GET_INFO with each argsz that could matter."""
    for argsz in (0, vfio.DEVICE_INFO_MIN - 1, vfio.DEVICE_INFO_MIN, DEVICE_INFO, 4096):
        yield f"GET_INFO with argsz {argsz}", told(subject.device.try_get_info(argsz))


def region_info(subject: Subject) -> Telling:
    """VFIO_DEVICE_GET_REGION_INFO of each index, with and without room for capabilities."""
    for index in (*range(vfio.VFIO_PCI_NUM_REGIONS + 2), _PAST_THE_LAST):
        for argsz in (vfio.REGION_INFO_MIN - 1, REGION_INFO, 4096):
            call = subject.device.try_get_region_info(index, argsz)
            yield f"GET_REGION_INFO of {index} with argsz {argsz}", told(call)


def irq_info(subject: Subject) -> Telling:
    """VFIO_DEVICE_GET_IRQ_INFO of each index."""
    for index in (*range(vfio.VFIO_PCI_NUM_IRQS + 2), _PAST_THE_LAST):
        for argsz in (vfio.IRQ_INFO_MIN - 1, IRQ_INFO, 4096):
            call = subject.device.try_get_irq_info(index, argsz)
            yield f"GET_IRQ_INFO of {index} with argsz {argsz}", told(call)


def config_space(subject: Subject) -> Telling:
    """All of it, four bytes at a time, and its end; then what writing its registers does."""
    config = subject.device.region(CONFIG)
    size = int(config.info.size)
    for at in range(0, size, 4):
        yield f"read of 4 bytes at {at:#x}", told(config.try_read(at, 4))
    for at, count in ((size - 2, 4), (size, 1), (0, 3), (1, 2), (3, 8)):
        yield f"read of {count} bytes at {at:#x}", told(config.try_read(at, count))
    for at, count in ((regs.PCI_COMMAND, 2), (regs.PCI_BASE_ADDRESS_0, 4), (0, 4), (size, 1)):
        before = config.try_read(at, count)
        for fill in (b"\xff", b"\x00"):
            written = config.try_write(at, fill * count).answer()
            now = told(config.try_read(at, count))
            yield f"{count} bytes {fill.hex()} written at {at:#x}", f"{written}, then {now}"
        config.try_write(at, before.data)


def mapped_regions(subject: Subject) -> Telling:
    """mmap(2) of each region, and what a load gives with memory on, off and on again."""
    device = subject.device
    before = decode_memory(device)
    for index in range(vfio.VFIO_PCI_NUM_REGIONS):
        call = device.try_get_region_info(index)
        info = call.unpack(vfio.vfio_region_info)
        if not call.ok:
            continue
        yield f"region {index}: flag MMAP", str(info.flags & vfio.VFIO_REGION_INFO_FLAG_MMAP)
        if index == CONFIG or not info.size:
            continue
        region = device.region(index)
        length = -(-int(info.size) // subject.page) * subject.page
        for what, size in (("all of it", length), ("a page too many", length + subject.page)):
            call, mapping = region.try_map(size)
            yield f"region {index}: mmap of {what}", "mapped" if mapping else call.answer()
            if mapping is None:
                continue
            with mapping:
                for turn, on in (("on", True), ("off", False), ("on again", True)):
                    decode_memory(device, on=on)
                    signal = mapping.load(0, 4).signal
                    yield f"region {index}: signal of a load, memory {turn}", str(signal)
    device.write_config(regs.PCI_COMMAND, 2, before)


def reset(subject: Subject) -> Telling:
    """VFIO_DEVICE_RESET and what it leaves; hot reset where there is no bus of its own."""
    device = subject.device
    yield "command register at first", f"{device.read_config(regs.PCI_COMMAND, 2):#06x}"
    before = decode_memory(device)
    scratch = scratch_of(subject.ids)
    if scratch:
        scratch.write(device, scratch.value)
        yield "a register, written", f"{scratch.read(device):#x}"
    device.write_config(regs.PCI_INTERRUPT_LINE, 1, 0x5A)
    yield "RESET", device.try_reset().answer()
    yield "command register afterwards", f"{device.read_config(regs.PCI_COMMAND, 2):#06x}"
    yield "interrupt line afterwards", f"{device.read_config(regs.PCI_INTERRUPT_LINE, 1):#x}"
    if scratch:
        yield "the register afterwards", f"{scratch.read(device):#x}"
        scratch.write(device, scratch.value)
    yield "GET_PCI_HOT_RESET_INFO", device.try_get_hot_reset_info().answer()
    yield "PCI_HOT_RESET without groups", device.try_hot_reset().answer()
    device.write_config(regs.PCI_COMMAND, 2, before)


def features(subject: Subject) -> Telling:
    """Which features there are, and unknown flags."""
    probe = feature.VFIO_DEVICE_FEATURE_PROBE
    both = {"GET": feature.VFIO_DEVICE_FEATURE_GET, "SET": feature.VFIO_DEVICE_FEATURE_SET}
    for number in range(_FEATURES):
        for name, flag in (*both.items(), ("GET and SET", sum(both.values())), ("neither", 0)):
            call = subject.device.try_feature(number | probe | flag)
            yield f"probe of feature {number}, {name}", call.answer()
    migration = feature.VFIO_DEVICE_FEATURE_MIGRATION | both["GET"]
    yield "GET of MIGRATION", subject.device.try_feature(migration, bytes(8)).answer()
    low_power = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY | both["SET"]
    yield "SET of LOW_POWER_ENTRY", subject.device.try_feature(low_power).answer()
    yield "and again", subject.device.try_feature(low_power).answer()
    wake = feature.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT | both["SET"]
    yield "SET of LOW_POWER_EXIT", subject.device.try_feature(wake).answer()
    unknown = both["GET"] | probe | 1 << 20
    yield "a flag that is none", subject.device.try_feature(unknown).answer()


def other_ioctls(subject: Subject) -> Telling:
    """Each number of VFIO's with no argument, but those that would do something."""
    names = {
        vfio.VFIO_DEVICE_RESET & 0xFF: "RESET",
        vfio.VFIO_DEVICE_PCI_HOT_RESET & 0xFF: "PCI_HOT_RESET",
    }
    for number in range(vfio.VFIO_BASE, 0x100):
        if number not in names:
            call = subject.device.try_ioctl(vfio.VFIO_TYPE << 8 | number)
            yield f"ioctl VFIO_BASE + {number - vfio.VFIO_BASE}", call.answer()
    for kind in (0, ord("0"), ord("<"), 0xFF):
        call = subject.device.try_ioctl(kind << 8 | vfio.VFIO_DEVICE_GET_INFO & 0xFF)
        yield f"GET_INFO's number with type {kind:#x}", call.answer()


def reopened(subject: Subject) -> Telling:
    """What the next user finds of what this one left behind; of closed fds, the last."""
    device = subject.access.open(subject.bdf)
    before = decode_memory(device)
    scratch = scratch_of(subject.ids)
    device.write_config(regs.PCI_COMMAND, 2, before | regs.PCI_COMMAND_MASTER)
    device.write_config(regs.PCI_INTERRUPT_LINE, 1, 0x77)
    if scratch:
        scratch.write(device, scratch.value)
    device.close()
    yield "bus master, another fd closed", _master(subject.device)
    subject.device.close()
    device = subject.access.open(subject.bdf)
    yield "bus master, all fds closed", _master(device)
    yield "interrupt line", f"{device.read_config(regs.PCI_INTERRUPT_LINE, 1):#x}"
    if scratch:
        decode_memory(device)
        yield "a register that was written", f"{scratch.read(device):#x}"
    device.close()


def _master(device: Device) -> str:
    command = device.read_config(regs.PCI_COMMAND, 2)
    return "on" if command & regs.PCI_COMMAND_MASTER else "off"
