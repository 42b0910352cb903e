# SPDX-License-Identifier: MIT
"""Two devices on one interrupt line: the kernel asks each, and only one did it."""

from collections.abc import Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.edu import Edu
from vfiospec.device.files import EventFd
from vfiospec.device.interrupt import Interrupt, arrived
from vfiospec.device.ways import Way
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import interrupts as rules
from vfiospec.session.marks import checks, devices
from vfiospec.session.run import Run

pytestmark = devices("irq-stimulus")


def line_of(sysfs: PortSysfs, device: BenchDevice) -> int:
    """The number the kernel has for its interrupt line; it differs once interrupts are on."""
    return int(sysfs.read(f"/sys/bus/pci/devices/{device.bdf}/irq"))


def on_its_line(
    run: Run, sysfs: PortSysfs, spec: BenchDevice, way: Way, role: str
) -> Iterator[Device]:
    """Another device, of a role, whose line is that of the device under test."""
    for other in run.devices:
        if other.name == spec.name or role not in other.roles:
            continue
        with run.assigned(other, way).open(other.bdf) as device:
            if line_of(sysfs, other) != line_of(sysfs, spec):
                continue
            yield device
            return
    pytest.skip(f"no other device with {role} on the interrupt line of this one")


@pytest.fixture
def neighbour(
    run: Run, sysfs: PortSysfs, spec: BenchDevice, intx: Interrupt, reached_by: Way
) -> Iterator[Interrupt]:
    """INTx of another device on its line."""
    del intx
    for device in on_its_line(run, sysfs, spec, reached_by, "intx"):
        made = Interrupt(device, vfio.VFIO_PCI_INTX_IRQ_INDEX)
        yield made
        made.try_off()


@pytest.fixture
def asserting(
    run: Run, sysfs: PortSysfs, spec: BenchDevice, intx: Interrupt, reached_by: Way
) -> Iterator[Edu]:
    """Another device on its line, which interrupts at our word too."""
    del intx
    for device in on_its_line(run, sysfs, spec, reached_by, "irq-stimulus"):
        made = Edu(device)
        with made.in_use():
            yield made


@checks(rules.INTX_SHARED)
def test_only_the_one_that_asserts_it_is_signalled(
    edu: Edu, intx: Interrupt, neighbour: Interrupt, event: EventFd, other: EventFd
) -> None:
    """Whichever of the two was turned on first."""
    for order in ((neighbour, intx), (intx, neighbour)):
        for one in order:
            one.signal(other if one is neighbour else event)
        for turn in range(2):
            edu.raise_interrupt()
            expect.equal(f"signals, turn {turn}", arrived(event), 1)
            edu.acknowledge()
            intx.unmask()
        expect.equal("signals of the other device", other.count(), 0)
        intx.off()
        neighbour.off()


@checks(rules.INTX_SHARED, rules.OFF)
def test_one_turned_off_the_other_goes_on(
    edu: Edu, intx: Interrupt, neighbour: Interrupt, event: EventFd, other: EventFd
) -> None:
    """The line is shared, the handlers are not."""
    neighbour.signal(other)
    intx.signal(event)
    neighbour.off()
    edu.raise_interrupt()
    expect.equal("signals", arrived(event), 1)
    expect.equal("signals of the other device", other.count(), 0)


@checks(rules.INTX_SHARED, rules.INTX_AUTOMASKED, rules.INTX_MASKED)
@pytest.mark.parametrize("masked", ["by-itself", "by-the-user"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_masked_and_asserted_it_waits_while_the_other_comes(
    edu: Edu, intx: Interrupt, asserting: Edu, event: EventFd, other: EventFd, masked: str,
    *, first: bool,
) -> None:  # fmt: skip
    """The other's interrupts do not signal it, whichever of the two was turned on first."""
    beside = Interrupt(asserting.device, vfio.VFIO_PCI_INTX_IRQ_INDEX)
    if not first:
        beside.signal(other)
    intx.signal(event)
    if first:
        beside.signal(other)
    if masked == "by-the-user":
        intx.mask()
    edu.raise_interrupt()
    if masked == "by-itself":
        expect.equal("signals", arrived(event), 1)
    for turn in range(2):
        asserting.raise_interrupt()
        expect.equal(f"signals of the other device, turn {turn}", arrived(other), 1)
        asserting.acknowledge()
        beside.unmask()
    beside.off()  # waits until no handler runs
    expect.equal("signals while masked", event.count(), 0)
    intx.unmask()
    expect.equal("signals once unmasked", arrived(event), 1)
