# SPDX-License-Identifier: MIT
"""LOW_POWER_ENTRY and LOW_POWER_EXIT: a device that sleeps, and is woken by who touches it."""

import signal
import time
from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.asleep import lose_state
from vfiospec.device.device import Device
from vfiospec.device.edu import Edu
from vfiospec.device.files import EventFd
from vfiospec.device.observe import runtime_status, suspends
from vfiospec.device.pci import SYSFS, PciDevice
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import feature_power as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Promised = Callable[[Rule], int]
ENTRY = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY | feature.VFIO_DEVICE_FEATURE_SET
EXIT = feature.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT | feature.VFIO_DEVICE_FEATURE_SET
WITH_WAKEUP = (
    feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP | feature.VFIO_DEVICE_FEATURE_SET
)
BOOL = vfio.VFIO_IRQ_SET_DATA_NONE
INTX = vfio.VFIO_PCI_INTX_IRQ_INDEX
STATUS = slice(regs.PCI_STATUS, regs.PCI_STATUS + 2)


def asleep(port: Port, spec: BenchDevice) -> None:
    """The device goes to sleep."""
    expect.holds(suspends(port, spec.bdf), "suspended", runtime_status(port, spec.bdf))


def stays_awake(port: Port, spec: BenchDevice) -> None:
    """The device does not go to sleep for as long as others take to."""
    end = time.monotonic() + 0.02
    while time.monotonic() < end:
        expect.equal("runtime status", runtime_status(port, spec.bdf), "active")


@checks(rules.ENTRY, rules.ACCESS, rules.EXIT)
def test_it_sleeps_and_wakes(sleeper: Device, port: Port, spec: BenchDevice) -> None:
    """Awake before; asleep; awake for an access and asleep again; awake for good."""
    expect.equal("runtime status", runtime_status(port, spec.bdf), "active")
    identity = sleeper.read_config(regs.PCI_VENDOR_ID, 4)
    expect.accepted(sleeper.try_feature(ENTRY))
    for _ in range(2):
        asleep(port, spec)
        expect.equal("vendor and device", sleeper.read_config(regs.PCI_VENDOR_ID, 4), identity)
    asleep(port, spec)
    expect.accepted(sleeper.try_feature(EXIT))
    stays_awake(port, spec)


@checks(rules.AGAIN, rules.EXIT)
def test_only_once(sleeper: Device, event: EventFd, promised: Promised) -> None:
    """A second entry is refused, and its eventfd forgotten; after an exit there is a new one."""
    wakeup = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP
    flags = wakeup | feature.VFIO_DEVICE_FEATURE_SET
    fixups = (event.fixup(feature.FEATURE_MIN),)
    for _ in range(2):
        expect.accepted(sleeper.try_feature(ENTRY))
        expect.refused(sleeper.try_feature(ENTRY), promised(rules.AGAIN))
        call = sleeper.try_feature(flags, bytes(8), fixups=fixups)
        expect.equal(f"errno of {call}", call.errno, promised(rules.AGAIN))
        expect.refused(sleeper.try_feature(ENTRY), promised(rules.AGAIN))
        expect.accepted(sleeper.try_feature(EXIT))
    expect.equal("count of the eventfd", event.count(), 0)


@checks(rules.EXIT)
def test_an_exit_for_nothing(sleeper: Device, port: Port, spec: BenchDevice) -> None:
    """On a device that may not sleep; also three times, it counts for nothing."""
    for _ in range(3):
        expect.accepted(sleeper.try_feature(EXIT))
    expect.accepted(sleeper.try_feature(ENTRY))
    asleep(port, spec)
    for _ in range(3):
        expect.accepted(sleeper.try_feature(EXIT))
    stays_awake(port, spec)


@checks(rules.MAPPED, rules.ACCESS)
def test_a_mapping(sleeper: Device, port: Port, spec: BenchDevice, paged_bar: int) -> None:
    """SIGBUS from the entry to the exit, also between accesses that wake the device."""
    with sleeper.region(paged_bar).map() as mapping:
        value = mapping.load(0, 4)
        expect.equal("signal of a load", value.signal, 0)
        expect.accepted(sleeper.try_feature(ENTRY))
        expect.equal("signal of a load", mapping.load(0, 4).signal, signal.SIGBUS)
        asleep(port, spec)
        expect.equal("signal of a load", mapping.load(0, 4).signal, signal.SIGBUS)
        expect.equal("runtime status", runtime_status(port, spec.bdf), "suspended")
        sleeper.read_config(regs.PCI_VENDOR_ID, 4)
        expect.equal("signal of a load", mapping.load(0, 4).signal, signal.SIGBUS)
        expect.accepted(sleeper.try_feature(EXIT))
        after = mapping.load(0, 4)
        expect.equal("signal of a load", after.signal, 0)
        expect.equal("what is mapped", after.value, value.value)


