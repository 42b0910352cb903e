# SPDX-License-Identifier: MIT
"""The registers of the samples, and what a mediated device without migration answers."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import pci, vfio
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.device import Device
from vfiospec.device.mdev import Mdev
from vfiospec.device.uart import (
    KEPT,
    UART_LCR,
    UART_LSR,
    UART_LSR_DR,
    UART_LSR_EMPTY,
    UART_LSR_OE,
    Uart,
)
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import mdev as rules
from vfiospec.rules import migration
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
FEATURES = (
    feature.VFIO_DEVICE_FEATURE_MIGRATION, feature.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
    feature.VFIO_DEVICE_FEATURE_DMA_LOGGING_START, feature.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
    feature.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, feature.VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
)  # fmt: skip
OTHERS = (0, 3, 4, 5, 10, 11, 13, 14, 0xFFFF)  # none that the core itself knows
FIFO = 16
ALL_ONES = 0xFFFFFFFF
IDS = {"serial": (0x4348, 0x3253), "screen": (0x1B36, 0x000F), "bochs": (0x1234, 0x1111)}


@checks(rules.CONFIG)
@pytest.mark.parametrize("which", IDS)
def test_the_header(request: pytest.FixtureRequest, which: str) -> None:
    """Who made it, in words, halves and bytes."""
    device: Device = request.getfixturevalue(which)
    vendor, number = IDS[which]
    both = number << 16 | vendor
    expect.equal("ids", device.read_config(pci.PCI_VENDOR_ID, 4), both)
    for size in (1, 2):
        for at in range(0, 4, size):
            part = both >> 8 * at & (1 << 8 * size) - 1
            expect.equal(f"{size} bytes at {at}", device.read_config(at, size), part)


@checks(rules.BAR_SIZED)
@pytest.mark.parametrize("name", ["mtty-1", "mtty-2", "mdpy-vga", "mbochs-small"])
def test_its_bars(make: Callable[[str], Mdev], opened: Callable[[Mdev], Device], name: str) -> None:
    """Of each region that has a size, and twice."""
    device = opened(make(name))
    for index in range(vfio.VFIO_PCI_ROM_REGION_INDEX):
        size = device.get_region_info(index).struct.size
        if not size:
            continue
        bar = pci.PCI_BASE_ADDRESS_0 + 4 * index
        kind = device.read_config(bar, 4)
        mask = 0x3 if kind & pci.PCI_BASE_ADDRESS_SPACE_IO else 0xF
        for _ in range(2):
            device.write_config(bar, 4, ALL_ONES)
            wanted = ALL_ONES & ~(size - 1) | kind & mask
            expect.equal(f"BAR {index} of {size} bytes", device.read_config(bar, 4), wanted)
            device.write_config(bar, 4, kind & ~mask)


@checks(rules.UART)
def test_its_registers(serial: Device) -> None:
    """What is kept reads as it was written; the divisor's bit shows other registers."""
    uart = Uart(serial.region(0))
    for register in KEPT:
        for value in (0x55, 0x2A, 0):
            uart.write(register, value)
            expect.equal(f"register {register}", uart.read(register), value)
    uart.divide(0x1234)
    expect.equal("divisor", uart.divisor(), 0x1234)
    uart.write(UART_LCR, 0)


@checks(rules.UART)
def test_its_queue(serial: Device) -> None:
    """In order, as many as there is room for; one too many is told of and lost."""
    uart = Uart(serial.region(0))
    uart.enable()
    expect.equal("line", uart.read(UART_LSR), UART_LSR_EMPTY)
    data = bytes(range(1, FIFO))
    uart.send(data)
    expect.equal("line with data", uart.read(UART_LSR), UART_LSR_DR)
    expect.equal("data", uart.received(), data)
    uart.send(bytes(FIFO + 1))
    expect.flags("line with too much", uart.read(UART_LSR), needed=UART_LSR_OE)
    uart.enable()
    expect.equal("data of an emptied queue", uart.received(), b"")


@checks(migration.ABSENT)
@pytest.mark.parametrize("which", ["screen", "bochs"])
def test_no_migration(request: pytest.FixtureRequest, which: str, promised: Promised) -> None:
    """A display has no feature at all, nor do they show when asked for."""
    device: Device = request.getfixturevalue(which)
    asked = (
        feature.VFIO_DEVICE_FEATURE_PROBE,
        feature.VFIO_DEVICE_FEATURE_GET,
        feature.VFIO_DEVICE_FEATURE_SET,
    )
    for number in FEATURES + OTHERS:
        for how in asked:
            call = device.try_feature(number | how, bytes(64))
            expect.refused(call, promised(migration.ABSENT))


@checks(migration.SHOWN)
@pytest.mark.parametrize("name", ["mdpy-vga", "mbochs-small"])
def test_no_migration_in_debugfs(make: Callable[[str], Mdev], sysfs: PortSysfs, name: str) -> None:
    """A display has no folder for it."""
    own = f"/sys/kernel/debug/vfio/{make(name).name}"
    if not sysfs.exists(own):
        pytest.skip("debugfs has no folder of the device: needs 6.8 and CONFIG_VFIO_DEBUGFS")
    expect.equal("a folder for migration", "migration" in sysfs.listdir(own), False)


@checks(migration.ABSENT)
def test_other_features_of_a_device_that_migrates(serial: Device, promised: Promised) -> None:
    """Mtty has those of migration and no others."""
    for number in OTHERS:
        call = serial.try_feature(number | feature.VFIO_DEVICE_FEATURE_PROBE)
        expect.refused(call, promised(migration.ABSENT))


@checks(rules.GFX_ABSENT)
def test_other_ioctls(serial: Device, screen: Device, promised: Promised) -> None:
    """What is for PCI devices behind an IOMMU is not known."""
    for device in (serial, screen):
        for call in (
            device.try_get_hot_reset_info(),
            device.try_hot_reset(),
            device.try_ioctl(vfio.VFIO_DEVICE_IOEVENTFD, bytes(64)),
            device.try_ioctl(0x3B7F, bytes(64)),
        ):
            expect.refused(call, promised(rules.GFX_ABSENT))
