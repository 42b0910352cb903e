# SPDX-License-Identifier: MIT
"""Each feature with each operation: what is there, and what is said where it is not."""

from collections.abc import Callable
from itertools import product

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.call import Call
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.rules import feature as rules
from vfiospec.rules import feature_dmabuf
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
GET, SET = feature.VFIO_DEVICE_FEATURE_GET, feature.VFIO_DEVICE_FEATURE_SET
PROBE = feature.VFIO_DEVICE_FEATURE_PROBE
KNOWN = feature.VFIO_DEVICE_FEATURE_MASK | GET | SET | PROBE
PRECOPY = feature.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2
ENTRY = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY
EXIT = feature.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT
NO_DATA = (ENTRY, EXIT)
NUMBERS = [n for n in (*range(17), 0xFFFF) if n != PRECOPY]
OPERATIONS = [
    sum(bits) for bits in product((0, GET), (0, SET), (0, PROBE)) if sum(bits) != GET | SET
]
each_feature = pytest.mark.parametrize("number", NUMBERS, ids="feature-{}".format)


def judge(call: Call, errno: int) -> None:
    """0 or just this errno, and the buffer as it was."""
    if errno:
        expect.refused(call, errno)
    else:
        expect.untouched(expect.accepted(call), 0)


@checks(
    rules.PROBE, rules.OPERATION, rules.UNSUPPORTED, rules.DATA, rules.LOW_POWER, rules.TOKEN,
    rules.BUS_MASTER, rules.NO_MIGRATION, feature_dmabuf.PRESENT,
)  # fmt: skip
@each_feature
def test_each_operation(
    device: Device, operations: dict[int, int], number: int, promised: Promised
) -> None:
    """Without data: probes of what is there succeed, and what needs no data is done."""
    own = operations.get(number)
    try:
        for asked in OPERATIONS:
            if own is None:
                errno = promised(rules.UNSUPPORTED)
            elif asked & (GET | SET) & ~own:
                errno = promised(rules.OPERATION)
            elif asked & PROBE:
                errno = 0
            elif asked != own:
                errno = promised(rules.OPERATION)
            else:
                errno = 0 if number in NO_DATA else promised(rules.DATA)
            judge(device.try_feature(number | asked, room=64), errno)
    finally:
        device.try_feature(EXIT | SET)


@checks(rules.UNSUPPORTED)
def test_precopy_info_is_absent(device: Device, promised: Promised) -> None:
    """On a device without migration, like all features of migration."""
    for asked in OPERATIONS:
        expect.refused(device.try_feature(PRECOPY | asked), promised(rules.UNSUPPORTED))


@checks(rules.EXCLUSIVE)
def test_get_and_set(device: Device, promised: Promised) -> None:
    """Whatever the feature, there or not."""
    for number in (*NUMBERS, PRECOPY):
        call = device.try_feature(number | GET | SET, bytes(16))
        expect.refused(call, promised(rules.EXCLUSIVE))


@checks(rules.FLAGS)
@pytest.mark.parametrize("number", [1, ENTRY, EXIT], ids="feature-{}".format)
def test_unknown_flags(device: Device, number: int, promised: Promised) -> None:
    """Each bit that is nothing, with a probe and with an operation."""
    for bit in range(32):
        if not KNOWN >> bit & 1:
            for asked in (PROBE, SET):
                call = device.try_feature(number | asked | 1 << bit)
                expect.refused(call, promised(rules.FLAGS))


@checks(rules.ARGSZ)
@pytest.mark.parametrize("argsz", [0, 4, 7], ids="argsz-{}".format)
def test_too_small_an_argsz(device: Device, argsz: int, promised: Promised) -> None:
    """Refused before anything else is looked at."""
    for number in (0, 1, ENTRY, 0xFFFF):
        for asked in (PROBE, SET, 1 << 31):
            call = device.try_feature(number | asked, bytes(16), argsz=argsz)
            expect.refused(call, promised(rules.ARGSZ))


@checks(rules.PROBE)
@pytest.mark.parametrize("argsz", [8, 9, 4096, 0xFFFFFFFF], ids="argsz-{}".format)
def test_a_probe_reads_no_data(
    device: Device, operations: dict[int, int], memory: Memory, argsz: int
) -> None:
    """The header alone is read, whatever argsz claims, and nothing is written."""
    for number, own in operations.items():
        for asked in (PROBE, PROBE | own):
            head = feature.vfio_device_feature(argsz, number | asked).pack()
            call = device.try_ioctl(
                feature.VFIO_DEVICE_FEATURE, head, at=memory.tail(len(head)), argsz=argsz
            )
            expect.untouched(expect.accepted(call), 0)


@checks(rules.BAD_ADDRESS)
def test_a_header_that_cannot_be_read(device: Device, memory: Memory, promised: Promised) -> None:
    """No buffer, and one that ends too early."""
    for at in (0, memory.tail(feature.FEATURE_MIN - 1)):
        call = device.try_ioctl(feature.VFIO_DEVICE_FEATURE, at)
        expect.refused(call, promised(rules.BAD_ADDRESS))


@checks(rules.BAD_ADDRESS, rules.DATA)
def test_data(
    device: Device, operations: dict[int, int], memory: Memory, promised: Promised
) -> None:
    """A byte too few is refused; claimed but not there, it is a bad address."""
    sizes = {
        feature.VFIO_DEVICE_FEATURE_PCI_VF_TOKEN: 16,
        feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP: (
            feature.vfio_device_low_power_entry_with_wakeup.sizeof()
        ),
        feature.VFIO_DEVICE_FEATURE_DMA_BUF: feature.vfio_device_feature_dma_buf.sizeof(),
    }
    for number, own in operations.items():
        if number in sizes:
            need = feature.FEATURE_MIN + sizes[number]
            for argsz in (need - 1, need - 4):
                call = device.try_feature(number | own, bytes(sizes[number]), argsz=argsz)
                expect.refused(call, promised(rules.DATA))
            head = feature.vfio_device_feature(need, number | own).pack()
            for there in (0, sizes[number] - 1):
                data = head + bytes(there)
                call = device.try_ioctl(
                    feature.VFIO_DEVICE_FEATURE, data, at=memory.tail(len(data))
                )
                expect.refused(call, promised(rules.BAD_ADDRESS))
