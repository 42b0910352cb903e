# SPDX-License-Identifier: MIT
"""The file that GET_DEVICE_FD gives: its flags, its limits, its copies, its way to others."""

import fcntl
import os
import signal
from collections.abc import Callable
from resource import RLIMIT_NOFILE

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.cdev import Cdev
from vfiospec.device.container import Container
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd
from vfiospec.device.group import Assigned, Group
from vfiospec.device.port import ForkedPort, Port
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import group as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

REQ = vfio.VFIO_PCI_REQ_IRQ_INDEX
SIGNAL = vfio.VFIO_IRQ_SET_DATA_EVENTFD | vfio.VFIO_IRQ_SET_ACTION_TRIGGER
LOOPBACK = vfio.VFIO_IRQ_SET_DATA_NONE | vfio.VFIO_IRQ_SET_ACTION_TRIGGER


def opened(port: Port, number: int) -> Call:
    """Open a group, and close it again should that succeed."""
    path, handle = f"/dev/vfio/{number}", port.handle()
    reply = port.do(o.Open(handle, path, os.O_RDWR | os.O_CLOEXEC))
    if reply.ok:
        port.do(o.Close(handle))
    return Call("open", path, 0, reply)


@checks(rules.FD_FLAGS)
@devices()
def test_it_is_closed_by_exec_and_read_and_written(device: Device, port: Port) -> None:
    """As fcntl says."""
    flags = port.do(o.Syscall("fcntl", (device.fixup(), fcntl.F_GETFD)))
    expect.equal("file descriptor flags", flags.ret, fcntl.FD_CLOEXEC)
    status = port.do(o.Syscall("fcntl", (device.fixup(), fcntl.F_GETFL)))
    expect.equal("access mode", status.ret & os.O_ACCMODE, os.O_RDWR)
    config = device.get_region_info(vfio.VFIO_PCI_CONFIG_REGION_INDEX).struct
    reply = port.do(o.Pread(device.handle, 4, int(config.offset)))
    expect.equal("bytes read", reply.ret, 4)


@checks(rules.OWN_FILE_ONLY)
def test_it_is_not_attached_to_page_tables(device: Device, promised: Callable[[Rule], int]) -> None:
    """Its container says what is mapped for it."""
    fd = Cdev(device.port, device.handle)
    for call in (fd.try_attach(0), fd.try_attach(1), fd.try_detach()):
        expect.refused(call, promised(rules.OWN_FILE_ONLY))


@checks(rules.FD_INFO)
def test_its_info_names_the_device(
    assigned: Assigned,
    spec: BenchDevice,
    sysfs: PortSysfs,
    promised: Callable[[Rule], int],
) -> None:
    """Of each device; where the kernel need not say it, it says it right or not at all."""
    call, device = assigned.group.try_get_device_fd(spec.bdf)
    expect.holds(call.ok, "an fd", str(call))
    info = sysfs.read(f"/proc/self/fdinfo/{call.ret}").splitlines()
    if device is not None:
        device.close()
    place = sysfs.readlink(f"/sys/bus/pci/devices/{spec.bdf}").rpartition("../")[2]
    named = [line for line in info if line.startswith("vfio")]
    if named or promised(rules.FD_INFO):
        expect.equal("lines of fdinfo", named, [f"vfio-device-syspath: /sys/{place}"])


@checks(rules.FD_SEEK)
@devices()
@pytest.mark.parametrize("whence", [os.SEEK_SET, os.SEEK_CUR, os.SEEK_END], ids="whence-{}".format)
def test_it_has_no_position(
    device: Device, port: Port, whence: int, promised: Callable[[Rule], int]
) -> None:
    """Regions are reached by pread and pwrite."""
    reply = port.do(o.Syscall("lseek", (device.fixup(), 0, whence)))
    expect.refused(Call("lseek", f"device, 0, {whence}", 0, reply), promised(rules.FD_SEEK))


