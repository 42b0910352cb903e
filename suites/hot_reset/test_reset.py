# SPDX-License-Identifier: MIT
"""PCI_HOT_RESET that is allowed: it reaches each device, and what outlives it."""

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.asleep import lose_state
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd
from vfiospec.device.group import Assigned
from vfiospec.device.observe import faults_of_load, suspends
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.device.scratch import Scratch, decode_memory, scratch_of
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import hot_reset as rules
from vfiospec.session.marks import checks, devices
from vfiospec.session.run import Run

TRIGGER = vfio.VFIO_IRQ_SET_ACTION_TRIGGER
FIRE = vfio.VFIO_IRQ_SET_DATA_NONE | TRIGGER
ASSIGN = vfio.VFIO_IRQ_SET_DATA_EVENTFD | TRIGGER
LOW_POWER = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY
FULL_POWER = feature.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT
SET = feature.VFIO_DEVICE_FEATURE_SET

pytestmark = [pytest.mark.usefixtures("on_a_bus"), devices("below-bridge")]


@checks(rules.RESETS)
def test_the_device_forgets(alive: Device, assigned: Assigned, scratch: Scratch) -> None:
    """A register that kept a value is back to zero."""
    scratch.write(alive, scratch.value)
    expect.equal("register before", scratch.read(alive), scratch.value)
    expect.accepted(alive.try_hot_reset((assigned.group,)))
    expect.equal("register after", scratch.read(alive), 0)


@checks(rules.SAME_GROUP_TWICE)
def test_one_group_for_each_device(
    alive: Device, assigned: Assigned, on_a_bus: tuple[str, ...]
) -> None:
    """As many fds as devices, all of the one group; an argsz larger than needed."""
    groups = (assigned.group,) * len(on_a_bus)
    expect.accepted(alive.try_hot_reset(groups))
    expect.accepted(alive.try_hot_reset(groups, argsz=4096))


@checks(rules.ANY_GROUP)
@devices("grouped")
def test_the_order_of_groups_does_not_matter(
    alive: Device, assigned: Assigned, run: Run, spec: BenchDevice
) -> None:
    """The group that owns the devices comes last, then first."""
    others = [d for d in run.devices if d.group != spec.group]
    if not others:
        pytest.skip("no device in another group: judge two")
    other = run.grouped(others[0]).group
    expect.accepted(alive.try_hot_reset((other, assigned.group)))
    expect.accepted(alive.try_hot_reset((assigned.group, other)))


@checks(rules.RESETS)
@devices("grouped")
def test_a_sibling_is_reset_too(
    alive: Device, assigned: Assigned, sibling: BenchDevice, port: Port
) -> None:
    """Asked for on one device, it reaches the other, open or just closed."""
    scratch = scratch_of(PciDevice(port, sibling.bdf).ids)
    if scratch is None:
        pytest.skip("no register of the other device is known that a reset clears")
    with assigned.open(sibling.bdf) as other:
        decode_memory(other)
        scratch.write(other, scratch.value)
        expect.accepted(alive.try_hot_reset((assigned.group,)))
        expect.equal("register of the sibling", scratch.read(other), 0)


@checks(rules.CONFIG)
def test_configuration_stays(
    alive: Device, assigned: Assigned, port: Port, spec: BenchDevice
) -> None:
    """Command, cache line size and BARs: the user's and the device's own."""
    command = alive.read_config(regs.PCI_COMMAND, 2)
    alive.write_config(regs.PCI_COMMAND, 2, command | regs.PCI_COMMAND_MASTER)
    line = alive.read_config(regs.PCI_CACHE_LINE_SIZE, 1)
    alive.write_config(regs.PCI_CACHE_LINE_SIZE, 1, 0x10)
    fields = ((regs.PCI_COMMAND, 2), (regs.PCI_CACHE_LINE_SIZE, 1), (regs.PCI_BASE_ADDRESS_0, 24))
    try:
        before = [alive.read_config(at, size) for at, size in fields]
        own = PciDevice(port, spec.bdf).config
        expect.accepted(alive.try_hot_reset((assigned.group,)))
        after = [alive.read_config(at, size) for at, size in fields]
        expect.equal("command, cache line size, BARs", after, before)
        now = PciDevice(port, spec.bdf).config
        for at, size in fields:
            what = f"{size} bytes at {at:#x} of the device"
            expect.equal(what, now[at : at + size].hex(" "), own[at : at + size].hex(" "))
    finally:
        alive.write_config(regs.PCI_CACHE_LINE_SIZE, 1, line)


@checks(rules.ZAPPED)
def test_mapped_pages_are_withdrawn(alive: Device, assigned: Assigned, pci: PciDevice) -> None:
    """A page in use takes a new fault after the reset, and shows the same device."""
    index = next(i for i, b in enumerate(pci.bars[:6]) if b.is_memory and b.size >= 4096)
    with alive.region(index).map() as mapping:
        mapping.load(0, 4)
        expect.equal("faults of a page in use", faults_of_load(mapping, 0), 0)
        expect.accepted(alive.try_hot_reset((assigned.group,)))
        faults = faults_of_load(mapping, 0)
        expect.holds(faults > 0, "a fault at the first load after a reset", "none")
        expect.equal("signal of a load", mapping.load(0, 4).signal, 0)


