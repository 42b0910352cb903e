# SPDX-License-Identifier: MIT
"""What groups mean to a type1 container: that there is one, several, and the last."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.container import Container
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned, Group
from vfiospec.device.port import Port
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import type1 as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

UNSAFE = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
ECAP = "/sys/class/iommu/{}/intel-iommu/ecap"
SNOOP_CONTROL = 1 << 7  # VT-d, Extended Capability Register
Promised = Callable[[Rule], int]


@checks(rules.UNSAFE_INTERRUPTS)
@pytest.mark.parametrize("model", [vfio.VFIO_TYPE1_IOMMU, vfio.VFIO_TYPE1v2_IOMMU])
@pytest.mark.parametrize("allowed", ["N", "Y"], ids=["safe", "unsafe"])
def test_interrupts_must_be_remapped_or_trusted(
    port: Port,
    group: int,
    container: Container,
    sysfs: PortSysfs,
    interrupt_remapping: bool,  # noqa: FBT001 -- a fixture
    model: int,
    allowed: str,
    promised: Promised,
) -> None:
    """The module's parameter is the word of the administrator; remapping makes it needless."""
    before = sysfs.read(UNSAFE)
    sysfs.write(UNSAFE, allowed)
    try:
        with Group.of(port, group) as opened:
            expect.accepted(opened.try_set_container(container))
            call = container.try_set_iommu(model)
            if interrupt_remapping or allowed == "Y":
                expect.accepted(call)
            else:
                expect.refused(call, promised(rules.UNSAFE_INTERRUPTS))
                sysfs.write(UNSAFE, "Y")
                expect.accepted(container.try_set_iommu(model))
            expect.equal("bytes mapped", container.unmapped(0, container.page_size()), 0)
    finally:
        sysfs.write(UNSAFE, before)


@checks(rules.GROUPS_SHARE, rules.LAST_GROUP)
@pytest.mark.parametrize("leaving", ["first", "second"])
def test_mappings_stay_with_the_group_that_stays(
    assigned2: Assigned,
    second_group: int,
    base: int,
    buffer: Memory,
    page: int,
    leaving: str,
    locked: Callable[[], int],
    pinned: Callable[[], int],
) -> None:
    """They go with the last."""
    container = assigned2.container
    container.map(buffer, base, 4 * page)
    other = Group.of(container.port, second_group)
    try:
        expect.accepted(other.try_set_container(container))
        container.map(buffer, base + 4 * page, 2 * page)
        order = [assigned2.group, other] if leaving == "first" else [other, assigned2.group]
        expect.accepted(order[0].try_unset_container())
        expect.equal("bytes locked", locked(), 6 * page)
        container.map(buffer, base + 8 * page, page)
        expect.equal("bytes unmapped", container.unmapped(base, 4 * page), 4 * page)
        expect.accepted(order[1].try_unset_container())
        expect.equal("bytes locked with no group", locked(), 0)
        expect.equal("pages pinned with no group", pinned(), 0)
    finally:
        other.close()


@checks(rules.LAST_GROUP)
def test_a_container_starts_anew_after_its_last_group(
    assigned2: Assigned, base: int, buffer: Memory, page: int
) -> None:
    """It has no IOMMU, then one without a mapping."""
    container, before = assigned2.container, assigned2.container.available()
    container.map(buffer, base, 4 * page)
    expect.accepted(assigned2.group.try_unset_container())
    expect.holds(
        not container.try_get_iommu_info().ok, "no IOMMU without a group", "GET_INFO succeeds"
    )
    expect.accepted(assigned2.group.try_set_container(container))
    expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
    expect.equal("avail", container.available(), before)
    expect.accepted(container.try_map(buffer, base, 4 * page))


@checks(rules.EXTENSIONS)
@pytest.mark.parametrize(
    "extension", [vfio.VFIO_UNMAP_ALL, vfio.VFIO_UPDATE_VADDR], ids="extension-{}".format
)
def test_what_it_can_do_beyond_the_first_version(
    v2: Container, extension: int, promised: Promised
) -> None:
    """Told once type1 is set."""
    expect.accepted(v2.try_check_extension(extension), promised(rules.EXTENSIONS))


@checks(rules.ONLY_ITS_OWN)
@pytest.mark.parametrize(
    "extension",
    [0, vfio.VFIO_SPAPR_TCE_IOMMU, vfio.VFIO_EEH, vfio.VFIO_SPAPR_TCE_v2_IOMMU,
     vfio.VFIO_NOIOMMU_IOMMU, 11, 12, 1 << 31],
    ids="extension-{}".format,
)  # fmt: skip
def test_what_is_not_its_own_is_denied(v2: Container, extension: int, promised: Promised) -> None:
    """Other models, other platforms, numbers without a meaning."""
    expect.accepted(v2.try_check_extension(extension), promised(rules.ONLY_ITS_OWN))


@checks(rules.EXTENSIONS)
@pytest.mark.parametrize("model", [vfio.VFIO_TYPE1_IOMMU, vfio.VFIO_TYPE1v2_IOMMU])
def test_its_models_are_its_own(v2: Container, model: int) -> None:
    """Both, though one is set."""
    expect.accepted(v2.try_check_extension(model), 1)


@checks(rules.CACHE_COHERENT)
def test_coherency_is_what_the_iommu_can_enforce(
    container: Container, v2: Container, sysfs: PortSysfs
) -> None:
    """All units of it; a container without a group cannot say so."""
    expect.accepted(container.try_check_extension(vfio.VFIO_DMA_CC_IOMMU), 0)
    units = [ECAP.format(u) for u in sysfs.listdir("/sys/class/iommu")]
    found = [int(sysfs.read(u), 16) for u in units if sysfs.exists(u)]
    if not found:
        pytest.skip("no Intel IOMMU whose registers could be asked")
    wanted = int(all(ecap & SNOOP_CONTROL for ecap in found))
    expect.accepted(v2.try_check_extension(vfio.VFIO_DMA_CC_IOMMU), wanted)


@checks(rules.UNKNOWN_IOCTL)
@pytest.mark.parametrize(
    "request_",
    [iommu.VFIO_IOMMU_ENABLE, iommu.VFIO_IOMMU_DISABLE, iommu.VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
     iommu.VFIO_IOMMU_SPAPR_TCE_CREATE, iommu.VFIO_IOMMU_SPAPR_TCE_REMOVE,
     iommu.VFIO_IOMMU_GET_INFO | 1 << 30, iommu.VFIO_IOMMU_MAP_DMA | 32 << 16],
    ids="{:#x}".format,
)  # fmt: skip
def test_another_number_is_unknown(
    v2: Container, request_: int, buffer: Memory, promised: Promised
) -> None:
    """Those of other platforms, and its own with a size or a direction."""
    expect.refused(v2.try_ioctl(request_, buffer.at()), promised(rules.UNKNOWN_IOCTL))
