# SPDX-License-Identifier: MIT
"""Container, group, device and mapping closed in every order."""

import os
from collections.abc import Callable
from itertools import permutations

import pytest

from vfiospec import expect
from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.edu import ID_REGISTER, Edu
from vfiospec.device.group import Assigned
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import container as rules
from vfiospec.rules import group as group_rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

FILES = ("container", "group", "device")
WITH_MAPPING = (*FILES, "mapping")
Promised = Callable[[Rule], int]


class World:
    """A device with all that leads to it, closed one by one."""

    def __init__(self, port: Port, number: int, bdf: str) -> None:
        """Open container, group and device."""
        self.port = port
        self.number = number
        assigned = Assigned(port, number)
        self.container, self.group = assigned.container, assigned.group
        self.device = assigned.open(bdf)
        self.open: dict[str, Callable[[], object]] = {
            "container": self.container.close,
            "group": self.group.close,
            "device": self.device.close,
        }

    def close(self, name: str) -> None:
        """Close one of them."""
        self.open.pop(name)()

    def reopened(self) -> Call:
        """Try to open the group once more."""
        path, handle = f"/dev/vfio/{self.number}", self.port.handle()
        reply = self.port.do(o.Open(handle, path, os.O_RDWR | os.O_CLOEXEC))
        if reply.ok:
            self.port.do(o.Close(handle))
        return Call("open", path, 0, reply)

    def judge(self, promised: Promised) -> None:
        """All that is open works, and the group is taken as long as it has a holder."""
        held = bool(self.open.keys() - {"container"})
        if "device" in self.open:
            expect.accepted(self.device.try_get_info())
        if "group" in self.open:
            expect.equal("status", self.group.get_status(), promised(group_rules.STATUS_SET))
        if "container" in self.open and held:
            expect.accepted(self.container.try_get_iommu_info())
        elif "container" in self.open:
            call = self.container.try_get_iommu_info()
            expect.refused(call, promised(rules.LOSES_ITS_GROUP))
        if held:
            expect.refused(self.reopened(), promised(group_rules.OPEN_HELD))
        else:
            call = self.reopened()
            expect.holds(call.ok, "a group that can be opened", str(call))


@checks(rules.CLOSE_ORDER, rules.LOSES_ITS_GROUP, group_rules.OPEN_HELD, group_rules.OPEN_AGAIN)
@devices()
@pytest.mark.parametrize("order", list(permutations(FILES)), ids="-".join)
def test_any_order(
    closed: int, spec: BenchDevice, port: Port, order: tuple[str, ...], promised: Promised
) -> None:
    """Whatever is left works, and afterwards all can be opened again."""
    world = World(port, closed, spec.bdf)
    try:
        for name in order:
            world.judge(promised)
            world.close(name)
        world.judge(promised)
    finally:
        for name in sorted(world.open):
            world.close(name)
    again = Assigned(port, closed)
    with again.open(spec.bdf) as device:
        expect.accepted(device.try_get_info())
    again.close()


@checks(rules.CLOSE_ORDER, rules.LOSES_ITS_GROUP, group_rules.OPEN_HELD, group_rules.OPEN_AGAIN)
@devices("irq-stimulus")
@pytest.mark.parametrize("order", list(permutations(WITH_MAPPING)), ids="-".join)
def test_any_order_with_a_mapping(
    closed: int, spec: BenchDevice, port: Port, order: tuple[str, ...], promised: Promised
) -> None:
    """A mapping holds the device, reads the same throughout, and holds the group when alone."""
    world = World(port, closed, spec.bdf)
    try:
        Edu(world.device).enable(bus_master=False)
        mapping = world.device.region(0).map()
        world.open["mapping"] = mapping.unmap
        there = mapping.load(ID_REGISTER, 4).value
        for name in order:
            world.judge(promised)
            if "mapping" in world.open:
                expect.equal("identity", mapping.load(ID_REGISTER, 4).value, there)
            world.close(name)
        world.judge(promised)
    finally:
        for name in sorted(world.open):
            world.close(name)
    again = Assigned(port, closed)
    with again.open(spec.bdf) as device:
        expect.accepted(device.try_get_info())
    again.close()
