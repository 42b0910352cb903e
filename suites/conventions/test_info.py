# SPDX-License-Identifier: MIT
"""INFO ioctls only look: what they read of the caller, and that they change nothing."""

from operator import attrgetter

import pytest

from vfiospec import expect
from vfiospec.device.access import Access
from vfiospec.device.device import Device
from vfiospec.device.info import INFO_CALLS, InfoCall, snapshot
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import conventions as rules
from vfiospec.session.marks import checks

each_info = pytest.mark.parametrize("info", INFO_CALLS, ids=attrgetter("name"))


def answers(info: InfoCall, data: bytes) -> dict[str, int]:
    """The fields of a reply, but cap_offset, which means nothing without capabilities."""
    reply = info.struct.unpack(data)
    return {m.name: getattr(reply, m.name) for m in info.struct.members() if m.name != "cap_offset"}


@checks(rules.FLAGS_NOT_READ)
@each_info
def test_flags_of_the_caller_are_not_read(device: Device, info: InfoCall) -> None:
    """No bit the caller has in flags changes the reply, and all are overwritten."""
    reference = info.ask(device, flags=0)
    for flags in (0xFFFFFFFF, *(1 << bit for bit in range(32))):
        call = expect.accepted(info.ask(device, flags=flags))
        expect.equal(f"reply with flags {flags:#x}", call.data.hex(" "), reference.data.hex(" "))


@checks(rules.FLAGS_NOT_READ)
@each_info
@pytest.mark.parametrize("fill", [0x00, 0xFF], ids="filled-with-{:02x}".format)
def test_other_bytes_of_the_caller_are_not_read(
    device: Device, info: InfoCall, fill: int, known: int
) -> None:
    """What the caller had in the fields that are answers does not show in them."""
    head = info.pack(known)[: 8 if info.index is None else 12]
    call = expect.accepted(device.try_ioctl(info.request, head.ljust(known, bytes([fill]))))
    reference = info.ask(device, known)
    expect.equal("reply", answers(info, call.data), answers(info, reference.data[:known]))


@checks(rules.SUCCESS_IS_ZERO)
@each_info
def test_an_answer_is_zero_or_an_errno(device: Device, info: InfoCall) -> None:
    """No index gets a positive return value, and some index gets 0."""
    indexes = range(info.count(device)) if info.index is not None else (None,)
    calls = [info.ask(device, index=index) for index in indexes]
    for call in calls:
        expect.one_of(f"return value of {call}", call.ret, (0, -1))
    expect.holds(any(call.ok for call in calls), "a call that succeeds", "none did")


@checks(rules.REPEATABLE)
def test_asked_again_they_answer_the_same(device: Device) -> None:
    """A second look at everything sees what the first one saw."""
    expect.equal("the second answers", snapshot(device), snapshot(device))


@checks(rules.REPEATABLE)
def test_through_another_fd_they_answer_the_same(
    device: Device, assigned: Access, spec: BenchDevice
) -> None:
    """A second fd of the device, and a copy of the first, see what the first one sees."""
    with assigned.open(spec.bdf) as second, device.dup() as copy:
        expect.equal("answers through a second fd", snapshot(second), snapshot(device))
        expect.equal("answers through a copy", snapshot(copy), snapshot(device))


@checks(rules.FAILURE_CHANGES_NOTHING)
def test_after_calls_that_failed_they_answer_the_same(device: Device) -> None:
    """Calls refused for their argsz, their address, their index or their number leave no trace."""
    before = snapshot(device)
    for info in INFO_CALLS:
        failed = [
            info.ask(device, 0),
            device.try_ioctl(info.request, 0),
            device.try_ioctl(info.request | 1 << 30, info.pack()),
            *([info.ask(device, index=0xFFFFFFFF)] if info.index is not None else ()),
        ]
        for call in failed:
            expect.holds(not call.ok, "a call that fails", str(call))
    expect.equal("answers after failures", snapshot(device), before)
