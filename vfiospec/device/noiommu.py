# SPDX-License-Identifier: MIT
"""Devices without an IOMMU: their group, and where their memory really is."""

import os
from typing import Final

from vfiospec.abi import iommufd as abi
from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.call import Call, checked
from vfiospec.device.container import Container
from vfiospec.device.files import File, Memory
from vfiospec.device.group import Group
from vfiospec.device.iommufd import Iommufd
from vfiospec.device.port import Port

_ENTRY: Final = 8  # Documentation/admin-guide/mm/pagemap.rst
_PFN: Final = (1 << 55) - 1
_PRESENT: Final = 1 << 63


def group_path(number: int) -> str:
    """The file of a group without an IOMMU."""
    return f"/dev/vfio/noiommu-{number}"


class NoIommu:
    """A group without an IOMMU in a container that says so: devices can be opened."""

    def __init__(self, port: Port, number: int) -> None:
        """Open and attach; CallError or OSError says which step failed."""
        self.port = port
        self.container = Container.create(port)
        self.group = Group.open(port, group_path(number))
        checked(self.group.try_set_container(self.container))
        checked(self.container.try_set_iommu(vfio.VFIO_NOIOMMU_IOMMU))

    def close(self) -> None:
        """Close both."""
        self.group.close()
        self.container.close()


def physical(memory: Memory, offset: int = 0) -> int:
    """The physical address of a place in memory that is there; LookupError if it is not."""
    port, page = memory.port, memory.port.hello.page_size
    address = memory.address + offset
    with File.open(port, "/proc/self/pagemap", os.O_RDONLY) as pagemap:
        entry = port.do(o.Pread(pagemap.handle, _ENTRY, address // page * _ENTRY)).value
    if not entry & _PRESENT or not entry & _PFN:
        raise LookupError("the page is not in memory, or this process may not know where")
    return (entry & _PFN) * page + address % page


def try_get_pa(  # noqa: PLR0913, PLR0917 -- the fields of iommu_ioas_noiommu_get_pa
    iommufd: Iommufd, ioas: int, iova: int, length: int, flags: int = 0, reserved: int = 0
) -> Call:
    """IOMMU_IOAS_NOIOMMU_GET_PA: the physical address that an IOVA stands for."""
    argument = abi.iommu_ioas_noiommu_get_pa(
        flags=flags, ioas_id=ioas, __reserved=reserved, iova=iova, length=length
    )
    return iommufd.try_call(abi.IOMMU_IOAS_NOIOMMU_GET_PA, argument)
