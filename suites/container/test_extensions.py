# SPDX-License-Identifier: MIT
"""CHECK_EXTENSION: which numbers are there, before a group, with one, and with a model."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.container import Container
from vfiospec.device.group import Group
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import container as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

NOIOMMU_MODE = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
SNOOP_CONTROL = 1 << 7  # Intel VT-d, Extended Capability Register
MODELS = [vfio.VFIO_TYPE1_IOMMU, vfio.VFIO_TYPE1v2_IOMMU]
ALWAYS = {
    vfio.VFIO_TYPE1_IOMMU: rules.TYPE1,
    vfio.VFIO_TYPE1v2_IOMMU: rules.TYPE1V2,
    vfio.VFIO_TYPE1_NESTING_IOMMU: rules.NESTING,
    vfio.VFIO_UNMAP_ALL: rules.UNMAP_ALL,
}
BEFORE = {
    vfio.VFIO_UPDATE_VADDR: rules.UPDATE_VADDR_BEFORE,
    vfio.VFIO_DMA_CC_IOMMU: rules.DMA_CC_BEFORE,
}
ELSEWHERE = [0, vfio.VFIO_SPAPR_TCE_IOMMU, vfio.VFIO_EEH, vfio.VFIO_SPAPR_TCE_v2_IOMMU]
UNKNOWN = [
    *range(vfio.VFIO_UPDATE_VADDR + 1, 64), *(1 << bit for bit in range(6, 64)),
    *(1 << 32 | number for number in ALWAYS), *((1 << 64) - n for n in (1, 2, 3, 9)),
]  # fmt: skip


def answers(
    container: Container, expected: dict[int, Rule], promised: Callable[[Rule], int]
) -> None:
    """Each extension gives what its rule says."""
    for number, rule in expected.items():
        expect.accepted(container.try_check_extension(number), promised(rule))


@checks(*ALWAYS.values(), *BEFORE.values())
def test_before_a_group(container: Container, promised: Callable[[Rule], int]) -> None:
    """What any IOMMU driver that is there knows."""
    answers(container, ALWAYS | BEFORE, promised)


@checks(*ALWAYS.values(), *BEFORE.values())
def test_with_a_group(attached: Container, promised: Callable[[Rule], int]) -> None:
    """A group alone changes nothing: no driver is chosen yet."""
    answers(attached, ALWAYS | BEFORE, promised)


@checks(*ALWAYS.values(), rules.UPDATE_VADDR)
@pytest.mark.parametrize("model", MODELS, ids="model-{}".format)
def test_with_a_model(attached: Container, model: int, promised: Callable[[Rule], int]) -> None:
    """Now the driver of the model answers, and of what is attached."""
    expect.accepted(attached.try_set_iommu(model))
    answers(attached, ALWAYS | {vfio.VFIO_UPDATE_VADDR: rules.UPDATE_VADDR}, promised)


@checks(*ALWAYS.values(), *BEFORE.values())
def test_after_the_last_group(
    attached: Container, group: Group, promised: Callable[[Rule], int]
) -> None:
    """Without a group no driver is chosen any more."""
    expect.accepted(attached.try_set_iommu(vfio.VFIO_TYPE1_IOMMU))
    expect.accepted(group.try_unset_container())
    answers(attached, ALWAYS | BEFORE, promised)


@checks(rules.UNSUPPORTED)
@pytest.mark.parametrize("model", [None, *MODELS], ids="model-{}".format)
def test_numbers_that_are_not_there(
    attached: Container, model: int | None, promised: Callable[[Rule], int]
) -> None:
    """sPAPR's, EEH's, a real group's NOIOMMU, unknown ones, known ones with a high bit."""
    if model is not None:
        expect.accepted(attached.try_set_iommu(model))
    for number in (*ELSEWHERE, vfio.VFIO_NOIOMMU_IOMMU, *UNKNOWN):
        expect.accepted(attached.try_check_extension(number), promised(rules.UNSUPPORTED))


@checks(rules.UNSUPPORTED)
def test_numbers_that_are_not_there_without_a_group(
    container: Container, promised: Callable[[Rule], int]
) -> None:
    """All drivers are asked, and none knows."""
    for number in (*ELSEWHERE, *UNKNOWN):
        expect.accepted(container.try_check_extension(number), promised(rules.UNSUPPORTED))


@checks(rules.DMA_CC)
@pytest.mark.parametrize("model", MODELS, ids="model-{}".format)
def test_coherency_is_the_units(
    attached: Container, subject: BenchDevice, sysfs: PortSysfs, model: int
) -> None:
    """Held against the Snoop Control bit of VT-d."""
    units = [f"/sys/class/iommu/{u}/intel-iommu/ecap" for u in sysfs.listdir("/sys/class/iommu")]
    found = {int(sysfs.read(u), 16) & SNOOP_CONTROL for u in units if sysfs.exists(u)}
    if len(found) != 1:
        pytest.skip(f"{subject.name} is behind no VT-d, or the units differ: judge another machine")
    expect.accepted(attached.try_set_iommu(model))
    call = attached.try_check_extension(vfio.VFIO_DMA_CC_IOMMU)
    expect.accepted(call, int(found == {SNOOP_CONTROL}))


@checks(rules.NOIOMMU_EXTENSION, rules.UNSUPPORTED, rules.SET_UNSUPPORTED)
@pytest.mark.usefixtures("machine")
def test_noiommu_is_for_those_without_an_iommu(
    container: Container,
    group: Group,
    sysfs: PortSysfs,
    promised: Callable[[Rule], int],
) -> None:
    """With the parameter off, on, and on with a real group."""
    if not sysfs.exists(NOIOMMU_MODE):
        pytest.skip("needs a kernel with CONFIG_VFIO_NOIOMMU")
    number = vfio.VFIO_NOIOMMU_IOMMU
    expect.accepted(container.try_check_extension(number), promised(rules.UNSUPPORTED))
    sysfs.write(NOIOMMU_MODE, "Y")
    try:
        expect.accepted(container.try_check_extension(number), promised(rules.NOIOMMU_EXTENSION))
        answers(container, ALWAYS | BEFORE, promised)
        others = [*ELSEWHERE, *(n for n in UNKNOWN if n != number)]
        for n in others:
            expect.accepted(container.try_check_extension(n), promised(rules.UNSUPPORTED))
        expect.accepted(group.try_set_container(container))
        expect.accepted(container.try_check_extension(number), promised(rules.UNSUPPORTED))
        expect.refused(container.try_set_iommu(number), promised(rules.SET_UNSUPPORTED))
        expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
    finally:
        sysfs.write(NOIOMMU_MODE, "N")
