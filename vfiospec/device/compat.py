# SPDX-License-Identifier: MIT
"""A group whose container is an iommufd."""

from dataclasses import dataclass

from vfiospec.abi import iommufd as abi
from vfiospec.device.call import checked
from vfiospec.device.device import Device
from vfiospec.device.group import Group
from vfiospec.device.iommufd import Iommufd


@dataclass(frozen=True)
class InGroup:
    """A group, an iommufd as its container, and the address of a device in it."""

    group: Group
    iommufd: Iommufd
    bdf: str

    def open(self) -> Device:
        """An fd of the device. CallError if there is none."""
        return self.group.get_device_fd(self.bdf)

    def ioas(self) -> int:
        """The address space that stands for the container's. CallError if there is none."""
        call = checked(self.iommufd.try_vfio_ioas(abi.IOMMU_VFIO_IOAS_GET))
        return int(call.unpack(abi.iommu_vfio_ioas).ioas_id)
