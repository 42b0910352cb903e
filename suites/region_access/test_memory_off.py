# SPDX-License-Identifier: MIT
"""Accesses while memory decoding is off, in D3hot, in low power, and while it all changes."""

import select
import time
from collections.abc import Callable, Iterator
from errno import EIO

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.call import checked
from vfiospec.device.device import Device
from vfiospec.device.ops import Poll, Pread, Pwrite, Race
from vfiospec.device.pci import ROM, SYSFS, PciDevice
from vfiospec.device.region import Region, plain_offset
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import region_access as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

WIDTHS = (1, 2, 4, 8)
CONFIG = vfio.VFIO_PCI_CONFIG_REGION_INDEX
D3HOT = 3
ASLEEP_WITHIN = 5.0  # seconds; it takes milliseconds
ROUNDS = 100


def memory_bars(device: Device, pci: PciDevice) -> list[tuple[Region, int]]:
    """The memory BARs, and an offset in each that no MSI-X table hides."""
    return [
        (device.region(i), plain_offset(pci, i))
        for i, bar in enumerate(pci.bars[:ROM])
        if bar.is_memory and bar.size
    ]


@checks(rules.MEMORY_OFF)
@pytest.mark.parametrize("width", WIDTHS, ids="width-{}".format)
def test_memory_that_is_off_is_not_accessed(
    memory_off: Device, pci: PciDevice, width: int, promised: Callable[[Rule], int]
) -> None:
    """Each memory BAR, in each width, read and written."""
    for region, offset in memory_bars(memory_off, pci):
        expect.refused(region.try_read(offset, width), promised(rules.MEMORY_OFF))
        expect.refused(region.try_write(offset, bytes(width)), promised(rules.MEMORY_OFF))


@checks(rules.MEMORY_OFF)
def test_memory_that_is_on_again_is_accessed(
    decoding: Device, pci: PciDevice, promised: Callable[[Rule], int]
) -> None:
    """Off and on, several times over, by either byte count of the command register."""
    command = decoding.read_config(regs.PCI_COMMAND, 2)
    off = command & ~regs.PCI_COMMAND_MEMORY
    for width in (1, 2, 4):
        decoding.write_config(regs.PCI_COMMAND, width, off & ((1 << 8 * width) - 1))
        for region, offset in memory_bars(decoding, pci):
            expect.refused(region.try_read(offset, 4), promised(rules.MEMORY_OFF))
        decoding.write_config(regs.PCI_COMMAND, width, command & ((1 << 8 * width) - 1))
        for region, offset in memory_bars(decoding, pci):
            expect.accepted(region.try_read(offset, 4), 4)


@checks(rules.MEMORY_OFF_REST)
@devices("io-bar")
def test_ports_answer_with_memory_off(memory_off: Device, pci: PciDevice) -> None:
    """I/O port BARs are decoded on their own."""
    for index, bar in enumerate(pci.bars[:ROM]):
        if bar.is_io:
            for width in WIDTHS:
                expect.accepted(memory_off.region(index).try_read(0, width), width)


@checks(rules.MEMORY_OFF_REST)
@devices("io-bar")
def test_memory_answers_with_ports_off(decoding: Device, pci: PciDevice) -> None:
    """The other way round; ports that are off answer too, if with nothing."""
    command = decoding.read_config(regs.PCI_COMMAND, 2)
    decoding.write_config(regs.PCI_COMMAND, 2, command & ~regs.PCI_COMMAND_IO)
    calls = [region.try_read(offset, 4) for region, offset in memory_bars(decoding, pci)]
    calls += [
        decoding.region(i).try_read(0, 4) for i, bar in enumerate(pci.bars[:ROM]) if bar.is_io
    ]
    decoding.write_config(regs.PCI_COMMAND, 2, command)
    for call in calls:
        expect.accepted(call, 4)


@checks(rules.MEMORY_OFF_REST)
def test_config_space_answers_with_memory_off(memory_off: Device) -> None:
    """All of it."""
    region = memory_off.region(CONFIG)
    size = int(region.info.size)
    expect.accepted(region.try_read(0, size), size)


@pytest.fixture
def power(decoding: Device, pci: PciDevice) -> Iterator[Callable[[int], None]]:
    """Set the power state through the device's capability; D0 afterwards."""
    at = pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL

    def write(state: int) -> None:
        now = decoding.read_config(at, 2) & ~regs.PCI_PM_CTRL_STATE_MASK
        decoding.write_config(at, 2, now | state)

    yield write
    write(0)


