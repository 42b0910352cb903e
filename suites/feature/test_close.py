# SPDX-License-Identifier: MIT
"""Low power at the ends of a device's use: before the first open, and at the last close."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.access import Access, Attach
from vfiospec.device.files import EventFd
from vfiospec.device.observe import runtime_status, suspends
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import feature_power as rules
from vfiospec.rules.model import Rule
from vfiospec.session.eventfds import Ids
from vfiospec.session.marks import checks, devices

SET = feature.VFIO_DEVICE_FEATURE_SET
ENTRY = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY | SET
WITH_WAKEUP = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP | SET
DRIVER = "/sys/bus/pci/drivers/vfio-pci"
IDLE_D3 = "/sys/module/vfio_pci/parameters/disable_idle_d3"


@pytest.fixture
def group(low_power: None, attach: Attach) -> Iterator[Access]:
    """The group in a container, none of its devices open."""
    del low_power
    made = attach()
    yield made
    made.close()


@pytest.fixture
def idle(sysfs: PortSysfs) -> None:
    """Skip where devices that nobody uses are kept awake."""
    if sysfs.exists(IDLE_D3) and sysfs.read(IDLE_D3) != "N":
        pytest.skip("unused devices are kept awake: vfio_pci.disable_idle_d3 is set")


@checks(rules.CLOSED)
@pytest.mark.usefixtures("idle")
def test_it_sleeps_while_nobody_has_it(group: Access, port: Port, spec: BenchDevice) -> None:
    """Asleep, awake as long as any fd is open, asleep again."""
    for _ in range(2):
        expect.holds(suspends(port, spec.bdf), "suspended", runtime_status(port, spec.bdf))
        with group.open(spec.bdf):
            expect.equal("runtime status", runtime_status(port, spec.bdf), "active")
            group.open(spec.bdf).close()
            expect.equal("runtime status", runtime_status(port, spec.bdf), "active")


def power_state(sysfs: PortSysfs, spec: BenchDevice) -> str:
    """What the PCI core holds the device in; empty where it does not tell."""
    path = f"{SYSFS}/{spec.bdf}/power_state"
    return sysfs.read(path) if sysfs.exists(path) else ""


@checks(rules.CLOSE)
@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("wakeup", [False, True], ids=["plain", "with-wakeup"])
def test_closed_while_asleep(
    group: Access,
    port: Port,
    spec: BenchDevice,
    sysfs: PortSysfs,
    event: EventFd,
    wakeup: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    """The next user finds the device awake, may enter anew, and nobody else is notified."""
    identities: set[int] = set()
    expect.holds(suspends(port, spec.bdf), "suspended", runtime_status(port, spec.bdf))
    power = power_state(sysfs, spec)
    for _ in range(2):
        with group.open(spec.bdf) as device:
            identities.add(device.read_config(regs.PCI_VENDOR_ID, 4))
            expect.equal("runtime status", runtime_status(port, spec.bdf), "active")
            if wakeup:
                fixups = (event.fixup(feature.FEATURE_MIN),)
                entered = device.try_feature(WITH_WAKEUP, bytes(8), fixups=fixups)
            else:
                entered = device.try_feature(ENTRY)
            expect.equal("return of the entry", entered.ret, 0)
            expect.holds(suspends(port, spec.bdf), "suspended", runtime_status(port, spec.bdf))
        expect.holds(suspends(port, spec.bdf), "suspended", runtime_status(port, spec.bdf))
        expect.equal("power state once closed", power_state(sysfs, spec), power)
        expect.equal("count of the eventfd", event.count(), 0)
    with group.open(spec.bdf) as device:
        identities.add(device.read_config(regs.PCI_VENDOR_ID, 4))
        expect.equal("number of identities", len(identities), 1)
        expect.equal("count of the eventfd", event.count(), 0)


@checks(rules.WAKEUP_HELD)
def test_closed_it_holds_no_eventfd(group: Access, port: Port, spec: BenchDevice, ids: Ids) -> None:
    """That of its wakeup, closed by us before."""
    with group.open(spec.bdf) as device:
        with EventFd.create(port) as event:
            (mine,) = ids.of(event)
            fixups = (event.fixup(feature.FEATURE_MIN),)
            entered = device.try_feature(WITH_WAKEUP, bytes(8), fixups=fixups)
            expect.equal("return of the entry", entered.ret, 0)
        ids.must_be_held(mine, "the device may sleep")
    ids.must_go(mine, "the device was closed")


@checks(rules.GIVEN_BACK)
@devices("pm")
@pytest.mark.usefixtures("closed", "machine")
def test_taken_from_its_driver(spec: BenchDevice, sysfs: PortSysfs, port: Port) -> None:
    """As the next driver expects it, though it slept here."""
    sysfs.write(f"{DRIVER}/unbind", spec.bdf)
    try:
        found = runtime_status(port, spec.bdf), sysfs.read(f"{SYSFS}/{spec.bdf}/power/control")
    finally:
        sysfs.write(f"{DRIVER}/bind", spec.bdf)
    expect.equal("runtime status and control", found, ("active", "on"))


@pytest.fixture
def kept_awake(
    closed: int,
    machine: object,
    sysfs: PortSysfs,
    spec: BenchDevice,
    promised: Callable[[Rule], int],
) -> Iterator[None]:
    """The device was taken while disable_idle_d3 was set."""
    del closed, machine
    if not promised(rules.KEPT_AWAKE):
        pytest.skip("disable_idle_d3 counts as it was when the module was loaded: needs 7.2")
    before = sysfs.read(IDLE_D3)
    for value in ("Y", before):
        sysfs.write(IDLE_D3, value)
        sysfs.write(f"{DRIVER}/unbind", spec.bdf)
        sysfs.write(f"{DRIVER}/bind", spec.bdf)
        if value == "Y":
            yield


@checks(rules.KEPT_AWAKE)
@devices("irq-stimulus", without=("grouped", "below-bridge"))
@pytest.mark.usefixtures("kept_awake")
def test_it_is_kept_awake(attach: Attach, port: Port, spec: BenchDevice) -> None:
    """Where the parameter says so: before it is opened, and after."""
    for _ in range(2):
        expect.equal("it sleeps", suspends(port, spec.bdf, 0.2), False)
        expect.equal("runtime status", runtime_status(port, spec.bdf), "active")
        group = attach()
        group.open(spec.bdf).close()
        group.close()
