# SPDX-License-Identifier: MIT
"""The reset of a whole bus at the close of the last of its devices."""

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.group import Assigned
from vfiospec.device.scratch import Scratch, decode_memory
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import hot_reset as rules
from vfiospec.session.marks import checks, devices


def only_with_its_bus(device: Device) -> None:
    """Skip for a device that its own close resets."""
    if device.get_info().struct.flags & vfio.VFIO_DEVICE_FLAGS_RESET:
        pytest.skip("the device is reset alone, so its bus need not be")


@checks(rules.CLOSE_RESETS)
@devices("grouped")
def test_the_last_close_resets(
    group: Assigned, spec: BenchDevice, sibling: BenchDevice, scratch: Scratch
) -> None:
    """The device closed first has forgotten too, once the other is closed."""
    other = group.open(sibling.bdf)
    with group.open(spec.bdf) as device:
        only_with_its_bus(device)
        decode_memory(device)
        scratch.write(device, scratch.value)
    other.close()
    with group.open(spec.bdf) as device:
        decode_memory(device)
        expect.equal("register after the last close", scratch.read(device), 0)


@checks(rules.CLOSE_SPARES)
@devices("grouped")
def test_an_open_sibling_is_spared(
    group: Assigned, spec: BenchDevice, sibling: BenchDevice, scratch: Scratch
) -> None:
    """While it is open, nothing on the bus is reset: the other's register shows it."""
    device = group.open(spec.bdf)
    only_with_its_bus(device)
    decode_memory(device)
    scratch.write(device, scratch.value)
    group.open(sibling.bdf).close()
    expect.equal("register after the sibling's close", scratch.read(device), scratch.value)
    with group.open(sibling.bdf):
        device.close()
        with group.open(spec.bdf) as again:
            decode_memory(again)
            expect.equal("register after its own close", scratch.read(again), scratch.value)
            scratch.write(again, 0)
