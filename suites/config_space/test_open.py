# SPDX-License-Identifier: MIT
"""What config space holds at the first open, and what outlives a reset or a last close."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.pci import SYSFS
from vfiospec.device.region import Region
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import config_space as rules
from vfiospec.rules import config_space_caps as caps
from vfiospec.rules.config_space_layout import Layout, visible
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Same = Callable[[str, bytes, bytes], None]
Open = Callable[[], Region]
LEFT = regs.PCI_COMMAND_INTX_DISABLE | regs.PCI_COMMAND_MASTER
NOINTXMASK = "/sys/module/vfio_pci/parameters/nointxmask"
# What differs from one user to the next without a promise: who reset what, when.
JUNK = {
    regs.PCI_INTERRUPT_LINE: (1, 0x5A),
    regs.PCI_BASE_ADDRESS_0: (4, 0x12340000),
    regs.PCI_BASE_ADDRESS_3: (4, 0xABCD0000),
    regs.PCI_ROM_ADDRESS: (4, 0x56780001),
    regs.PCI_COMMAND: (2, regs.PCI_COMMAND_INTX_DISABLE | regs.PCI_COMMAND_MASTER),
}


def _scribble(space: Region, layout: Layout) -> None:
    for at, (width, value) in JUNK.items():
        space.write(at, width, value)
    if area := layout.find("MSI"):
        space.write(area.start + regs.PCI_MSI_ADDRESS_LO, 4, 0xFEE0F00C)
        space.write(area.start + regs.PCI_MSI_ADDRESS_LO + 4, 4, 0x5AA5)
    if area := layout.find("EXP"):
        control = space.read(area.start + regs.PCI_EXP_DEVCTL, 2) & ~regs.PCI_EXP_DEVCTL_PAYLOAD
        control |= regs.PCI_EXP_DEVCTL_PAYLOAD_512B
        space.write(area.start + regs.PCI_EXP_DEVCTL, 2, control)


@pytest.fixture
def hidden(
    layout: Layout, sysfs: PortSysfs, spec: BenchDevice, promised: Callable[[Rule], int]
) -> bytes:
    """The bits that a user is not shown."""
    mask = bytearray(layout.size)
    if not int(sysfs.read(f"{SYSFS}/{spec.bdf}/irq")):
        mask[regs.PCI_INTERRUPT_PIN] = 0xFF
    if area := layout.find("PM"):
        pme = promised(caps.PM_PME)
        at = area.start + regs.PCI_PM_CTRL
        mask[at : at + 2] = pme.to_bytes(2, "little")
        if pme:
            at = area.start + regs.PCI_PM_PMC
            mask[at : at + 2] = regs.PCI_PM_CAP_PME_MASK.to_bytes(2, "little")
    return bytes(mask)


@checks(rules.FIRST_OPEN, caps.PM_PME)
def test_a_first_open_shows_the_device(
    fresh: Open, hardware: Region, hidden: bytes, layout: Layout, same: Same
) -> None:
    """Every byte, but for what is hidden."""
    space = fresh()
    shown = space.try_read(0, layout.size).data
    real = hardware.try_read(0, layout.size).data
    expected = bytes(r & ~h for r, h in zip(visible(real), hidden, strict=True))
    same("at first open", shown, expected)


@checks(rules.FORGOTTEN)
def test_nothing_is_left_for_the_next_user(
    fresh: Open, hardware: Region, hidden: bytes, layout: Layout, same: Same
) -> None:
    """After a user wrote all over the virtual registers and closed."""
    _scribble(fresh(), layout)
    space = fresh()
    shown = space.try_read(0, layout.size).data
    real = hardware.try_read(0, layout.size).data
    expected = bytes(r & ~h for r, h in zip(visible(real), hidden, strict=True))
    same("for the next user", shown, expected)


@checks(rules.FORGOTTEN)
def test_the_device_is_the_same_for_the_next_user(
    fresh: Open, hardware: Region, layout: Layout, same: Same
) -> None:
    """What a user wrote through, too, is undone."""
    space = fresh()
    before = hardware.try_read(0, layout.size).data
    line = space.read(regs.PCI_CACHE_LINE_SIZE, 1)
    space.write(regs.PCI_CACHE_LINE_SIZE, 1, line ^ 0x18)
    _scribble(space, layout)
    fresh()
    same("in the device", hardware.try_read(0, layout.size).data, before)


@checks(rules.MASTER)
def test_a_device_is_no_master_at_first(
    fresh: Open, hardware: Region, promised: Callable[[Rule], int]
) -> None:
    """Though its last user left it one, and the host made it one."""
    space = fresh()
    space.write(regs.PCI_COMMAND, 2, space.read(regs.PCI_COMMAND, 2) | regs.PCI_COMMAND_MASTER)
    hardware.write(
        regs.PCI_COMMAND, 2, hardware.read(regs.PCI_COMMAND, 2) | regs.PCI_COMMAND_MASTER
    )
    space = fresh()
    for side in (space, hardware):
        master = side.read(regs.PCI_COMMAND, 2) & regs.PCI_COMMAND_MASTER
        expect.equal("bus master at first open", master, promised(rules.MASTER))


@pytest.fixture
def left_by_the_host(
    closed: int, machine: object, hardware: Region, spec: BenchDevice, sysfs: PortSysfs
) -> Iterator[None]:
    """The host made the closed device a master without INTx, and keeps it awake to stay so."""
    del closed, machine
    if sysfs.exists(NOINTXMASK) and sysfs.read(NOINTXMASK).strip() != "N":
        pytest.skip("the bit is left alone here: vfio_pci.nointxmask is set")
    control = f"{SYSFS}/{spec.bdf}/power/control"
    allowed = sysfs.read(control)
    sysfs.write(control, "on")
    before = hardware.read(regs.PCI_COMMAND, 2)
    hardware.write(regs.PCI_COMMAND, 2, before | LEFT)
    yield
    hardware.write(regs.PCI_COMMAND, 2, before)
    sysfs.write(control, allowed)


@checks(rules.INTX_AT_OPEN, rules.MASTER)
@pytest.mark.usefixtures("left_by_the_host")
def test_the_host_leaves_neither(
    fresh: Open, hardware: Region, promised: Callable[[Rule], int]
) -> None:
    """No master, and with INTx, while somebody has it open."""
    bits = {
        "INTx disable": (regs.PCI_COMMAND_INTX_DISABLE, rules.INTX_AT_OPEN),
        "bus master": (regs.PCI_COMMAND_MASTER, rules.MASTER),
    }
    before = hardware.read(regs.PCI_COMMAND, 2)
    space = fresh()
    for what, (bit, rule) in bits.items():
        if before & bit:  # not each device has it
            for side in (space, hardware):
                now = side.read(regs.PCI_COMMAND, 2) & bit
                expect.equal(f"{what} at first open", now, promised(rule))


@pytest.fixture
def reset(device: Device) -> Callable[[], None]:
    """Resets the device, if it can be."""
    if not device.get_info().struct.flags & vfio.VFIO_DEVICE_FLAGS_RESET:
        pytest.skip("this device cannot be reset: judge one that can with --device BDF")

    def reset_it() -> None:
        expect.accepted(device.try_reset())

    return reset_it


@checks(rules.PERSIST)
def test_virtual_registers_outlive_a_reset(
    space: Region, layout: Layout, reset: Callable[[], None], same: Same
) -> None:
    """As they were written, down to the last bit."""
    _scribble(space, layout)
    before = space.try_read(0, layout.size).data
    reset()
    same("after a reset", space.try_read(0, layout.size).data, before)


@checks(rules.PERSIST)
def test_another_file_shows_the_same(
    space: Region, device: Device, layout: Layout, same: Same
) -> None:
    """Virtual registers belong to the device, not to who opened it."""
    _scribble(space, layout)
    with device.dup() as other:
        shown = other.region(vfio.VFIO_PCI_CONFIG_REGION_INDEX).try_read(0, layout.size).data
    same("in another file", shown, space.try_read(0, layout.size).data)


@checks(rules.AFTER_RESET)
def test_the_device_is_as_it_was_after_a_reset(
    space: Region, hardware: Region, layout: Layout, reset: Callable[[], None], same: Same
) -> None:
    """BARs, COMMAND, capabilities."""
    space.write(regs.PCI_COMMAND, 2, space.read(regs.PCI_COMMAND, 2) | regs.PCI_COMMAND_MASTER)
    before = hardware.try_read(0, layout.size).data
    reset()
    same("in the device", hardware.try_read(0, layout.size).data, before)
