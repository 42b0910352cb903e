# SPDX-License-Identifier: MIT
"""An eventfd is known by the number it has in the process that makes the call: 0 is one too."""

import signal
from collections.abc import Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd
from vfiospec.device.irq_model import (
    ERR,
    EVENTFD,
    INTX,
    MSI,
    MSIX,
    NONE,
    REQ,
    TRIGGER,
    UNMASK,
    Promised,
)
from vfiospec.device.port import ForkedPort, Port
from vfiospec.device.scratch import decode_memory
from vfiospec.rules import ioeventfd
from vfiospec.rules import set_irqs as rules
from vfiospec.session.irqs import Irqs
from vfiospec.session.marks import checks, devices

NUMBER = 0


@pytest.fixture
def there(device: Device, port_event: EventFd, port: Port) -> Iterator[Device]:
    """The device in a second process, where number 0 is the eventfd's."""
    process = port.handle()
    port.do(o.Fork(process))
    child = ForkedPort(port, process)
    try:
        made = child.do(o.Syscall("dup3", (port_event.fixup(), NUMBER, 0)))
        expect.equal("number of the eventfd", made.ret, NUMBER)
        yield Device(child, device.handle)
    finally:
        port.do(o.Wait(process, signal.SIGKILL))


@checks(rules.FD_ZERO)
@pytest.mark.parametrize(
    "index", [INTX, MSI, MSIX, ERR, REQ], ids=["intx", "msi", "msix", "error", "request"]
)
def test_it_is_signalled(irqs: Irqs, there: Device, port_event: EventFd, index: int) -> None:
    """By a trigger of the first process's."""
    if not irqs.shape.counts[index]:
        pytest.skip("the device has no interrupt of this index")
    call = there.try_set_irqs(index, EVENTFD | TRIGGER, 0, 1, eventfds=(NUMBER,))
    expect.accepted(call)
    expect.accepted(irqs.device.try_set_irqs(index, NONE | TRIGGER, 0, 1))
    expect.equal("signals", port_event.count(), 1)
    expect.accepted(irqs.device.try_set_irqs(index, EVENTFD | TRIGGER, 0, 1, eventfds=(-1,)))


@checks(rules.FD_ZERO)
@devices("intx")
def test_it_unmasks(irqs: Irqs, there: Device, port_event: EventFd, promised: Promised) -> None:
    """As often as it is signalled."""
    irqs.on(INTX, 1)
    expect.accepted(there.try_set_irqs(INTX, EVENTFD | UNMASK, 0, 1, eventfds=(NUMBER,)))
    call = there.try_set_irqs(INTX, EVENTFD | UNMASK, 0, 1, eventfds=(NUMBER,))
    expect.refused(call, promised(rules.UNMASK_EVENTFD_BUSY))
    expect.accepted(irqs.device.try_set_irqs(INTX, EVENTFD | UNMASK, 0, 1, eventfds=(-1,)))
    expect.accepted(there.try_set_irqs(INTX, EVENTFD | UNMASK, 0, 1, eventfds=(NUMBER,)))
    expect.equal("signals", port_event.count(), 0)


@checks(rules.FD_ZERO)
@devices("irq-stimulus")
def test_it_has_a_write_made(
    irqs: Irqs, there: Device, port_event: EventFd, promised: Promised
) -> None:
    """And is taken back by that number's opposite alone."""
    device = irqs.device
    decode_memory(device)
    offset, wide = int(device.region(0).info.offset) + 8, vfio.VFIO_DEVICE_IOEVENTFD_32
    expect.accepted(there.try_ioeventfd(wide, offset, 1, NUMBER))
    call = device.try_ioeventfd(wide, offset, 1, port_event)
    expect.refused(call, promised(ioeventfd.DUPLICATE))
    expect.accepted(device.try_ioeventfd(wide, offset, 1, -1))
