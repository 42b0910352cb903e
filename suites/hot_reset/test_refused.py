# SPDX-License-Identifier: MIT
"""PCI_HOT_RESET: what is refused, and that a refusal changes nothing."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, Memory
from vfiospec.device.group import Assigned
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import Port
from vfiospec.device.scratch import Scratch, decode_memory
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.qemu import Vm
from vfiospec.rules import hot_reset as rules
from vfiospec.rules import hot_reset_info
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices
from vfiospec.session.run import Run

HEAD = vfio.HOT_RESET_MIN
DRIVER, STUB = "/sys/bus/pci/drivers/vfio-pci", "/sys/bus/pci/drivers/pci-stub"
Promised = Callable[[Rule], int]


@checks(rules.ARGSZ)
@pytest.mark.parametrize("argsz", [0, 1, HEAD - 4, HEAD - 1], ids="argsz-{}".format)
def test_too_small_an_argsz(
    device: Device, assigned: Assigned, argsz: int, promised: Promised
) -> None:
    """Refused before the bus is looked at."""
    call = device.try_hot_reset((assigned.group,), argsz=argsz)
    expect.refused(call, promised(rules.ARGSZ))


@checks(rules.FLAGS)
@pytest.mark.parametrize("bit", range(32), ids="bit-{}".format)
@devices("grouped", "msix")
def test_any_flag(device: Device, assigned: Assigned, bit: int, promised: Promised) -> None:
    """Each bit, on a device that could be reset."""
    call = device.try_hot_reset((assigned.group,), flags=1 << bit)
    expect.refused(call, promised(rules.FLAGS))


@checks(rules.FLAGS)
def test_a_flag_comes_before_the_bus(
    device: Device, assigned: Assigned, promised: Promised
) -> None:
    """Also where the bus cannot be reset."""
    expect.refused(device.try_hot_reset((assigned.group,), flags=1), promised(rules.FLAGS))


@checks(rules.COUNT_ZERO, rules.COUNT_ZERO_ROOT)
@pytest.mark.parametrize("argsz", [HEAD, 64], ids="argsz-{}".format)
def test_no_group(device: Device, bus: tuple[str, ...], argsz: int, promised: Promised) -> None:
    """An empty array is for devices opened as a character device of their own."""
    rule = rules.COUNT_ZERO if bus else rules.COUNT_ZERO_ROOT
    expect.refused(device.try_hot_reset((), argsz=argsz), promised(rule))


@checks(rules.NO_DEVICE)
def test_on_a_root_bus_there_is_none(
    device: Device, assigned: Assigned, bus: tuple[str, ...], promised: Promised
) -> None:
    """Whatever the fds are; behind a bridge the bad fd is what is told."""
    if not bus:
        expect.refused(device.try_hot_reset((assigned.group,)), promised(rules.NO_DEVICE))
        expect.refused(device.try_hot_reset((-1,)), promised(rules.NO_DEVICE))
    else:
        expect.refused(device.try_hot_reset((-1,)), promised(rules.BAD_FD))


@checks(rules.TOO_MANY)
@devices("below-bridge")
def test_more_groups_than_devices(
    device: Device, assigned: Assigned, on_a_bus: tuple[str, ...], promised: Promised
) -> None:
    """Refused by the number alone: the fds, which would be bad, are not read."""
    for count in (len(on_a_bus) + 1, len(on_a_bus) + 2, 0x80000000, 0xFFFFFFFF):
        call = device.try_hot_reset((assigned.group,), count=count)
        expect.refused(call, promised(rules.TOO_MANY))


@checks(rules.BAD_ADDRESS)
@devices("below-bridge")
def test_a_bad_address(
    device: Device, on_a_bus: tuple[str, ...], memory: Memory, promised: Promised
) -> None:
    """No header; a header without fds behind it; fds that end too early."""
    request, fault = vfio.VFIO_DEVICE_PCI_HOT_RESET, promised(rules.BAD_ADDRESS)
    expect.refused(device.try_ioctl(request, 0), fault)
    expect.refused(device.try_ioctl(request, memory.tail(HEAD - 1)), fault)
    head = vfio.vfio_pci_hot_reset(64, 0, len(on_a_bus)).pack()
    for there in (0, 4 * len(on_a_bus) - 1):
        data = head + bytes(there)
        expect.refused(device.try_ioctl(request, data, at=memory.tail(len(data))), fault)


@checks(rules.BAD_FD, rules.REFUSED_UNCHANGED)
@devices("below-bridge")
def test_a_number_that_is_no_file(
    alive: Device, assigned: Assigned, on_a_bus: tuple[str, ...], promised: Promised
) -> None:
    """Alone, and behind the right group if there is room for two."""
    for number in (-1, -2, 100000):
        expect.refused(alive.try_hot_reset((number,)), promised(rules.BAD_FD))
        if len(on_a_bus) > 1:
            call = alive.try_hot_reset((assigned.group, number))
            expect.refused(call, promised(rules.BAD_FD))
    expect.accepted(alive.try_get_info())


@checks(rules.NOT_A_GROUP, rules.REFUSED_UNCHANGED)
@devices("below-bridge")
def test_a_file_that_is_no_group(
    alive: Device, assigned: Assigned, port: Port, on_a_bus: tuple[str, ...], promised: Promised
) -> None:
    """An eventfd, the container, the device itself."""
    with EventFd.create(port) as event:
        for file in (event, assigned.container, alive):
            expect.refused(alive.try_hot_reset((file,)), promised(rules.NOT_A_GROUP))
            if len(on_a_bus) > 1:
                call = alive.try_hot_reset((assigned.group, file))
                expect.refused(call, promised(rules.NOT_A_GROUP))


@checks(rules.NOT_OWNED, rules.REFUSED_UNCHANGED)
@devices("below-bridge")
def test_the_group_of_another(
    alive: Device,
    run: Run,
    spec: BenchDevice,
    scratch: Scratch,
    on_a_bus: tuple[str, ...],
    promised: Promised,
) -> None:
    """A group that holds none of the devices proves nothing; the device is as it was, usable."""
    others = [d for d in run.devices if d.group != spec.group and d.bdf not in on_a_bus]
    if not others:
        pytest.skip("no device in another group: judge two")
    scratch.write(alive, scratch.value)
    with alive.region(scratch.bar).map() as mapping:
        mapping.load(0, 4)
        call = alive.try_hot_reset((run.grouped(others[0]).group,))
        expect.refused(call, promised(rules.NOT_OWNED))
        expect.equal("signal of a load", mapping.load(0, 4).signal, 0)
    expect.equal("register afterwards", scratch.read(alive), scratch.value)
    scratch.write(alive, 0)


@checks(rules.ARGSZ_FDS)
@devices("below-bridge")
def test_an_argsz_without_the_fds(
    alive: Device, assigned: Assigned, on_a_bus: tuple[str, ...], promised: Promised
) -> None:
    """The fds lie behind what the caller says is there."""
    for argsz in (HEAD, HEAD + 3):
        call = alive.try_hot_reset((assigned.group,) * len(on_a_bus), argsz=argsz)
        expect.refused(call, promised(rules.ARGSZ_FDS))


@checks(rules.UNBOUND, hot_reset_info.INFO_DEVICES, rules.REFUSED_UNCHANGED)
@devices("grouped")
def test_a_sibling_without_driver(
    group: Assigned,
    spec: BenchDevice,
    sibling: BenchDevice,
    sysfs: PortSysfs,
    dependents: set[bytes],
    promised: Promised,
) -> None:
    """It is still named; nobody resets it; the open device goes on, and both once it is back."""
    sysfs.write(f"{DRIVER}/unbind", sibling.bdf)
    try:
        with group.open(spec.bdf) as device:
            decode_memory(device)
            expect.refused(device.try_hot_reset((group.group,)), promised(rules.UNBOUND))
            told = expect.accepted(device.try_get_hot_reset_info(512))
            count = told.unpack(vfio.vfio_pci_hot_reset_info).count
            expect.equal("count of devices", count, len(dependents))
            expect.accepted(device.try_get_info())
    finally:
        sysfs.write(f"{DRIVER}/bind", sibling.bdf)
    with group.open(spec.bdf) as device:
        expect.accepted(device.try_hot_reset((group.group,)))


@checks(rules.UNBOUND, rules.REFUSED_UNCHANGED)
@devices("grouped")
def test_a_sibling_of_another_driver(
    machine: Vm,
    group: Assigned,
    spec: BenchDevice,
    sibling: BenchDevice,
    sysfs: PortSysfs,
    promised: Promised,
) -> None:
    """One that touches no device, so that the group stays viable; it is not reset either."""
    del machine  # on a real one, the other driver might be the host's own
    if not sysfs.exists(STUB):
        pytest.skip("no driver that leaves a device alone: needs CONFIG_PCI_STUB")
    override = f"{SYSFS}/{sibling.bdf}/driver_override"
    sysfs.write(f"{DRIVER}/unbind", sibling.bdf)
    sysfs.write(override, "pci-stub")
    try:
        sysfs.write(f"{STUB}/bind", sibling.bdf)
        with group.open(spec.bdf) as device:
            expect.refused(device.try_hot_reset((group.group,)), promised(rules.UNBOUND))
            expect.accepted(device.try_get_info())
        sysfs.write(f"{STUB}/unbind", sibling.bdf)
    finally:
        sysfs.write(override, "vfio-pci")
        sysfs.write(f"{DRIVER}/bind", sibling.bdf)
