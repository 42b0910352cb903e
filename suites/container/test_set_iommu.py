# SPDX-License-Identifier: MIT
"""SET_IOMMU: when it is refused, and what a refusal leaves."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.container import Container
from vfiospec.device.files import Memory
from vfiospec.device.group import Group
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import container as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

TYPE1, TYPE1V2 = vfio.VFIO_TYPE1_IOMMU, vfio.VFIO_TYPE1v2_IOMMU
UNSAFE = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
REFERENCES = "/sys/module/vfio_iommu_type1/refcnt"  # not there if it is built in
IOVA = 0x100000
NO_MODEL = [
    0, vfio.VFIO_SPAPR_TCE_IOMMU, vfio.VFIO_DMA_CC_IOMMU, vfio.VFIO_EEH,
    vfio.VFIO_SPAPR_TCE_v2_IOMMU, vfio.VFIO_NOIOMMU_IOMMU, vfio.VFIO_UPDATE_VADDR, 11, 64,
    1 << 31, (1 << 32) - 1, 1 << 32 | TYPE1, 1 << 32 | TYPE1V2, (1 << 64) - 1,
]  # fmt: skip
ANY = [TYPE1, TYPE1V2, vfio.VFIO_TYPE1_NESTING_IOMMU, vfio.VFIO_UNMAP_ALL, *NO_MODEL]
models = pytest.mark.parametrize("model", [TYPE1, TYPE1V2], ids="model-{}".format)


@checks(rules.SET_WITHOUT_GROUP)
@pytest.mark.parametrize("number", ANY, ids="model-{:x}".format)
def test_without_a_group_it_is_refused(
    container: Container, number: int, promised: Callable[[Rule], int]
) -> None:
    """Whatever the number."""
    expect.refused(container.try_set_iommu(number), promised(rules.SET_WITHOUT_GROUP))


@checks(rules.SET_WITHOUT_GROUP)
@models
def test_with_a_group_that_left_it_is_refused(
    attached: Container, group: Group, model: int, promised: Callable[[Rule], int]
) -> None:
    """The group must be there now."""
    expect.accepted(group.try_unset_container())
    expect.refused(attached.try_set_iommu(model), promised(rules.SET_WITHOUT_GROUP))


@checks(rules.SET)
@models
def test_a_model_can_be_set(
    attached: Container, model: int, promised: Callable[[Rule], int]
) -> None:
    """Before it the model's calls are refused, afterwards they are not."""
    expect.refused(attached.try_get_iommu_info(), promised(rules.DEPRIVILEGED))
    expect.accepted(attached.try_set_iommu(model))
    expect.accepted(attached.try_get_iommu_info())


@checks(rules.SET_UNSUPPORTED, rules.SET_REFUSED)
@pytest.mark.parametrize("number", NO_MODEL, ids="model-{:x}".format)
def test_a_number_that_is_no_model_is_refused(
    attached: Container, number: int, promised: Callable[[Rule], int]
) -> None:
    """No model is in force then, and a right one can be set."""
    expect.refused(attached.try_set_iommu(number), promised(rules.SET_UNSUPPORTED))
    expect.refused(attached.try_get_iommu_info(), promised(rules.DEPRIVILEGED))
    expect.accepted(attached.try_set_iommu(TYPE1V2))


@checks(rules.SET_EXTENSION, rules.SET_REFUSED)
def test_an_extension_that_is_no_model_is_refused(
    attached: Container, promised: Callable[[Rule], int]
) -> None:
    """Not by a number nobody knows: the driver of the extension has no such model."""
    call = attached.try_set_iommu(vfio.VFIO_UNMAP_ALL)
    expect.refused(call, promised(rules.SET_EXTENSION))
    expect.refused(attached.try_get_iommu_info(), promised(rules.DEPRIVILEGED))
    expect.accepted(attached.try_set_iommu(TYPE1))


@checks(rules.SET_SUPPORTED, rules.SET_UNSUPPORTED)
def test_nesting_can_be_set_if_it_is_supported(
    attached: Container, promised: Callable[[Rule], int]
) -> None:
    """CHECK_EXTENSION is how a caller verifies that."""
    nesting = vfio.VFIO_TYPE1_NESTING_IOMMU
    if attached.try_check_extension(nesting).ret:
        expect.accepted(attached.try_set_iommu(nesting))
    else:
        expect.refused(attached.try_set_iommu(nesting), promised(rules.SET_UNSUPPORTED))


