# SPDX-License-Identifier: MIT
"""No VFs: devices that have none, and a physical function before and after."""

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.device import ops as o
from vfiospec.device.device import Device
from vfiospec.device.group import Assigned
from vfiospec.device.observe import suspends
from vfiospec.device.pci import SYSFS, PciDevice
from vfiospec.device.port import Port
from vfiospec.device.sriov import Pair, first_vf, set_numvfs
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.bind import driver_of
from vfiospec.rules import vf_token as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices
from vfiospec.session.run import Run

Promised = Callable[[Rule], int]
TOKEN = UUID("bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3")
DRIVER = "/sys/bus/pci/drivers/vfio-pci"
STUB = "/sys/bus/pci/drivers/pci-pf-stub"
ENABLE = "/sys/module/vfio_pci/parameters/enable_sriov"
A_WHILE = 0.02  # s, between two looks


@checks(rules.UNUSED, rules.MALFORMED, rules.NO_SUCH_NAME)
@devices(without=("sriov",))
def test_a_token_for_nothing(assigned: Assigned, spec: BenchDevice, promised: Promised) -> None:
    """Well formed or not; without one, and with blanks, the device is opened."""
    expected = {
        f" vf_token={TOKEN}": promised(rules.UNUSED),
        f" vf_token={str(TOKEN)[:-1]}": promised(rules.MALFORMED),
        " vf_token": promised(rules.MALFORMED),
        " x": promised(rules.MALFORMED),
        "x": promised(rules.NO_SUCH_NAME),
        f"x vf_token={TOKEN}": promised(rules.NO_SUCH_NAME),
    }
    for options, number in expected.items():
        call, device = assigned.group.try_get_device_fd(spec.bdf + options)
        if device is not None:
            device.close()
        expect.refused(call, number)
    for options in ("", " ", "   "):
        assigned.open(spec.bdf + options).close()


@checks(rules.SET_TIME)
@devices("sriov")
def test_no_token_while_sriov_is_off(device: Device) -> None:
    """There is nobody to share it with."""
    call = device.try_set_vf_token(TOKEN)
    expect.holds(not call.ok, "an error", str(call))


@checks(rules.DISABLED)
@devices("sriov")
@pytest.mark.usefixtures("device", "machine")
def test_without_leave_there_are_no_vfs(
    spec: BenchDevice, port: Port, sysfs: PortSysfs, promised: Promised
) -> None:
    """The module's parameter is off by default."""
    if sysfs.read(ENABLE) != "N":
        pytest.skip("VFs are allowed here: vfio_pci.enable_sriov is set")
    made = set_numvfs(port, spec.bdf, 1)
    if made.ok:
        set_numvfs(port, spec.bdf, 0)
    expect.equal("errno of sriov_numvfs", made.errno, promised(rules.DISABLED))


@pytest.fixture
def allowed(sysfs: PortSysfs, port: Port, spec: BenchDevice, machine: object) -> Iterator[str]:
    """The physical function's address, with leave to make VFs."""
    del machine
    before = sysfs.read(ENABLE)
    sysfs.write(ENABLE, "Y")
    yield spec.bdf
    set_numvfs(port, spec.bdf, 0)
    sysfs.write(ENABLE, before)


def goes(sysfs: PortSysfs, path: str, seconds: float = 5.0) -> bool:
    """Wait until a file is gone, which 5.10 leaves to a worker; False if the time ran out."""
    end = time.monotonic() + seconds
    while sysfs.exists(path):
        if time.monotonic() > end:
            return False
        time.sleep(A_WHILE)
    return True


@checks(rules.POWER)
@devices("sriov")
def test_afterwards_it_may_sleep_again(
    closed: int, allowed: str, port: Port, pci: PciDevice, promised: Promised
) -> None:
    """VFs made and gone, closed meanwhile; D3hot is entered again, and sleep."""
    expect.equal("errno of sriov_numvfs", set_numvfs(port, allowed, 1).errno, 0)
    expect.holds(first_vf(port, allowed) != "", "a VF", "none")
    busy = set_numvfs(port, allowed, 2)
    expect.equal("errno of sriov_numvfs", busy.errno, errno.EBUSY)
    if not promised(rules.POWER):
        expect.equal("the PF sleeps", suspends(port, allowed, 0.05), False)
    expect.equal("errno of sriov_numvfs", set_numvfs(port, allowed, 0).errno, 0)
    expect.equal("first VF", first_vf(port, allowed), "")
    if not promised(rules.POWER):
        expect.equal("the PF sleeps", suspends(port, allowed), True)
    group = Assigned(port, closed)
    try:
        control = pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL
        with group.open(allowed) as device:
            device.write_config(control, 2, regs.PCI_PM_CTRL_STATE_MASK)
            expect.equal("power state", device.read_config(control, 2) & 3, 3)
            device.write_config(control, 2, 0)
    finally:
        group.close()


