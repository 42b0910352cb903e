# SPDX-License-Identifier: MIT
"""A physical function and one of its virtual functions, opened with or without a token."""

from dataclasses import dataclass

from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.device import Device
from vfiospec.device.group import Assigned
from vfiospec.device.ops import Reply
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import Port


def set_numvfs(port: Port, bdf: str, number: int) -> Reply:
    """Have a physical function make so many virtual ones, or with 0 take them away."""
    return port.do(o.WriteFile(f"{SYSFS}/{bdf}/sriov_numvfs", str(number).encode()))


def first_vf(port: Port, bdf: str) -> str:
    """The address of a physical function's first virtual one; empty if it has none."""
    return nth_vf(port, bdf, 0)


def nth_vf(port: Port, bdf: str, n: int) -> str:
    """The address of another of them, counted from 0; empty if it has none."""
    return port.do(o.ReadLink(f"{SYSFS}/{bdf}/virtfn{n}")).bytes.decode().rpartition("/")[2]


@dataclass(frozen=True)
class Pair:
    """Both functions in groups of their own; the physical one is open, the virtual one is not."""

    pf: Device
    pf_bdf: str
    pf_group: Assigned
    vf_bdf: str
    vf_group: Assigned

    def open_vf(self, options: str = "") -> tuple[Call, Device | None]:
        """VFIO_GROUP_GET_DEVICE_FD with what follows the name."""
        return self.vf_group.group.try_get_device_fd(self.vf_bdf + options)

    def open_pf(self, options: str = "") -> tuple[Call, Device | None]:
        """VFIO_GROUP_GET_DEVICE_FD with what follows the name."""
        return self.pf_group.group.try_get_device_fd(self.pf_bdf + options)
