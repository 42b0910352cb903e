# SPDX-License-Identifier: MIT
"""Mediated devices whose making fails: neither they nor their groups are there."""

import os

import pytest

from vfiospec.device.call import Call, checked
from vfiospec.device.files import File
from vfiospec.device.mdev import Mdev, MdevType, instances
from vfiospec.device.ops import Pwrite
from vfiospec.device.port import Port
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import faults as rules
from vfiospec.session.marks import checks
from vfiospec.session.sweep import Sweep

SERIAL = "6d746d74-0000-4000-8000-00000000000f"
FOLDERS = ("/sys/class/vfio", "/sys/class/vfio-dev", "/dev/vfio")
GROUPS, WARNED = "/sys/kernel/iommu_groups", "/sys/kernel/warn_count"
USERS = "/sys/module/mtty/refcnt"


@checks(rules.CREATE_MDEV, rules.COPY)
def test_create(sweep: Sweep, sysfs: PortSysfs) -> None:
    """Of mtty, which has as many to give as before."""
    kind = MdevType(sweep.port, "mtty", "mtty-1")
    if not kind.exists:
        pytest.skip("needs a kernel with CONFIG_SAMPLE_VFIO_MDEV_MTTY, its module loaded")
    mdev, counted = Mdev(sweep.port, SERIAL), sysfs.exists(WARNED)

    def groups() -> int:
        # One stays for each that is warned of: finding vfio-group-out-of-memory.
        return len(sysfs.listdir(GROUPS)) - int(sysfs.read(WARNED), 0) if counted else 0

    def state() -> object:
        folders = [set(sysfs.listdir(f)) if sysfs.exists(f) else set() for f in FOLDERS]
        users = sysfs.read(USERS) if sysfs.exists(USERS) else ""
        return folders, users, groups(), instances(sweep.port), kind.available()

    def undo() -> None:
        checked(mdev.try_remove())

    with File.open(sweep.port, f"{kind.folder}/create", os.O_WRONLY) as create:

        def attempt(port: Port) -> Call:
            reply = port.do(Pwrite(create.handle, SERIAL.encode()))
            return Call("write to create", SERIAL, 0, reply)

        sweep(rules.CREATE_MDEV, attempt, undo, state=state)
