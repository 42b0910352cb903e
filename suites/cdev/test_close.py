# SPDX-License-Identifier: MIT
"""What the last close of a bound device's file gives up, and what a driver waits for."""

import time
from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd as objects
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.cdev import Bound, Cdev, cdev_path
from vfiospec.device.files import EventFd
from vfiospec.device.interrupt import Interrupt, arrived
from vfiospec.device.iommufd import Iommufd
from vfiospec.device.ops import Close, Fork, Wait
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import ForkedPort, Port
from vfiospec.device.unbind import Unbinder
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.qemu import Vm
from vfiospec.rules import cdev as rules
from vfiospec.rules import lifetime
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Promised = Callable[[Rule], int]
MSI, REQ = vfio.VFIO_PCI_MSI_IRQ_INDEX, vfio.VFIO_PCI_REQ_IRQ_INDEX
AT_ONCE_MS, A_MOMENT_MS = 10_000, 20
A_WHILE = 0.02  # s, between two looks


@checks(rules.CLOSE)
def test_it_is_disabled(
    cdev: Cdev,
    iommufd: Iommufd,
    path: str,
    port: Port,
    enables: Callable[[], int],
    group_opens: Callable[[], int],
) -> None:
    """Bus mastering is off again when it is bound the next time, whoever binds it."""
    before = enables()
    cdev.bind(iommufd)
    command = cdev.read_config(regs.PCI_COMMAND, 2)
    expect.flags("command", command, forbidden=regs.PCI_COMMAND_MASTER)
    cdev.write_config(regs.PCI_COMMAND, 2, command | regs.PCI_COMMAND_MASTER)
    cdev.attach(iommufd.alloc_ioas())
    cdev.close()
    expect.equal("enables", enables(), before)
    expect.equal("open of the group", group_opens(), 0)
    with Cdev.at(port, path) as again, Iommufd.create(port) as another:
        expect.holds(not again.try_get_info().ok, "a device that is not bound", "bound")
        again.bind(another)
        command = again.read_config(regs.PCI_COMMAND, 2)
        expect.flags("command", command, forbidden=regs.PCI_COMMAND_MASTER)
        expect.equal("enables", enables(), before + 1)
    expect.equal("enables", enables(), before)


@checks(rules.CLOSE)
@devices("msi")
def test_its_interrupts_are_off(
    cdev: Cdev, iommufd: Iommufd, sysfs: PortSysfs, spec: BenchDevice, event: EventFd
) -> None:
    """The vectors that were set up are freed."""
    folder = f"{SYSFS}/{spec.bdf}/msi_irqs"
    cdev.bind(iommufd)
    Interrupt(cdev, MSI).signal(event)
    expect.holds(bool(sysfs.listdir(folder)), "a vector", "none")
    cdev.close()
    left = sysfs.listdir(folder) if sysfs.exists(folder) else []
    expect.equal("vectors", left, [])


@checks(rules.CLOSE)
def test_a_copy_in_another_process(
    cdev: Cdev, iommufd: Iommufd, port: Port, group_opens: Callable[[], int], promised: Promised
) -> None:
    """As long as it is open the device stays bound: Bound, and serves there."""
    cdev.bind(iommufd)
    process = port.handle()
    port.do(Fork(process))
    child = ForkedPort(port, process)
    ended = False
    try:
        handle = cdev.handle
        cdev.close()
        expect.equal("open of the group", group_opens(), promised(rules.GROUP_BUSY))
        expect.accepted(Cdev(child, handle).try_get_info())
        child.do(Close(handle))
        expect.equal("open of the group", group_opens(), 0)
        ended = port.do(Wait(process)).ok
    finally:
        if not ended:
            port.do(Wait(process))


@pytest.fixture
def unbinder(
    machine: Vm, path: str, port: Port, closed: int, spec: BenchDevice
) -> Iterator[Unbinder]:
    """Somebody who can take the device from vfio-pci; it is given back at the end."""
    del machine, closed, path
    made = Unbinder(port, spec.bdf)
    try:
        yield made
    finally:
        made.give_back()


