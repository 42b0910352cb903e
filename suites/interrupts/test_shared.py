# SPDX-License-Identifier: MIT
"""Two devices on one interrupt line: the kernel asks each, and only one did it."""

from collections.abc import Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
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


@pytest.fixture
def neighbour(
    run: Run, sysfs: PortSysfs, spec: BenchDevice, intx: Interrupt, reached_by: Way
) -> Iterator[Interrupt]:
    """INTx of another device whose line is that of the device under test."""
    del intx
    for other in run.devices:
        if other.name == spec.name or "intx" not in other.roles:
            continue
        with run.assigned(other, reached_by).open(other.bdf) as device:
            if line_of(sysfs, other) != line_of(sysfs, spec):
                continue
            made = Interrupt(device, vfio.VFIO_PCI_INTX_IRQ_INDEX)
            yield made
            made.try_off()
            return
    pytest.skip("no other device on the interrupt line of this one")


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
