# SPDX-License-Identifier: MIT
"""GET_PCI_HOT_RESET_INFO, held against sysfs."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.rules import hot_reset
from vfiospec.rules import hot_reset_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

HEAD = vfio.HOT_RESET_INFO_MIN
ENTRY = vfio.vfio_pci_dependent_device.sizeof()


@checks(rules.INFO_ARGSZ)
@pytest.mark.parametrize("argsz", [0, 1, HEAD - 4, HEAD - 1], ids="argsz-{}".format)
def test_too_small_an_argsz(device: Device, argsz: int, promised: Callable[[Rule], int]) -> None:
    """Refused before the bus is looked at."""
    expect.refused(device.try_get_hot_reset_info(argsz), promised(rules.INFO_ARGSZ))


@checks(hot_reset.NO_DEVICE)
@pytest.mark.parametrize("argsz", [HEAD, 512, 0xFFFFFFFF], ids="argsz-{}".format)
def test_on_a_root_bus_there_is_none(
    device: Device, bus: tuple[str, ...], argsz: int, promised: Callable[[Rule], int]
) -> None:
    """Behind a bridge the same call is understood."""
    call = device.try_get_hot_reset_info(argsz)
    if bus:
        expect.holds(
            call.errno != promised(hot_reset.NO_DEVICE), "a bus that can be reset", str(call)
        )
    else:
        expect.refused(call, promised(hot_reset.NO_DEVICE))


@checks(rules.INFO_NO_SPACE, rules.INFO_FLAGS)
@devices("below-bridge")
def test_no_space(
    device: Device, on_a_bus: tuple[str, ...], promised: Callable[[Rule], int]
) -> None:
    """A byte too few, or more: the count, no flags, no devices, and argsz as it was."""
    for short in (1, 4, ENTRY):
        argsz = HEAD + ENTRY * len(on_a_bus) - short
        call = device.try_get_hot_reset_info(argsz)
        expect.equal(f"errno of {call}", call.errno, promised(rules.INFO_NO_SPACE))
        head = vfio.vfio_pci_hot_reset_info(argsz, promised(rules.INFO_FLAGS), len(on_a_bus))
        expect.equal(f"reply of {call}", call.unpack(vfio.vfio_pci_hot_reset_info), head)
        expect.untouched(call, HEAD)


@checks(rules.INFO_NO_SPACE)
@devices("below-bridge")
def test_the_header_alone_gets_the_count(
    device: Device, on_a_bus: tuple[str, ...], memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """Also where memory ends right behind it."""
    call = device.try_get_hot_reset_info(HEAD, size=HEAD, at=memory.tail(HEAD))
    expect.equal(f"errno of {call}", call.errno, promised(rules.INFO_NO_SPACE))
    count = call.unpack(vfio.vfio_pci_hot_reset_info).count
    expect.equal(f"count of {call}", count, len(on_a_bus))


@checks(rules.INFO_DEVICES, rules.INFO_FLAGS)
@pytest.mark.parametrize("more", [0, 1, 256, -1], ids="more-{}".format)
@devices("below-bridge")
def test_each_device_is_named(
    device: Device, dependents: set[bytes], more: int, promised: Callable[[Rule], int]
) -> None:
    """Each once, with group, segment, bus and function; nothing behind them is written."""
    many = len(dependents)
    end = HEAD + ENTRY * many
    argsz = 0xFFFFFFFF if more < 0 else end + more
    call = expect.accepted(device.try_get_hot_reset_info(argsz))
    head = vfio.vfio_pci_hot_reset_info(argsz, promised(rules.INFO_FLAGS), many)
    expect.equal(f"reply of {call}", call.unpack(vfio.vfio_pci_hot_reset_info), head)
    told = sorted(call.data[at : at + ENTRY].hex() for at in range(HEAD, end, ENTRY))
    expect.equal(f"devices of {call}", told, sorted(d.hex() for d in dependents))
    expect.untouched(call, end)


@checks(rules.INFO_DEVICES)
@devices("below-bridge")
def test_the_buffer_may_end_behind_them(
    device: Device, dependents: set[bytes], memory: Memory
) -> None:
    """A buffer of just the size that is needed."""
    size = HEAD + ENTRY * len(dependents)
    call = device.try_get_hot_reset_info(size, size=size, at=memory.tail(size))
    expect.accepted(call)


@checks(rules.INFO_BAD_ADDRESS)
@devices("below-bridge")
def test_a_bad_address(
    device: Device, on_a_bus: tuple[str, ...], memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """No header to read; no room for the devices where argsz claims it."""
    request, fault = vfio.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, promised(rules.INFO_BAD_ADDRESS)
    expect.refused(device.try_ioctl(request, 0), fault)
    expect.refused(device.try_ioctl(request, memory.tail(HEAD - 1)), fault)
    size = HEAD + ENTRY * len(on_a_bus)
    short = device.try_get_hot_reset_info(size, size=size - 1, at=memory.tail(size - 1))
    expect.equal(f"errno of {short}", short.errno, fault)


@checks(rules.INFO_BAD_ADDRESS)
@devices("below-bridge")
def test_a_header_that_cannot_be_written(
    device: Device, on_a_bus: tuple[str, ...], memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """Readable only, with and without room for the devices."""
    request, fault = vfio.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, promised(rules.INFO_BAD_ADDRESS)
    for argsz in (HEAD, HEAD + ENTRY * len(on_a_bus)):
        memory.write(0, argsz.to_bytes(4, "little"))
        memory.protect(1)  # PROT_READ
        try:
            expect.refused(device.try_ioctl(request, memory.at()), fault)
        finally:
            memory.protect(3)
