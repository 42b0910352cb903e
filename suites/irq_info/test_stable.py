# SPDX-License-Identifier: MIT
"""An interrupt index's info does not change with what was done before."""

from collections.abc import Callable, Sequence

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.access import Access
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import irq_info as rules
from vfiospec.rules import set_irqs
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

INTX, MSI, MSIX = range(3)
ERR, REQ = vfio.VFIO_PCI_ERR_IRQ_INDEX, vfio.VFIO_PCI_REQ_IRQ_INDEX
SIGNAL = vfio.VFIO_IRQ_SET_DATA_EVENTFD | vfio.VFIO_IRQ_SET_ACTION_TRIGGER
STOP = vfio.VFIO_IRQ_SET_DATA_NONE | vfio.VFIO_IRQ_SET_ACTION_TRIGGER


def everything(device: Device) -> list[str]:
    """The whole reply of each index, or the refusal."""
    calls = [device.try_get_irq_info(index) for index in range(vfio.VFIO_PCI_NUM_IRQS)]
    return [f"{c.answer()} {c.data.hex()}" for c in calls]


def while_on(device: Device, index: int, events: Sequence[EventFd]) -> list[str]:
    """What is said while the first interrupts of an index have eventfds."""
    on = device.try_set_irqs(index, SIGNAL, 0, len(events), eventfds=tuple(events))
    expect.accepted(on)
    during = everything(device)
    expect.accepted(device.try_set_irqs(index, STOP))
    return during


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
    device.try_get_irq_info(REQ, vfio.IRQ_INFO_MIN - 1)
    device.try_get_irq_info(1 << 31)
    device.try_ioctl(vfio.VFIO_DEVICE_GET_IRQ_INFO)
    expect.equal("replies", everything(device), before)


@checks(rules.STABLE)
@devices("intx")
def test_intx_turned_on_changes_nothing(device: Device, port: Port) -> None:
    """Nor does turning it off."""
    before = everything(device)
    with EventFd.create(port) as event:
        expect.equal("replies", while_on(device, INTX, [event]), before)
    expect.equal("replies afterwards", everything(device), before)


@checks(rules.STABLE)
@devices("msi")
def test_one_msi_vector_turned_on_changes_nothing(device: Device, port: Port) -> None:
    """The count is what the device offers, not what is in use."""
    before = everything(device)
    with EventFd.create(port) as event:
        expect.equal("replies", while_on(device, MSI, [event]), before)
    expect.equal("replies afterwards", everything(device), before)


@checks(rules.STABLE, set_irqs.POSITIVE)
@devices("multivector-msi")
def test_two_msi_vectors_turned_on_change_nothing(
    device: Device,
    port: Port,
    interrupt_remapping: bool,  # noqa: FBT001 -- a fixture
    promised: Callable[[Rule], int],
) -> None:
    """Neither does the size of the set that is in use, nor that there are not as many."""
    before = everything(device)
    vectors = 2
    with EventFd.create(port) as one, EventFd.create(port) as two:
        if not interrupt_remapping:
            asked = device.try_set_irqs(MSI, SIGNAL, 0, vectors, eventfds=(one, two))
            vectors = expect.accepted(asked, promised(set_irqs.POSITIVE)).ret
            expect.equal("replies when refused", everything(device), before)
        expect.equal("replies", while_on(device, MSI, [one, two][:vectors]), before)
    expect.equal("replies afterwards", everything(device), before)


@checks(rules.STABLE)
@devices("msix")
@pytest.mark.parametrize("vectors", [1, 2], ids="vectors-{}".format)
def test_msix_turned_on_changes_nothing(device: Device, port: Port, vectors: int) -> None:
    """The count is the table's, not what is in use."""
    before = everything(device)
    events = [EventFd.create(port) for _ in range(vectors)]
    expect.equal("replies", while_on(device, MSIX, events), before)
    for event in events:
        event.close()
    expect.equal("replies afterwards", everything(device), before)


@checks(rules.STABLE)
def test_a_release_request_turned_on_changes_nothing(device: Device, port: Port) -> None:
    """The index that every device has."""
    before = everything(device)
    with EventFd.create(port) as event:
        expect.equal("replies", while_on(device, REQ, [event]), before)


@checks(rules.STABLE)
@devices("pcie")
def test_error_reports_turned_on_change_nothing(device: Device, port: Port) -> None:
    """The index that only PCI Express devices have."""
    before = everything(device)
    with EventFd.create(port) as event:
        expect.equal("replies", while_on(device, ERR, [event]), before)


@checks(rules.STABLE)
@devices("flr")
def test_a_reset_changes_nothing(device: Device) -> None:
    """The interrupts outlive a function level reset."""
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
