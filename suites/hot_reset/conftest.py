# SPDX-License-Identifier: MIT
"""Devices that share a bus, found in sysfs; the group of one of them, and their registers."""

import re
from collections.abc import Iterator

import pytest

from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.group import Assigned
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.device.scratch import Scratch, decode_memory, scratch_of
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.bus import devices_of_bus
from vfiospec.session.run import Run

BDF = re.compile(r"([0-9a-f]{4,}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")


@pytest.fixture
def bus(sysfs: PortSysfs, spec: BenchDevice) -> tuple[str, ...]:
    """The devices of the device's bus and below; empty if it is on a root bus."""
    return devices_of_bus(sysfs, spec.bdf)


@pytest.fixture
def on_a_bus(bus: tuple[str, ...]) -> tuple[str, ...]:
    """The devices that are reset with it."""
    if not bus:
        pytest.skip("the device is on a root bus, which cannot be reset: needs one behind a bridge")
    return bus


@pytest.fixture
def dependents(port: Port, on_a_bus: tuple[str, ...]) -> set[bytes]:
    """What the kernel is to tell of each of them, packed."""
    out = set()
    for bdf in on_a_bus:
        match = BDF.fullmatch(bdf)
        assert match
        segment, bus, slot, function = (int(word, 16) for word in match.groups())
        entry = vfio.vfio_pci_dependent_device(segment=segment, bus=bus, devfn=slot << 3 | function)
        entry.group_id = PciDevice(port, bdf).group
        out.add(entry.pack())
    return out


@pytest.fixture
def group(port: Port, closed: int) -> Iterator[Assigned]:
    """The group in a container, none of its devices open."""
    made = Assigned(port, closed)
    yield made
    made.close()


@pytest.fixture
def sibling(run: Run, spec: BenchDevice, on_a_bus: tuple[str, ...]) -> BenchDevice:
    """Another device of the bus and the group."""
    for other in run.devices:
        if other.bdf in on_a_bus and other.bdf != spec.bdf and other.group == spec.group:
            return other
    pytest.skip("no other device on its bus that is judged")


@pytest.fixture
def scratch(pci: PciDevice) -> Scratch:
    """A register that a reset clears."""
    found = scratch_of(pci.ids)
    if found is None:
        pytest.skip("no register of this device is known that a reset clears")
    return found


@pytest.fixture
def alive(device: Device) -> Iterator[Device]:
    """A device that decodes memory, its command put back afterwards."""
    before = decode_memory(device)
    yield device
    device.write_config(4, 2, before)
