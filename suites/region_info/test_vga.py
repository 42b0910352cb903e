# SPDX-License-Identifier: MIT
"""The legacy ranges of VGA as a region."""

from collections.abc import Callable

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.rules import region_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

VGA = vfio.VFIO_PCI_VGA_REGION_INDEX


@checks(rules.VGA)
@devices("vga")
def test_a_vga_device_has_it(device: Device, promised: Callable[[Rule], int]) -> None:
    """It ends where VGA memory ends, since ranges lie at their own addresses in it."""
    info = expect.accepted(device.try_get_region_info(VGA)).unpack(vfio.vfio_region_info)
    expect.equal("size of the VGA region", info.size, promised(rules.VGA))
    expect.equal("index", info.index, VGA)


@checks(rules.VGA_FLAGS)
@devices("vga")
def test_it_can_be_read_and_written(device: Device, promised: Callable[[Rule], int]) -> None:
    """Not mapped, and without capabilities."""
    info = expect.accepted(device.try_get_region_info(VGA)).unpack(vfio.vfio_region_info)
    expect.equal("flags of the VGA region", info.flags, promised(rules.VGA_FLAGS))


@checks(rules.UNIMPLEMENTED)
@devices(without=("vga",))
def test_another_device_has_an_empty_one(device: Device, promised: Callable[[Rule], int]) -> None:
    """The index is below num_regions, so it is answered: size 0, no flags."""
    call = device.try_get_region_info(VGA)
    if not call.ok:
        expect.untouched(call, 0)
    info = expect.accepted(call).unpack(vfio.vfio_region_info)
    expect.equal("size of the VGA region", info.size, promised(rules.UNIMPLEMENTED))
    expect.equal("flags of the VGA region", info.flags, promised(rules.UNIMPLEMENTED))
