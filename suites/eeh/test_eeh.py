# SPDX-License-Identifier: MIT
"""EEH and sPAPR on a machine that has neither: refused as promised, and mistaken for nothing."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.abi.ioctl import IOCTLS
from vfiospec.device.container import Container
from vfiospec.device.group import Assigned
from vfiospec.device.port import Port
from vfiospec.rules import eeh as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks
from vfiospec.session.run import Run

SPAPR_ONLY = {
    "enable": iommu.VFIO_IOMMU_ENABLE,
    "disable": iommu.VFIO_IOMMU_DISABLE,
    "unregister-memory": iommu.VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
    "tce-create": iommu.VFIO_IOMMU_SPAPR_TCE_CREATE,
    "tce-remove": iommu.VFIO_IOMMU_SPAPR_TCE_REMOVE,
    "eeh-pe-op": iommu.VFIO_EEH_PE_OP,
}
# asm-generic/ioctl.h: what _IOR() and _IOW() put above type and number
SIZE_SHIFT, READ, WRITE = 16, 2 << 30, 1 << 30
Promised = Callable[[Rule], int]


@pytest.fixture
def type1(port: Port, run: Run) -> Iterator[Container]:
    """A container with type1 set."""
    devices = sorted(run.devices, key=lambda d: "dma-stimulus" not in d.roles)
    made = Assigned(port, run.give_up(devices[0]))
    yield made.container
    made.close()


def operation(op: int, *, argsz: int = iommu.EEH_MIN, flags: int = 0) -> bytes:
    """An argument of EEH_PE_OP."""
    return iommu.vfio_eeh_pe_op(argsz, flags, op).pack()


@checks(rules.EXTENSION)
def test_there_is_no_eeh(container: Container, type1: Container, promised: Promised) -> None:
    """Said before there is an IOMMU, and after."""
    for asked in (container, type1):
        expect.accepted(asked.try_check_extension(vfio.VFIO_EEH), promised(rules.EXTENSION))


@checks(rules.SPAPR)
@pytest.mark.parametrize("model", [vfio.VFIO_SPAPR_TCE_IOMMU, vfio.VFIO_SPAPR_TCE_v2_IOMMU])
def test_there_is_no_spapr_iommu(
    container: Container, type1: Container, model: int, promised: Promised
) -> None:
    """Neither of its two models."""
    for asked in (container, type1):
        expect.accepted(asked.try_check_extension(model), promised(rules.SPAPR))


@checks(rules.BEFORE_IOMMU)
@pytest.mark.parametrize("name", SPAPR_ONLY)
def test_before_set_iommu_it_is_refused(
    container: Container, name: str, promised: Promised
) -> None:
    """There is nobody yet who could say that it is unknown."""
    call = container.try_ioctl(SPAPR_ONLY[name], operation(iommu.VFIO_EEH_PE_ENABLE))
    expect.refused(call, promised(rules.BEFORE_IOMMU))


@checks(rules.TYPE1)
@pytest.mark.parametrize("name", SPAPR_ONLY)
def test_type1_does_not_know_it(type1: Container, name: str, promised: Promised) -> None:
    """Nor does it look at the argument."""
    call = type1.try_ioctl(SPAPR_ONLY[name], operation(iommu.VFIO_EEH_PE_ENABLE))
    expect.refused(call, promised(rules.TYPE1))
    expect.refused(type1.try_ioctl(SPAPR_ONLY[name]), promised(rules.TYPE1))


@checks(rules.TYPE1)
@pytest.mark.parametrize("op", range(iommu.VFIO_EEH_PE_INJECT_ERR + 2), ids="op-{}".format)
def test_no_operation_is_known_to_type1(type1: Container, op: int, promised: Promised) -> None:
    """Each of them, and one there is not; with and without what would make it wrong."""
    for argument in (operation(op), operation(op, argsz=0), operation(op, flags=1)):
        expect.refused(type1.try_ioctl(iommu.VFIO_EEH_PE_OP, argument), promised(rules.TYPE1))


@checks(rules.ALIAS)
def test_register_memory_is_taken_for_dirty_pages(type1: Container, promised: Promised) -> None:
    """Its flags are 0, which is none of START, STOP and GET_BITMAP."""
    request = iommu.vfio_iommu_spapr_register_memory(
        iommu.vfio_iommu_spapr_register_memory.sizeof(), 0, 0, type1.page_size()
    )
    call = type1.try_ioctl(iommu.VFIO_IOMMU_SPAPR_REGISTER_MEMORY, request.pack())
    expect.refused(call, promised(rules.ALIAS))


@checks(rules.ENCODING)
@pytest.mark.parametrize("name", sorted({n for (k, _), (n, _) in IOCTLS.items() if k != "iommufd"}))
def test_a_number_has_neither_size_nor_direction(name: str) -> None:
    """Type and number, and nothing above."""
    number = next(n for (_, n), (known, _) in IOCTLS.items() if known == name)
    expect.equal(f"type of {name}", number >> 8, vfio.VFIO_TYPE)


@checks(rules.ENCODING)
@pytest.mark.parametrize("direction", [0, READ, WRITE, READ | WRITE], ids="direction-{:#x}".format)
def test_with_a_size_it_is_another_number(
    type1: Container, direction: int, promised: Promised
) -> None:
    """As a program would have it that took the header's comments for the definition."""
    size = iommu.vfio_iommu_type1_info.sizeof()
    encoded = iommu.VFIO_IOMMU_GET_INFO | direction | size << SIZE_SHIFT
    argument = iommu.vfio_iommu_type1_info(size).pack()
    expect.refused(type1.try_ioctl(encoded, argument), promised(rules.ENCODING))
    expect.accepted(type1.try_ioctl(iommu.VFIO_IOMMU_GET_INFO, argument))
