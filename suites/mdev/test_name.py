# SPDX-License-Identifier: MIT
"""The name by which a mediated device is had from its group: its UUID, and nothing else."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.device.group import Assigned
from vfiospec.device.mdev import instances
from vfiospec.device.port import Port
from vfiospec.rules import group as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

OTHERS: dict[str, Callable[[str], str]] = {
    "nothing": lambda _name: "",
    "shorter": lambda name: name[:-1],
    "longer": lambda name: name + "0",
    "twice": lambda name: name + name,
    "space-before": lambda name: " " + name,
    "space-behind": lambda name: name + " ",
    "line-end": lambda name: name + "\n",
    "upper-case": str.upper,
    "without-hyphens": lambda name: name.replace("-", ""),
    "token": lambda name: f"{name} vf_token={name}",
    "folder": lambda name: f"/sys/bus/mdev/devices/{name}",
}


@checks(rules.FD_UNKNOWN_NAME, rules.FD)
@pytest.mark.parametrize("other", OTHERS)
def test_another_name(
    port: Port, alone: Assigned, other: str, promised: Callable[[Rule], int]
) -> None:
    """No device, and no option: those are vfio-pci's. The device itself can be had."""
    (name,) = instances(port)
    call, device = alone.group.try_get_device_fd(OTHERS[other](name))
    if device is not None:
        device.close()
    expect.refused(call, promised(rules.FD_UNKNOWN_NAME))
    with alone.open(name) as right:
        expect.accepted(right.try_get_info())