def pair_of(port: Port, pf: Device, bdf: str, group: Assigned) -> Pair:
    """An open physical function, and its first virtual one."""
    vf = first_vf(port, bdf)
    return Pair(pf, bdf, group, vf, Assigned(port, PciDevice(port, vf).group or 0))


@checks(rules.POWER)
@devices("sriov")
def test_made_while_it_is_in_d3hot(
    closed: int, allowed: str, port: Port, pci: PciDevice, promised: Promised
) -> None:
    """It is in D0 as soon as there are VFs."""
    if promised(rules.POWER):
        pytest.skip("the kernel does not hold a PF in D0 for its VFs: needs 6.1 or newer")
    control = pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL
    group = Assigned(port, closed)
    try:
        with group.open(allowed) as device:
            device.write_config(control, 2, regs.PCI_PM_CTRL_STATE_MASK)
            expect.equal("power state", device.read_config(control, 2) & 3, 3)
            expect.equal("errno of sriov_numvfs", set_numvfs(port, allowed, 1).errno, 0)
            expect.equal("power state", device.read_config(control, 2) & 3, 0)
            expect.equal("errno of sriov_numvfs", set_numvfs(port, allowed, 0).errno, 0)
    finally:
        group.close()


@checks(rules.VF_WRONG, rules.VF_RIGHT)
@devices("sriov")
def test_a_token_that_nobody_has_set(
    closed: int, allowed: str, port: Port, sysfs: PortSysfs, promised: Promised
) -> None:
    """Since the driver took the physical function: it is not zeros, nor what was set before."""
    group = Assigned(port, closed)
    try:
        with group.open(allowed) as device:
            expect.accepted(device.try_set_vf_token(TOKEN))
    finally:
        group.close()
    sysfs.write(f"{DRIVER}/unbind", allowed)
    sysfs.write(f"{DRIVER}/bind", allowed)
    group = Assigned(port, closed)
    try:
        with group.open(allowed) as device:
            expect.equal("errno of sriov_numvfs", set_numvfs(port, allowed, 1).errno, 0)
            pair = pair_of(port, device, allowed, group)
            try:
                for wrong in (UUID(int=0), UUID(int=(1 << 128) - 1), TOKEN):
                    call, vf = pair.open_vf(f" vf_token={wrong}")
                    if vf is not None:
                        vf.close()
                    expect.refused(call, promised(rules.VF_WRONG))
                expect.accepted(device.try_set_vf_token(TOKEN))
                call, vf = pair.open_vf(f" vf_token={TOKEN}")
                expect.holds(vf is not None, "an fd", str(call))
                if vf is not None:
                    vf.close()
            finally:
                pair.vf_group.close()
            expect.equal("errno of sriov_numvfs", set_numvfs(port, allowed, 0).errno, 0)
    finally:
        group.close()


@checks(rules.DRIVER)
@devices("sriov")
def test_vfs_go_with_the_driver(closed: int, allowed: str, port: Port, sysfs: PortSysfs) -> None:
    """Unbound from the physical function, it takes the VFs along; bound again, it is as before."""
    expect.equal("errno of sriov_numvfs", set_numvfs(port, allowed, 1).errno, 0)
    sysfs.write(f"{DRIVER}/unbind", allowed)
    try:
        expect.equal("sriov_numvfs", sysfs.read(f"{SYSFS}/{allowed}/sriov_numvfs"), "0")
        expect.equal("first VF", first_vf(port, allowed), "")
    finally:
        sysfs.write(f"{DRIVER}/bind", allowed)
    group = Assigned(port, closed)
    group.open(allowed).close()
    group.close()


@pytest.fixture
def stub(machine: object, sysfs: PortSysfs) -> None:
    """Skips where no other driver makes VFs of any device."""
    del machine
    if not sysfs.exists(STUB):
        pytest.skip("no other driver makes VFs of any device: needs CONFIG_PCI_PF_STUB")


@contextmanager
def has_a_vf(port: Port, sysfs: PortSysfs, bdf: str) -> Iterator[str]:
    """A PF without a driver is another one's, and has a VF, whose address this is."""
    override = f"{SYSFS}/{bdf}/driver_override"
    sysfs.write(override, "pci-pf-stub\n")
    try:
        sysfs.write(f"{STUB}/bind", bdf)
        expect.equal("errno of sriov_numvfs", set_numvfs(port, bdf, 1).errno, 0)
        yield first_vf(port, bdf)
    finally:
        set_numvfs(port, bdf, 0)
        if sysfs.exists(f"{STUB}/{bdf}"):
            sysfs.write(f"{STUB}/unbind", bdf)
        sysfs.write(override, "\n")