@checks(rules.FD_LIMIT)
def test_no_file_more_than_is_allowed(
    ready: Group,
    container: Container,
    subject: BenchDevice,
    port: Port,
    promised: Callable[[Rule], int],
) -> None:
    """Refused, the device is not open: the group can leave. With the limit lifted all works."""
    process = port.handle()
    port.do(o.Fork(process))  # the limit must not outlive the test in this process
    child = ForkedPort(port, process)
    theirs, box = Group(child, ready.handle), Container(child, container.handle)
    try:
        assert child.do(o.Rlimit(RLIMIT_NOFILE, 0, 4096)).ok
        for _ in range(3):
            call, _device = theirs.try_get_device_fd(subject.bdf)
            expect.refused(call, promised(rules.FD_LIMIT))
        expect.accepted(theirs.try_unset_container())
        expect.accepted(theirs.try_set_container(box))
        expect.accepted(box.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
        assert child.do(o.Rlimit(RLIMIT_NOFILE, 1024, 4096)).ok
        with theirs.get_device_fd(subject.bdf) as device:
            expect.accepted(device.try_get_info())
    finally:
        port.do(o.Wait(process, signal.SIGKILL))


@checks(rules.FD_SEVERAL)
@devices()
def test_several_share_what_is_set(closed: int, spec: BenchDevice, port: Port) -> None:
    """An eventfd set by one is signalled through another, and not after the last was closed."""
    assigned = Assigned(port, closed)
    try:
        with EventFd.create(port) as event:
            first, second = assigned.open(spec.bdf), assigned.open(spec.bdf)
            expect.accepted(first.try_set_irqs(REQ, SIGNAL, 0, 1, eventfds=(event,)))
            expect.accepted(second.try_set_irqs(REQ, LOOPBACK, 0, 1))
            expect.equal("signals", event.count(), 1)
            first.close()
            expect.accepted(second.try_set_irqs(REQ, LOOPBACK, 0, 1))
            expect.equal("signals after one was closed", event.count(), 1)
            second.close()
            with assigned.open(spec.bdf) as third:
                third.try_set_irqs(REQ, LOOPBACK, 0, 1)
                expect.equal("signals after all were closed", event.count(), 0)
    finally:
        assigned.close()


@checks(rules.FD_SEVERAL)
@devices()
def test_several_share_the_configuration_space(closed: int, spec: BenchDevice, port: Port) -> None:
    """A bit set by one is seen by another; the one that stays keeps it, the last one loses it."""
    assigned = Assigned(port, closed)
    try:
        first, second = assigned.open(spec.bdf), assigned.open(spec.bdf)
        before = first.read_config(regs.PCI_COMMAND, 2) & ~regs.PCI_COMMAND_MASTER
        first.write_config(regs.PCI_COMMAND, 2, before | regs.PCI_COMMAND_MASTER)
        first.close()
        for _ in range(2):
            command = second.read_config(regs.PCI_COMMAND, 2)
            expect.equal("command", command, before | regs.PCI_COMMAND_MASTER)
        second.close()
        with assigned.open(spec.bdf) as third:
            command = third.read_config(regs.PCI_COMMAND, 2)
            expect.flags("command", command, forbidden=regs.PCI_COMMAND_MASTER)
    finally:
        assigned.close()


@checks(rules.FD_PASSED, rules.OPEN_HELD, rules.OPEN_AGAIN)
@pytest.mark.parametrize("ends", ["by-closing", "by-dying"])
def test_a_device_passed_to_another_process(
    number: int, subject: BenchDevice, port: Port, ends: str, promised: Callable[[Rule], int]
) -> None:
    """It is all that is left of the group, and holds it."""
    process, passed = port.handle(), port.handle()
    port.do(o.Fork(process))
    child = ForkedPort(port, process)
    ended = False
    try:
        assigned = Assigned(port, number)
        device = assigned.open(subject.bdf)
        port.do(o.SendFd(process, device.handle, passed))
        device.close()
        assigned.close()
        theirs = Device(child, passed)
        expect.accepted(theirs.try_get_info())
        expect.refused(opened(port, number), promised(rules.OPEN_HELD))
        if ends == "by-closing":
            theirs.close()
        else:
            port.do(o.Wait(process, signal.SIGKILL))
            ended = True
        call = opened(port, number)
        expect.holds(call.ok, "a group that can be opened", str(call))
    finally:
        if not ended:
            port.do(o.Wait(process, signal.SIGKILL))


@checks(rules.FD_PASSED, rules.OPEN_HELD, rules.OPEN_AGAIN)
def test_files_inherited_by_another_process(
    number: int, subject: BenchDevice, port: Port, promised: Callable[[Rule], int]
) -> None:
    """Closed by the process that opened them they go on, and they go with the last process."""
    assigned = Assigned(port, number)
    device = assigned.open(subject.bdf)
    process = port.handle()
    port.do(o.Fork(process))
    child = ForkedPort(port, process)
    device.close()
    assigned.close()
    try:
        expect.accepted(Device(child, device.handle).try_get_info())
        expect.accepted(Container(child, assigned.container.handle).try_get_iommu_info())
        theirs = Group(child, assigned.group.handle)
        expect.equal("status", theirs.get_status(), promised(rules.STATUS_SET))
        with theirs.get_device_fd(subject.bdf) as another:
            expect.accepted(another.try_get_info())
        expect.refused(opened(port, number), promised(rules.OPEN_HELD))
    finally:
        port.do(o.Wait(process, signal.SIGKILL))
    call = opened(port, number)
    expect.holds(call.ok, "a group that can be opened", str(call))
