# SPDX-License-Identifier: MIT
"""Groups that come and go: what a container keeps, and what it loses with the last of them."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.container import Container, locked_bytes
from vfiospec.device.files import Memory
from vfiospec.device.group import Group
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import container as rules
from vfiospec.rules import group as group_rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

TYPE1, TYPE1V2 = vfio.VFIO_TYPE1_IOMMU, vfio.VFIO_TYPE1v2_IOMMU
MODULE = "/sys/module/vfio_iommu_type1/refcnt"
IOVA = 0x100000
models = pytest.mark.parametrize("model", [TYPE1, TYPE1V2], ids="model-{}".format)


@checks(rules.DEPRIVILEGED)
@models
def test_the_last_group_takes_all_with_it(
    attached: Container,
    group: Group,
    anon: Memory,
    page: int,
    model: int,
    promised: Callable[[Rule], int],
) -> None:
    """The model, the mapping and the locked pages are gone, and the other model can be set."""
    before = locked_bytes(attached.port)
    expect.accepted(attached.try_set_iommu(model))
    expect.accepted(attached.try_map(anon, IOVA, 2 * page))
    expect.equal("locked bytes while mapped", locked_bytes(attached.port), before + 2 * page)
    expect.accepted(group.try_unset_container())
    expect.equal("locked bytes afterwards", locked_bytes(attached.port), before)
    expect.refused(attached.try_get_iommu_info(), promised(rules.DEPRIVILEGED))
    expect.refused(attached.try_map(anon, IOVA, page), promised(rules.DEPRIVILEGED))
    expect.refused(attached.try_unmap(IOVA, page), promised(rules.DEPRIVILEGED))
    expect.accepted(group.try_set_container(attached))
    expect.refused(attached.try_get_iommu_info(), promised(rules.DEPRIVILEGED))
    expect.accepted(attached.try_set_iommu(TYPE1 + TYPE1V2 - model))
    expect.equal("bytes unmapped", attached.unmapped(IOVA, 2 * page), 0)
    expect.accepted(attached.try_map(anon, IOVA, page))


@checks(rules.DEPRIVILEGED, rules.LOSES_ITS_GROUP)
@models
def test_closing_the_last_group_takes_all_with_it(
    container: Container,
    subject: BenchDevice,
    anon: Memory,
    page: int,
    model: int,
    promised: Callable[[Rule], int],
) -> None:
    """As UNSET_CONTAINER does."""
    assert subject.group is not None
    before = locked_bytes(container.port)
    with Group.of(container.port, subject.group) as group:
        expect.accepted(group.try_set_container(container))
        expect.accepted(container.try_set_iommu(model))
        expect.accepted(container.try_map(anon, IOVA, 2 * page))
        expect.equal("locked bytes while mapped", locked_bytes(container.port), before + 2 * page)
    expect.equal("locked bytes afterwards", locked_bytes(container.port), before)
    expect.refused(container.try_get_iommu_info(), promised(rules.LOSES_ITS_GROUP))
    expect.refused(container.try_set_iommu(model), promised(rules.SET_WITHOUT_GROUP))
    with Group.of(container.port, subject.group) as group:
        expect.accepted(group.try_set_container(container))
        expect.accepted(container.try_set_iommu(TYPE1 + TYPE1V2 - model))
        expect.equal("bytes unmapped", container.unmapped(IOVA, 2 * page), 0)


@checks(rules.STAYS)
@pytest.mark.parametrize("leaves", ["first", "second"])
@pytest.mark.parametrize("how", ["unset", "close"])
@pytest.mark.parametrize("joined", ["before-the-model", "after-the-model"])
def test_while_one_is_left_all_stays(
    container: Container,
    subject: BenchDevice,
    other: BenchDevice,
    anon: Memory,
    page: int,
    leaves: str,
    how: str,
    joined: str,
    promised: Callable[[Rule], int],
) -> None:
    """Whichever of two groups goes, and however: model and mapping are there as long as one is."""
    port = container.port
    assert subject.group is not None
    assert other.group is not None
    pair = [Group.of(port, subject.group), Group.of(port, other.group)]
    try:
        expect.accepted(pair[0].try_set_container(container))
        if joined == "before-the-model":
            expect.accepted(pair[1].try_set_container(container))
        expect.accepted(container.try_set_iommu(TYPE1V2))
        if joined == "after-the-model":
            expect.accepted(pair[1].try_set_container(container))
        expect.accepted(container.try_map(anon, IOVA, page))
        goes = pair[0 if leaves == "first" else 1]
        if how == "unset":
            expect.accepted(goes.try_unset_container())
        else:
            pair.remove(goes)
            goes.close()
        expect.accepted(container.try_get_iommu_info())
        expect.equal("bytes unmapped", container.unmapped(IOVA, page), page)
        stays = pair[-1] if goes is not pair[-1] else pair[0]
        expect.equal("status", stays.get_status(), promised(group_rules.STATUS_SET))
        expect.accepted(stays.try_unset_container())
        expect.refused(container.try_get_iommu_info(), promised(rules.DEPRIVILEGED))
    finally:
        for group in pair:
            group.close()


@checks(rules.JOIN_REFUSED)
def test_a_group_that_cannot_join_stays_out(
    attached: Container,
    second: Group,
    anon: Memory,
    page: int,
    kernel: tuple[int, int],
    promised: Callable[[Rule], int],
) -> None:
    """Refused while a mapping is without an address; then it is free, and can join later."""
    if kernel < (6, 3):
        pytest.skip("before 6.3 a group waits for the address, or there is no UPDATE_VADDR")
    expect.accepted(attached.try_set_iommu(TYPE1V2))
    expect.accepted(attached.try_map(anon, IOVA, page))
    expect.accepted(attached.try_unmap(IOVA, page, iommu.VFIO_DMA_UNMAP_FLAG_VADDR))
    expect.refused(second.try_set_container(attached), promised(rules.JOIN_REFUSED))
    expect.equal("status", second.get_status(), promised(group_rules.STATUS_FREE))
    expect.refused(second.try_unset_container(), promised(group_rules.UNSET_NONE))
    with Container.create(attached.port) as another:
        expect.accepted(second.try_set_container(another))
        expect.accepted(another.try_set_iommu(TYPE1))
        expect.accepted(second.try_unset_container())
    expect.accepted(attached.try_map(anon, IOVA, page, iommu.VFIO_DMA_MAP_FLAG_VADDR))
    expect.accepted(second.try_set_container(attached))
    expect.equal("bytes unmapped", attached.unmapped(IOVA, page), page)


@checks(rules.OPEN)
def test_groups_in_two_containers_do_not_meet(
    attached: Container, second: Group, anon: Memory, page: int
) -> None:
    """The same address can be mapped in each, and goes away in one only."""
    with Container.create(attached.port) as another:
        expect.accepted(second.try_set_container(another))
        expect.accepted(attached.try_set_iommu(TYPE1V2))
        expect.accepted(another.try_set_iommu(TYPE1))
        expect.accepted(attached.try_map(anon, IOVA, page))
        expect.accepted(another.try_map(anon, IOVA, page))
        expect.accepted(second.try_unset_container())
        expect.equal("bytes unmapped", attached.unmapped(IOVA, page), page)


@checks(rules.HOLDS_DRIVER)
@pytest.mark.usefixtures("machine")  # elsewhere others may use the module
def test_a_model_holds_its_module_once(
    container: Container, group: Group, second: Group, sysfs: PortSysfs
) -> None:
    """From SET_IOMMU until the last group has left, and not by anything else."""
    if not sysfs.exists(MODULE):
        pytest.skip("type1 is built in: needs a kernel with CONFIG_VFIO_IOMMU_TYPE1=m")
    before = int(sysfs.read(MODULE))

    def held(when: str, by: int) -> None:
        expect.equal(f"references to type1 {when}", int(sysfs.read(MODULE)), before + by)

    container.try_set_iommu(TYPE1)
    for number in range(16):
        container.try_check_extension(number)
    held("without a group", 0)
    expect.accepted(group.try_set_container(container))
    for number in (0, vfio.VFIO_SPAPR_TCE_IOMMU, vfio.VFIO_UNMAP_ALL, vfio.VFIO_UPDATE_VADDR):
        container.try_set_iommu(number)
    for number in range(16):
        container.try_check_extension(number)
    held("without a model", 0)
    expect.accepted(container.try_set_iommu(TYPE1V2))
    held("with a model", 1)
    container.try_set_iommu(TYPE1V2)
    for number in range(16):
        container.try_check_extension(number)
    expect.accepted(second.try_set_container(container))
    held("with a second group", 1)
    expect.accepted(group.try_unset_container())
    held("after one group left", 1)
    expect.accepted(second.try_unset_container())
    held("after the last group left", 0)
