# SPDX-License-Identifier: MIT
"""What MSI and MSI-X come to in the device: its registers and its table of vectors."""

import mmap
from collections.abc import Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.irq_model import EVENTFD, MSI, MSIX, TRIGGER, Fd, Request
from vfiospec.rules import set_irqs as rules
from vfiospec.session.irqs import Irqs
from vfiospec.session.marks import checks, devices

MEMORY = regs.PCI_COMMAND_MEMORY
ENTRY = regs.PCI_MSIX_ENTRY_SIZE
GARBAGE = 0x5A5A5A58


def order(count: int) -> int:
    """The least power of two, as its logarithm, that is not below a count."""
    return (count - 1).bit_length()


def field(flags: int, mask: int) -> int:
    """The value of a field."""
    return (flags & mask) // (mask & -mask)


@pytest.fixture
def capability(irqs: Irqs) -> Iterator[int]:
    """Where MSI's message control lies; the user's view of it is put back."""
    at = irqs.pci.capabilities[regs.PCI_CAP_ID_MSI] + regs.PCI_MSI_FLAGS
    before = irqs.device.read_config(at, 2)
    yield at
    if irqs.state.mode is not None:
        irqs.off(irqs.state.mode)
    irqs.device.write_config(at, 2, before & ~regs.PCI_MSI_FLAGS_ENABLE)


@checks(rules.SET_HAS_SIZE, rules.POSITIVE)
@devices("msi")
def test_a_power_of_two_of_messages_is_enabled(irqs: Irqs) -> None:
    """For each size of the set; refused, MSI stays off."""
    for count in range(1, irqs.shape.counts[MSI] + 1):
        irqs.on(MSI, count)
        irqs.check()
        if irqs.state.mode is None:
            continue
        flags = irqs.hardware_flags(regs.PCI_CAP_ID_MSI)
        enabled = field(flags, regs.PCI_MSI_FLAGS_QSIZE)
        expect.equal(f"messages enabled for {count}, as a logarithm", enabled, order(count))
        irqs.off(MSI)


@checks(rules.USER_SEES_SIZE)
@devices("msi")
def test_the_user_cannot_enable_more_messages(irqs: Irqs, capability: int) -> None:
    """For each size of the set, each value of the field."""
    step = regs.PCI_MSI_FLAGS_QSIZE & -regs.PCI_MSI_FLAGS_QSIZE
    for count in range(1, irqs.shape.counts[MSI] + 1):
        irqs.on(MSI, count)
        if irqs.state.mode is None:
            continue
        for wanted in range(6):
            on = regs.PCI_MSI_FLAGS_ENABLE | wanted * step
            irqs.device.write_config(capability, 2, on)
            seen = field(irqs.device.read_config(capability, 2), regs.PCI_MSI_FLAGS_QSIZE)
            expect.equal(f"field written as {wanted}, {count} on", seen, min(wanted, order(count)))
        irqs.off(MSI)


@checks(rules.POSITIVE, rules.REFUSED_CHANGES_NOTHING)
@devices("multivector-msi")
def test_all_messages_or_how_many_there_are(irqs: Irqs, *, interrupt_remapping: bool) -> None:
    """Without interrupt remapping the answer is positive, nothing is on, and one can be had."""
    count = irqs.shape.counts[MSI]
    for wanted in (count, 2):
        irqs.on(MSI, wanted)
        irqs.prove()
        irqs.loopback(MSI, wanted)
        irqs.apply(Request(MSI, EVENTFD | TRIGGER, 0, 1, fds=(Fd.EVENTFD,)))
        expect.equal("vectors", len(irqs.state.vectors), wanted if interrupt_remapping else 1)
        irqs.prove()
        irqs.all_off()


class Table:
    """The MSI-X table, seen through a mapping of its BAR."""

    def __init__(self, irqs: Irqs) -> None:
        at = irqs.pci.capabilities[regs.PCI_CAP_ID_MSIX]
        where = irqs.pci.u32(at + regs.PCI_MSIX_TABLE)
        self.start = where & regs.PCI_MSIX_TABLE_OFFSET
        bar = irqs.device.region(where & regs.PCI_MSIX_TABLE_BIR)
        if not bar.info.flags & vfio.VFIO_REGION_INFO_FLAG_MMAP:
            pytest.skip("the BAR of its MSI-X table cannot be mapped: take another device")
        call, mapping = bar.try_map(prot=mmap.PROT_READ | mmap.PROT_WRITE)
        if mapping is None:
            raise AssertionError(f"{call} though its info has the MMAP flag")
        self.mapping = mapping

    def message(self, vector: int) -> tuple[int, int, int]:
        """A vector's address, low and high, and data."""
        at = self.start + ENTRY * vector
        low, high, data = (self.mapping.load(at + i, 4).value for i in (0, 4, 8))
        return low, high, data

    def spoil(self, vector: int) -> None:
        """Write nonsense over a vector's address and data."""
        for i in (0, 4, 8):
            self.mapping.store(self.start + ENTRY * vector + i, 4, GARBAGE)

    def masked(self, vector: int) -> bool:
        """Whether the vector is masked in the table."""
        at = self.start + ENTRY * vector + regs.PCI_MSIX_ENTRY_VECTOR_CTRL
        return bool(self.mapping.load(at, 4).value & regs.PCI_MSIX_ENTRY_CTRL_MASKBIT)


