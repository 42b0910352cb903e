# SPDX-License-Identifier: MIT
"""The features of migration: probes, operations, sizes and addresses."""

import fcntl
import mmap
from collections.abc import Callable, Iterator
from itertools import product
from resource import RLIMIT_NOFILE
from typing import NamedTuple

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_feature as feature
from vfiospec.device import mig_oracle as oracle
from vfiospec.device import ops as o
from vfiospec.device.files import File, Memory
from vfiospec.device.mtty import Serial
from vfiospec.device.port import ForkedPort, Port
from vfiospec.rules import migration as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
GET, SET = feature.VFIO_DEVICE_FEATURE_GET, feature.VFIO_DEVICE_FEATURE_SET
PROBE = feature.VFIO_DEVICE_FEATURE_PROBE
STATE = feature.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE
FILES = 4096  # as many as the process that makes the calls may have again


class Has(NamedTuple):
    """What a feature has: operations, and bytes of data."""

    number: int
    operations: int
    size: int


FEATURES = (
    Has(feature.VFIO_DEVICE_FEATURE_MIGRATION, GET, feature.vfio_device_feature_migration.sizeof()),
    Has(STATE, GET | SET, feature.vfio_device_feature_mig_state.sizeof()),
    Has(
        feature.VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
        SET,
        feature.vfio_device_feature_dma_logging_control.sizeof(),
    ),
    Has(feature.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, SET, 0),
    Has(
        feature.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
        GET,
        feature.vfio_device_feature_dma_logging_report.sizeof(),
    ),
    Has(
        feature.VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
        GET,
        feature.vfio_device_feature_mig_data_size.sizeof(),
    ),
    Has(feature.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, SET, 0),
)
ANSWERING = [(has.number, GET) for has in FEATURES if has.size == 8] + [(STATE, SET)]
each_feature = pytest.mark.parametrize("has", FEATURES, ids=lambda has: f"feature-{has.number}")


def fds(port: Port) -> int:
    """How many files the process that makes the calls has open."""
    return port.do(o.ListDir("/proc/self/fd")).bytes.count(b"\0")


def free_number(port: Port, file: File) -> int:
    """The lowest file number that is free, which is taken by asking."""
    return port.do(o.Syscall("fcntl", (file.fixup(), fcntl.F_DUPFD, 0))).ret


def users(port: Port) -> int:
    """How many use mtty's module, open transfers among them; 0 if it is built in."""
    return int(port.do(o.ReadFile("/sys/module/mtty/refcnt")).bytes or b"0")


@pytest.fixture
def guarded(process: ForkedPort, page: int) -> Iterator[Memory]:
    """A page of the second process, with nothing behind."""
    with Memory(process, page, guard=True) as made:
        yield made


@checks(rules.PRESENT, rules.OPERATION, rules.DATA, rules.PRECOPY_V2)
@each_feature
def test_each_operation(serial: Serial, has: Has, promised: Promised) -> None:
    """Probed, asked for without data, and not asked for at all."""
    v2 = has.number == feature.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2
    unknown = promised(rules.PRECOPY_V2) if v2 else 0
    for asked in map(sum, product((0, GET), (0, SET), (0, PROBE))):
        call = serial.device.try_feature(has.number | asked, room=64)
        operation = asked & (GET | SET)
        if unknown and asked != GET | SET:  # which is refused before it is looked up
            expect.refused(call, unknown)
        elif operation & ~has.operations:
            expect.refused(call, promised(rules.OPERATION))
        elif asked & PROBE:
            expect.untouched(expect.accepted(call), 0)
        elif operation not in {GET, SET}:
            expect.refused(call, promised(rules.OPERATION))
        elif has.size:
            expect.refused(call, promised(rules.DATA))
        else:
            expect.untouched(expect.accepted(call), 0)


@checks(rules.DATA)
@pytest.mark.parametrize("has", [h for h in FEATURES if h.size], ids=lambda h: f"{h.number}")
def test_too_little_data(serial: Serial, has: Has, promised: Promised) -> None:
    """A byte short of the whole, and four, and eight."""
    for operation in (GET, SET):
        if operation & has.operations:
            for short in (1, 4, 8):
                argsz = feature.FEATURE_MIN + has.size - short
                data = oracle.STOP.to_bytes(4, "little") + bytes(has.size - 4)
                call = serial.device.try_feature(has.number | operation, data, argsz=argsz)
                expect.refused(call, promised(rules.DATA))
    expect.equal("state", serial.migration.state(), oracle.RUNNING)