@checks(rules.D3HOT)
@devices("pm")
@pytest.mark.parametrize("width", WIDTHS, ids="width-{}".format)
def test_memory_is_not_accessed_in_d3hot(
    decoding: Device,
    pci: PciDevice,
    power: Callable[[int], None],
    width: int,
    promised: Callable[[Rule], int],
) -> None:
    """Nor written, although decoding is on; in D0 it is read again."""
    bars, wanted = memory_bars(decoding, pci), promised(rules.D3HOT)
    power(D3HOT)
    for region, offset in bars:
        if wanted:
            expect.refused(region.try_read(offset, width), wanted)
            expect.refused(region.try_write(offset, bytes(width)), wanted)
        else:
            expect.accepted(region.try_read(offset, width), width)
    power(0)
    for region, offset in bars:
        expect.accepted(region.try_read(offset, width), width)


@checks(rules.D3HOT)
@devices("pm", "io-bar")
def test_ports_and_config_space_answer_in_d3hot(
    decoding: Device, pci: PciDevice, power: Callable[[int], None]
) -> None:
    """Only memory is guarded."""
    power(D3HOT)
    for index, bar in enumerate(pci.bars[:ROM]):
        if bar.is_io:
            expect.accepted(decoding.region(index).try_read(0, 4), 4)
    expect.accepted(decoding.region(CONFIG).try_read(0, 64), 64)


@pytest.fixture
def asleep(decoding: Device, pci: PciDevice, sysfs: PortSysfs) -> Iterator[Callable[[], bool]]:
    """A device in low power, and whether it comes to sleep in time."""
    entry = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY
    probe = feature.VFIO_DEVICE_FEATURE_PROBE | feature.VFIO_DEVICE_FEATURE_SET | entry
    if not decoding.try_feature(probe).ok:
        pytest.skip("the kernel has no VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY")
    status = f"{SYSFS}/{pci.bdf}/power/runtime_status"
    if not sysfs.exists(status):
        pytest.skip("the kernel has no runtime power management: it needs CONFIG_PM")

    def comes() -> bool:
        end = time.monotonic() + ASLEEP_WITHIN
        while sysfs.read(status) != "suspended":
            if time.monotonic() > end:
                return False
            decoding.port.do(Poll((), select.POLLIN, 1))
        return True

    checked(decoding.try_feature(feature.VFIO_DEVICE_FEATURE_SET | entry))
    yield comes
    leave = feature.VFIO_DEVICE_FEATURE_SET | feature.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT
    checked(decoding.try_feature(leave))


@checks(rules.LOW_POWER)
def test_a_read_wakes_a_device_that_sleeps(
    decoding: Device, pci: PciDevice, asleep: Callable[[], bool]
) -> None:
    """Each BAR is read all the same, and so is config space."""
    for region, offset in memory_bars(decoding, pci):
        expect.holds(asleep(), "a device that sleeps", "one that does not")
        expect.accepted(region.try_read(offset, 4), 4)
    expect.holds(asleep(), "a device that sleeps", "one that does not")
    expect.accepted(decoding.region(CONFIG).try_read(0, 4), 4)


@checks(rules.LOW_POWER)
def test_it_sleeps_again_whatever_the_access_gave(
    decoding: Device, pci: PciDevice, asleep: Callable[[], bool]
) -> None:
    """After reads and writes that were done, and after some that were refused."""
    bars = memory_bars(decoding, pci)
    expect.holds(asleep(), "a device that sleeps", "one that does not")
    for region, offset in bars:
        expect.accepted(region.try_read(offset, 4), 4)
        region.try_read(int(region.info.size), 4)
        region.try_write(int(region.info.size), bytes(4))
    for index in (vfio.VFIO_PCI_ROM_REGION_INDEX, CONFIG, vfio.VFIO_PCI_VGA_REGION_INDEX, 9, 100):
        decoding.port.do(Pread(decoding.handle, 1, index << 40))
        decoding.port.do(Pwrite(decoding.handle, b"\0", (index << 40) + 1))
    expect.holds(asleep(), "a device that sleeps again", "one that stays awake")


@checks(rules.RACE)
@devices("irq-stimulus")
def test_reads_while_memory_goes_off_and_on(decoding: Device, pci: PciDevice) -> None:
    """Each is whole or refused with EIO."""
    command = decoding.read_config(regs.PCI_COMMAND, 2)
    config = decoding.region(CONFIG)
    off, on = command & ~regs.PCI_COMMAND_MEMORY, command
    toggle = tuple(config.write_op(regs.PCI_COMMAND, v.to_bytes(2, "little")) for v in (off, on))
    reads = tuple(region.read_op(offset, 4) for region, offset in memory_bars(decoding, pci))
    values = decoding.port.do(Race((toggle, reads), ROUNDS)).values
    answers = [values[i : i + 5] for i in range(0, len(values), 5)]
    for program, _, ret, errno, _ in answers:
        wanted = [(2, 0)] if program == 0 else [(4, 0), (-1, EIO)]
        expect.one_of(f"answer of program {program}", (ret, errno), wanted)
    expect.equal("answers", sum(a[4] for a in answers), ROUNDS * (len(toggle) + len(reads)))
