# SPDX-License-Identifier: MIT
"""Sequences of memory decoding, power states and resets: when a region can be reached, and how."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.device import Device
from vfiospec.device.files import Mapping
from vfiospec.device.pci import ROM, PciDevice
from vfiospec.device.region import Region, plain_offset
from vfiospec.rules import feature_power as power_rules
from vfiospec.rules import mmap as mmap_rules
from vfiospec.rules import region_access as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices
from vfiospec.session.stateful import search

D0, D3HOT = 0, 3
SET = feature.VFIO_DEVICE_FEATURE_SET
ENTRY = SET | feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY
EXIT = SET | feature.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT
Promised = Callable[[Rule], int]


@dataclass
class Reach:
    """A device, a BAR of it, and a mapping of that BAR."""

    device: Device
    region: Region
    mapping: Mapping
    offset: int
    control: int  # of the power management capability
    can_reset: bool
    can_sleep: bool


@pytest.fixture
def reach(decoding: Device, pci: PciDevice) -> Iterator[Reach]:
    """The first BAR that can be mapped."""
    regions = [decoding.region(i) for i, b in enumerate(pci.bars[:ROM]) if b.is_memory and b.size]
    region = next(r for r in regions if r.info.flags & vfio.VFIO_REGION_INFO_FLAG_MMAP)
    probe = feature.VFIO_DEVICE_FEATURE_PROBE | ENTRY
    info = vfio.vfio_device_info.unpack(decoding.get_info().raw)
    with region.map() as mapping:
        yield Reach(
            decoding, region, mapping, plain_offset(pci, region.index),
            pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL,
            bool(info.flags & vfio.VFIO_DEVICE_FLAGS_RESET), decoding.try_feature(probe).ok,
        )  # fmt: skip


class Access(RuleBasedStateMachine):
    """Whether memory is decoded, the power state, and whether the device may sleep."""

    def __init__(self, reach: Reach, promised: Promised) -> None:
        super().__init__()
        self.reach, self.promised = reach, promised
        self.memory, self.state, self.may_sleep = True, D0, False

    def teardown(self) -> None:
        """Awake, in D0, with memory on."""
        if self.reach.can_sleep:
            self.reach.device.try_feature(EXIT)
        self._set_state(D0)
        self._set_memory(on=True)

    def _set_memory(self, *, on: bool) -> None:
        device = self.reach.device
        command = device.read_config(regs.PCI_COMMAND, 2) & ~regs.PCI_COMMAND_MEMORY
        device.write_config(regs.PCI_COMMAND, 2, command | (regs.PCI_COMMAND_MEMORY if on else 0))

    def _set_state(self, state: int) -> None:
        device, control = self.reach.device, self.reach.control
        before = device.read_config(control, 2) & ~regs.PCI_PM_CTRL_STATE_MASK
        device.write_config(control, 2, before | state)

    def _shown_state(self) -> int:
        return self.reach.device.read_config(self.reach.control, 2) & regs.PCI_PM_CTRL_STATE_MASK

    def _withheld(self, memory_off: Rule, d3hot: Rule) -> int:
        """What an access is refused with; 0: it is made."""
        if not self.memory:
            return self.promised(memory_off)
        return self.promised(d3hot) if self.state == D3HOT else 0

    @precondition(lambda self: self.state == D0)
    @rule(on=st.booleans())
    def decode(self, on: bool) -> None:  # noqa: FBT001 -- as a switch
        """Turn memory decoding on or off, also to what it is."""
        self._set_memory(on=on)
        self.memory = on

    @precondition(lambda self: not self.may_sleep)
    @rule(state=st.sampled_from([D0, D3HOT, D3HOT]))
    def power(self, state: int) -> None:
        """Change the power state by the capability."""
        self._set_state(state)
        self.state = state
        expect.equal("power state", self._shown_state(), state)

    @precondition(lambda self: self.reach.can_sleep and self.state == D0)
    @rule()
    def let_it_sleep(self) -> None:
        """Once: a second time is refused."""
        call = self.reach.device.try_feature(ENTRY)
        if self.may_sleep:
            expect.refused(call, self.promised(power_rules.AGAIN))
        else:
            expect.accepted(call)
        self.may_sleep = True

    @precondition(lambda self: self.reach.can_sleep)
    @rule()
    def keep_it_awake(self) -> None:
        """However often."""
        expect.accepted(self.reach.device.try_feature(EXIT))
        self.may_sleep = False

    @precondition(lambda self: self.reach.can_reset)
    @rule()
    def reset(self) -> None:
        """It comes back in D0, decoding memory or not as before."""
        expect.accepted(self.reach.device.try_reset())
        self.state = D0
        command = self.reach.device.read_config(regs.PCI_COMMAND, 2)
        shown = bool(command & regs.PCI_COMMAND_MEMORY)
        expect.equal("memory decoding after a reset", shown, self.memory)
        if self.promised(rules.D3HOT):  # kernels that guard D3hot leave it for a reset
            expect.equal("power state after a reset", self._shown_state(), D0)

    @rule(width=st.sampled_from([1, 2, 4]))
    def read(self, width: int) -> None:
        """By pread: refused or whole, and a device that sleeps wakes for it."""
        call = self.reach.region.try_read(self.reach.offset, width)
        errno = self._withheld(rules.MEMORY_OFF, rules.D3HOT)
        if errno:
            expect.refused(call, errno)
        else:
            expect.accepted(call, width)

    @rule()
    def touch(self) -> None:
        """By the mapping: a fault or none."""
        signal = self._withheld(mmap_rules.FAULT, mmap_rules.D3HOT)
        if self.may_sleep:
            signal = self.promised(mmap_rules.LOW_POWER)
        reply = self.reach.mapping.load(self.reach.offset, 4)
        where = f"memory={self.memory}, D{self.state}, may sleep={self.may_sleep}"
        expect.equal(f"signal of a load with {where}", reply.signal, signal)


@checks(rules.MEMORY_OFF, rules.D3HOT, mmap_rules.FAULT, mmap_rules.RECOVERS)
@devices("pm", "pcie", without=("below-bridge",))
def test_any_sequence_does_what_the_model_says(reach: Reach, promised: Promised) -> None:
    """Call by call: what can be reached through the file and through a mapping."""
    search(lambda: Access(reach, promised), steps=15)  # waking takes its time