@checks(rules.TAKEN_AWAY)
@devices("unplug")
def test_a_driver_waits_for_a_bound_device(
    unbinder: Unbinder, cdev: Cdev, iommufd: Iommufd, path: str, port: Port, event: EventFd
) -> None:
    """The user is asked for it; it serves until it is closed, and nobody else can open it."""
    cdev.bind(iommufd)
    Interrupt(cdev, REQ).signal(event)
    unbinder.start()
    expect.equal("requests", arrived(event), 1)
    expect.equal("gone while open", unbinder.done(A_MOMENT_MS), False)
    expect.accepted(cdev.try_get_info())
    with pytest.raises(OSError, match="No such"):
        Cdev.at(port, path)
    cdev.close()
    expect.equal("gone once closed", unbinder.done(AT_ONCE_MS), True)


@checks(rules.TAKEN_AWAY)
@devices("unplug")
def test_a_driver_waits_for_a_file_that_is_not_bound(
    unbinder: Unbinder, cdev: Cdev, port: Port, spec: BenchDevice
) -> None:
    """A new driver gives it a new file."""
    unbinder.start()
    expect.equal("gone while open", unbinder.done(A_MOMENT_MS), False)
    cdev.close()
    expect.equal("gone once closed", unbinder.done(AT_ONCE_MS), True)
    expect.equal("own file", cdev_path(port, f"{SYSFS}/{spec.bdf}"), None)
    unbinder.give_back()
    expect.holds(cdev_path(port, f"{SYSFS}/{spec.bdf}") is not None, "a file of its own", "none")


def goes(port: Port, path: str) -> bool:
    """Whether a device's file is soon there no more."""
    end = time.monotonic() + AT_ONCE_MS / 1000
    while time.monotonic() < end:
        try:
            Cdev.at(port, path).close()
        except OSError:
            return True
        time.sleep(A_WHILE)
    return False


@checks(rules.BIND_TAKEN_AWAY, rules.BIND_REFUSED, rules.TAKEN_AWAY)
@devices("unplug")
def test_a_file_that_is_not_bound_is_so_for_good(
    unbinder: Unbinder, cdev: Cdev, iommufd: Iommufd, path: str, port: Port, promised: Promised
) -> None:
    """Once the device is being taken away; the iommufd has no object of it."""
    unbinder.start()
    expect.equal("its file goes", goes(port, path), True)
    option = objects.iommu_option(op=objects.IOMMU_OPTION_OP_SET, val64=1)
    for _ in range(2):
        expect.refused(cdev.try_bind(iommufd), promised(rules.BIND_TAKEN_AWAY))
        expect.accepted(iommufd.try_call(objects.IOMMU_OPTION, option))  # EBUSY if it has objects
    expect.equal("gone while open", unbinder.done(A_MOMENT_MS), False)
    cdev.close()
    expect.equal("gone once closed", unbinder.done(AT_ONCE_MS), True)


@pytest.fixture
def users(sysfs: PortSysfs, spec: BenchDevice) -> Callable[[], int]:
    """How many use the driver's module."""
    driver = sysfs.readlink(f"{SYSFS}/{spec.bdf}/driver/module").rpartition("/")[2]
    count = f"/sys/module/{driver}/refcnt"
    if not sysfs.exists(count):
        pytest.skip("the driver is no module, or CONFIG_MODULE_UNLOAD is not set")
    return lambda: int(sysfs.read(count))


@checks(rules.CLOSE)
def test_its_driver_is_no_longer_held(
    cdev: Cdev, iommufd: Iommufd, users: Callable[[], int]
) -> None:
    """The driver's module is in use from the bind to the close, and by nothing else of it."""
    before = users()
    cdev.bind(iommufd)
    expect.equal("users of the driver", users(), before + 1)
    cdev.close()
    expect.equal("users of the driver", users(), before)


@checks(rules.OWNED_GROUP, lifetime.MODULE_IN_USE)
@devices("grouped")
def test_a_bind_that_fails_does_not_hold_the_driver(
    bound: Bound, other: Cdev, users: Callable[[], int], promised: Promised
) -> None:
    """Of a device whose group is another iommufd's, however often it is tried."""
    before = users()
    with Iommufd.create(other.port) as another:
        for _ in range(2):
            expect.refused(other.try_bind(another), promised(rules.OWNED_GROUP))
    expect.equal("users of the driver", users(), before)
    other.bind(bound.iommufd)
    other.close()
    expect.equal("users of the driver", users(), before)
