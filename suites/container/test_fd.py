# SPDX-License-Identifier: MIT
"""The container's file: who may open it, its version, and what it is not made for."""

import mmap
import signal
from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.container import CONTAINER_PATH, Container
from vfiospec.device.files import Mapping
from vfiospec.device.group import Group
from vfiospec.device.port import ForkedPort, Port
from vfiospec.device.privileges import become
from vfiospec.rules import container as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

STATES = pytest.mark.parametrize("model", [None, vfio.VFIO_TYPE1v2_IOMMU], ids="model-{}".format)


@checks(rules.OPEN)
def test_many_can_be_open(port: Port, promised: Callable[[Rule], int]) -> None:
    """A hundred at a time, and each answers."""
    containers = [Container.create(port) for _ in range(100)]
    for container in containers:
        expect.accepted(container.try_get_api_version(), promised(rules.API_VERSION))
    port.run([o.Close(c.handle) for c in containers])


@checks(rules.OPEN)
@pytest.mark.usefixtures("machine")
def test_any_user_may_open_one(port: Port, promised: Callable[[Rule], int]) -> None:
    """A process that gave up root opens, reads the version, and cannot do more.

    So the kernel makes the file; elsewhere an administrator may have changed that.
    """
    process = port.handle()
    port.do(o.Fork(process))
    child = ForkedPort(port, process)
    try:
        become(child)
        container = Container.open(child, CONTAINER_PATH)
        expect.accepted(container.try_get_api_version(), promised(rules.API_VERSION))
        call = container.try_set_iommu(vfio.VFIO_TYPE1_IOMMU)
        expect.refused(call, promised(rules.SET_WITHOUT_GROUP))
    finally:
        port.do(o.Wait(process, signal.SIGKILL))


@checks(rules.OPEN)
def test_the_model_of_one_is_not_anothers(
    attached: Container, port: Port, promised: Callable[[Rule], int]
) -> None:
    """A second container has no group while the first has one with a model."""
    expect.accepted(attached.try_set_iommu(vfio.VFIO_TYPE1_IOMMU))
    with Container.create(port) as fresh:
        expect.refused(fresh.try_get_iommu_info(), promised(rules.DEPRIVILEGED))
        call = fresh.try_set_iommu(vfio.VFIO_TYPE1_IOMMU)
        expect.refused(call, promised(rules.SET_WITHOUT_GROUP))
    expect.accepted(attached.try_get_iommu_info())


@checks(rules.API_VERSION)
@pytest.mark.parametrize("value", [0, 1, 0xFFFFFFFF, (1 << 64) - 1], ids="argument-{:x}".format)
@STATES
def test_the_version_is_the_headers(
    attached: Container, model: int | None, value: int, promised: Callable[[Rule], int]
) -> None:
    """With and without a model, and the argument is not looked at."""
    if model is not None:
        expect.accepted(attached.try_set_iommu(model))
    expect.accepted(attached.try_get_api_version(value), promised(rules.API_VERSION))


@checks(rules.READ_WRITE)
@STATES
def test_it_can_be_neither_read_nor_written(
    attached: Container, model: int | None, promised: Callable[[Rule], int]
) -> None:
    """Neither at an offset nor at no offset, with and without a model."""
    if model is not None:
        expect.accepted(attached.try_set_iommu(model))
    handle = attached.handle
    ops: dict[str, o.AnyOp] = {
        "pread": o.Pread(handle, 8, 0), "read": o.Pread(handle, 8),
        "pwrite": o.Pwrite(handle, bytes(8), 0), "write": o.Pwrite(handle, bytes(8)),
    }  # fmt: skip
    for name, op in ops.items():
        call = Call(name, "8 bytes of a container", 0, attached.port.do(op))
        expect.refused(call, promised(rules.READ_WRITE))


@checks(rules.MMAP)
@STATES
def test_it_cannot_be_mapped(
    attached: Container, model: int | None, page: int, promised: Callable[[Rule], int]
) -> None:
    """With and without a model."""
    if model is not None:
        expect.accepted(attached.try_set_iommu(model))
    reply, _ = Mapping.of(attached, page, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
    expect.refused(Call("mmap", "container", 0, reply), promised(rules.MMAP))


@checks(rules.OPEN)
def test_a_closed_one_leaves_nothing(group: Group, port: Port) -> None:
    """A container whose file is closed while a group is in it is found by nobody else."""
    with Container.create(port) as first:
        expect.accepted(group.try_set_container(first))
        expect.accepted(first.try_set_iommu(vfio.VFIO_TYPE1_IOMMU))
    expect.accepted(group.try_unset_container())
    with Container.create(port) as again:
        expect.accepted(group.try_set_container(again))
        expect.accepted(again.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
