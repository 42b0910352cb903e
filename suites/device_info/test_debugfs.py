# SPDX-License-Identifier: MIT
"""What debugfs tells of how vfio-pci treats a device."""

import pytest

from vfiospec import expect
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import device_info as rules
from vfiospec.session.marks import checks, devices

FOLDER = "/sys/kernel/debug/vfio"
DRIVER = "/sys/bus/pci/drivers/vfio-pci"
PARAMETERS = "/sys/module/vfio_pci/parameters"


@checks(rules.POLICY_SHOWN)
@devices("io-bar", without=("grouped", "below-bridge"))
@pytest.mark.parametrize("policy", ["nointxmask", "disable_idle_d3"])
def test_the_policy_of_a_device(
    closed: int, machine: object, spec: BenchDevice, sysfs: PortSysfs, policy: str
) -> None:
    """As the parameter was when the driver took the device, and not as it is now."""
    del closed, machine
    path = f"{FOLDER}/{spec.bdf}/pci/{policy}"
    parameter = f"{PARAMETERS}/{policy}"
    if not sysfs.exists(path):
        pytest.skip("debugfs has no such file: needs 7.2 and CONFIG_VFIO_DEBUGFS")
    before = sysfs.read(parameter)
    other = "N" if before == "Y" else "Y"
    seen = [sysfs.read(path)]
    sysfs.write(parameter, other)
    try:
        for now in (other, before):
            seen.append(sysfs.read(path))
            sysfs.write(f"{DRIVER}/unbind", spec.bdf)
            sysfs.write(f"{DRIVER}/bind", spec.bdf)
            seen.append(sysfs.read(path))
            sysfs.write(parameter, before if now == other else other)
    finally:
        sysfs.write(parameter, before)
    expect.equal("policy", seen, [before, before, other, other, before])


@checks(rules.SHOWN_WHILE_BOUND)
@devices("io-bar", without=("grouped", "below-bridge"))
def test_its_folder_goes(closed: int, machine: object, spec: BenchDevice, sysfs: PortSysfs) -> None:
    """With the driver, and comes again with it."""
    del closed, machine
    own = f"{FOLDER}/{spec.bdf}"
    if not sysfs.exists(own):
        pytest.skip("debugfs has no folder of the device: needs 6.8 and CONFIG_VFIO_DEBUGFS")
    sysfs.write(f"{DRIVER}/unbind", spec.bdf)
    there = [sysfs.exists(own)]
    sysfs.write(f"{DRIVER}/bind", spec.bdf)
    there.append(sysfs.exists(own))
    expect.equal("there without the driver, and with it", there, [False, True])
