# SPDX-License-Identifier: MIT
"""Groups, and how they lead to a device fd through a container."""

from typing import Self

from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.access import Access
from vfiospec.device.call import UNTOUCHED, Call, CallError, checked
from vfiospec.device.container import Container
from vfiospec.device.device import Device
from vfiospec.device.files import File
from vfiospec.device.ops import Ref
from vfiospec.device.port import Port


class Group(File):
    """/dev/vfio/N: the devices that the IOMMU can only isolate together."""

    kind = "group"

    @classmethod
    def of(cls, port: Port, number: int) -> Self:
        """Open the group with this number."""
        return cls.open(port, f"/dev/vfio/{number}")

    def try_get_status(
        self, argsz: int = vfio.vfio_group_status.sizeof(), *, size: int = 64, at: Ref | None = None
    ) -> Call:
        """VFIO_GROUP_GET_STATUS with a buffer of `size` bytes."""
        data = argsz.to_bytes(4, "little") + bytes([UNTOUCHED]) * (size - 4)
        return self.try_ioctl(
            vfio.VFIO_GROUP_GET_STATUS, data, what=f"argsz={argsz}", argsz=argsz, at=at
        )

    def try_set_container(self, container: File | int) -> Call:
        """VFIO_GROUP_SET_CONTAINER with a file, or a number such as -1."""
        if isinstance(container, int):
            data = container.to_bytes(4, "little", signed=True)
            return self.try_ioctl(vfio.VFIO_GROUP_SET_CONTAINER, data, what=str(container))
        fixups = (container.fixup(),)
        return self.try_ioctl(vfio.VFIO_GROUP_SET_CONTAINER, bytes(4), fixups=fixups)

    def try_unset_container(self) -> Call:
        """VFIO_GROUP_UNSET_CONTAINER."""
        return self.try_ioctl(vfio.VFIO_GROUP_UNSET_CONTAINER)

    def get_status(self) -> int:
        """VFIO_GROUP_GET_STATUS: the flags; CallError if it is refused."""
        return int(checked(self.try_get_status()).unpack(vfio.vfio_group_status).flags)

    def try_get_device_fd(self, name: str | bytes) -> tuple[Call, Device | None]:
        """VFIO_GROUP_GET_DEVICE_FD; the device is None if there is no fd.

        `name` as bytes is handed over as it is, a NUL at its end included or not.
        """
        handle = self.port.handle()
        data = name if isinstance(name, bytes) else name.encode() + b"\0"
        call = self.try_ioctl(vfio.VFIO_GROUP_GET_DEVICE_FD, data, what=repr(name)[:80], out=handle)
        return call, Device(self.port, handle) if call.ok else None

    def get_device_fd(self, name: str) -> Device:
        """VFIO_GROUP_GET_DEVICE_FD; CallError if there is no fd."""
        call, device = self.try_get_device_fd(name)
        if device is None:
            raise CallError(call)
        return device


class Assigned(Access):
    """A group attached to a container of its own with an IOMMU model set: devices can be opened."""

    def __init__(
        self,
        port: Port,
        group: int,
        model: int = vfio.VFIO_TYPE1v2_IOMMU,
        kind: type[Container] = Container,
    ) -> None:
        """Open and attach; CallError or OSError says which step failed."""
        self.port = port
        self.container = kind.create(port)
        self.group = Group.of(port, group)
        checked(self.group.try_set_container(self.container))
        checked(self.container.try_set_iommu(model))
        self._keepers: dict[str, Device] = {}

    @property
    def mappings(self) -> Container:
        """The container's."""
        return self.container

    def keep(self, bdf: str) -> None:
        """Hold a device open, so that no fd a test closes is the last, which would reset it."""
        if bdf not in self._keepers:
            self._keepers[bdf] = self.group.get_device_fd(bdf)

    def open(self, bdf: str) -> Device:
        """A fresh fd of a device."""
        return self.group.get_device_fd(bdf)

    def release(self, bdf: str) -> None:
        """Close the kept fd of a device: the next open is a first one, which resets it."""
        keeper = self._keepers.pop(bdf, None)
        if keeper is not None:
            keeper.close()

    def close(self) -> None:
        """Close everything, devices first."""
        files = [*self._keepers.values(), self.group, self.container]
        self.port.run([o.Close(f.handle) for f in files])
        self._keepers.clear()
