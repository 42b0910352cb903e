# SPDX-License-Identifier: MIT
"""PCI Express errors: made by the machine in the port above the device, handled by the kernel."""

import time
from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.access import Access, Attach
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd
from vfiospec.device.interrupt import Interrupt, arrived
from vfiospec.device.pci import SYSFS, PciDevice
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.qemu import Vm
from vfiospec.rules import interrupts as rules
from vfiospec.session.marks import checks, devices

pytestmark = devices("aer")
AER_SERVICES = "/sys/bus/pci_express/drivers/aer"
CORRECTABLE, NONFATAL, FATAL = "RCVR", "COMP_TIME", "MALF_TLP"  # the names QEMU has for them
RESET_SECONDS = 10
LAST_BAR = regs.PCI_BASE_ADDRESS_5 + 4


@pytest.fixture
def fail(machine: Vm, spec: BenchDevice, sysfs: PortSysfs) -> Callable[[str], None]:
    """Have the port above the device report an error."""
    layout = machine.machine.topology
    above = next(d.behind for d in layout.device if d.name == spec.name)
    services = sysfs.listdir(AER_SERVICES) if sysfs.exists(AER_SERVICES) else []
    # Firmware leaves the errors to kernels that can do all of _OSC, which takes ASPM.
    if not any(":pcie" in name for name in services):
        pytest.skip("this kernel handles no port's errors: CONFIG_PCIEAER, CONFIG_PCIEASPM")

    def inject(error: str) -> None:
        flag = "-c " if error == CORRECTABLE else ""
        answer = machine.hmp(f"pcie_aer_inject_error {flag}{above} {error}")
        expect.holds(answer.startswith("OK"), "an error made by the machine", answer)

    return inject


@pytest.fixture
def error(device: Device) -> Iterator[Interrupt]:
    """The error interrupt of the device, off."""
    made = Interrupt(device, vfio.VFIO_PCI_ERR_IRQ_INDEX)
    yield made
    made.try_off()


@checks(rules.ERROR_SIGNALLED)
def test_each_error_is_signalled_once(
    error: Interrupt, event: EventFd, fail: Callable[[str], None]
) -> None:
    """The next error shows that no second signal of the last was on its way."""
    error.signal(event)
    expect.equal("signals before", event.count(), 0)
    for turn in range(3):
        fail(NONFATAL)
        expect.equal(f"signals of error {turn}", arrived(event), 1)
    expect.equal("signals left", event.count(), 0)


@checks(rules.ERROR_SIGNALLED)
def test_what_the_hardware_corrected_is_no_error(
    error: Interrupt, event: EventFd, fail: Callable[[str], None]
) -> None:
    """Shown by an error that comes after it, alone."""
    error.signal(event)
    fail(CORRECTABLE)
    expect.equal("signals", event.count(), 0)
    fail(NONFATAL)
    expect.equal("signals of the next", arrived(event), 1)


@checks(rules.ERROR_REPLACED)
def test_only_the_last_eventfd_is_signalled(
    error: Interrupt, event: EventFd, other: EventFd, fail: Callable[[str], None]
) -> None:
    """And the first again, once it is the last."""
    error.signal(event)
    error.signal(other)
    fail(NONFATAL)
    expect.equal("signals of the second", arrived(other), 1)
    expect.equal("signals of the first", event.count(), 0)
    error.signal(event)
    fail(NONFATAL)
    expect.equal("signals of the first once set again", arrived(event), 1)
    expect.equal("signals of the second since", other.count(), 0)


@checks(rules.ERROR_REPLACED, rules.CLOSED)
def test_an_eventfd_the_user_closed_does_no_harm(
    error: Interrupt, event: EventFd, port: Port, fail: Callable[[str], None]
) -> None:
    """The kernel has its own hold on it."""
    with EventFd.create(port) as short_lived:
        error.signal(short_lived)
    fail(NONFATAL)
    error.signal(event)
    fail(NONFATAL)
    expect.holds(arrived(event) >= 1, "a signal of the second error", "none")


@checks(rules.ERROR_REMOVED)
@pytest.mark.parametrize("how", ["never-set", "minus-1", "count-0"])
def test_without_an_eventfd_an_error_does_no_harm(
    error: Interrupt, event: EventFd, other: EventFd, fail: Callable[[str], None], how: str
) -> None:
    """Nobody is told of it, and the error that comes once there is one is told."""
    if how != "never-set":
        error.signal(event)
    if how == "minus-1":
        error.signal(-1)
    if how == "count-0":
        error.off()
    fail(NONFATAL)
    expect.equal("signals of the one removed", event.count(), 0)
    error.signal(other)
    fail(NONFATAL)
    expect.holds(arrived(other) >= 1, "a signal of the next error", "none")
    expect.equal("signals of the one removed since", event.count(), 0)