@pytest.fixture
def command(irqs: Irqs) -> Iterator[int]:
    """The user's command register with memory decode on; put back."""
    before = irqs.device.read_config(regs.PCI_COMMAND, 2)
    irqs.device.write_config(regs.PCI_COMMAND, 2, before | MEMORY)
    yield before | MEMORY
    irqs.device.write_config(regs.PCI_COMMAND, 2, before)


@pytest.fixture
def table(irqs: Irqs, command: int) -> Iterator[Table]:
    """The table, while memory decode is on."""
    del command
    made = Table(irqs)
    yield made
    made.mapping.unmap()


@checks(rules.TABLE_WRITTEN)
@devices("msix")
def test_assigning_writes_the_table_again(irqs: Irqs, table: Table) -> None:
    """One vector's entry: the other vectors' are not touched."""
    irqs.on(MSIX, 2)
    right = [table.message(vector) for vector in range(2)]
    expect.holds(right[0] != right[1], "messages that differ", f"both are {right[0]}")
    spoilt = (GARBAGE,) * 3
    for vector in (0, 1):
        for n in (0, 1):
            table.spoil(n)
        irqs.on(MSIX, 1, vector)
        expect.equal("its entry", table.message(vector), right[vector])
        expect.equal("the other entry", table.message(1 - vector), spoilt)
    irqs.on(MSIX, 2)
    expect.equal("both entries", [table.message(vector) for vector in range(2)], right)


@checks(rules.TABLE_WRITTEN)
@devices("msix")
def test_a_vector_is_masked_while_it_has_no_eventfd(irqs: Irqs, table: Table) -> None:
    """In the device's own table."""
    irqs.on(MSIX, 2)
    for vector in (0, 1):
        expect.equal("masked with an eventfd", table.masked(vector), False)
        irqs.apply(Request(MSIX, EVENTFD | TRIGGER, vector, 1, fds=(Fd.MINUS_ONE,)))
        expect.equal("masked without", table.masked(vector), True)
        irqs.on(MSIX, 1, vector)
        expect.equal("masked with another", table.masked(vector), False)


@checks(rules.TABLE_WRITTEN, rules.RESIZE)
@devices("msix")
def test_it_is_written_while_memory_decode_is_off(irqs: Irqs, table: Table, command: int) -> None:
    """All of the above happens, and decode is as the user left it."""
    for on in (command, command & ~MEMORY):
        irqs.device.write_config(regs.PCI_COMMAND, 2, on)
        irqs.on(MSIX, 1)
        irqs.device.write_config(regs.PCI_COMMAND, 2, command)
        right = table.message(0)
        expect.equal("masked when turned on", table.masked(0), False)
        table.spoil(0)
        irqs.device.write_config(regs.PCI_COMMAND, 2, on)
        irqs.on(MSIX, 1)
        irqs.apply(Request(MSIX, EVENTFD | TRIGGER, 1, 1, fds=(Fd.EVENTFD,)))
        irqs.device.write_config(regs.PCI_COMMAND, 2, command)
        expect.equal("entry when assigned again", table.message(0), right)
        if 1 in irqs.state.assigned:
            expect.equal("masked when added", table.masked(1), False)
            irqs.device.write_config(regs.PCI_COMMAND, 2, on)
            irqs.apply(Request(MSIX, EVENTFD | TRIGGER, 1, 1, fds=(Fd.MINUS_ONE,)))
            irqs.device.write_config(regs.PCI_COMMAND, 2, command)
            expect.equal("masked when taken away", table.masked(1), True)
        irqs.off(MSIX)
        irqs.check()


def keeps_command(irqs: Irqs, index: int, command: int) -> None:
    """Turn a set on, assign, take away, turn it off: the device's register after each.

    Where no more than one MSI can be had, two are asked for first.
    """
    some = min(irqs.shape.counts[index], 2)
    most = 1 if index == MSI and irqs.shape.one_msi else some
    for wanted in (command, command & ~MEMORY):
        irqs.device.write_config(regs.PCI_COMMAND, 2, wanted)
        before = irqs.hardware(regs.PCI_COMMAND, 2)
        steps = [
            Request(index, EVENTFD | TRIGGER, 0, some, fds=(Fd.EVENTFD,) * some),
            Request(index, EVENTFD | TRIGGER, 0, most, fds=(Fd.EVENTFD,) * most),
            Request(index, EVENTFD | TRIGGER, 0, 1, fds=(Fd.EVENTFD,)),
            Request(index, EVENTFD | TRIGGER, 0, 1, fds=(Fd.CLOSED,)),
            Request(index, EVENTFD | TRIGGER, 0, most, fds=(Fd.MINUS_ONE,) * most),
        ]
        for step in steps:
            irqs.apply(step)
            expect.equal("command register", irqs.hardware(regs.PCI_COMMAND, 2), before)
        irqs.off(index)
        expect.equal("command register when off", irqs.hardware(regs.PCI_COMMAND, 2), before)


@checks(rules.COMMAND_KEPT)
@devices("msi")
def test_msi_keeps_the_command_register(irqs: Irqs, command: int) -> None:
    """With memory decode on and off."""
    keeps_command(irqs, MSI, command)


@checks(rules.COMMAND_KEPT)
@devices("msix")
def test_msix_keeps_the_command_register(irqs: Irqs, command: int) -> None:
    """With memory decode on and off."""
    keeps_command(irqs, MSIX, command)
