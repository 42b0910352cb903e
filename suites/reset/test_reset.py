# SPDX-License-Identifier: MIT
"""VFIO_DEVICE_RESET: who can be reset, and that the reset reaches the device."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.access import Attach
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
    """No file `reset` in sysfs: nobody could reset it."""
    if sysfs.exists(f"{SYSFS}/{spec.bdf}/reset"):
        pytest.skip("the PCI core knows a way to reset it: judge a device without one")
    flags = device.get_info().struct.flags
    expect.flags("flags of the device", flags, forbidden=RESET, needed=vfio.VFIO_DEVICE_FLAGS_PCI)


@pytest.fixture
def no_method(spec: BenchDevice, sysfs: PortSysfs, closed: int) -> Iterator[None]:
    """Every way to reset the device, which nobody has open, is switched off."""
    del closed
    methods = f"{SYSFS}/{spec.bdf}/reset_method"
    if not sysfs.exists(methods):
        pytest.skip("no reset_method in sysfs: judge a kernel from 5.15 on")
    sysfs.write(methods, "\n")
    yield
    sysfs.write(methods, "default")


@checks(rules.NO_METHOD, rules.UNSUPPORTED)
@devices("flr")
def test_with_its_methods_switched_off_there_is_no_flag(
    no_method: None, attach: Attach, spec: BenchDevice, promised: Callable[[Rule], int]
) -> None:
    """The administrator took them away before the device was opened."""
    del no_method
    access = attach()
    try:
        with access.open(spec.bdf) as device:
            flags = device.get_info().struct.flags
            expect.flags("flags of the device", flags, forbidden=RESET)
            expect.refused(device.try_reset(), promised(rules.UNSUPPORTED))
    finally:
        access.close()


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