@checks(rules.DATA, rules.GET)
@pytest.mark.parametrize(
    ("number", "operation"),
    ANSWERING,
    ids=[f"{n}-{'set' if f == SET else 'get'}" for n, f in ANSWERING],
)
@pytest.mark.parametrize("more", [0, 1, 8, 4096, (1 << 32) - 17], ids="more-{}".format)
def test_the_answer_is_no_longer_than_the_data(
    serial: Serial, number: int, operation: int, more: int
) -> None:
    """However large argsz is, and the header before it stays."""
    argsz = feature.FEATURE_MIN + 8 + more
    data = oracle.RUNNING.to_bytes(4, "little") + b"\xa5" * 4
    call = serial.device.try_feature(number | operation, data, argsz=argsz, room=64)
    expect.accepted(call)
    expect.untouched(call, 0, feature.FEATURE_MIN)
    expect.untouched(call, feature.FEATURE_MIN + 8)


@checks(rules.BAD_ADDRESS)
@pytest.mark.parametrize("has", [h for h in FEATURES if h.size], ids=lambda h: f"{h.number}")
def test_data_that_is_not_there(
    serial: Serial, guarded: Memory, has: Has, promised: Promised
) -> None:
    """Not at all, and but for its last byte."""
    for operation in (GET, SET):
        if operation & has.operations:
            argsz = feature.FEATURE_MIN + has.size
            head = feature.vfio_device_feature(argsz, has.number | operation).pack()
            for there in (0, has.size - 1):
                data = head + bytes(there)
                call = serial.device.try_ioctl(
                    feature.VFIO_DEVICE_FEATURE, data, at=guarded.tail(len(data))
                )
                expect.equal(f"errno of {call}", call.errno, promised(rules.BAD_ADDRESS))


@checks(rules.BAD_ADDRESS, rules.FILES)
def test_an_answer_that_cannot_be_written(
    serial: Serial, process: ForkedPort, guarded: Memory, promised: Promised
) -> None:
    """Refused; the file of a transfer that could not be told of is gone again."""
    free = free_number(process, serial.device)
    files, modules = fds(process), users(process)
    for number, operation in ANSWERING:
        head = feature.vfio_device_feature(feature.FEATURE_MIN + 8, number | operation).pack()
        guarded.write(0, head + oracle.STOP_COPY.to_bytes(8, "little"))
        guarded.protect(mmap.PROT_READ)
        call = serial.device.try_ioctl(feature.VFIO_DEVICE_FEATURE, guarded.at())
        guarded.protect(mmap.PROT_READ | mmap.PROT_WRITE)
        expect.refused(call, promised(rules.BAD_ADDRESS))
    serial.device.try_reset()
    expect.equal("open files", fds(process), files)
    expect.equal("users of the module", users(process), modules)
    expect.equal("free file number", free_number(process, serial.device), free + 1)


@checks(rules.FILES)
def test_no_file_left(serial: Serial, process: ForkedPort, promised: Promised) -> None:
    """The change was made, but there is nothing to read it from, nor a file that lingers."""
    files, modules = fds(process), users(process)
    process.do(o.Rlimit(RLIMIT_NOFILE, 0, FILES))
    call = serial.migration.try_set(oracle.STOP_COPY)
    process.do(o.Rlimit(RLIMIT_NOFILE, FILES, FILES))
    expect.refused(call, promised(rules.FILES))
    serial.device.try_reset()
    expect.equal("open files", fds(process), files)
    expect.equal("users of the module", users(process), modules)


@checks(rules.DATA_FD)
def test_each_transfer_has_a_file_of_its_own(serial: Serial, process: ForkedPort) -> None:
    """One more open file for each, and none for a change that begins none."""
    files = fds(process)
    for count in (1, 2, 3):
        serial.migration.begin(oracle.STOP_COPY)
        serial.migration.set(oracle.RUNNING)
        expect.equal("open files", fds(process), files + count)
