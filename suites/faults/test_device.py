# SPDX-License-Identifier: MIT
"""Calls on an open device that copy or allocate, each of which fails."""

from uuid import UUID

import pytest

from vfiospec.abi import vfio
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.call import Call
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, Mapping
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.device.region import Region
from vfiospec.device.scratch import decode_memory
from vfiospec.rules import faults as rules
from vfiospec.session.marks import checks, devices
from vfiospec.session.sweep import Sweep

pytestmark = checks(rules.COPY)
TOKEN = UUID("11111111-2222-3333-4444-555555555555")
ROOM = 4096


def nothing() -> None:
    """What undoes a call that changes nothing."""


@checks(rules.INFO)
@devices("msix", "pcie", "rom")
@pytest.mark.parametrize("what", ["device", "region", "irq"])
def test_info(sweep: Sweep, opened: Device, what: str) -> None:
    """With room for capabilities, which are gathered before they are copied."""

    def attempt(port: Port) -> Call:
        device = Device(port, opened.handle)
        if what == "device":
            return device.try_get_info(ROOM)
        if what == "region":
            return device.try_get_region_info(0, ROOM)
        return device.try_get_irq_info(vfio.VFIO_PCI_MSIX_IRQ_INDEX)

    sweep(rules.INFO, attempt, nothing)


@checks(rules.HOT_RESET_INFO)
@devices("below-bridge", "irq-stimulus")
def test_hot_reset_info(sweep: Sweep, opened: Device) -> None:
    """The list of the devices on its bus."""
    sweep(
        rules.HOT_RESET_INFO,
        lambda port: Device(port, opened.handle).try_get_hot_reset_info(512),
        nothing,
    )


@checks(rules.IOEVENTFD)
@devices("irq-stimulus", without=("grouped",))
def test_ioeventfd(sweep: Sweep, opened: Device, event: EventFd) -> None:
    """A write bound to an eventfd."""
    decode_memory(opened)
    at = int(opened.get_region_info(0).struct.offset) + 8
    width = vfio.VFIO_DEVICE_IOEVENTFD_32
    sweep(
        rules.IOEVENTFD,
        lambda port: Device(port, opened.handle).try_ioeventfd(width, at, 1, event),
        lambda: opened.try_ioeventfd(width, at, 1, -1),
    )


@checks(rules.FEATURE)
@devices("sriov")
def test_token(sweep: Sweep, opened: Device) -> None:
    """SET of the VF token, which is copied in."""
    sweep(
        rules.FEATURE,
        lambda port: Device(port, opened.handle).try_set_vf_token(TOKEN),
        nothing,
    )


@checks(rules.FEATURE)
@devices("irq-stimulus", without=("grouped",))
def test_sleep(sweep: Sweep, opened: Device, event: EventFd) -> None:
    """LOW_POWER_ENTRY_WITH_WAKEUP, which takes an eventfd; awake again afterwards."""
    entry = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP
    leave = feature.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT | feature.VFIO_DEVICE_FEATURE_SET
    struct = feature.vfio_device_low_power_entry_with_wakeup
    at = feature.FEATURE_MIN + struct.offset_of("wakeup_eventfd")
    sweep(
        rules.FEATURE,
        lambda port: Device(port, opened.handle).try_feature(
            entry | feature.VFIO_DEVICE_FEATURE_SET, struct().pack(), fixups=(event.fixup(at),)
        ),
        lambda: opened.try_feature(leave),
    )


@checks(rules.MMAP)
@devices("irq-stimulus", without=("grouped",))
def test_mmap(sweep: Sweep, opened: Device) -> None:
    """A BAR; nothing is mapped before it is touched."""
    made: list[Mapping] = []
    info = opened.region(0).info

    def attempt(port: Port) -> Call:
        call, mapping = Region(Device(port, opened.handle), 0, info).try_map()
        made.extend([mapping] if mapping else [])
        return call

    def undo() -> None:
        Mapping(sweep.port, made.pop().handle, 0, 0).unmap()

    sweep(rules.MMAP, attempt, undo)


@checks(rules.ACCESS, rules.FIRST_ACCESS)
@devices("irq-stimulus", without=("grouped",))
@pytest.mark.parametrize("index", [0, vfio.VFIO_PCI_CONFIG_REGION_INDEX], ids=["bar", "config"])
def test_read(sweep: Sweep, opened: Device, pci: PciDevice, index: int) -> None:
    """Eight bytes of a region."""
    del pci
    decode_memory(opened)
    info = opened.region(index).info
    sweep(
        rules.ACCESS,
        lambda port: Region(Device(port, opened.handle), index, info).try_read(0, 8),
        nothing,
        also=(rules.FIRST_ACCESS,) if index == 0 else (),
    )
