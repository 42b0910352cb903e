# SPDX-License-Identifier: MIT
"""Sequences of SET_IRQS: per index disabled, enabled and its triggers; INTx masked or not."""

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.irq_model import (
    BOOL,
    EVENTFD,
    INTX,
    MASK,
    NONE,
    SETS,
    SINGLES,
    TRIGGER,
    UNMASK,
    Fd,
    Promised,
    Request,
    Shape,
)
from vfiospec.device.pci import PciDevice
from vfiospec.rules import set_irqs as rules
from vfiospec.session.irqs import Irqs
from vfiospec.session.marks import checks, devices
from vfiospec.session.stateful import search

MOST = 4  # vectors of a set that are used
KINDS = st.sampled_from([Fd.EVENTFD, Fd.EVENTFD, Fd.EVENTFD, Fd.MINUS_ONE, Fd.CLOSED, Fd.OTHER])


class Interrupts(RuleBasedStateMachine):
    """One device; what it does is predicted by vfiospec.device.irq_model, and masking here."""

    def __init__(self, made: Callable[[], Irqs]) -> None:
        super().__init__()
        self.irqs = made()
        self.masked = False

    def teardown(self) -> None:
        """Turn everything off, whatever was found."""
        self.irqs.silence()

    @property
    def on(self) -> int | None:
        return self.irqs.state.mode

    def _intx(self, *requests: Request) -> None:
        was_on = self.on == INTX
        self.irqs.apply(*requests)
        if self.on == INTX and not was_on:
            self.masked = False

    @rule(fd=KINDS)
    def trigger_of_intx(self, fd: Fd) -> None:
        """Turned on, replaced, or taken away."""
        if self.irqs.shape.counts[INTX]:
            self._intx(Request(INTX, EVENTFD | TRIGGER, 0, 1, fds=(fd,)))

    @precondition(lambda self: self.irqs.shape.counts[INTX])
    @rule(act=st.sampled_from([MASK, UNMASK]), by=st.sampled_from([NONE, 0, 1]))
    def mask(self, act: int, by: int) -> None:
        """By itself, or by a byte that says whether."""
        plain = by == NONE
        flags = (NONE if plain else BOOL) | act
        was_on = self.on == INTX
        self.irqs.apply(Request(INTX, flags, 0, 1, bools=b"" if plain else bytes([by])))
        if was_on and (plain or by):
            self.masked = act == MASK

    @rule(
        index=st.sampled_from(SETS),
        start=st.sampled_from([0, 0, 0, 1, 2, 3]),
        fds=st.lists(KINDS, min_size=1, max_size=MOST),
    )
    def triggers_of_a_set(self, index: int, start: int, fds: list[Fd]) -> None:
        """A block of vectors, good ones and bad ones."""
        count = min(self.irqs.shape.counts[index], MOST)
        if start < count:
            block = tuple(fds[: count - start])
            self.irqs.apply(Request(index, EVENTFD | TRIGGER, start, len(block), fds=block))

    @rule(index=st.sampled_from(SINGLES), fd=KINDS)
    def trigger_of_a_single(self, index: int, fd: Fd) -> None:
        """Errors and requests, beside whatever else is on."""
        if self.irqs.shape.counts[index]:
            self.irqs.apply(Request(index, EVENTFD | TRIGGER, 0, 1, fds=(fd,)))

    @rule(index=st.sampled_from([INTX, *SETS, *SINGLES]))
    def off(self, index: int) -> None:
        """Also what is not on, which is refused."""
        if self.irqs.shape.counts[index]:
            self.irqs.apply(Request(index, NONE | TRIGGER))

    @rule(index=st.sampled_from([INTX, *SETS, *SINGLES]), start=st.integers(0, MOST - 1))
    def loopback(self, index: int, start: int) -> None:
        """One interrupt: its eventfd is signalled once if it has one, and no other."""
        if start < self.irqs.shape.counts[index]:
            self.irqs.apply(Request(index, NONE | TRIGGER, start, 1))

    @rule()
    def look(self) -> None:
        """What is requested, allocated and enabled in the device."""
        self.irqs.check()

    @invariant()
    def the_device_is_held_back_while_masked(self) -> None:
        """By its own Interrupt Disable bit."""
        if self.on == INTX:
            command = self.irqs.hardware(regs.PCI_COMMAND, 2)
            held = bool(command & regs.PCI_COMMAND_INTX_DISABLE)
            expect.equal("Interrupt Disable in the device", held, self.masked)


@checks(
    rules.ENABLE, rules.DISABLE, rules.REPLACE, rules.LOOPBACK, rules.MASK, rules.MASK_ZERO,
    rules.NOT_ON, rules.BAD_BLOCK, rules.ENABLED_UNMASKED,
)  # fmt: skip
@devices("intx", "msi", without=("below-bridge",))
def test_any_sequence_does_what_the_model_says(
    device: Device, pci: PciDevice, shape: Shape, promised: Promised, memory: Memory
) -> None:
    """Call by call: the answer, who was signalled, and what the device shows."""
    search(lambda: Interrupts(lambda: Irqs(device, pci, shape, promised, memory)))
