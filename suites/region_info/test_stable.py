# SPDX-License-Identifier: MIT
"""A region's info does not change with what was done before."""

from collections.abc import Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.access import Access
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd
from vfiospec.device.ops import Pread, Pwrite
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import region_info as rules
from vfiospec.session.marks import checks, devices

CONFIG = vfio.VFIO_PCI_CONFIG_REGION_INDEX
ROOM = 64
SIGNAL = vfio.VFIO_IRQ_SET_DATA_EVENTFD | vfio.VFIO_IRQ_SET_ACTION_TRIGGER
STOP = vfio.VFIO_IRQ_SET_DATA_NONE | vfio.VFIO_IRQ_SET_ACTION_TRIGGER


def everything(device: Device) -> list[str]:
    """The whole reply of each index, or the refusal."""
    calls = [device.try_get_region_info(i, ROOM) for i in range(vfio.VFIO_PCI_NUM_REGIONS)]
    return [f"{c.answer()} {c.data.hex()}" for c in calls]


@pytest.fixture
def space_off(device: Device, port: Port) -> Iterator[Device]:
    """The device with memory and I/O decoding turned off through its configuration space."""
    at = device.get_region_info(CONFIG).struct.offset + regs.PCI_COMMAND
    before = port.do(Pread(device.handle, 2, at)).value
    off = before & ~(regs.PCI_COMMAND_MEMORY | regs.PCI_COMMAND_IO)
    port.do(Pwrite(device.handle, off.to_bytes(2, "little"), at))
    yield device
    port.do(Pwrite(device.handle, before.to_bytes(2, "little"), at))


@checks(rules.STABLE)
def test_asked_twice_it_says_the_same(device: Device) -> None:
    """All bytes of every reply."""
    expect.equal("replies", everything(device), everything(device))


@checks(rules.STABLE)
def test_a_second_fd_says_the_same(device: Device, assigned: Access, spec: BenchDevice) -> None:
    """The info is the device's, not the fd's."""
    with assigned.open(spec.bdf) as second:
        expect.equal("replies", everything(second), everything(device))


@checks(rules.STABLE)
def test_a_refused_call_changes_nothing(device: Device) -> None:
    """Too small an argsz, an index there is not, a bad address."""
    before = everything(device)
    device.try_get_region_info(CONFIG, vfio.REGION_INFO_MIN - 1)
    device.try_get_region_info(1 << 31)
    device.try_ioctl(vfio.VFIO_DEVICE_GET_REGION_INFO)
    expect.equal("replies", everything(device), before)


@checks(rules.STABLE)
def test_decoding_turned_off_hides_nothing(device: Device, request: pytest.FixtureRequest) -> None:
    """What was told with decoding on is told with decoding off."""
    before = everything(device)
    off: Device = request.getfixturevalue("space_off")
    expect.equal("replies", everything(off), before)


@checks(rules.STABLE)
@devices("msix")
def test_msix_turned_on_changes_nothing(device: Device, port: Port) -> None:
    """The BAR with the table stays mappable while the table is in use."""
    before = everything(device)
    with EventFd.create(port) as event:
        expect.accepted(
            device.try_set_irqs(vfio.VFIO_PCI_MSIX_IRQ_INDEX, SIGNAL, 0, 1, eventfds=(event,))
        )
        during = everything(device)
        expect.accepted(device.try_set_irqs(vfio.VFIO_PCI_MSIX_IRQ_INDEX, STOP))
    expect.equal("replies", during, before)


@checks(rules.STABLE)
@devices("flr")
def test_a_reset_changes_nothing(device: Device) -> None:
    """The layout outlives a function level reset."""
    before = everything(device)
    expect.accepted(device.try_reset())
    expect.equal("replies", everything(device), before)


@checks(rules.STABLE)
def test_closed_and_opened_again_it_says_the_same(assigned: Access, spec: BenchDevice) -> None:
    """The first open of a device prepares it anew, and comes to the same."""
    with assigned.open(spec.bdf) as first:
        before = everything(first)
    assigned.release(spec.bdf)
    with assigned.open(spec.bdf) as again:
        expect.equal("replies", everything(again), before)
