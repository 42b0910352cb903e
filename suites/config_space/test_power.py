# SPDX-License-Identifier: MIT
"""The power management capability: states are real, PME is not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.device.asleep import change_behind, keeps_its_state
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.device.region import Region
from vfiospec.rules import config_space as rules
from vfiospec.rules import config_space_caps as caps
from vfiospec.rules.config_space_layout import Layout
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

STATE = regs.PCI_PM_CTRL_STATE_MASK
D1, D2, D3 = 1, 2, 3
PME = regs.PCI_PM_CTRL_PME_ENABLE | regs.PCI_PM_CTRL_PME_STATUS
widths = pytest.mark.parametrize("width", [1, 2, 4], ids="width-{}".format)


@dataclass
class Control:
    """The control register, on both sides."""

    at: int
    space: Region
    hardware: Region

    def write(self, value: int, width: int = 2) -> None:
        self.space.write(self.at, width, value)

    @property
    def shown(self) -> int:
        return self.space.read(self.at, 2)

    @property
    def real(self) -> int:
        return self.hardware.read(self.at, 2)


@pytest.fixture
def control(space: Region, hardware: Region, pci: PciDevice) -> Iterator[Control]:
    """It ends in D0."""
    at = pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL
    made = Control(at, space, hardware)
    yield made
    made.write(made.shown & ~STATE)


@checks(caps.PM_STATE)
@devices("pm")
@widths
def test_a_device_can_be_put_to_sleep(control: Control, width: int) -> None:
    """The device says so itself, and wakes."""
    awake = control.space.read(control.at, width) & ~STATE
    control.write(awake | D3, width)
    expect.equal("state of the device", control.real & STATE, D3)
    expect.equal("state as the user sees it", control.shown & STATE, D3)
    control.write(awake, width)
    expect.equal("state of the device", control.real & STATE, 0)
    expect.equal("state as the user sees it", control.shown & STATE, 0)


@checks(caps.PM_STATE)
@devices("pm")
def test_sleep_loses_nothing(
    control: Control, layout: Layout, same: Callable[[str, bytes, bytes], None]
) -> None:
    """BARs, COMMAND and all else are as they were before."""
    awake = control.shown
    before = control.hardware.try_read(0, layout.size).data
    shown = control.space.try_read(0, layout.size).data
    control.write(awake & ~STATE | D3)
    control.write(awake & ~STATE)
    same("in the device", control.hardware.try_read(0, layout.size).data, before)
    same("as the user sees it", control.space.try_read(0, layout.size).data, shown)


@checks(caps.PM_RESTORED)
@devices("pm")
@pytest.mark.usefixtures("machine")
def test_what_is_lost_asleep_is_restored(control: Control, pci: PciDevice, port: Port) -> None:
    """Time and again, where the device says that it is lost; where it is not, it stays."""
    kept = keeps_its_state(pci)
    for _ in range(2):
        before = control.space.read(regs.PCI_CACHE_LINE_SIZE, 1)
        control.write(control.shown & ~STATE | D3)
        changed = change_behind(port, pci.bdf)
        shown = control.space.read(regs.PCI_CACHE_LINE_SIZE, 1)
        control.write(control.shown & ~STATE)
        expect.equal("cache line size in D3hot", shown, changed)
        now = control.space.read(regs.PCI_CACHE_LINE_SIZE, 1)
        expect.equal("cache line size in D0", now, changed if kept else before)


@checks(caps.PM_STATE, caps.PM_UNSUPPORTED)
@devices("pm")
@pytest.mark.parametrize(
    ("state", "support"), [(D1, regs.PCI_PM_CAP_D1), (D2, regs.PCI_PM_CAP_D2)], ids=["d1", "d2"]
)
def test_a_state_in_between(
    control: Control,
    promised: Callable[[Rule], int],
    state: int,
    support: int,
) -> None:
    """Only what the device says it has."""
    pmc = control.hardware.read(control.at - regs.PCI_PM_CTRL + regs.PCI_PM_PMC, 2)
    control.write(control.shown & ~STATE | state)
    expected = state if pmc & support else promised(caps.PM_UNSUPPORTED)
    expect.equal("state of the device", control.real & STATE, expected)


@checks(caps.PM_STATE)
@devices("pm")
def test_only_the_low_byte_has_the_state(control: Control) -> None:
    """Written alone, the byte above changes none."""
    above = control.space.read(control.at + 1, 1)
    control.space.write(control.at + 1, 1, above & ~(PME >> 8) | D3)
    expect.equal("state of the device", control.real & STATE, 0)
    control.space.write(control.at, 1, D3)
    control.space.write(control.at + 1, 1, above & ~(PME >> 8))
    expect.equal("state of the device", control.real & STATE, D3)


@checks(caps.PM_CTRL, caps.PM_PME)
@devices("pm")
@pytest.mark.parametrize("bit", [b for b in range(16) if not 1 << b & STATE], ids="bit-{}".format)
def test_the_other_bits_are_the_devices(
    control: Control, promised: Callable[[Rule], int], bit: int
) -> None:
    """But for those of PME, which the device does not hear of and which read 0."""
    kept = promised(caps.PM_PME)
    before, value = control.real, 1 << bit
    reach = 0xFFFF & ~(kept | STATE)
    control.hardware.write(control.at, 2, before & ~reach | value & reach)
    expected = control.real
    control.hardware.write(control.at, 2, before)
    control.write(value)
    expect.equal("control register of the device", control.real, expected)
    shown = expected & ~kept
    expect.equal("control register as the user sees it", control.shown, shown)


@checks(caps.PM_CTRL, rules.READS)
@devices("pm")
@widths
def test_its_upper_half_is_the_devices(control: Control, width: int) -> None:
    """What bridges have there, and the data register: whatever the device makes of a write."""
    at, space, hardware = control.at + 2, control.space, control.hardware
    start = control.at if width == 4 else at
    before = hardware.read(at, 2)
    for value in (0xFFFF, 0, before ^ 0xFFFF):
        hardware.write(at, 2, value)
        expected = hardware.read(at, 2)
        hardware.write(at, 2, before)
        sent = value << 16 | control.shown if width == 4 else value
        for part in range(0, max(width, 2), width):
            space.write(start + part, width, sent >> 8 * part & (1 << 8 * width) - 1)
        expect.equal(f"upper half of the device after {value:#x}", hardware.read(at, 2), expected)
        shown = space.read(at, 2)
        expect.equal(f"upper half as the user sees it after {value:#x}", shown, expected)


@checks(caps.PM_PME)
@devices("pm")
def test_the_host_s_pme_is_hidden(control: Control, promised: Callable[[Rule], int]) -> None:
    """Though the host has it on."""
    control.hardware.write(control.at, 2, control.real | regs.PCI_PM_CTRL_PME_ENABLE)
    kept = promised(caps.PM_PME)
    expect.equal("PME as the user sees it", control.shown & PME, control.real & PME & ~kept)
    pmc = control.at - regs.PCI_PM_CTRL + regs.PCI_PM_PMC
    expected = control.hardware.read(pmc, 2)
    if kept:
        expected &= ~regs.PCI_PM_CAP_PME_MASK
    expect.equal("capabilities as the user sees them", control.space.read(pmc, 2), expected)
