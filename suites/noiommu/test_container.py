# SPDX-License-Identifier: MIT
"""A group without an IOMMU in a container, or in an iommufd that stands for one."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd as abi
from vfiospec.abi import vfio
from vfiospec.device.container import Container
from vfiospec.device.files import Memory
from vfiospec.device.group import Group
from vfiospec.device.iommufd import Iommufd
from vfiospec.device.mdev import Mdev
from vfiospec.device.noiommu import NoIommu
from vfiospec.device.port import ForkedPort, Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import container as container_rules
from vfiospec.rules import noiommu as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Promised = Callable[[Rule], int]
NOIOMMU, V1, V2 = vfio.VFIO_NOIOMMU_IOMMU, vfio.VFIO_TYPE1_IOMMU, vfio.VFIO_TYPE1v2_IOMMU
SET, CLEAR = abi.IOMMU_VFIO_IOAS_SET, abi.IOMMU_VFIO_IOAS_CLEAR
OTHERS = [V1, V2, vfio.VFIO_DMA_CC_IOMMU, vfio.VFIO_UNMAP_ALL, vfio.VFIO_EEH, 0, 99]
pytestmark = devices("dma-stimulus")


@pytest.fixture
def emulated(port: Port, mdev: Mdev) -> Iterator[Group]:
    """The group of a mediated device, for which type1 stands in as an IOMMU."""
    with Group.of(port, mdev.group) as opened:
        yield opened


@checks(rules.EXTENSIONS, container_rules.NOIOMMU_EXTENSION)
def test_extensions(
    group: Group, container: Container, mode: Callable[[bool], None], promised: Promised
) -> None:
    """NOIOMMU alone, and only while it is on; with the model set too, and before any group."""
    there, gone = promised(container_rules.NOIOMMU_EXTENSION), promised(rules.EXTENSIONS)
    for on in (False, True):
        mode(on)
        expect.accepted(container.try_check_extension(NOIOMMU), there if on else gone)
    expect.accepted(group.try_set_container(container))
    for again in (True, False):
        for number in OTHERS:
            expect.accepted(container.try_check_extension(number), gone)
        expect.accepted(container.try_check_extension(NOIOMMU), there)
        mode(False)
        expect.accepted(container.try_check_extension(NOIOMMU), gone)
        mode(True)
        if again:
            expect.accepted(container.try_set_iommu(NOIOMMU))


@checks(rules.MODEL)
def test_models(
    group: Group, container: Container, mode: Callable[[bool], None], promised: Promised
) -> None:
    """Type1 is not to be had, nor what is none; NOIOMMU while it is on."""
    expect.accepted(group.try_set_container(container))
    for number in OTHERS:
        expect.refused(container.try_set_iommu(number), promised(rules.MODEL))
    mode(False)
    expect.refused(container.try_set_iommu(NOIOMMU), promised(rules.MODEL))
    mode(True)
    expect.accepted(container.try_set_iommu(NOIOMMU))


@checks(rules.CALLS)
def test_calls_of_type1(own: NoIommu, four_pages: Memory, promised: Promised) -> None:
    """None of them is known."""
    container = own.container
    errno = promised(rules.CALLS)
    expect.refused(container.try_get_iommu_info(), errno)
    expect.refused(container.try_map(four_pages, 0, four_pages.size), errno)
    expect.refused(container.try_unmap(0, four_pages.size), errno)
    expect.refused(container.try_dirty_pages(1), errno)


@checks(rules.SET_CONTAINER_CAPABILITY, container_rules.NOIOMMU_CALLS, rules.DEVICE_FD_CAPABILITY)
def test_each_step_takes_a_capability(
    port: Port,
    group: Group,
    container: Container,
    spec: BenchDevice,
    unprivileged: ForkedPort,
    promised: Promised,
) -> None:
    """With files that were opened by who had it; each step succeeds for who has it."""
    del port
    theirs = Group(unprivileged, group.handle)
    errno = promised(rules.SET_CONTAINER_CAPABILITY)
    expect.refused(theirs.try_set_container(container), errno)
    expect.accepted(group.try_set_container(container))
    call = Container(unprivileged, container.handle).try_set_iommu(NOIOMMU)
    expect.refused(call, promised(container_rules.NOIOMMU_CALLS))
    expect.accepted(container.try_set_iommu(NOIOMMU))
    call, _ = theirs.try_get_device_fd(spec.bdf)
    expect.refused(call, promised(rules.DEVICE_FD_CAPABILITY))
    group.get_device_fd(spec.bdf).close()


@checks(container_rules.NOIOMMU_MIX)
def test_real_and_other_groups_do_not_mix(
    group: Group, container: Container, emulated: Group, promised: Promised
) -> None:
    """Whichever comes first; each has the container to itself once the other left."""
    errno = promised(container_rules.NOIOMMU_MIX)
    for first, second in ((group, emulated), (emulated, group)):
        expect.accepted(first.try_set_container(container))
        expect.refused(second.try_set_container(container), errno)
        expect.accepted(first.try_unset_container())


@checks(rules.COMPAT_EXTENSIONS, rules.COMPAT_MODEL, rules.COMPAT_CAPABILITY)
def test_an_iommufd_in_its_place(
    group: Group,
    iommufd: Iommufd,
    spec: BenchDevice,
    unprivileged: ForkedPort,
    promised: Promised,
) -> None:
    """It says what it is once it has the group, and leads to the device."""
    expect.accepted(group.try_set_container(iommufd))
    expect.accepted(iommufd.try_check_extension(NOIOMMU), promised(rules.COMPAT_EXTENSIONS))
    for model in (V1, V2):
        expect.accepted(iommufd.try_check_extension(model), 0)
        expect.refused(iommufd.try_set_iommu(model), promised(rules.COMPAT_MODEL))
    errno = promised(rules.COMPAT_CAPABILITY)
    child = Iommufd(unprivileged, iommufd.handle)
    expect.refused(child.try_set_iommu(NOIOMMU), errno)
    call, _ = Group(unprivileged, group.handle).try_get_device_fd(spec.bdf)
    expect.refused(call, errno)
    expect.accepted(iommufd.try_set_iommu(NOIOMMU))
    with group.get_device_fd(spec.bdf) as device:
        expect.accepted(device.try_get_info())


@checks(rules.COMPAT_ALONE)
def test_an_iommufd_that_does_not_translate(
    group: Group, iommufd: Iommufd, emulated: Group, promised: Promised
) -> None:
    """Has no address space made for a real group; it goes on serving the one it has."""
    expect.accepted(group.try_set_container(iommufd))
    for _ in range(2):
        expect.refused(emulated.try_set_container(iommufd), promised(rules.COMPAT_ALONE))
        expect.accepted(iommufd.try_check_extension(NOIOMMU), promised(rules.COMPAT_EXTENSIONS))
        expect.accepted(group.try_unset_container())
        expect.accepted(group.try_set_container(iommufd))
    with Iommufd.create(iommufd.port) as other:
        expect.accepted(emulated.try_set_container(other))
        expect.accepted(emulated.try_unset_container())


@checks(rules.COMPAT_EXPECTED)
def test_an_address_space_set_later(
    group: Group, iommufd: Iommufd, spec: BenchDevice, promised: Promised
) -> None:
    """By the user, who then expects translation; the one that is open serves on."""
    expect.accepted(group.try_set_container(iommufd))
    ioas, errno = iommufd.alloc_ioas(), promised(rules.COMPAT_EXPECTED)
    for _ in range(2):
        expect.accepted(iommufd.try_vfio_ioas(SET, ioas))
        call, _ = group.try_get_device_fd(spec.bdf)
        expect.refused(call, errno)
        expect.accepted(iommufd.try_vfio_ioas(CLEAR))
        with group.get_device_fd(spec.bdf) as device:
            expect.accepted(iommufd.try_vfio_ioas(SET, ioas))
            expect.accepted(device.try_get_info())
            with group.get_device_fd(spec.bdf) as another:
                expect.accepted(another.try_get_info())


@checks(rules.COMPAT_TRANSLATION)
def test_an_iommufd_that_translates(
    group: Group, iommufd: Iommufd, emulated: Group, promised: Promised
) -> None:
    """One that stands for the container of a real group has an address space for it."""
    expect.accepted(emulated.try_set_container(iommufd))
    expect.refused(group.try_set_container(iommufd), promised(rules.COMPAT_TRANSLATION))
    expect.accepted(emulated.try_unset_container())
