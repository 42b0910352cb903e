# SPDX-License-Identifier: MIT
"""LOW_POWER_ENTRY_WITH_WAKEUP: who wakes the device, and who hears of it."""

import signal
from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.call import Call
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, File
from vfiospec.device.observe import runtime_status, suspends
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import feature_power as rules
from vfiospec.rules.model import Rule
from vfiospec.session.eventfds import Ids
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
SET = feature.VFIO_DEVICE_FEATURE_SET
WITH_WAKEUP = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP | SET
ENTRY = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY | SET
EXIT = feature.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT | SET


def enter(device: Device, fd: File | int, more: int = 0) -> Call:
    """LOW_POWER_ENTRY_WITH_WAKEUP; `more` bytes of argsz behind the data."""
    number = fd if isinstance(fd, int) else 0
    data = feature.vfio_device_low_power_entry_with_wakeup(number, 0xA5A5A5A5).pack()
    fixups = () if isinstance(fd, int) else (fd.fixup(feature.FEATURE_MIN),)
    return device.try_feature(WITH_WAKEUP, data + bytes(more), fixups=fixups)


def sleeps(device: Device, event: EventFd, port: Port, spec: BenchDevice) -> None:
    """The device is told that it may, and does."""
    expect.equal("return", enter(device, event).ret, 0)
    expect.holds(suspends(port, spec.bdf), "suspended", runtime_status(port, spec.bdf))
    expect.equal("count of the eventfd", event.count(), 0)


@checks(rules.WAKEUP)
@pytest.mark.parametrize("by", ["config-read", "config-write", "bar", "ioctl"])
def test_an_access_wakes_it_once(
    sleeper: Device, event: EventFd, port: Port, spec: BenchDevice, paged_bar: int, by: str
) -> None:
    """One signal; the device stays awake, its mapped registers are back; the next is silent."""
    config = sleeper.region(vfio.VFIO_PCI_CONFIG_REGION_INDEX)
    bar = sleeper.region(paged_bar)
    line = config.try_read(regs.PCI_INTERRUPT_LINE, 1).data
    accesses: dict[str, Callable[[], object]] = {
        "config-read": lambda: config.try_read(regs.PCI_VENDOR_ID, 2),
        "config-write": lambda: config.try_write(regs.PCI_INTERRUPT_LINE, line),
        "bar": lambda: bar.try_read(0, 4),
        "ioctl": sleeper.try_get_info,
    }
    with bar.map() as mapping:
        for _ in range(2):
            sleeps(sleeper, event, port, spec)
            accesses[by]()
            expect.equal("count of the eventfd", event.count(), 1)
            expect.equal("runtime status", runtime_status(port, spec.bdf), "active")
            expect.equal("signal of a load", mapping.load(0, 4).signal, 0)
            accesses[by]()
            expect.equal("count of the eventfd", event.count(), 0)
            expect.equal("runtime status", runtime_status(port, spec.bdf), "active")


@checks(rules.WAKEUP_EXIT)
def test_the_exit_wakes_it(sleeper: Device, event: EventFd, port: Port, spec: BenchDevice) -> None:
    """One signal; a second exit is silent, and so is a plain entry afterwards."""
    sleeps(sleeper, event, port, spec)
    expect.accepted(sleeper.try_feature(EXIT))
    expect.equal("count of the eventfd", event.count(), 1)
    expect.accepted(sleeper.try_feature(EXIT))
    expect.accepted(sleeper.try_feature(ENTRY))
    expect.holds(suspends(port, spec.bdf), "suspended", runtime_status(port, spec.bdf))
    expect.accepted(sleeper.try_feature(EXIT))
    expect.equal("count of the eventfd", event.count(), 0)


@checks(rules.WAKEUP_MAPPED, rules.MAPPED)
def test_a_mapping_wakes_nothing(
    sleeper: Device, event: EventFd, port: Port, spec: BenchDevice, paged_bar: int
) -> None:
    """SIGBUS, silence, and a device that sleeps on."""
    with sleeper.region(paged_bar).map() as mapping:
        mapping.load(0, 4)
        sleeps(sleeper, event, port, spec)
        expect.equal("signal of a load", mapping.load(0, 4).signal, signal.SIGBUS)
        expect.equal("signal of a store", mapping.store(0, 4, 0).signal, signal.SIGBUS)
        expect.equal("runtime status", runtime_status(port, spec.bdf), "suspended")
        expect.equal("count of the eventfd", event.count(), 0)


@checks(rules.WAKEUP)
def test_an_argsz_that_is_larger(sleeper: Device, event: EventFd) -> None:
    """What lies behind the data is not looked at."""
    expect.equal("return", enter(sleeper, event, more=64).ret, 0)
    expect.accepted(sleeper.try_feature(EXIT))


@checks(rules.WAKEUP_FD, rules.WAKEUP_NOT_EVENTFD)
def test_a_bad_fd(sleeper: Device, port: Port, promised: Promised) -> None:
    """Negative, not open, no eventfd: refused, and nothing was entered."""
    for number in (-1, -2, -(1 << 31)):
        expect.refused(enter(sleeper, number), promised(rules.WAKEUP_NOT_EVENTFD))
    expect.refused(enter(sleeper, 100000), promised(rules.WAKEUP_FD))
    with File.open(port, "/dev/null") as null:
        for file in (null, sleeper):
            call = enter(sleeper, file)
            expect.equal(f"errno of {call}", call.errno, promised(rules.WAKEUP_NOT_EVENTFD))
    expect.accepted(sleeper.try_feature(ENTRY))


@checks(rules.WAKEUP_HELD)
@pytest.mark.parametrize("by", ["access", "exit"])
def test_an_eventfd_is_held_until_it_is_of_no_use(
    sleeper: Device, port: Port, spec: BenchDevice, ids: Ids, by: str
) -> None:
    """Closed by us it stays; it goes with what ends the low power."""
    with EventFd.create(port) as event:
        (mine,) = ids.of(event)
        sleeps(sleeper, event, port, spec)
    ids.must_be_held(mine, "the device sleeps")
    if by == "exit":
        expect.accepted(sleeper.try_feature(EXIT))
    else:
        sleeper.read_config(regs.PCI_VENDOR_ID, 2)
    ids.must_go(mine, f"low power ended by an {by}")


@checks(rules.WAKEUP_HELD)
def test_an_eventfd_that_was_refused_is_not_held(
    sleeper: Device, port: Port, ids: Ids, promised: Promised
) -> None:
    """By a device that may sleep already."""
    expect.accepted(sleeper.try_feature(ENTRY))
    with EventFd.create(port) as event:
        (mine,) = ids.of(event)
        call = enter(sleeper, event)
        expect.equal(f"errno of {call}", call.errno, promised(rules.AGAIN))
    ids.must_go(mine, "refused")
