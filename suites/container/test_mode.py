# SPDX-License-Identifier: MIT
"""Who may open VFIO's files: what udev is told, which devtmpfs follows too."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.device.cdev import cdev_path
from vfiospec.device.container import CONTAINER_PATH
from vfiospec.device.iommufd import IOMMUFD_PATH
from vfiospec.device.observe import told_to_udev
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import cdev, iommufd
from vfiospec.rules import container as rules
from vfiospec.rules import group as group_rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Promised = Callable[[Rule], int]


def judge(port: Port, folder: str, path: str, mode: int) -> None:
    """The file is the one that is told of, with this mode; 0 if with none."""
    told = told_to_udev(port, folder)
    expect.equal("file", f"/dev/{told.get('DEVNAME')}", path)
    expect.equal(f"mode of {path}", f"{int(told.get('DEVMODE', '0'), 8):#o}", f"{mode:#o}")


@checks(rules.FILE_MODE)
def test_a_container(port: Port, promised: Promised) -> None:
    """Everybody."""
    judge(port, "/sys/class/misc/vfio", CONTAINER_PATH, promised(rules.FILE_MODE))


@checks(group_rules.FILE_MODE)
@devices()
def test_a_group(closed: int, port: Port, promised: Promised) -> None:
    """Whoever root gives it to."""
    path = f"/dev/vfio/{closed}"
    judge(port, f"/sys/class/vfio/{closed}", path, promised(group_rules.FILE_MODE))


@checks(cdev.FILE_MODE)
@devices()
def test_a_devices_own_file(
    port: Port, spec: BenchDevice, sysfs: PortSysfs, promised: Promised
) -> None:
    """Whoever root gives it to."""
    path = cdev_path(port, f"{SYSFS}/{spec.bdf}")
    if path is None or not sysfs.exists(path):
        pytest.skip("needs a kernel with CONFIG_VFIO_DEVICE_CDEV")
    name = path.rpartition("/")[2]
    judge(port, f"/sys/class/vfio-dev/{name}", path, promised(cdev.FILE_MODE))


@checks(iommufd.FILE_MODE)
def test_an_iommufd(port: Port, sysfs: PortSysfs, promised: Promised) -> None:
    """Root, and a group that root can give it to."""
    if not sysfs.exists(IOMMUFD_PATH):
        pytest.skip("needs a kernel with CONFIG_IOMMUFD")
    judge(port, "/sys/class/misc/iommu", IOMMUFD_PATH, promised(iommufd.FILE_MODE))
