# SPDX-License-Identifier: MIT
"""IOEVENTFD: the structure, its flags and its fd."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.files import File, Memory
from vfiospec.device.ioeventfd import Binder
from vfiospec.rules import ioeventfd as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
BYTE = vfio.VFIO_DEVICE_IOEVENTFD_8
MIN = vfio.IOEVENTFD_MIN


@pytest.fixture
def place(binder: Binder, free: tuple[int, int]) -> int:
    """Where a write may be bound."""
    return binder.at(*free)


@checks(rules.ARGSZ)
@pytest.mark.parametrize("argsz", [0, 8, MIN - 4, MIN - 1], ids="argsz-{}".format)
def test_too_small_an_argsz(binder: Binder, place: int, argsz: int, promised: Promised) -> None:
    """Refused, though the rest is right."""
    call = binder.device.try_ioeventfd(BYTE, place, 0, binder.event, argsz=argsz)
    expect.refused(call, promised(rules.ARGSZ))
    expect.refused(binder.unbind(BYTE, place, 0), promised(rules.ABSENT))


@checks(rules.ARGSZ, rules.DEASSIGN)
@pytest.mark.parametrize("argsz", [MIN, MIN + 1, 32, 4096, 0xFFFFFFFF], ids="argsz-{}".format)
def test_an_argsz_that_is_enough(binder: Binder, place: int, argsz: int) -> None:
    """The end of the fd is enough; what lies behind is not looked at."""
    call = binder.device.try_ioeventfd(BYTE, place, 0, binder.event, argsz=argsz)
    expect.accepted(call)
    expect.accepted(binder.unbind(BYTE, place, 0))
    expect.untouched(call, 0)


@checks(rules.ARGSZ, rules.BAD_ADDRESS)
def test_where_memory_ends(device: Device, place: int, memory: Memory, promised: Promised) -> None:
    """Just the structure's first size is read: a byte less is a bad address."""
    request = vfio.VFIO_DEVICE_IOEVENTFD
    data = vfio.vfio_device_ioeventfd(MIN, BYTE, place, 0, -1).pack()[:MIN]
    expect.refused(device.try_ioctl(request, data, at=memory.tail(MIN)), promised(rules.ABSENT))
    fault = promised(rules.BAD_ADDRESS)
    expect.refused(device.try_ioctl(request, data[:-1], at=memory.tail(MIN - 1)), fault)
    expect.refused(device.try_ioctl(request, 0), fault)


@checks(rules.FLAGS)
def test_flags_that_are_no_width(binder: Binder, place: int, promised: Promised) -> None:
    """No width, several, or any other bit: refused, with fd -1 too."""
    several = [flags for flags in range(0x20) if flags not in rules.WIDTHS]
    for flags in (*several, *(BYTE | 1 << bit for bit in range(4, 32))):
        expect.refused(binder.bind(flags, place, 0), promised(rules.FLAGS))
        expect.refused(binder.unbind(flags, place, 0), promised(rules.FLAGS))


@checks(rules.FLAGS, rules.WIDTH_64, rules.DEASSIGN)
@pytest.mark.parametrize("flag", rules.WIDTHS, ids="flag-{}".format)
def test_each_width(binder: Binder, place: int, flag: int, promised: Promised) -> None:
    """Bound and taken away, or refused both ways."""
    if rules.WIDTHS[flag] == 8 and promised(rules.WIDTH_64):
        expect.refused(binder.bind(flag, place, 0), promised(rules.WIDTH_64))
        expect.refused(binder.unbind(flag, place, 0), promised(rules.WIDTH_64))
    else:
        expect.accepted(binder.bind(flag, place, 0))
        expect.accepted(binder.unbind(flag, place, 0))


@checks(rules.NEGATIVE)
@pytest.mark.parametrize("fd", [-2, -3, -(1 << 31)], ids="fd{}".format)
def test_a_negative_fd(binder: Binder, place: int, fd: int, promised: Promised) -> None:
    """Refused, also where there is a write that -1 would take away."""
    expect.refused(binder.bind(BYTE, place, 0, fd), promised(rules.NEGATIVE))
    expect.accepted(binder.bind(BYTE, place, 0))
    expect.refused(binder.bind(BYTE, place, 0, fd), promised(rules.NEGATIVE))


@checks(rules.BAD_FD)
def test_an_fd_that_is_not_open(binder: Binder, place: int, promised: Promised) -> None:
    """Refused, and nothing is bound."""
    expect.refused(binder.bind(BYTE, place, 0, 100000), promised(rules.BAD_FD))
    expect.refused(binder.unbind(BYTE, place, 0), promised(rules.ABSENT))


@checks(rules.NOT_EVENTFD)
def test_a_file_that_is_no_eventfd(binder: Binder, place: int, promised: Promised) -> None:
    """The device itself, and a file: refused, and nothing is bound."""
    with File.open(binder.device.port, "/dev/null") as null:
        for file in (null, binder.device):
            expect.refused(binder.bind(BYTE, place, 0, file), promised(rules.NOT_EVENTFD))
    expect.refused(binder.unbind(BYTE, place, 0), promised(rules.ABSENT))
