# SPDX-License-Identifier: MIT
"""What /proc and sysfs tell that VFIO itself does not: page faults, and the power of a device."""

import time

from vfiospec.device import ops as o
from vfiospec.device.files import Mapping
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import Port

_MINFLT = 7  # of /proc/PID/stat, counted from the field behind the command's name
_STAT = o.ReadFile("/proc/self/stat")


def faults_of_load(mapping: Mapping, offset: int, width: int = 4) -> int:
    """Page faults that one load takes: 0 once the page is mapped, else at least 1."""
    before, _, after = mapping.port.run([_STAT, o.Load(mapping.at(offset), width), _STAT])
    return _faults(after) - _faults(before)


def _faults(stat: o.Reply) -> int:
    return int(stat.bytes.rpartition(b")")[2].split()[_MINFLT])


def runtime_status(port: Port, bdf: str) -> str:
    """`active`, `suspending`, `suspended` or `resuming`: the kernel's runtime power management."""
    path = f"{SYSFS}/{bdf}/power/runtime_status"
    return port.do(o.ReadFile(path)).bytes.decode().strip()


def suspends(port: Port, bdf: str, seconds: float = 5.0) -> bool:
    """Wait until a device is suspended; False if the time ran out."""
    end = time.monotonic() + seconds
    while runtime_status(port, bdf) != "suspended":
        if time.monotonic() > end:
            return False
    return True


def told_to_udev(port: Port, folder: str) -> dict[str, str]:
    """What udev is told of a device by its folder in sysfs, by name: DEVNAME, DEVMODE."""
    text = port.do(o.ReadFile(f"{folder}/uevent")).bytes.decode()
    return dict(line.split("=", 1) for line in text.splitlines())
