# SPDX-License-Identifier: MIT
"""The ways to one device, and what a kernel needs for each."""

from enum import StrEnum
from typing import Final

from vfiospec.abi import vfio
from vfiospec.device.access import Access
from vfiospec.device.apart import Apart
from vfiospec.device.container import Container
from vfiospec.device.group import Assigned
from vfiospec.device.iommufd import Iommufd
from vfiospec.device.port import Port


class Way(StrEnum):
    """How a device is reached."""

    TYPE1 = "type1"  # a group in a container with type1 v1
    TYPE1V2 = "type1v2"  # the same with v2
    COMPAT_TYPE1 = "compat-type1"  # an iommufd in place of the container, with type1 v1
    COMPAT_TYPE1V2 = "compat-type1v2"  # the same with v2
    IOMMUFD = "iommufd"  # the device's own file, bound to an iommufd


USUAL: Final = Way.TYPE1V2
REAL_CONTAINER: Final = (Way.TYPE1V2, Way.TYPE1)
STANDS_IN: Final = (Way.COMPAT_TYPE1V2, Way.COMPAT_TYPE1)  # an iommufd, for a container
IN_GROUP: Final = (*REAL_CONTAINER, *STANDS_IN)
ALL: Final = (*IN_GROUP, Way.IOMMUFD)

_MODELS: Final = {
    Way.TYPE1: vfio.VFIO_TYPE1_IOMMU,
    Way.TYPE1V2: vfio.VFIO_TYPE1v2_IOMMU,
    Way.COMPAT_TYPE1: vfio.VFIO_TYPE1_IOMMU,
    Way.COMPAT_TYPE1V2: vfio.VFIO_TYPE1v2_IOMMU,
}


def uses_iommufd(way: Way) -> bool:
    """Whether it goes through /dev/iommu."""
    return way not in REAL_CONTAINER


def attach(way: Way, port: Port, group: int) -> Access:
    """Open it for the devices of a group of which nothing is open."""
    if way is Way.IOMMUFD:
        return Apart(port)
    container = Iommufd if uses_iommufd(way) else Container
    return Assigned(port, group, _MODELS[way], container)
