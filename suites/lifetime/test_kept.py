# SPDX-License-Identifier: MIT
"""The kernel's memory that a device and its calls take: what is left of it once they end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_feature as feature
from vfiospec.device import dmabuf
from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.cdev import Cdev, cdev_path
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, File
from vfiospec.device.group import Assigned
from vfiospec.device.info import snapshot
from vfiospec.device.iommufd import IOMMUFD_PATH, Iommufd
from vfiospec.device.pci import ROM, SYSFS, PciDevice
from vfiospec.device.port import Port
from vfiospec.device.scratch import decode_memory
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import lifetime as rules
from vfiospec.session.marks import checks, devices
from vfiospec.session.slabs import Slabs

# Elsewhere others take and give memory.
pytestmark = [checks(rules.NOTHING_KEPT), pytest.mark.usefixtures("machine")]
EDU = devices("irq-stimulus", without=("grouped",))
TIMES, OPENS = 128, 48
UNMAPPED, PAGE = 0x10000, 4096  # an address nothing is at
ASSIGN = vfio.VFIO_IRQ_SET_DATA_EVENTFD | vfio.VFIO_IRQ_SET_ACTION_TRIGGER
UNMASK = vfio.VFIO_IRQ_SET_DATA_EVENTFD | vfio.VFIO_IRQ_SET_ACTION_UNMASK
OFF = vfio.VFIO_IRQ_SET_DATA_NONE | vfio.VFIO_IRQ_SET_ACTION_TRIGGER
EXCLUSIVE = {
    vfio.VFIO_PCI_INTX_IRQ_INDEX, vfio.VFIO_PCI_MSI_IRQ_INDEX, vfio.VFIO_PCI_MSIX_IRQ_INDEX,
}  # fmt: skip
SET = feature.VFIO_DEVICE_FEATURE_SET


@pytest.fixture
def opened(own: Assigned, spec: BenchDevice) -> Iterator[Device]:
    """The device, open for the test."""
    with own.open(spec.bdf) as made:
        yield made


@EDU
def test_opened_and_closed(own: Assigned, port: Port, spec: BenchDevice) -> None:
    """By its group, with nothing done to it."""
    Slabs.of_calls(port).none_kept(lambda: own.open(spec.bdf).close(), OPENS)


@EDU
def test_bound_and_attached(closed: int, port: Port, sysfs: PortSysfs, spec: BenchDevice) -> None:
    """By its own file, with an address space."""
    del closed
    path = cdev_path(port, f"{SYSFS}/{spec.bdf}")
    if path is None or not sysfs.exists(path) or not sysfs.exists(IOMMUFD_PATH):
        pytest.skip("needs a kernel with CONFIG_VFIO_DEVICE_CDEV and CONFIG_IOMMUFD")

    def used() -> None:
        with Iommufd.create(port) as iommufd, Cdev.at(port, path) as cdev:
            cdev.bind(iommufd)
            cdev.attach(iommufd.alloc_ioas())
            cdev.attach(iommufd.alloc_ioas())
            cdev.detach()

    Slabs.of_calls(port).none_kept(used, OPENS)


@devices("aer")
@pytest.mark.parametrize("many", [1, 3], ids="vectors-{}".format)
def test_interrupts(opened: Device, port: Port, event: EventFd, many: int) -> None:
    """Each index it has, turned on and off."""
    counts = {i: opened.get_irq_info(i).count for i in range(vfio.VFIO_PCI_NUM_IRQS)}

    def used() -> None:
        for index, count in counts.items():
            fds = (event,) * min(count, many)
            if fds:
                expect.accepted(opened.try_set_irqs(index, ASSIGN, 0, len(fds), eventfds=fds))
                none = (-1,) * len(fds)
                expect.accepted(opened.try_set_irqs(index, ASSIGN, 0, len(fds), eventfds=none))
            if index in EXCLUSIVE and fds:
                expect.accepted(opened.try_set_irqs(index, OFF))

    Slabs.of_calls(port).none_kept(used, TIMES)


@EDU
def test_an_interrupt_that_an_eventfd_unmasks(opened: Device, port: Port, event: EventFd) -> None:
    """Taken back by itself, and with the interrupt."""
    intx = vfio.VFIO_PCI_INTX_IRQ_INDEX

    def used() -> None:
        expect.accepted(opened.try_set_irqs(intx, ASSIGN, 0, 1, eventfds=(event,)))
        for fd in (event, -1, event):
            expect.accepted(opened.try_set_irqs(intx, UNMASK, 0, 1, eventfds=(fd,)))
        expect.accepted(opened.try_set_irqs(intx, OFF))

    Slabs.of_calls(port).none_kept(used, TIMES)


@EDU
def test_ioeventfds(opened: Device, port: Port, event: EventFd) -> None:
    """Set and taken back; one that is refused."""
    offset, wide = int(opened.region(0).info.offset), vfio.VFIO_DEVICE_IOEVENTFD_32
    decode_memory(opened)

    def used() -> None:
        expect.accepted(opened.try_ioeventfd(wide, offset + 8, 1, event))
        assert not opened.try_ioeventfd(wide, offset + 8, 1, event).ok
        expect.accepted(opened.try_ioeventfd(wide, offset + 8, 1, -1))

    Slabs.of_calls(port).none_kept(used, TIMES)


@devices("aer")
def test_what_is_told(own: Assigned, port: Port, spec: BenchDevice) -> None:
    """All INFO ioctls, also of what is reset along; and what /proc says of the fd."""
    call, device = own.group.try_get_device_fd(spec.bdf)
    if device is None:
        raise expect.Mismatch("an fd", str(call))

    def used() -> None:
        snapshot(device)
        expect.accepted(device.try_get_hot_reset_info(512))
        assert port.do(o.ReadFile(f"/proc/self/fdinfo/{call.ret}")).ok

    with device:
        Slabs.of_calls(port).none_kept(used, TIMES)


@EDU
def test_a_bar(opened: Device, port: Port, pci: PciDevice, page: int) -> None:
    """Mapped, read, and given away as a dma-buf where that can be."""
    bar = next(i for i, b in enumerate(pci.bars[:ROM]) if b.is_memory and b.size >= page)
    decode_memory(opened)
    has_dmabuf = dmabuf.is_known(opened)

    def used() -> None:
        with opened.region(bar).map() as mapping:
            mapping.load(0, 4)
        if has_dmabuf:
            call, file = dmabuf.try_get(opened, dmabuf.request_of(bar, [(0, page)]))
            expect.holds(file is not None, "a dma-buf", str(call))
            if file is not None:
                file.close()

    Slabs.of_calls(port).none_kept(used, TIMES)


@devices("aer")
def test_asleep(opened: Device, port: Port, event: EventFd) -> None:
    """Low power with an eventfd of its end, left by the user."""
    entry = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP | SET
    if not opened.try_feature(entry | feature.VFIO_DEVICE_FEATURE_PROBE).ok:
        pytest.skip("the kernel has no LOW_POWER_ENTRY_WITH_WAKEUP: needs 6.1 or newer")
    fixups = (event.fixup(feature.FEATURE_MIN),)

    def used() -> None:
        expect.accepted(opened.try_feature(entry, bytes(8), fixups=fixups))
        expect.accepted(opened.try_feature(feature.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT | SET))

    Slabs.of_calls(port).none_kept(used, TIMES)


@dataclass(frozen=True)
class Refusing:
    """What is asked for what it cannot do; `other` is no file of a kind that it takes."""

    own: Assigned
    device: Device
    bdf: str
    other: File

    def ioeventfd(self, further: int) -> Call:
        """A write behind the start of the first region."""
        at = int(self.device.region(0).info.offset) + further
        return self.device.try_ioeventfd(vfio.VFIO_DEVICE_IOEVENTFD_32, at, 1, self.other)

    def assign(self, index: int) -> Call:
        """The last of up to three interrupts gets what is no eventfd."""
        before = min(self.device.get_irq_info(index).count - 1, 2)
        fds: list[File | int] = [*[-1] * before, self.other]
        return self.device.try_set_irqs(index, ASSIGN, 0, len(fds), eventfds=tuple(fds))

    def wakeup(self) -> Call:
        """Low power that is to tell its end to what is no eventfd."""
        entry = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP | SET
        fixups = (self.other.fixup(feature.FEATURE_MIN),)
        return self.device.try_feature(entry, bytes(8), fixups=fixups)


DMA_BUF = "dma-buf"
REFUSED: dict[str, Callable[[Refusing], Call]] = {  # each late in its course
    "another-name": lambda it: it.own.group.try_get_device_fd("nothing of the kind")[0],
    "a-token-of-no-form": lambda it: it.own.group.try_get_device_fd(f"{it.bdf} vf_token=none")[0],
    "no-container": lambda it: it.own.group.try_set_container(it.other),
    "no-eventfd": lambda it: it.ioeventfd(8),
    "unaligned": lambda it: it.ioeventfd(9),
    "no-group": lambda it: it.device.try_hot_reset((it.own.group, it.other)),
    "no-room": lambda it: it.device.try_get_hot_reset_info(vfio.HOT_RESET_INFO_MIN - 1),
    "wakeup": Refusing.wakeup,
    "no-memory": lambda it: it.own.container.try_map(UNMAPPED, 0, PAGE),
    "unaligned-map": lambda it: it.own.container.try_map(UNMAPPED, 1, PAGE),
    "unaligned-unmap": lambda it: it.own.container.try_unmap(1, PAGE),
    "intx": lambda it: it.assign(vfio.VFIO_PCI_INTX_IRQ_INDEX),
    "msi": lambda it: it.assign(vfio.VFIO_PCI_MSI_IRQ_INDEX),
    "msix": lambda it: it.assign(vfio.VFIO_PCI_MSIX_IRQ_INDEX),
    "error": lambda it: it.assign(vfio.VFIO_PCI_ERR_IRQ_INDEX),
    "request": lambda it: it.assign(vfio.VFIO_PCI_REQ_IRQ_INDEX),
    DMA_BUF: lambda it: dmabuf.try_get(it.device, dmabuf.request_of(0, [(0, PAGE), (0, 1)]))[0],
}


@devices("aer")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(
    own: Assigned, opened: Device, port: Port, spec: BenchDevice, name: str
) -> None:
    """Each by itself."""
    if name == DMA_BUF and not dmabuf.is_known(opened):
        pytest.skip("the kernel has no DMA_BUF: needs 7.2 with CONFIG_VFIO_PCI_DMABUF")
    with File.open(port, "/dev/null") as other:
        call = partial(REFUSED[name], Refusing(own, opened, spec.bdf, other))
        expect.holds(not call().ok, "refused", "accepted")
        Slabs.of_calls(port).none_kept(call, TIMES)
