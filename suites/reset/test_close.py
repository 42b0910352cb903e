# SPDX-License-Identifier: MIT
"""The reset at the last close, and what the next user finds."""

from collections.abc import Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.access import Access, Attach
from vfiospec.device.pci import PciDevice
from vfiospec.device.scratch import Scratch, decode_memory
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import reset as rules
from vfiospec.session.marks import checks, devices


@pytest.fixture
def group(attach: Attach) -> Iterator[Access]:
    """The group in a container, none of its devices open."""
    made = attach()
    yield made
    made.close()


@checks(rules.CLOSE_MASTER)
def test_bus_mastering_is_off_at_first(group: Access, spec: BenchDevice) -> None:
    """Turned on by one user, it is off for the next."""
    with group.open(spec.bdf) as device:
        command = device.read_config(regs.PCI_COMMAND, 2)
        expect.flags("command", command, forbidden=regs.PCI_COMMAND_MASTER)
        device.write_config(regs.PCI_COMMAND, 2, command | regs.PCI_COMMAND_MASTER)
        expect.flags(
            "command", device.read_config(regs.PCI_COMMAND, 2), needed=regs.PCI_COMMAND_MASTER
        )
    with group.open(spec.bdf) as device:
        expect.equal("command", device.read_config(regs.PCI_COMMAND, 2), command)


@checks(rules.CLOSE_CONFIG)
@devices(without=("grouped",))
def test_configuration_is_put_back(group: Access, spec: BenchDevice) -> None:
    """Header fields that one user wrote are not there for the next."""
    fields = ((regs.PCI_CACHE_LINE_SIZE, 1, 0x20), (regs.PCI_INTERRUPT_LINE, 1, 0x77))
    with group.open(spec.bdf) as device:
        before = [device.read_config(at, size) for at, size, _ in fields]
        for at, size, value in fields:
            device.write_config(at, size, value)
        decode_memory(device, on=False)
    with group.open(spec.bdf) as device:
        after = [device.read_config(at, size) for at, size, _ in fields]
        expect.equal("cache line size and interrupt line", after, before)


@checks(rules.CLOSE_CONFIG, rules.CLOSE_MASTER)
@devices("pm")
def test_configuration_of_one_that_sleeps_is_put_back(
    group: Access, spec: BenchDevice, pci: PciDevice
) -> None:
    """Left in D3hot, it is in D0 for the next user, who finds nothing of the last one."""
    control = pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL
    fields = ((regs.PCI_CACHE_LINE_SIZE, 1), (regs.PCI_COMMAND, 2), (control, 2))
    with group.open(spec.bdf) as device:
        before = [device.read_config(at, size) for at, size in fields]
        line, command, _ = before
        device.write_config(regs.PCI_CACHE_LINE_SIZE, 1, line ^ 0x30)
        device.write_config(regs.PCI_COMMAND, 2, command | regs.PCI_COMMAND_MASTER)
        device.write_config(control, 2, regs.PCI_PM_CTRL_STATE_MASK)
    with group.open(spec.bdf) as device:
        after = [device.read_config(at, size) for at, size in fields]
        expect.equal("cache line size, command and power control", after, before)


@checks(rules.CLOSE_DEVICE)
@devices("flr")
def test_the_device_is_reset(group: Access, spec: BenchDevice, scratch: Scratch) -> None:
    """A second fd's close does nothing; the last one's clears the device."""
    with group.open(spec.bdf) as device:
        flags = device.get_info().struct.flags
        expect.flags("flags", flags, needed=vfio.VFIO_DEVICE_FLAGS_RESET)
        decode_memory(device)
        scratch.write(device, scratch.value)
        group.open(spec.bdf).close()
        expect.equal("register, another fd closed", scratch.read(device), scratch.value)
    with group.open(spec.bdf) as device:
        decode_memory(device)
        expect.equal("register after the last close", scratch.read(device), 0)
