# SPDX-License-Identifier: MIT
"""The flags of GET_INFO: the bus, and whether the device can be reset."""

from collections.abc import Callable
from errno import ENOENT

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.ops import ReadLink, WriteFile
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import device_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

RESET, CAPS = vfio.VFIO_DEVICE_FLAGS_RESET, vfio.VFIO_DEVICE_FLAGS_CAPS


@checks(rules.BUS_FLAG)
def test_the_bus_is_pci_and_nothing_else(device: Device) -> None:
    """Beside RESET and CAPS the flags are PCI, with no bit more."""
    flags = device.get_info().struct.flags
    expect.equal(
        "flags without RESET and CAPS", flags & ~(RESET | CAPS), vfio.VFIO_DEVICE_FLAGS_PCI
    )


@checks(rules.RESET_FLAG)
def test_the_reset_flag_says_whether_a_reset_works(
    device: Device, promised: Callable[[Rule], int]
) -> None:
    """With the flag DEVICE_RESET succeeds; without it the reset is refused."""
    flags = device.get_info().struct.flags
    call = device.try_reset()
    if flags & RESET:
        expect.accepted(call)
    else:
        expect.refused(call, promised(rules.RESET_FLAG))


@checks(rules.RESET_KNOWN_TO_PCI)
def test_the_reset_flag_agrees_with_the_pci_core(
    device: Device, spec: BenchDevice, port: Port
) -> None:
    """The flag needs a reset the PCI core has; a reset of the core's that works gives the flag."""
    flags = device.get_info().struct.flags
    path = f"{SYSFS}/{spec.bdf}/reset"
    there = port.do(ReadLink(path)).errno != ENOENT
    works = there and (bool(flags & RESET) or port.do(WriteFile(path, b"1")).ok)
    expect.equal("RESET among the flags", bool(flags & RESET), works)


@checks(rules.RESET_FLAG)
@devices("flr")
def test_a_function_level_reset_gives_the_flag(device: Device) -> None:
    """A device with a function level reset can be reset."""
    expect.flags("flags", device.get_info().struct.flags, needed=RESET)