@checks(rules.DRIVER)
@pytest.mark.usefixtures("stub")
@devices("sriov")
def test_the_vfs_of_another_pf_are_left_alone(
    run: Run, port: Port, sysfs: PortSysfs, spec: BenchDevice
) -> None:
    """That of one which vfio-pci does not have, while it has one that could have VFs too."""
    expect.equal("driver", driver_of(sysfs, spec.bdf), "vfio-pci")
    other = next((d for d in run.bench.spares if "sriov" in d.roles), None)
    if other is None:
        pytest.skip("no other device with sriov: judge topology default")
    with has_a_vf(port, sysfs, other.bdf) as vf:
        override = sysfs.read(f"{SYSFS}/{vf}/driver_override")
        expect.equal("driver_override of its VF", override, "(null)")


@pytest.fixture
def foreign(
    stub: None, closed: int, port: Port, sysfs: PortSysfs, spec: BenchDevice
) -> Iterator[str]:
    """The address of a VF, which vfio-pci has, of a PF that it has not."""
    del closed, stub
    sysfs.write(f"{DRIVER}/unbind", spec.bdf)
    try:
        with has_a_vf(port, sysfs, spec.bdf) as vf:
            sysfs.write(f"{SYSFS}/{vf}/driver_override", "vfio-pci\n")
            sysfs.write(f"{DRIVER}/bind", vf)
            yield vf
    finally:
        sysfs.write(f"{SYSFS}/{spec.bdf}/driver_override", "vfio-pci\n")
        sysfs.write(f"{DRIVER}/bind", spec.bdf)


@checks(rules.OTHER_PF)
@devices("sriov")
def test_the_vf_of_another_drivers_pf(foreign: str, port: Port, promised: Promised) -> None:
    """There is nobody to have set a token; again and again."""
    own = Assigned(port, PciDevice(port, foreign).group or 0)
    try:
        for _ in range(2):
            call, device = own.group.try_get_device_fd(f"{foreign} vf_token={TOKEN}")
            if device is not None:
                device.close()
            expect.refused(call, promised(rules.OTHER_PF))
            own.open(foreign).close()
    finally:
        own.close()


@checks(rules.PF_BUSY)
@devices("sriov")
def test_a_pf_with_vfs_is_not_taken(
    foreign: str, port: Port, sysfs: PortSysfs, spec: BenchDevice, promised: Promised
) -> None:
    """Its driver has let go of it, and left its VFs there."""
    override = f"{SYSFS}/{spec.bdf}/driver_override"
    sysfs.write(f"{STUB}/unbind", spec.bdf)
    try:
        expect.equal("first VF", first_vf(port, spec.bdf), foreign)
        sysfs.write(override, "vfio-pci\n")
        bind = port.do(o.WriteFile(f"{DRIVER}/bind", spec.bdf.encode()))
        expect.equal("errno of bind", bind.errno, promised(rules.PF_BUSY))
        taken = sysfs.exists(f"{DRIVER}/{spec.bdf}")
        expect.holds(not taken, "a PF without a driver", "vfio-pci has it")
    finally:
        if sysfs.exists(f"{DRIVER}/{spec.bdf}"):
            sysfs.write(f"{DRIVER}/unbind", spec.bdf)
        sysfs.write(override, "pci-pf-stub\n")
        sysfs.write(f"{STUB}/bind", spec.bdf)


@checks(rules.GROUP_GONE)
@devices("sriov")
@pytest.mark.usefixtures("closed")
def test_the_group_of_a_vf_goes_with_it(allowed: str, port: Port, sysfs: PortSysfs) -> None:
    """And so does the next one's."""
    for _ in range(2):
        expect.equal("errno of sriov_numvfs", set_numvfs(port, allowed, 1).errno, 0)
        number = PciDevice(port, first_vf(port, allowed)).group
        places = (f"/dev/vfio/{number}", f"/sys/kernel/iommu_groups/{number}")
        for path in places:
            expect.holds(sysfs.exists(path), f"{path} is there", "it is not")
        expect.equal("errno of sriov_numvfs", set_numvfs(port, allowed, 0).errno, 0)
        for path in places:
            expect.holds(goes(sysfs, path), f"{path} is gone", "it is there")
