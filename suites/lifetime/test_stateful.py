# SPDX-License-Identifier: MIT
"""Sequences of opening, attaching and closing: container, group and device."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.container import Container
from vfiospec.device.group import Assigned, Group
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import container as container_rules
from vfiospec.rules import group as group_rules
from vfiospec.rules import lifetime as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices
from vfiospec.session.stateful import search

if TYPE_CHECKING:
    from vfiospec.device.device import Device

WHICH = st.integers(0, 1)  # of two containers
MOST = 3  # fds of the device


class Lives(RuleBasedStateMachine):
    """Two containers, one group, its device; nothing of it is open at first."""

    def __init__(
        self,
        port: Port,
        number: int,
        spec: BenchDevice,
        at_first: int,
        promised: Callable[[Rule], int],
    ) -> None:
        super().__init__()
        self.port, self.number, self.spec, self.promised = port, number, spec, promised
        self.containers = [Container.create(port) for _ in range(2)]
        self.group: Group | None = None
        self.devices: list[Device] = []
        self.within: int | None = None  # the container that the group is in
        self.has_model = False
        self.at_first = at_first
        self.line = at_first  # what the interrupt line register shows

    def teardown(self) -> None:
        """Close everything, whatever was found."""
        group = [self.group] if self.group else []
        self.port.run([o.Close(f.handle) for f in (*self.devices, *group, *self.containers)])

    def _left(self) -> None:
        """Nobody holds the group any more."""
        if self.group is None and not self.devices:
            self.within, self.has_model = None, False

    @rule(twice=st.booleans())
    def go_on(self, twice: bool) -> None:  # noqa: FBT001 -- or an example seldom gets far
        """The next step to an open device."""
        for _ in range(1 + twice):
            if self.group is None:
                self.open_group()
            elif self.within is None:
                self.set_container(0)
            elif not self.has_model:
                self.set_iommu(self.within)
            elif len(self.devices) < MOST:
                self.get_device()

    @rule()
    def open_group(self) -> None:
        """By one at a time; a device that is open holds its group."""
        handle = self.port.handle()
        reply = self.port.do(o.Open(handle, f"/dev/vfio/{self.number}", 2))
        call = Call("open", f"group {self.number}", 0, reply)
        if self.group is not None or self.devices:
            if call.ok:
                self.port.do(o.Close(handle))
            held = group_rules.OPEN_EXCLUSIVE if self.group else group_rules.OPEN_HELD
            expect.refused(call, self.promised(held))
        else:
            expect.holds(call.ok, "a group that can be opened", str(call))
            self.group = Group(self.port, handle)

    @precondition(lambda self: self.group is not None)
    @rule()
    def close_group(self) -> None:
        """What is open of its devices stays."""
        if self.group is not None:
            self.group.close()
        self.group = None
        self._left()

    @precondition(lambda self: self.group is not None)
    @rule(which=WHICH)
    def set_container(self, which: int) -> None:
        """Once."""
        if self.group is None:
            return
        call = self.group.try_set_container(self.containers[which])
        if self.within is not None:
            expect.refused(call, self.promised(group_rules.SET_TWICE))
        else:
            expect.accepted(call)
            self.within = which

    @precondition(lambda self: self.group is not None)
    @rule()
    def unset_container(self) -> None:
        """Only without open devices; the container is then as new."""
        if self.group is None:
            return
        call = self.group.try_unset_container()
        if self.within is None:
            expect.refused(call, self.promised(group_rules.UNSET_NONE))
        elif self.devices:
            expect.refused(call, self.promised(group_rules.UNSET_BUSY))
        else:
            expect.accepted(call)
            self.within, self.has_model = None, False

    @rule(which=WHICH)
    def set_iommu(self, which: int) -> None:
        """Of a container with the group, and once."""
        call = self.containers[which].try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU)
        if self.within != which:
            expect.refused(call, self.promised(container_rules.SET_WITHOUT_GROUP))
        elif self.has_model:
            expect.refused(call, self.promised(container_rules.SET_TWICE))
        else:
            expect.accepted(call)
            self.has_model = True

    @precondition(lambda self: self.group is not None and len(self.devices) < MOST)
    @rule()
    def get_device(self) -> None:
        """With a model and not before."""
        if self.group is None:
            return
        call, device = self.group.try_get_device_fd(self.spec.bdf)
        if not self.has_model:
            if device is not None:
                device.close()
            expect.refused(call, self.promised(group_rules.FD_TOO_EARLY))
            return
        expect.holds(device is not None, "a device fd", str(call))
        if device is not None:
            if not self.devices:  # what an earlier user wrote is gone
                self.line = self.at_first
            self.devices.append(device)

    @precondition(lambda self: self.devices)
    @rule(data=st.data())
    def close_device(self, data: st.DataObject) -> None:
        """Any of them; the last takes what the user set with it."""
        which = data.draw(st.integers(0, len(self.devices) - 1))
        self.devices.pop(which).close()
        self._left()

    @precondition(lambda self: self.devices)
    @rule(value=st.sampled_from([0x5A, 0xA5]))
    def write_line(self, value: int) -> None:
        """Through one fd."""
        self.devices[0].write_config(regs.PCI_INTERRUPT_LINE, 1, value)
        self.line = value

    @precondition(lambda self: self.group is not None)
    @invariant()
    def the_status_says_whether_it_is_in_a_container(self) -> None:
        """GET_STATUS."""
        if self.group is not None:
            free = self.within is None
            rule = group_rules.STATUS_FREE if free else group_rules.STATUS_SET
            expect.equal("status of the group", self.group.get_status(), self.promised(rule))

    @precondition(lambda self: self.devices)
    @invariant()
    def each_fd_shows_one_device(self) -> None:
        """With what was written through another one."""
        for device in self.devices:
            line = device.read_config(regs.PCI_INTERRUPT_LINE, 1)
            expect.equal("interrupt line", line, self.line)


@checks(
    rules.LAST_CLOSE, rules.CLEAN_REOPEN, group_rules.OPEN_HELD, group_rules.OPEN_AGAIN,
    group_rules.UNSET_BUSY, group_rules.STATUS_SET,
)  # fmt: skip
@devices("irq-stimulus", without=("grouped",))
def test_any_sequence_does_what_the_model_says(
    port: Port, closed: int, spec: BenchDevice, promised: Callable[[Rule], int]
) -> None:
    """Call by call: what is granted, what is held, and what is left when all is closed."""
    before = Assigned(port, closed)
    with before.open(spec.bdf) as device:
        line = device.read_config(regs.PCI_INTERRUPT_LINE, 1)
    before.close()
    search(lambda: Lives(port, closed, spec, line, promised))