@checks(rules.SET_REFUSED)
def test_after_nesting_another_can_be_set(attached: Container, group: Group) -> None:
    """Be it because nesting was refused, or because the group left and came back."""
    if attached.try_set_iommu(vfio.VFIO_TYPE1_NESTING_IOMMU).ok:
        expect.accepted(group.try_unset_container())
        expect.accepted(group.try_set_container(attached))
    expect.accepted(attached.try_set_iommu(TYPE1))
    expect.accepted(attached.try_get_iommu_info())


@checks(rules.SET_TWICE)
@pytest.mark.parametrize("number", ANY, ids="model-{:x}".format)
def test_a_second_time_it_is_refused(
    attached: Container, anon: Memory, page: int, number: int, promised: Callable[[Rule], int]
) -> None:
    """Whatever the number; the first model and its mappings stay."""
    expect.accepted(attached.try_set_iommu(TYPE1V2))
    expect.accepted(attached.try_map(anon, IOVA, page))
    expect.refused(attached.try_set_iommu(number), promised(rules.SET_TWICE))
    expect.equal("bytes unmapped", attached.unmapped(IOVA, page), page)


@checks(rules.MODEL)
def test_v1_unmaps_whole_mappings(attached: Container, anon: Memory, page: int) -> None:
    """Asked for the first page of two, it takes both."""
    expect.accepted(attached.try_set_iommu(TYPE1))
    expect.accepted(attached.try_map(anon, IOVA, 2 * page))
    expect.equal("bytes unmapped", attached.unmapped(IOVA, page), 2 * page)


@checks(rules.MODEL)
def test_v2_unmaps_no_part_of_a_mapping(
    attached: Container, anon: Memory, page: int, promised: Callable[[Rule], int]
) -> None:
    """Asked for the first page of two, it refuses."""
    expect.accepted(attached.try_set_iommu(TYPE1V2))
    expect.accepted(attached.try_map(anon, IOVA, 2 * page))
    expect.refused(attached.try_unmap(IOVA, page), promised(rules.MODEL))
    expect.equal("bytes unmapped", attached.unmapped(IOVA, 2 * page), 2 * page)


@checks(rules.SET_UNSAFE, rules.SET_REFUSED, rules.JOIN_UNSAFE, rules.HOLDS_DRIVER)
@pytest.mark.usefixtures("machine")
@models
def test_without_interrupt_remapping_it_takes_trust(
    attached: Container,
    second: Group,
    sysfs: PortSysfs,
    interrupt_remapping: bool,  # noqa: FBT001 -- a fixture
    model: int,
    promised: Callable[[Rule], int],
) -> None:
    """Refused until the administrator trusts the device, and so is a group that joins."""
    if interrupt_remapping:
        pytest.skip("interrupts are isolated here: --topology no-intremap has them not")
    before = sysfs.read(UNSAFE)
    held = sysfs.read(REFERENCES) if sysfs.exists(REFERENCES) else ""
    try:
        sysfs.write(UNSAFE, "N")
        expect.refused(attached.try_set_iommu(model), promised(rules.SET_UNSAFE))
        expect.refused(attached.try_get_iommu_info(), promised(rules.DEPRIVILEGED))
        if held:
            expect.equal("references to type1", sysfs.read(REFERENCES), held)
        sysfs.write(UNSAFE, "Y")
        expect.accepted(attached.try_set_iommu(model))
        sysfs.write(UNSAFE, "N")
        free = second.get_status()
        expect.refused(second.try_set_container(attached), promised(rules.JOIN_UNSAFE))
        expect.equal("status of a group that stayed out", second.get_status(), free)
        sysfs.write(UNSAFE, "Y")
        expect.accepted(second.try_set_container(attached))
    finally:
        sysfs.write(UNSAFE, before)


@checks(rules.SET, rules.SET_REFUSED)
def test_a_model_is_for_the_groups_that_are_there(
    attached: Container, second: Group, group: Group, promised: Callable[[Rule], int]
) -> None:
    """Two groups at once, of which each may be the first to leave."""
    expect.accepted(second.try_set_container(attached))
    expect.accepted(attached.try_set_iommu(TYPE1V2))
    expect.accepted(group.try_unset_container())
    expect.accepted(attached.try_get_iommu_info())
    expect.accepted(second.try_unset_container())
    expect.refused(attached.try_get_iommu_info(), promised(rules.DEPRIVILEGED))
