# SPDX-License-Identifier: MIT
"""What vfio-pci does not take, though somebody means it to."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.device.ops import WriteFile
from vfiospec.device.port import Port
from vfiospec.lab.bench import PortSysfs
from vfiospec.lab.bind import BDF, PCI, driver_of
from vfiospec.lab.qemu import Vm
from vfiospec.rules import group as rules
from vfiospec.rules import lifetime
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks
from vfiospec.session.run import Run
from vfiospec.session.slabs import Slabs

VFIO = f"{PCI}/drivers/vfio-pci"
TIMES = 64


@pytest.fixture
def bridge(machine: Vm, run: Run, sysfs: PortSysfs) -> Iterator[str]:
    """A bridge that no driver has; nothing behind it is open."""
    del machine
    behind = {d: sysfs.readlink(f"{PCI}/devices/{d.bdf}").split("/")[-2] for d in run.devices}
    bridges = {b for b in behind.values() if BDF.fullmatch(b) and driver_of(sysfs, b) is None}
    if not bridges:
        pytest.skip("no bridge without a driver: `vfiospec topologies` shows which has one")
    found = min(bridges)
    for device, above in behind.items():
        if above == found:
            run.give_up(device)
    sysfs.write(f"{PCI}/devices/{found}/driver_override", "vfio-pci\n")
    yield found
    if driver_of(sysfs, found) is not None:
        sysfs.write(f"{VFIO}/unbind", found)
    sysfs.write(f"{PCI}/devices/{found}/driver_override", "\n")


@checks(rules.BRIDGE)
def test_a_bridge(
    bridge: str, port: Port, sysfs: PortSysfs, promised: Callable[[Rule], int]
) -> None:
    """Refused, and still without a driver."""
    bound = port.do(WriteFile(f"{VFIO}/bind", bridge.encode()))
    expect.equal("errno of bind", bound.errno, promised(rules.BRIDGE))
    expect.equal("driver", driver_of(sysfs, bridge), None)


@checks(lifetime.NOTHING_KEPT)
def test_what_is_not_taken_is_forgotten(bridge: str, port: Port) -> None:
    """The same bridge again and again."""

    def refused() -> None:
        bound = port.do(WriteFile(f"{VFIO}/bind", bridge.encode()))
        expect.holds(not bound.ok, "refused", "bound")

    Slabs.of_calls(port).none_kept(refused, TIMES)
