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
from vfiospec.device.interrupt import Interrupt, arrived
from vfiospec.device.irq_model import EVENTFD, INTX, MASK, NONE, TRIGGER, UNMASK, Promised
from vfiospec.device.pci import SYSFS, PciDevice
from vfiospec.device.ways import Way
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import set_irqs as rules
from vfiospec.session.eventfds import Ids
from vfiospec.session.irqs import Irqs, shape_of
from vfiospec.session.marks import checks, devices
from vfiospec.session.run import Run

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
def beside(run: Run, spec: BenchDevice) -> BenchDevice:
    """Another device that interrupts at our word."""
    for other in run.devices:
        if other.group != spec.group and "irq-stimulus" in other.roles:
            return other
    pytest.skip("no other device that interrupts at our word: judge a guest")


@pytest.fixture
def neighbour(run: Run, beside: BenchDevice, reached_by: Way) -> Iterator[Edu]:
    """That device, open. Opened before the parameter is set, it does not count for it."""
    with run.assigned(beside, reached_by).open(beside.bdf) as device:
        made = Edu(device)
        with made.in_use():
            yield made


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


@pytest.fixture
def pair(
    neighbour: Edu, edu: Edu, spec: BenchDevice, beside: BenchDevice, sysfs: PortSysfs
) -> list[Edu]:
    """The neighbour and the device, on one line."""
    one, other = (sysfs.read(f"{SYSFS}/{each.bdf}/irq") for each in (spec, beside))
    if one != other:
        pytest.skip("no other device on the interrupt line of this one")
    return [neighbour, edu]


@checks(rules.EXCLUSIVE_ALONE, rules.RELEASED)
@pytest.mark.parametrize("first", [0, 1], ids=["neighbour-first", "neighbour-second"])
def test_it_has_the_line_to_itself(
    pair: list[Edu], ids: Ids, port_event: EventFd, first: int, promised: Promised
) -> None:
    """Whichever is on goes on, and the eventfd of the other is not held."""
    device = pair[first]
    one, other = (Interrupt(each.device, INTX) for each in (device, pair[1 - first]))
    one.signal(port_event)
    with EventFd.create(other.device.port) as event:
        (mine,) = ids.of(event)
        call = other.device.try_set_irqs(INTX, EVENTFD | TRIGGER, 0, 1, eventfds=(event,))
    expect.equal(f"errno of {call}", call.errno, promised(rules.EXCLUSIVE_ALONE))
    for turn in range(2):
        device.raise_interrupt()
        expect.equal(f"signals, turn {turn}", arrived(port_event), 1)
        device.acknowledge()
        one.unmask()
    other.try_off()
    ids.must_go(mine, "once its INTx is off")
    one.off()
