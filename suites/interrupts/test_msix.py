# SPDX-License-Identifier: MIT
"""MSI-X: messages of several vectors, and a table that lies in memory."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from signal import SIGBUS

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.e1000e import IDS, VECTORS, E1000e
from vfiospec.device.files import EventFd, Mapping
from vfiospec.device.interrupt import Interrupt, arrived
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import interrupts as rules
from vfiospec.session.marks import checks, devices

pytestmark = devices("msix", "aer")


@pytest.fixture
def card(device: Device, pci: PciDevice) -> Iterator[E1000e]:
    """The device behind the fd, awake."""
    if pci.ids != IDS:
        pytest.skip("no device here that sends MSI-X messages on demand: an e1000e would")
    made = E1000e(device)
    with made.in_use():
        yield made


@pytest.fixture
def msix(card: E1000e) -> Interrupt:
    """Its MSI-X vectors, off."""
    return Interrupt(card.device, vfio.VFIO_PCI_MSIX_IRQ_INDEX)


@pytest.fixture
def events(port: Port) -> Iterator[tuple[EventFd, ...]]:
    """An eventfd for each vector."""
    with ExitStack() as stack:
        yield tuple(stack.enter_context(EventFd.create(port)) for _ in range(VECTORS))


def heard(card: E1000e, events: tuple[EventFd, ...], vector: int) -> tuple[int, ...]:
    """Send a vector's message; the signals of each eventfd once it came."""
    card.interrupt(vector)
    events[vector].wait(5000)
    return tuple(event.count() for event in events)


def only(vector: int) -> tuple[int, ...]:
    """One signal of a vector's eventfd, none of the others."""
    return tuple(int(n == vector) for n in range(VECTORS))


@checks(rules.MSI_DELIVERED)
def test_each_vector_signals_its_own_eventfd(
    card: E1000e, msix: Interrupt, events: tuple[EventFd, ...]
) -> None:
    """Once, and no other is signalled."""
    msix.signal(*events)
    for vector in (*range(VECTORS), *reversed(range(VECTORS))):
        expect.equal("signals", heard(card, events, vector), only(vector))


@checks(rules.MSI_DELIVERED, rules.DEASSIGNED)
def test_a_vector_left_out_signals_nobody(
    card: E1000e, msix: Interrupt, events: tuple[EventFd, ...]
) -> None:
    """Its neighbours are signalled as ever, and it too once it has an eventfd."""
    msix.signal(events[0], -1, *events[2:])
    card.interrupt(1)
    expect.equal("signals of a neighbour", heard(card, events, 2), only(2))
    msix.signal(events[1], start=1)
    expect.equal("signals", sum(heard(card, events, 1)) >= 1, True)
    expect.equal("signals of the next", heard(card, events, 1), only(1))


@checks(rules.REPLACED)
def test_replacing_one_leaves_the_others(
    card: E1000e, msix: Interrupt, events: tuple[EventFd, ...], other: EventFd
) -> None:
    """Vectors are set one by one."""
    msix.signal(*events)
    msix.signal(other, start=3)
    card.interrupt(3)
    expect.equal("signals of the new eventfd", arrived(other), 1)
    for vector in (0, 1, 2, 4):
        expect.equal("signals", heard(card, events, vector), only(vector))
    expect.equal("signals of the new eventfd since", other.count(), 0)


@checks(rules.DEASSIGNED)
def test_taking_one_away_leaves_the_others(
    card: E1000e, msix: Interrupt, events: tuple[EventFd, ...]
) -> None:
    """The others are signalled, and so is it once it is set again."""
    msix.signal(*events)
    msix.signal(-1, start=2)
    card.interrupt(2)
    for vector in (0, 1, 3, 4):
        expect.equal("signals", heard(card, events, vector), only(vector))
    msix.signal(events[2], start=2)
    card.interrupt(2)
    expect.equal("signals once set again", arrived(events[2]) >= 1, True)
    expect.equal("signals of the next", heard(card, events, 2), only(2))


@checks(rules.MSIX_MEMORY_OFF)
def test_it_is_set_up_with_memory_off(
    card: E1000e,
    msix: Interrupt,
    events: tuple[EventFd, ...],
    spec: BenchDevice,
    port: Port,
) -> None:
    """On, changed and off: memory is off afterwards. On once more, the messages come."""

    def memory_is_on() -> bool:
        shown = card.device.read_config(regs.PCI_COMMAND, 2)
        real = PciDevice(port, spec.bdf).u16(regs.PCI_COMMAND)
        return bool((shown | real) & regs.PCI_COMMAND_MEMORY)

    command = card.device.read_config(regs.PCI_COMMAND, 2)
    with card.bar.map() as mapping:
        card.device.write_config(regs.PCI_COMMAND, 2, command & ~regs.PCI_COMMAND_MEMORY)
        steps: tuple[Callable[[], None], ...] = (
            lambda: msix.signal(*events),
            lambda: msix.signal(-1, start=1),
            lambda: msix.signal(events[1], start=1),
            lambda: msix.signal(events[0]),
            msix.off,
            lambda: msix.signal(*events),
        )
        for step in steps:
            step()
            expect.equal("memory is on", memory_is_on(), False)
            expect.equal("signal of a touch", mapping.load(0, 4).signal, SIGBUS)
        card.device.write_config(regs.PCI_COMMAND, 2, command)
        expect.equal("signal of a touch with memory on", mapping.load(0, 4).signal, 0)
    for vector in range(VECTORS):
        expect.equal("signals", heard(card, events, vector), only(vector))


def table(card: E1000e, pci: PciDevice) -> tuple[Mapping, int]:
    """A mapping of the BAR that holds the vectors' messages, and where in it they are."""
    where = pci.u32(pci.capabilities[regs.PCI_CAP_ID_MSIX] + regs.PCI_MSIX_TABLE)
    bar = card.device.region(where & regs.PCI_MSIX_TABLE_BIR)
    return bar.map(), where & regs.PCI_MSIX_TABLE_OFFSET


@checks(rules.MSIX_REFRESHED)
def test_setting_it_again_repairs_a_message(
    card: E1000e, msix: Interrupt, events: tuple[EventFd, ...], pci: PciDevice
) -> None:
    """The device's own copy is lost, as a reset behind the kernel's back would lose it."""
    msix.signal(*events)
    mapping, at = table(card, pci)
    with mapping:
        first = at + regs.PCI_MSIX_ENTRY_SIZE
        message = range(first, first + regs.PCI_MSIX_ENTRY_VECTOR_CTRL, 4)
        good = [mapping.load(offset, 4).value for offset in message]
        for offset in message:
            mapping.store(offset, 4, 0)
        msix.signal(events[1], start=1)
        now = [mapping.load(offset, 4).value for offset in message]
    expect.equal("message", now, good)
    expect.equal("signals", heard(card, events, 1), only(1))


@checks(rules.RESET_KEEPS)
def test_a_reset_leaves_the_eventfds(
    card: E1000e, msix: Interrupt, events: tuple[EventFd, ...]
) -> None:
    """The kernel restores the vectors' messages; what the device forgot is ours to set."""
    msix.signal(*events)
    expect.accepted(card.device.try_reset())
    card.start()
    for vector in range(VECTORS):
        expect.equal("signals", heard(card, events, vector), only(vector))
