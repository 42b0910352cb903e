# SPDX-License-Identifier: MIT
"""A group that goes from an iommufd to a container while a device of it is open."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.container import Container
from vfiospec.device.group import Group
from vfiospec.device.iommufd import IOMMUFD_PATH, Iommufd
from vfiospec.device.mdev import Mdev
from vfiospec.device.port import Port
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import iommufd_compat as rules
from vfiospec.session.marks import checks, dangerous


@dangerous
@checks(rules.AS_OPENED)
def test_a_container_for_an_iommufd(
    port: Port, sysfs: PortSysfs, make: Callable[[str], Mdev], quiet: Callable[[], None]
) -> None:
    """Dangerous: the group's file may be free afterwards, with its number in use.

    A kernel may refuse any of the steps. Nothing holds a mediated device's DMA, for which a group
    behind an IOMMU is refused.
    """
    mdev = make("mtty-1")
    if not sysfs.exists(IOMMUFD_PATH):
        pytest.skip("needs a kernel with CONFIG_IOMMUFD")
    with Iommufd.create(port) as iommufd, Container.create(port) as container:
        group = Group.of(port, mdev.group)
        expect.accepted(group.try_set_container(iommufd))
        first = group.get_device_fd(mdev.name)
        group.try_unset_container()
        group.try_set_container(container)
        container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU)
        _call, second = group.try_get_device_fd(mdev.name)
        first.close()
        if second is not None:
            second.close()
        quiet()
        expect.accepted(group.try_get_status())
        group.close()
