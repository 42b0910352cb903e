# SPDX-License-Identifier: MIT
"""The device fd's calls that change something: interrupts, resets, ioeventfds, features."""

from uuid import UUID

from vfiospec.abi import vfio
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.call import UNTOUCHED, Call
from vfiospec.device.files import File
from vfiospec.device.ops import Fixup, Ref

_S32 = 4
_UNTOUCHED = bytes([UNTOUCHED])


def _fds(items: tuple[File | int, ...], offset: int) -> tuple[bytes, tuple[Fixup, ...]]:
    """An array of s32 file numbers at an offset of a buffer; a number such as -1 stands as is."""
    data, fixups = b"", []
    for i, item in enumerate(items):
        if isinstance(item, File):
            fixups.append(item.fixup(offset + _S32 * i))
            data += bytes(_S32)
        else:
            data += item.to_bytes(_S32, "little", signed=True)
    return data, tuple(fixups)


class Controls(File):
    """What a device fd can be told."""

    kind = "device"

    def try_set_irqs(  # noqa: PLR0913 -- the fields of vfio_irq_set
        self,
        index: int,
        flags: int,
        start: int = 0,
        count: int = 0,
        data: bytes = b"",
        *,
        argsz: int | None = None,
        eventfds: tuple[File | int, ...] = (),
    ) -> Call:
        """VFIO_DEVICE_SET_IRQS; `eventfds` holds files, or numbers such as -1, as the data."""
        head = vfio.vfio_irq_set.sizeof()
        numbers, fixups = _fds(eventfds, head)
        data += numbers
        claimed = head + len(data) if argsz is None else argsz
        request = vfio.vfio_irq_set(claimed, flags, index, start, count)
        return self.try_ioctl(
            vfio.VFIO_DEVICE_SET_IRQS,
            request.pack() + data,
            what=f"argsz={claimed}, flags={flags:#x}, index={index}, start={start}, count={count}",
            argsz=claimed,
            fixups=fixups,
        )

    def try_reset(self) -> Call:
        """VFIO_DEVICE_RESET."""
        return self.try_ioctl(vfio.VFIO_DEVICE_RESET)

    def try_get_hot_reset_info(
        self, argsz: int = vfio.HOT_RESET_INFO_MIN, *, size: int = 512, at: Ref | None = None
    ) -> Call:
        """VFIO_DEVICE_GET_PCI_HOT_RESET_INFO with a buffer of `size` bytes."""
        data = (argsz.to_bytes(4, "little") + _UNTOUCHED * size)[:size]
        return self.try_ioctl(
            vfio.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, data, what=f"argsz={argsz}", argsz=argsz, at=at
        )

    def try_hot_reset(
        self,
        groups: tuple[File | int, ...] = (),
        *,
        argsz: int | None = None,
        flags: int = 0,
        count: int | None = None,
    ) -> Call:
        """VFIO_DEVICE_PCI_HOT_RESET with the fds of groups."""
        data, fixups = _fds(groups, vfio.HOT_RESET_MIN)
        claimed = vfio.HOT_RESET_MIN + len(data) if argsz is None else argsz
        many = len(groups) if count is None else count
        return self.try_ioctl(
            vfio.VFIO_DEVICE_PCI_HOT_RESET,
            vfio.vfio_pci_hot_reset(claimed, flags, many).pack() + data,
            what=f"argsz={claimed}, flags={flags:#x}, count={many}",
            argsz=claimed,
            fixups=fixups,
        )

    def try_ioeventfd(
        self,
        flags: int,
        offset: int,
        data: int,
        eventfd: File | int,
        *,
        argsz: int = vfio.vfio_device_ioeventfd.sizeof(),
    ) -> Call:
        """VFIO_DEVICE_IOEVENTFD; `flags` hold the width."""
        at = vfio.vfio_device_ioeventfd.offset_of("fd")
        number = eventfd if isinstance(eventfd, int) else 0
        request = vfio.vfio_device_ioeventfd(argsz, flags, offset, data, number)
        return self.try_ioctl(
            vfio.VFIO_DEVICE_IOEVENTFD,
            request.pack(),
            what=f"argsz={argsz}, flags={flags:#x}, offset={offset:#x}, data={data:#x}",
            argsz=argsz,
            fixups=(eventfd.fixup(at),) if isinstance(eventfd, File) else (),
        )

    def try_feature(
        self,
        flags: int,
        data: bytes = b"",
        *,
        argsz: int | None = None,
        fixups: tuple[Fixup, ...] = (),
        room: int = 0,
    ) -> Call:
        """VFIO_DEVICE_FEATURE: `flags` is the feature's number with GET, SET, PROBE.

        `room`: bytes behind the data, untouched. Offsets of `fixups` count from the structure.
        """
        claimed = feature.FEATURE_MIN + len(data) if argsz is None else argsz
        return self.try_ioctl(
            feature.VFIO_DEVICE_FEATURE,
            feature.vfio_device_feature(claimed, flags).pack() + data + _UNTOUCHED * room,
            what=f"argsz={claimed}, flags={flags:#x}",
            argsz=claimed,
            fixups=fixups,
        )

    def try_set_vf_token(self, token: UUID, *, argsz: int | None = None) -> Call:
        """VFIO_DEVICE_FEATURE_PCI_VF_TOKEN: what whoever opens a VF must know."""
        what = feature.VFIO_DEVICE_FEATURE_PCI_VF_TOKEN | feature.VFIO_DEVICE_FEATURE_SET
        return self.try_feature(what, token.bytes, argsz=argsz)