@checks(rules.ERROR_SIGNALLED)
def test_other_interrupts_are_not_signalled(
    error: Interrupt, event: EventFd, other: EventFd, fail: Callable[[str], None]
) -> None:
    """A request to let go is another matter."""
    request = Interrupt(error.device, vfio.VFIO_PCI_REQ_IRQ_INDEX)
    request.signal(other)
    error.signal(event)
    fail(NONFATAL)
    expect.equal("signals", arrived(event), 1)
    request.off()
    expect.equal("signals of requests", other.count(), 0)


@checks(rules.ERROR_RECOVERED)
def test_the_device_goes_on_as_before(
    error: Interrupt,
    event: EventFd,
    port: Port,
    spec: BenchDevice,
    fail: Callable[[str], None],
    log: Callable[[], str],
) -> None:
    """Its registers are as they were, and the kernel does not give up on it."""
    before = PciDevice(port, spec.bdf).config[regs.PCI_BASE_ADDRESS_0 : LAST_BAR]
    error.signal(event)
    for _ in range(2):  # the kernel is done with an error before it tells of the next
        fail(NONFATAL)
        expect.equal("signals", arrived(event), 1)
    after = PciDevice(port, spec.bdf).config[regs.PCI_BASE_ADDRESS_0 : LAST_BAR]
    expect.equal("BARs", after.hex(), before.hex())
    failed = [line for line in log().splitlines() if "recovery failed" in line]
    expect.equal("failed recoveries", failed, [])


@pytest.fixture
def mine(attach: Attach) -> Iterator[Access]:
    """The device's group, opened by the test alone."""
    assigned = attach()
    try:
        yield assigned
    finally:
        assigned.close()


def link_was_reset(port: Port, sysfs: PortSysfs, bdf: str) -> bool:
    """Wait until the device lost its BARs and its port reports errors again."""
    above = PciDevice(port, sysfs.readlink(f"{SYSFS}/{bdf}").split("/")[-2])
    command = above.extended_capabilities[regs.PCI_EXT_CAP_ID_ERR] + regs.PCI_ERR_ROOT_COMMAND
    end = time.monotonic() + RESET_SECONDS
    while time.monotonic() < end:
        lost = PciDevice(port, bdf).u32(regs.PCI_BASE_ADDRESS_0) == 0
        if lost and PciDevice(port, above.bdf).u32(command):
            return True
    return False


@checks(rules.ERROR_SIGNALLED, rules.ERROR_CLOSE_REPAIRS)
def test_a_fatal_error_is_signalled_and_a_close_repairs_the_device(
    mine: Access,
    port: Port,
    sysfs: PortSysfs,
    spec: BenchDevice,
    event: EventFd,
    fail: Callable[[str], None],
) -> None:
    """The link is reset, and with it what the device held in its registers."""
    before = PciDevice(port, spec.bdf).config[regs.PCI_BASE_ADDRESS_0 : LAST_BAR]
    with mine.open(spec.bdf) as device:
        Interrupt(device, vfio.VFIO_PCI_ERR_IRQ_INDEX).signal(event)
        fail(FATAL)
        expect.equal("signals of the fatal error", arrived(event), 1)
        expect.holds(link_was_reset(port, sysfs, spec.bdf), "a reset of the link", "none")
        fail(NONFATAL)  # the kernel is done with an error before it tells of the next
        expect.equal("signals of the next", arrived(event), 1)
    after = PciDevice(port, spec.bdf).config[regs.PCI_BASE_ADDRESS_0 : LAST_BAR]
    expect.equal("BARs once closed", after.hex(), before.hex())


@checks(rules.ERROR_REMOVED)
def test_the_last_close_removes_the_eventfd(
    mine: Access, spec: BenchDevice, event: EventFd, other: EventFd, fail: Callable[[str], None]
) -> None:
    """Whoever opens the device next is told of nothing it did not ask for."""
    with mine.open(spec.bdf) as device:
        Interrupt(device, vfio.VFIO_PCI_ERR_IRQ_INDEX).signal(event)
    fail(NONFATAL)
    with mine.open(spec.bdf) as device:
        error = Interrupt(device, vfio.VFIO_PCI_ERR_IRQ_INDEX)
        fail(NONFATAL)
        error.signal(other)
        fail(NONFATAL)
        expect.holds(arrived(other) >= 1, "a signal of the last error", "none")
    expect.equal("signals of the eventfd of the first open", event.count(), 0)
