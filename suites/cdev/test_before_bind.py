# SPDX-License-Identifier: MIT
"""A device's file that is open and not bound."""

import mmap
from collections.abc import Callable

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_feature as abi
from vfiospec.device.call import Call
from vfiospec.device.cdev import Cdev
from vfiospec.device.files import Mapping, Memory
from vfiospec.device.iommufd import Iommufd
from vfiospec.device.ops import Pread, Pwrite
from vfiospec.device.port import Port
from vfiospec.rules import cdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
UNKNOWN = vfio.VFIO_TYPE << 8 | vfio.VFIO_BASE + 40
REQUESTS = {
    "get-info": vfio.VFIO_DEVICE_GET_INFO,
    "get-region-info": vfio.VFIO_DEVICE_GET_REGION_INFO,
    "get-irq-info": vfio.VFIO_DEVICE_GET_IRQ_INFO,
    "set-irqs": vfio.VFIO_DEVICE_SET_IRQS,
    "reset": vfio.VFIO_DEVICE_RESET,
    "hot-reset-info": vfio.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
    "hot-reset": vfio.VFIO_DEVICE_PCI_HOT_RESET,
    "ioeventfd": vfio.VFIO_DEVICE_IOEVENTFD,
    "feature": abi.VFIO_DEVICE_FEATURE,
    "attach": abi.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
    "detach": abi.VFIO_DEVICE_DETACH_IOMMUFD_PT,
    "unknown": UNKNOWN,
}


def answers_nothing(cdev: Cdev, memory: Memory, errno: int) -> None:
    """Every ioctl with an argsz that is large enough and with none, read, write and mmap."""
    sent = (512).to_bytes(4, "little") + bytes(508)
    for request in REQUESTS.values():
        expect.refused(cdev.try_ioctl(request, sent), errno)
        expect.refused(cdev.try_ioctl(request, 0), errno)
    place = vfio.VFIO_PCI_CONFIG_REGION_INDEX << 40
    port = cdev.port
    for offset in (0, place):
        read = port.do(Pread(cdev.handle, 4, offset, memory.at()))
        expect.refused(Call("read", f"at {offset:#x}", 0, read), errno)
        write = port.do(Pwrite(cdev.handle, bytes(4), offset))
        expect.refused(Call("write", f"at {offset:#x}", 0, write), errno)
    reply, mapping = Mapping.of(cdev, mmap.PAGESIZE, prot=3, flags=mmap.MAP_SHARED)
    if mapping is not None:
        mapping.unmap()
    expect.refused(Call("mmap", "of BAR 0", 0, reply), errno)


@checks(rules.GATE)
def test_nothing_is_answered(cdev: Cdev, memory: Memory, promised: Promised) -> None:
    """Neither at first nor after ioctls were tried."""
    for _ in range(2):
        answers_nothing(cdev, memory, promised(rules.GATE))


@checks(rules.GATE, rules.BIND_TWICE)
def test_a_second_file_stays_shut(
    cdev: Cdev, iommufd: Iommufd, path: str, port: Port, memory: Memory, promised: Promised
) -> None:
    """One that was refused to bind answers nothing, while the device is bound and after."""
    with Cdev.at(port, path) as second:
        cdev.bind(iommufd)
        expect.refused(second.try_bind(iommufd), promised(rules.BIND_TWICE))
        answers_nothing(second, memory, promised(rules.GATE))
        expect.accepted(cdev.try_get_info())


@checks(rules.OPEN)
def test_open_alone_does_nothing(
    path: str,
    closed: int,
    port: Port,
    enables: Callable[[], int],
    group_opens: Callable[[], int],
) -> None:
    """The device is not enabled, and its group is free."""
    del closed
    before = enables()
    many = [Cdev.at(port, path) for _ in range(4)]
    expect.equal("enables", enables(), before)
    expect.equal("open of the group", group_opens(), 0)
    for opened in many:
        opened.close()
    expect.equal("open of the group", group_opens(), 0)