@checks(rules.ZAPPED)
@devices("grouped")
def test_mapped_pages_of_a_sibling_too(
    alive: Device, assigned: Assigned, sibling: BenchDevice, port: Port
) -> None:
    """Asked for on one device, it takes the other's pages."""
    bars = PciDevice(port, sibling.bdf).bars[:6]
    index = next(i for i, b in enumerate(bars) if b.is_memory and b.size >= 4096)
    with assigned.open(sibling.bdf) as other:
        decode_memory(other)
        with other.region(index).map() as mapping:
            mapping.load(0, 4)
            expect.equal("faults of a page in use", faults_of_load(mapping, 0), 0)
            expect.accepted(alive.try_hot_reset((assigned.group,)))
            faults = faults_of_load(mapping, 0)
            expect.holds(faults > 0, "a fault at the first load after a reset", "none")


@checks(rules.INTERRUPTS)
@pytest.mark.parametrize("index", [0, 1, 2], ids=["intx", "msi", "msix"])
def test_interrupts_stay(alive: Device, assigned: Assigned, port: Port, index: int) -> None:
    """The eventfd is still there, and is signalled."""
    if not alive.get_irq_info(index).count:
        pytest.skip("the device has no such interrupt")
    with EventFd.create(port) as event:
        expect.accepted(alive.try_set_irqs(index, ASSIGN, 0, 1, eventfds=(event,)))
        try:
            expect.accepted(alive.try_hot_reset((assigned.group,)))
            expect.accepted(alive.try_set_irqs(index, FIRE, 0, 1))
            expect.equal("count of the eventfd", event.count(), 1)
        finally:
            expect.accepted(alive.try_set_irqs(index, FIRE, 0, 0))


@checks(rules.POWER)
@devices("pm", "below-bridge")
def test_it_ends_in_full_power(alive: Device, assigned: Assigned, pci: PciDevice) -> None:
    """From D3hot to D0."""
    control = pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL
    answer = alive.region(0).read(0, 4)
    alive.write_config(control, 2, regs.PCI_PM_CTRL_STATE_MASK)
    try:
        expect.equal("state", alive.read_config(control, 2) & 3, 3)
        expect.accepted(alive.try_hot_reset((assigned.group,)))
        expect.equal("state after the reset", alive.read_config(control, 2) & 3, 0)
        expect.equal("first register", alive.region(0).read(0, 4), answer)
    finally:
        alive.write_config(control, 2, 0)


@checks(rules.CONFIG)
@devices("pm", "below-bridge")
@pytest.mark.usefixtures("machine")
def test_what_it_lost_in_d3hot_is_restored(
    alive: Device, assigned: Assigned, pci: PciDevice, port: Port
) -> None:
    """The reset finds it as it was before it went there."""
    control = pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL
    before = alive.read_config(regs.PCI_CACHE_LINE_SIZE, 1)
    alive.write_config(control, 2, regs.PCI_PM_CTRL_STATE_MASK)
    try:
        lose_state(port, pci)
        expect.accepted(alive.try_hot_reset((assigned.group,)))
        after = alive.read_config(regs.PCI_CACHE_LINE_SIZE, 1)
        expect.equal("cache line size", after, before)
    finally:
        alive.write_config(control, 2, 0)
        alive.write_config(regs.PCI_CACHE_LINE_SIZE, 1, before)


@checks(rules.AWAKE)
@devices("grouped")
def test_a_sleeping_sibling(
    alive: Device, assigned: Assigned, sibling: BenchDevice, port: Port
) -> None:
    """It is reset like any other, sleeps again afterwards, and can be woken."""
    with assigned.open(sibling.bdf) as other:
        if not other.try_feature(feature.VFIO_DEVICE_FEATURE_PROBE | LOW_POWER).ok:
            pytest.skip("the kernel has no low power features, which came with 6.1")
        expect.accepted(other.try_feature(SET | LOW_POWER))
        try:
            expect.holds(suspends(port, sibling.bdf), "a sleeping sibling", "it does not sleep")
            expect.accepted(alive.try_hot_reset((assigned.group,)))
            expect.holds(suspends(port, sibling.bdf), "a sleeping sibling", "it is kept awake")
        finally:
            expect.accepted(other.try_feature(SET | FULL_POWER))
        decode_memory(other)
        expect.accepted(other.try_hot_reset((assigned.group,)))


@checks(rules.RELEASED)
def test_the_groups_are_not_held(
    closed: int, spec: BenchDevice, port: Port, on_a_bus: tuple[str, ...]
) -> None:
    """After resets that were made and refused, a closed group opens again."""
    many = len(on_a_bus)
    for _ in range(2):
        group = Assigned(port, closed)
        try:
            with group.open(spec.bdf) as device:
                expect.accepted(device.try_hot_reset((group.group,) * many))
                for last in (-1, device):
                    call = device.try_hot_reset((*(group.group,) * (many - 1), last))
                    expect.holds(not call.ok, "an error", str(call))
        finally:
            group.close()
