# SPDX-License-Identifier: MIT
"""/dev/vfio/devices/vfioN: a device opened by itself and bound to an iommufd."""

from dataclasses import dataclass
from typing import Self

from vfiospec.abi import vfio_feature as abi
from vfiospec.device import ops as o
from vfiospec.device.call import Call, checked
from vfiospec.device.device import Device
from vfiospec.device.files import ClosedOnce, File
from vfiospec.device.iommufd import Iommufd
from vfiospec.device.ops import Fixup
from vfiospec.device.port import Port

CDEV_FOLDER = "/dev/vfio/devices"


def cdev_path(port: Port, device: str) -> str | None:
    """The character device of a device, by its folder in sysfs; None if it has none."""
    reply = port.do(o.ListDir(f"{device}/vfio-dev"))
    names = [n.decode() for n in reply.bytes.split(b"\0") if n] if reply.ok else []
    return f"{CDEV_FOLDER}/{names[0]}" if names else None


class Cdev(Device):
    """A device's own file. Before `try_bind` it answers nothing else."""

    @classmethod
    def at(cls, port: Port, path: str) -> Self:
        """Open it; OSError if it cannot be."""
        return cls.open(port, path)

    def try_bind(  # noqa: PLR0913 -- the fields of vfio_device_bind_iommufd
        self,
        iommufd: File | int,
        flags: int = 0,
        *,
        argsz: int = abi.BIND_MIN,
        token: int = 0,
        more: bytes = b"",
        fixups: tuple[Fixup, ...] = (),
    ) -> Call:
        """VFIO_DEVICE_BIND_IOMMUFD; `token` is the address of a UUID, or is left to a fixup."""
        struct = abi.vfio_device_bind_iommufd
        number = iommufd if isinstance(iommufd, int) else 0
        request = struct(argsz, flags, number, 0, token)
        if isinstance(iommufd, File):
            fixups = (iommufd.fixup(struct.offset_of("iommufd")), *fixups)
        what = f"argsz={argsz}, flags={flags:#x}, iommufd={number or 'fd'}"
        return self.try_ioctl(
            abi.VFIO_DEVICE_BIND_IOMMUFD,
            request.pack() + more,
            what=what,
            argsz=argsz,
            fixups=fixups,
        )

    def bind(self, iommufd: Iommufd) -> int:
        """VFIO_DEVICE_BIND_IOMMUFD: the device's id in the iommufd. CallError if refused."""
        call = checked(self.try_bind(iommufd))
        return int(call.unpack(abi.vfio_device_bind_iommufd).out_devid)

    def try_attach(
        self, page_table: int, flags: int = 0, *, argsz: int = abi.ATTACH_MIN, pasid: int = 0
    ) -> Call:
        """VFIO_DEVICE_ATTACH_IOMMUFD_PT to an IOAS or a page table, by its id."""
        request = abi.vfio_device_attach_iommufd_pt(argsz, flags, page_table, pasid)
        return self.try_ioctl(
            abi.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
            request.pack(),
            what=f"argsz={argsz}, flags={flags:#x}, pt_id={page_table}",
            argsz=argsz,
        )

    def try_detach(self, flags: int = 0, *, argsz: int = abi.DETACH_MIN, pasid: int = 0) -> Call:
        """VFIO_DEVICE_DETACH_IOMMUFD_PT."""
        request = abi.vfio_device_detach_iommufd_pt(argsz, flags, pasid)
        return self.try_ioctl(
            abi.VFIO_DEVICE_DETACH_IOMMUFD_PT,
            request.pack(),
            what=f"argsz={argsz}, flags={flags:#x}",
            argsz=argsz,
        )

    def attach(self, page_table: int) -> int:
        """VFIO_DEVICE_ATTACH_IOMMUFD_PT: the id of the page table. CallError if refused."""
        call = checked(self.try_attach(page_table))
        return int(call.unpack(abi.vfio_device_attach_iommufd_pt).pt_id)

    def detach(self) -> None:
        """VFIO_DEVICE_DETACH_IOMMUFD_PT. CallError if refused."""
        checked(self.try_detach())


class OwnCdev(ClosedOnce, Cdev):
    """A device's own file that a test may close before its end."""


@dataclass(frozen=True)
class Bound:
    """A device bound to an iommufd, with its id there, and an address space without mappings."""

    cdev: Cdev
    iommufd: Iommufd
    devid: int
    ioas: int
