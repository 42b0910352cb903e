# SPDX-License-Identifier: MIT
"""GET_STATUS: its buffer, and the two flags."""

import mmap
from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.container import Container
from vfiospec.device.files import Memory
from vfiospec.device.group import Group
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import group as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

MIN = vfio.GROUP_STATUS_MIN
FLAGS = vfio.vfio_group_status.offset_of("flags")
STATES = {"group": rules.STATUS_FREE, "attached": rules.STATUS_SET, "ready": rules.STATUS_SET}
in_each_state = pytest.mark.parametrize("state", list(STATES))


@pytest.fixture
def current(request: pytest.FixtureRequest, state: str) -> Group:
    """The group in a state."""
    found: Group = request.getfixturevalue(state)
    return found


@checks(rules.STATUS_ARGSZ)
@in_each_state
@pytest.mark.parametrize("argsz", range(MIN), ids="argsz-{}".format)
def test_too_small_an_argsz_is_refused(
    current: Group, argsz: int, promised: Callable[[Rule], int]
) -> None:
    """Down to the byte, and nothing is written."""
    expect.refused(current.try_get_status(argsz), promised(rules.STATUS_ARGSZ))


@checks(rules.STATUS_REPLY, rules.STATUS_FREE, rules.STATUS_SET)
@in_each_state
@pytest.mark.parametrize(
    "argsz", [MIN, MIN + 1, 12, 16, 4096, 1 << 31, (1 << 32) - 1], ids="argsz-{}".format
)
def test_the_flags_are_all_that_is_written(
    current: Group, state: str, argsz: int, promised: Callable[[Rule], int]
) -> None:
    """Argsz stays, and so does what lies behind the flags."""
    expected = vfio.vfio_group_status(argsz, promised(STATES[state]))
    expect.reply(current.try_get_status(argsz), expected)


@checks(rules.STATUS_REPLY)
@in_each_state
@pytest.mark.parametrize("flags", [0, 1, 2, 3, 4, 0xFFFFFFFF], ids="flags-{:x}".format)
def test_the_callers_flags_are_not_read(
    current: Group, state: str, flags: int, promised: Callable[[Rule], int]
) -> None:
    """They are an answer."""
    asked = vfio.vfio_group_status(MIN, flags)
    call = current.try_ioctl(vfio.VFIO_GROUP_GET_STATUS, asked.pack(), what=f"flags={flags:#x}")
    expect.reply(call, vfio.vfio_group_status(MIN, promised(STATES[state])))


@checks(rules.STATUS_REPLY)
def test_the_structure_is_all_that_is_read(
    group: Group, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """At the end of a page with nothing behind it."""
    expect.accepted(group.try_get_status(MIN, size=MIN, at=memory.tail(MIN)))
    written = memory.read(memory.size - MIN, MIN)
    expected = vfio.vfio_group_status(MIN, promised(rules.STATUS_FREE))
    expect.equal("structure", written.hex(), expected.pack().hex())


@checks(rules.STATUS_ADDRESS)
@pytest.mark.parametrize("address", [0, 1, 1 << 47, (1 << 64) - MIN], ids="address-{:x}".format)
def test_a_bad_address_is_refused(
    group: Group, address: int, promised: Callable[[Rule], int]
) -> None:
    """Where no memory of the process is."""
    call = group.try_ioctl(vfio.VFIO_GROUP_GET_STATUS, address)
    expect.refused(call, promised(rules.STATUS_ADDRESS))


@checks(rules.STATUS_ADDRESS)
@pytest.mark.parametrize("size", range(1, MIN), ids="bytes-{}".format)
def test_a_structure_that_ends_too_early_is_refused(
    group: Group, memory: Memory, size: int, promised: Callable[[Rule], int]
) -> None:
    """Its last bytes are behind the end of the memory."""
    memory.write(memory.size - MIN, bytes([MIN]) * MIN)
    call = group.try_ioctl(vfio.VFIO_GROUP_GET_STATUS, memory.tail(size))
    expect.refused(call, promised(rules.STATUS_ADDRESS))


@checks(rules.STATUS_ADDRESS, rules.STATUS_ARGSZ)
def test_memory_that_cannot_be_written_is_refused(
    group: Group, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """After argsz was looked at."""
    memory.write(0, vfio.vfio_group_status(MIN, 0).pack())
    memory.write(MIN, vfio.vfio_group_status(MIN - 1, 0).pack())
    memory.protect(mmap.PROT_READ)
    call = group.try_ioctl(vfio.VFIO_GROUP_GET_STATUS, memory.at())
    expect.refused(call, promised(rules.STATUS_ADDRESS))
    call = group.try_ioctl(vfio.VFIO_GROUP_GET_STATUS, memory.at(MIN))
    expect.refused(call, promised(rules.STATUS_ARGSZ))


@checks(rules.STATUS_FREE, rules.STATUS_SET, rules.UNSET)
def test_it_follows_the_container(
    group: Group, container: Container, subject: BenchDevice, promised: Callable[[Rule], int]
) -> None:
    """Through everything that can be done to a group."""

    def status(when: str, rule: Rule) -> None:
        expect.equal(f"status {when}", group.get_status(), promised(rule))

    status("at first", rules.STATUS_FREE)
    for _ in range(2):
        expect.accepted(group.try_set_container(container))
        status("in a container", rules.STATUS_SET)
        expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1_IOMMU))
        status("with a model", rules.STATUS_SET)
        with group.get_device_fd(subject.bdf):
            status("with a device", rules.STATUS_SET)
        status("without a device", rules.STATUS_SET)
        expect.accepted(group.try_unset_container())
        status("out of the container", rules.STATUS_FREE)
