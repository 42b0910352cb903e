# SPDX-License-Identifier: MIT
"""What a call that failed could leave with the driver, and hold it up with later."""

import os
from collections.abc import Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.device import dmabuf
from vfiospec.device.call import Call
from vfiospec.device.device import Device
from vfiospec.device.faults import FailingPort
from vfiospec.device.files import File
from vfiospec.device.group import Assigned
from vfiospec.device.ops import Close, Open, Pwrite, WriteFile
from vfiospec.device.pci import ROM, SYSFS, PciDevice
from vfiospec.device.port import Port
from vfiospec.device.sriov import set_numvfs
from vfiospec.device.unbind import Unbinder
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.qemu import Vm
from vfiospec.rules import faults as rules
from vfiospec.session.marks import checks, devices
from vfiospec.session.run import Run
from vfiospec.session.sweep import Sweep

AT_ONCE_MS = 10_000
ENABLE = "/sys/module/vfio_pci/parameters/enable_sriov"
# The first allocation is for what is written, the second for the VF; a failure of one that fills
# the VF in takes the kernel down: pci_iov_add_virtfn does not ask whether there is a device.
ALLOCATIONS, MOST = 2, 8


@pytest.fixture
def unbinder(machine: Vm, port: Port, closed: int, spec: BenchDevice) -> Iterator[Unbinder]:
    """Somebody who can take the device from vfio-pci; it is given back, if it was to be had."""
    del machine, closed
    made = Unbinder(port, spec.bdf)
    yield made
    if made.done(AT_ONCE_MS):
        made.give_back()


@checks(rules.FEATURE, rules.COPY)
@devices("irq-stimulus", without=("grouped",))
def test_dma_buf(
    sweep: Sweep, unbinder: Unbinder, closed: int, spec: BenchDevice, pci: PciDevice, page: int
) -> None:
    """A slice of a BAR as a file; what failed does not keep the device from being taken away."""
    bar = next(i for i, b in enumerate(pci.bars[:ROM]) if b.is_memory and b.size >= page)
    request = dmabuf.request_of(bar, [(0, page)])
    handles: list[int] = []
    own = Assigned(sweep.port, closed)
    opened = own.open(spec.bdf)

    def attempt(port: Port) -> Call:
        call, file = dmabuf.try_get(Device(port, opened.handle), request)
        handles.extend([file.handle] if file else [])
        return call

    try:
        if not dmabuf.is_known(opened):
            pytest.skip("needs 7.2 or newer with CONFIG_VFIO_PCI_DMABUF")
        sweep(rules.FEATURE, attempt, lambda: sweep.port.do(Close(handles.pop())))
    finally:
        opened.close()
        own.close()
    unbinder.start()
    expect.equal("gone from its driver", unbinder.done(AT_ONCE_MS), True)


@checks(rules.OPEN_CDEV)
@devices("irq-stimulus", without=("grouped",))
def test_own_file(sweep: Sweep, unbinder: Unbinder, cdev_name: str) -> None:
    """Its open; what failed does not keep the device from being taken away."""
    handles: list[int] = []

    def attempt(port: Port) -> Call:
        handle = port.handle()
        reply = port.do(Open(handle, cdev_name, os.O_RDWR | os.O_CLOEXEC))
        if reply.ok:
            handles.append(handle)
        return Call("open", cdev_name, b"", reply)

    sweep(rules.OPEN_CDEV, attempt, lambda: sweep.port.do(Close(handles.pop())))
    unbinder.start()
    expect.equal("gone from its driver", unbinder.done(AT_ONCE_MS), True)


@pytest.fixture
def numvfs(
    injectors: None, machine: Vm, port: Port, sysfs: PortSysfs, spec: BenchDevice
) -> Iterator[File]:
    """The file that makes VFs of the device, which vfio-pci allows; none are left."""
    del injectors, machine
    if not sysfs.exists(ENABLE):
        pytest.skip("vfio-pci cannot make VFs: needs CONFIG_PCI_IOV")
    before = sysfs.read(ENABLE)
    port.do(WriteFile(ENABLE, b"Y"))
    with File.open(port, f"{SYSFS}/{spec.bdf}/sriov_numvfs") as opened:
        yield opened
    set_numvfs(port, spec.bdf, 0)
    port.do(WriteFile(ENABLE, before.encode()))


@checks(rules.SRIOV, rules.COPY)
@devices("sriov")
def test_virtual_functions(
    run: Run, opened: Device, numvfs: File, spec: BenchDevice, pci: PciDevice
) -> None:
    """The next write makes them, and with none left the PF may be put into D3hot."""
    port, without_memory = numvfs.port, rules.SRIOV.answer(run.version)
    errnos = [without_memory, rules.COPY.answer(run.version)]
    given: list[int] = []
    while given.count(without_memory) < ALLOCATIONS and len(given) < MOST:
        failing = FailingPort(port, len(given) + 1)
        made = failing.do(Pwrite(numvfs.handle, b"1"))
        given.append(made.errno)
        expect.one_of(f"errno of a failure at point {len(given)}", made.errno, errnos)
    expect.equal("errno where nothing fails", set_numvfs(port, spec.bdf, 1).errno, 0)
    expect.equal("errno of 0", set_numvfs(port, spec.bdf, 0).errno, 0)
    control = pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL
    opened.write_config(control, 2, regs.PCI_PM_CTRL_STATE_MASK)
    expect.equal("power state", opened.read_config(control, 2) & 3, 3)
    opened.write_config(control, 2, 0)
