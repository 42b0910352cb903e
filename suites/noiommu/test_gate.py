# SPDX-License-Identifier: MIT
"""What it takes to be handed a device without an IOMMU."""

import errno
from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.noiommu import group_path
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import ForkedPort, Port
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import group as group_rules
from vfiospec.rules import noiommu as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices
from vfiospec.session.run import Run

Promised = Callable[[Rule], int]
DRIVER = "/sys/bus/pci/drivers/vfio-pci"
TAINTED = "/proc/sys/kernel/tainted"


def driver(port: Port, verb: str, bdf: str) -> Call:
    """Write a device's address to `bind` or `unbind`."""
    return Call(
        f"write to {verb}", bdf, b"", port.do(o.WriteFile(f"{DRIVER}/{verb}", bdf.encode()))
    )


@checks(rules.GATE)
@devices("msix")
def test_off_no_device_is_taken(
    port: Port,
    number: int,
    spec: BenchDevice,
    sysfs: PortSysfs,
    mode: Callable[[bool], None],
    promised: Promised,
) -> None:
    """Let go of, then refused; taken again once it is on, with a group as before."""
    expect.holds(driver(port, "unbind", spec.bdf).ok, "unbound", "refused")
    expect.holds(not sysfs.exists(group_path(number)), "no group's file", group_path(number))
    mode(False)
    call = driver(port, "bind", spec.bdf)
    mode(True)
    again = driver(port, "bind", spec.bdf)
    expect.equal(f"errno of {call} while it is off", call.errno, promised(rules.GATE))
    expect.holds(again.ok, "bound once it is on", str(again))
    found = PciDevice(port, spec.bdf).group
    expect.holds(found is not None, "a group", "none")


@checks(rules.NAME)
@devices()
def test_the_group_is_named_for_what_it_is(
    number: int, spec: BenchDevice, sysfs: PortSysfs
) -> None:
    """In /dev/vfio and in sysfs."""
    names = sysfs.listdir("/dev/vfio")
    expect.holds(f"noiommu-{number}" in names, f"noiommu-{number} in /dev/vfio", f"{names}")
    expect.holds(str(number) not in names, f"no {number} in /dev/vfio", f"{names}")
    folder = f"/sys/kernel/iommu_groups/{number}"
    expect.equal("name of the group", sysfs.read(f"{folder}/name"), "vfio-noiommu")
    expect.equal("its devices", sysfs.listdir(f"{folder}/devices"), [spec.bdf])


@checks(rules.TAINT)
@pytest.mark.usefixtures("bare")
def test_the_kernel_is_tainted(run: Run, sysfs: PortSysfs, promised: Promised) -> None:
    """It was not when it was up, and was once the devices were bound."""
    bit = promised(rules.TAINT)
    expect.flags("taint before", run.bench.booted.taint, forbidden=bit)
    expect.flags("taint after", int(sysfs.read(TAINTED)), needed=bit)


@checks(group_rules.OPEN_NOIOMMU)
@devices("dma-stimulus")
def test_the_group_takes_a_capability(
    number: int, port: Port, unprivileged: ForkedPort, promised: Promised
) -> None:
    """Refused to a process of root's that lacks it, and not to one that has it."""
    path = group_path(number)
    reply = unprivileged.do(o.Open(unprivileged.handle(), path, 2))
    call = Call("open without CAP_SYS_RAWIO", path, b"", reply)
    expect.refused(call, promised(group_rules.OPEN_NOIOMMU))
    handle = port.handle()
    expect.holds(port.do(o.Open(handle, path, 2)).ok, "open with it", "refused")
    second = Call("open", path, b"", port.do(o.Open(port.handle(), path, 2)))
    port.do(o.Close(handle))
    expect.refused(second, errno.EBUSY)
