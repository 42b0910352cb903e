# SPDX-License-Identifier: MIT
"""A mediated device on a machine without an IOMMU: it never wanted one."""

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.container import Container
from vfiospec.device.group import Group
from vfiospec.device.mdev import Mdev
from vfiospec.device.port import Port
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import noiommu as rules
from vfiospec.session.marks import checks


@checks(rules.MEDIATED)
def test_its_names_are_those_of_any(mdev: Mdev, sysfs: PortSysfs) -> None:
    """That of its group's file, and of its own in sysfs."""
    expect.equal("group's file", sysfs.exists(f"/dev/vfio/{mdev.group}"), True)
    folder = f"{mdev.folder}/vfio-dev"
    for name in sysfs.listdir(folder) if sysfs.exists(folder) else []:
        expect.equal(f"{name} begins with", name.rstrip("0123456789"), "vfio")


@checks(rules.MEDIATED)
def test_it_is_mapped_for_as_anywhere(mdev: Mdev, port: Port) -> None:
    """With type1, and not without translation."""
    with Container.create(port) as container, Group.of(port, mdev.group) as group:
        expect.accepted(group.try_set_container(container))
        expect.holds(
            not container.try_set_iommu(vfio.VFIO_NOIOMMU_IOMMU).ok, "refused", "NOIOMMU is had"
        )
        expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
        with group.get_device_fd(mdev.name) as device:
            expect.equal("regions", device.get_info().struct.num_regions > 0, True)
