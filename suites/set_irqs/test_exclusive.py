# SPDX-License-Identifier: MIT
"""INTx of a device whose line cannot be disabled in the device: masked where it arrives.

vfio_pci.nointxmask makes vfio-pci treat each device it is bound to next as such a one.
"""

from collections.abc import Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.device.access import Attach
from vfiospec.device.call import checked
from vfiospec.device.edu import Edu
from vfiospec.device.files import EventFd, Memory
from vfiospec.device.irq_model import INTX, MASK, NONE, UNMASK, Promised
from vfiospec.device.pci import PciDevice
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import set_irqs as rules
from vfiospec.session.irqs import Irqs, shape_of
from vfiospec.session.marks import checks, devices

pytestmark = devices("irq-stimulus", without=("grouped",))
PARAMETER = "/sys/module/vfio_pci/parameters/nointxmask"
DRIVER = "/sys/bus/pci/drivers/vfio-pci"
COMES = 5000  # milliseconds that an interrupt may take
STAYS_AWAY = 20


def bind_again(sysfs: PortSysfs, bdf: str, parameter: str) -> None:
    """Set the parameter, and have the driver take the device anew."""
    sysfs.write(PARAMETER, parameter)
    sysfs.write(f"{DRIVER}/unbind", bdf)
    sysfs.write(f"{DRIVER}/bind", bdf)


@pytest.fixture
def exclusive(
    attach: Attach, spec: BenchDevice, sysfs: PortSysfs, pci: PciDevice,
    promised: Promised, memory: Memory,
) -> Iterator[Irqs]:  # fmt: skip
    """The interrupts of a device bound while the parameter was set; all put back."""
    if not sysfs.exists(PARAMETER):
        pytest.skip("vfio_pci.nointxmask is not there: load vfio_pci")
    before = sysfs.read(PARAMETER)
    bind_again(sysfs, spec.bdf, "Y")
    try:
        assigned = attach()
        device = assigned.open(spec.bdf)
        irqs = Irqs(device, pci, shape_of(device, isolated=True), promised, memory)
        yield irqs
        irqs.silence()
        device.close()
        assigned.close()
    finally:
        bind_again(sysfs, spec.bdf, before)


@pytest.fixture
def edu(exclusive: Irqs) -> Iterator[Edu]:
    """The device, which interrupts at our word."""
    made = Edu(exclusive.device)
    command = exclusive.device.read_config(regs.PCI_COMMAND, 2)
    made.enable()
    made.acknowledge()
    yield made
    made.acknowledge()
    exclusive.device.write_config(regs.PCI_COMMAND, 2, command)


def trigger(irqs: Irqs) -> EventFd:
    return irqs.events[INTX, 0]


def comes(irqs: Irqs, when: str) -> None:
    """The eventfd is signalled, once."""
    expect.holds(trigger(irqs).wait(COMES), f"a signal, {when}", "none came")
    expect.equal(f"signals, {when}", trigger(irqs).count(), 1)


def stays_away(irqs: Irqs, when: str) -> None:
    """The eventfd is not signalled."""
    expect.holds(not trigger(irqs).wait(STAYS_AWAY), f"no signal, {when}", "one came")


def tell(irqs: Irqs, action: int) -> None:
    """MASK or UNMASK, whatever is signalled by that."""
    checked(irqs.device.try_set_irqs(INTX, action | NONE, 0, 1))


@checks(rules.EXCLUSIVE)
def test_the_line_is_masked_where_it_arrives(exclusive: Irqs, promised: Promised) -> None:
    """The device's own register does not change."""
    exclusive.on(INTX)
    exclusive.prove()
    for action, masked in ((MASK, True), (UNMASK, False), (MASK, True)):
        tell(exclusive, action)
        register = exclusive.hardware(regs.PCI_COMMAND, 2)
        disabled = bool(register & regs.PCI_COMMAND_INTX_DISABLE)
        expected = masked and not promised(rules.EXCLUSIVE)
        expect.equal("line disabled in the device", disabled, expected)


@checks(rules.EXCLUSIVE_MASKS)
def test_it_masks_itself_and_unmask_lets_it_come_again(exclusive: Irqs, edu: Edu) -> None:
    """While the line stays asserted, and not once it is acknowledged."""
    exclusive.on(INTX)
    edu.raise_interrupt()
    comes(exclusive, "raised")
    stays_away(exclusive, "masked by itself")
    tell(exclusive, UNMASK)
    comes(exclusive, "unmasked while asserted")
    edu.acknowledge()
    tell(exclusive, UNMASK)
    stays_away(exclusive, "unmasked once acknowledged")
    edu.raise_interrupt()
    comes(exclusive, "raised again")


@checks(rules.EXCLUSIVE_MASKS)
def test_masked_it_waits(exclusive: Irqs, edu: Edu) -> None:
    """MASK twice is MASK once, and so is UNMASK; turned on again it is not masked."""
    exclusive.on(INTX)
    for _ in range(2):
        for _ in range(2):
            tell(exclusive, MASK)
        edu.raise_interrupt()
        stays_away(exclusive, "masked")
        tell(exclusive, UNMASK)
        comes(exclusive, "unmasked")
        edu.acknowledge()
        for _ in range(2):
            tell(exclusive, UNMASK)
    tell(exclusive, MASK)
    exclusive.off(INTX)
    exclusive.on(INTX)
    edu.raise_interrupt()
    comes(exclusive, "turned on again")


@checks(rules.EXCLUSIVE_MASKS, rules.ENABLED_UNMASKED)
def test_it_waits_for_the_users_command_register(exclusive: Irqs, edu: Edu) -> None:
    """Disabled there before INTx is turned on, and while it is."""
    disable = regs.PCI_COMMAND_INTX_DISABLE
    command = exclusive.device.read_config(regs.PCI_COMMAND, 2) & ~disable
    for on_first in (False, True):
        if on_first:
            exclusive.on(INTX)
        exclusive.device.write_config(regs.PCI_COMMAND, 2, command | disable)
        if not on_first:
            exclusive.on(INTX)
        edu.raise_interrupt()
        stays_away(exclusive, "disabled by the user")
        exclusive.device.write_config(regs.PCI_COMMAND, 2, command)
        comes(exclusive, "enabled by the user")
        edu.acknowledge()
        exclusive.off(INTX)