@checks(rules.STATE)
@devices("pm")
def test_state_is_kept(sleeper: Device, port: Port, spec: BenchDevice, sysfs: PortSysfs) -> None:
    """The device was in D3 and is back: header and registers as before."""
    before = header(port, spec), sleeper.region(0).read(0, 4)
    expect.accepted(sleeper.try_feature(ENTRY))
    asleep(port, spec)
    path = f"{SYSFS}/{spec.bdf}/power_state"
    if sysfs.exists(path):
        expect.holds(sysfs.read(path) != "D0", "a state of low power", "D0")
    expect.accepted(sleeper.try_feature(EXIT))
    after = header(port, spec), sleeper.region(0).read(0, 4)
    expect.equal("header and first register", after, before)


def header(port: Port, spec: BenchDevice) -> str:
    """The device's own header, without the status bits."""
    data = bytearray(PciDevice(port, spec.bdf).config[: regs.PCI_STD_HEADER_SIZEOF])
    data[STATUS] = bytes(2)
    return data.hex(" ")


@checks(rules.D3, rules.STATE)
@devices("pm")
def test_from_d3hot(sleeper: Device, port: Port, spec: BenchDevice, pci: PciDevice) -> None:
    """It wakes in D0, answers, and has again what it lost while its user had it down."""
    control = pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL
    before, value = header(port, spec), sleeper.region(0).read(0, 4)
    sleeper.write_config(control, 2, regs.PCI_PM_CTRL_STATE_MASK)
    try:
        lose_state(port, pci)
        expect.accepted(sleeper.try_feature(ENTRY))
        asleep(port, spec)
        expect.accepted(sleeper.try_feature(EXIT))
        state = sleeper.read_config(control, 2) & regs.PCI_PM_CTRL_STATE_MASK
        expect.equal("power state", state, 0)
        expect.equal("first register", sleeper.region(0).read(0, 4), value)
        expect.equal("header", header(port, spec), before)
    finally:
        sleeper.write_config(control, 2, 0)


def set_intx(device: Device, action: int, event: EventFd | None = None, count: int = 1) -> None:
    """Have INTx do something; with an eventfd, be signalled by it."""
    if event is not None:
        flags = vfio.VFIO_IRQ_SET_DATA_EVENTFD | action
        expect.accepted(device.try_set_irqs(INTX, flags, 0, 1, eventfds=(event,)))
    else:
        expect.accepted(device.try_set_irqs(INTX, BOOL | action, 0, count))


@checks(rules.INTX)
@devices("irq-stimulus")
@pytest.mark.parametrize("masked", [False, True], ids=["unmasked", "masked-by-the-user"])
def test_intx(
    sleeper: Device,
    port: Port,
    spec: BenchDevice,
    event: EventFd,
    masked: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    """An interrupt after the sleep arrives, or waits until the user unmasks."""
    edu = Edu(sleeper)
    edu.acknowledge()
    set_intx(sleeper, vfio.VFIO_IRQ_SET_ACTION_TRIGGER, event)
    try:
        if masked:
            set_intx(sleeper, vfio.VFIO_IRQ_SET_ACTION_MASK)
        expect.accepted(sleeper.try_feature(ENTRY))
        asleep(port, spec)
        expect.accepted(sleeper.try_feature(EXIT))
        edu.raise_interrupt()
        if masked:
            expect.equal("signalled while masked", event.wait(20), False)
            set_intx(sleeper, vfio.VFIO_IRQ_SET_ACTION_UNMASK)
        expect.equal("signalled", event.wait(5000), True)
        expect.equal("count of the eventfd", event.count(), 1)
    finally:
        edu.acknowledge()
        set_intx(sleeper, vfio.VFIO_IRQ_SET_ACTION_TRIGGER, count=0)


@checks(rules.INTX)
@devices("irq-stimulus")
def test_intx_of_one_that_was_woken(
    sleeper: Device, port: Port, spec: BenchDevice, event: EventFd, waker: EventFd
) -> None:
    """By an access, which ends the low power: the next interrupt arrives all the same."""
    edu = Edu(sleeper)
    edu.acknowledge()
    set_intx(sleeper, vfio.VFIO_IRQ_SET_ACTION_TRIGGER, event)
    wakeup = feature.vfio_device_low_power_entry_with_wakeup().pack()
    try:
        fixups = (waker.fixup(feature.FEATURE_MIN),)
        expect.accepted(sleeper.try_feature(WITH_WAKEUP, wakeup, fixups=fixups))
        asleep(port, spec)
        edu.raise_interrupt()
        expect.equal("woken", waker.count(), 1)
        expect.equal("signalled", event.wait(5000), True)
        expect.equal("count of the eventfd", event.count(), 1)
    finally:
        edu.acknowledge()
        set_intx(sleeper, vfio.VFIO_IRQ_SET_ACTION_TRIGGER, count=0)
        sleeper.try_feature(EXIT)
