# SPDX-License-Identifier: MIT
"""What debugfs tells of a device that migrates, and of one that does not."""

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_feature as feature
from vfiospec.device import mig_oracle as oracle
from vfiospec.device.device import Device
from vfiospec.device.mtty import Serial
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import migration as rules
from vfiospec.session.marks import checks, devices

FOLDER = "/sys/kernel/debug/vfio"
MIGRATION = feature.VFIO_DEVICE_FEATURE_MIGRATION | feature.VFIO_DEVICE_FEATURE_PROBE
LOGS = feature.VFIO_DEVICE_FEATURE_DMA_LOGGING_START | feature.VFIO_DEVICE_FEATURE_PROBE
LINES = {
    feature.VFIO_MIGRATION_STOP_COPY: "stop-copy",
    feature.VFIO_MIGRATION_P2P: "p2p",
    feature.VFIO_MIGRATION_PRE_COPY: "pre-copy",
}


def told(sysfs: PortSysfs, serial: Serial, name: str) -> str:
    """The text of a file; skips where there is none."""
    path = f"{FOLDER}/{serial.mdev.name}/migration/{name}"
    if not sysfs.exists(path):
        pytest.skip(f"debugfs has no {name}: needs CONFIG_VFIO_DEBUGFS, features since 6.18")
    return sysfs.read(path)


@checks(rules.STATE_SHOWN)
@pytest.mark.parametrize(
    "state", [s for s in oracle.STATES if s != oracle.ERROR], ids=lambda s: oracle.STATES[s]
)
def test_the_state(serial: Serial, sysfs: PortSysfs, state: int) -> None:
    """Each that can be reached, and RUNNING before and after it."""
    expect.equal("state at first", told(sysfs, serial, "state"), "RUNNING")
    serial.migration.set(state)
    name = oracle.STATES[state].upper().replace("-", "_")
    expect.equal("state", told(sysfs, serial, "state"), name)
    serial.device.try_reset()
    expect.equal("state after a reset", told(sysfs, serial, "state"), "RUNNING")


@checks(rules.FEATURES_SHOWN)
def test_the_features(serial: Serial, sysfs: PortSysfs) -> None:
    """Those of its flags, and whether it logs DMA, as the features say themselves."""
    flags = serial.migration.flags()
    wanted = [line for flag, line in LINES.items() if flags & flag]
    if serial.device.try_feature(LOGS).ok:
        wanted.append("dirty-tracking")
    expect.equal("features", told(sysfs, serial, "features").split("\n"), wanted)


def judge_folder(sysfs: PortSysfs, device: Device, name: str) -> None:
    """Whether there is one for migration, as the device's features say; skips without debugfs."""
    own = f"{FOLDER}/{name}"
    if not sysfs.exists(own):
        pytest.skip("debugfs has no folder of the device: needs 6.8 and CONFIG_VFIO_DEBUGFS")
    there = "migration" in sysfs.listdir(own)
    expect.equal("a folder for migration", there, device.try_feature(MIGRATION).ok)


@checks(rules.SHOWN)
@devices()
def test_the_folder_of_a_device(device: Device, spec: BenchDevice, sysfs: PortSysfs) -> None:
    """Vfio-pci itself migrates nothing."""
    judge_folder(sysfs, device, spec.bdf)


@checks(rules.SHOWN)
def test_the_folder_of_mtty(serial: Serial, sysfs: PortSysfs) -> None:
    """It does migrate."""
    judge_folder(sysfs, serial.device, serial.mdev.name)
