# SPDX-License-Identifier: MIT
"""VFIO_DEVICE_RESET: who can be reset, and that the reset reaches the device."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.pci import SYSFS
from vfiospec.device.scratch import Scratch
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import reset as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

RESET = vfio.VFIO_DEVICE_FLAGS_RESET


@checks(rules.FLAG, rules.UNSUPPORTED)
def test_the_flag_tells(device: Device, promised: Callable[[Rule], int]) -> None:
    """With the flag the reset succeeds, three times in a row; without it, it is refused."""
    can = device.get_info().struct.flags & RESET
    for _ in range(3):
        if can:
            expect.accepted(device.try_reset())
        else:
            expect.refused(device.try_reset(), promised(rules.UNSUPPORTED))


@checks(rules.FLR)
@devices("flr")
def test_a_function_level_reset_sets_the_flag(device: Device) -> None:
    """What the capability offers, VFIO offers."""
    expect.flags("flags of the device", device.get_info().struct.flags, needed=RESET)


@checks(rules.NO_METHOD)
def test_without_a_method_there_is_no_flag(
    device: Device, spec: BenchDevice, sysfs: PortSysfs
) -> None:
    """No file `reset` in sysfs: nobody could reset it; with the flag there is one."""
    flags = device.get_info().struct.flags
    if sysfs.exists(f"{SYSFS}/{spec.bdf}/reset"):
        expect.accepted(device.try_reset()) if flags & RESET else expect.flags(
            "flags of the device", flags, needed=vfio.VFIO_DEVICE_FLAGS_PCI
        )
    else:
        expect.flags("flags of the device", flags, forbidden=RESET)


@checks(rules.ARGUMENT)
@devices("pcie", "pm")
@pytest.mark.parametrize("value", [0, 1, 0xFFFFFFFF, (1 << 64) - 1], ids="argument-{:x}".format)
def test_the_argument_is_not_used(resettable: Device, value: int) -> None:
    """Neither taken for a pointer nor for flags."""
    expect.accepted(resettable.try_ioctl(vfio.VFIO_DEVICE_RESET, value))


@checks(rules.DEVICE)
@devices("flr")
def test_the_device_forgets(resettable: Device, scratch: Scratch) -> None:
    """A register that kept a value is back to zero."""
    scratch.write(resettable, scratch.value)
    expect.equal("register before the reset", scratch.read(resettable), scratch.value)
    expect.accepted(resettable.try_reset())
    expect.equal("register after the reset", scratch.read(resettable), 0)
