# SPDX-License-Identifier: MIT
"""Numbers that are no ioctl of the fd they are used on."""

from collections.abc import Callable, Iterator
from operator import attrgetter

import pytest

from vfiospec import expect
from vfiospec.abi import vfio, vfio_iommu
from vfiospec.abi.ioctl import IOCTLS
from vfiospec.device.call import UNTOUCHED
from vfiospec.device.container import Container
from vfiospec.device.device import Device
from vfiospec.device.group import Assigned
from vfiospec.device.info import INFO_CALLS, InfoCall
from vfiospec.device.port import Port
from vfiospec.device.ways import Way
from vfiospec.rules import conventions as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

BUFFER = bytes([UNTOUCHED]) * 64
TYPE = vfio.VFIO_TYPE << 8
# The type and number of an ioctl with a direction (1 to 3) and a size in it.
READ_BIT, WRITE_BIT = 2 << 30, 1 << 30
NO_PCI = {vfio.VFIO_DEVICE_QUERY_GFX_PLANE, vfio.VFIO_DEVICE_GET_GFX_DMABUF}
OWN = {vfio.VFIO_GET_API_VERSION, vfio.VFIO_CHECK_EXTENSION, vfio.VFIO_SET_IOMMU}
TYPE1 = {
    vfio_iommu.VFIO_IOMMU_GET_INFO,
    vfio_iommu.VFIO_IOMMU_MAP_DMA,
    vfio_iommu.VFIO_IOMMU_UNMAP_DMA,
    vfio_iommu.VFIO_IOMMU_DIRTY_PAGES,
}
each_info = pytest.mark.parametrize("info", INFO_CALLS, ids=attrgetter("name"))


def known(kind: str) -> set[int]:
    """The ioctl numbers the header has for a kind of fd."""
    return {request for of, request in IOCTLS if of == kind}


def others(numbers: set[int]) -> Iterator[int]:
    """All numbers of VFIO's type but these."""
    return (TYPE | n for n in range(256) if TYPE | n not in numbers)


@checks(rules.UNKNOWN_DEVICE_IOCTL)
def test_a_number_that_is_no_device_ioctl_is_refused(
    device: Device, promised: Callable[[Rule], int]
) -> None:
    """All 256 numbers of VFIO's type, but those of vfio-pci, are refused on a device fd."""
    for request in others(known("device") - NO_PCI):
        call = device.try_ioctl(request, BUFFER)
        expect.refused(call, promised(rules.UNKNOWN_DEVICE_IOCTL))


@checks(rules.UNKNOWN_DEVICE_IOCTL)
@pytest.mark.parametrize(
    "request_number",
    [vfio.VFIO_DEVICE_QUERY_GFX_PLANE, vfio.VFIO_DEVICE_GET_GFX_DMABUF],
    ids=["query-gfx-plane", "get-gfx-dmabuf"],
)
def test_display_ioctls_are_not_for_pci(
    device: Device, request_number: int, promised: Callable[[Rule], int]
) -> None:
    """The display ioctls of mediated devices are refused on a device of vfio-pci."""
    call = device.try_ioctl(request_number, BUFFER)
    expect.refused(call, promised(rules.UNKNOWN_DEVICE_IOCTL))


@checks(rules.ENCODED_IOCTL)
@each_info
@pytest.mark.parametrize("kind", [0x3A, 0x3C, 0x4B, 0xBB], ids="type-{:02x}".format)
def test_another_type_byte_is_refused(
    device: Device, info: InfoCall, kind: int, promised: Callable[[Rule], int]
) -> None:
    """The right number of another type is refused."""
    call = device.try_ioctl(info.request & 0xFF | kind << 8, info.pack())
    expect.refused(call, promised(rules.ENCODED_IOCTL))


@checks(rules.ENCODED_IOCTL)
@each_info
def test_a_size_in_the_number_is_refused(
    device: Device, info: InfoCall, promised: Callable[[Rule], int]
) -> None:
    """The number _IOWR() and its like would make of the right call is refused."""
    for direction in (0, READ_BIT, WRITE_BIT, READ_BIT | WRITE_BIT):
        for size in (0, 4, info.minsz, info.struct.sizeof()):
            encoded = direction | size << 16 | info.request
            if encoded != info.request:
                call = device.try_ioctl(encoded, info.pack())
                expect.refused(call, promised(rules.ENCODED_IOCTL))
    expect.accepted(info.ask(device))


@checks(rules.UNKNOWN_GROUP_IOCTL)
def test_a_number_that_is_no_group_ioctl_is_refused(
    grouped: Assigned, promised: Callable[[Rule], int]
) -> None:
    """All 256 numbers of VFIO's type, but the group's four, are refused on a group fd."""
    for request in others(known("group")):
        call = grouped.group.try_ioctl(request, BUFFER)
        expect.refused(call, promised(rules.UNKNOWN_GROUP_IOCTL))


@checks(rules.UNKNOWN_GROUP_IOCTL)
def test_a_group_ioctl_with_a_size_in_it_is_refused(
    grouped: Assigned, promised: Callable[[Rule], int]
) -> None:
    """GROUP_GET_STATUS is refused as _IOR(), and accepted as _IO()."""
    encoded = READ_BIT | 8 << 16 | vfio.VFIO_GROUP_GET_STATUS
    call = grouped.group.try_ioctl(encoded, (8).to_bytes(4, "little") + BUFFER)
    expect.refused(call, promised(rules.UNKNOWN_GROUP_IOCTL))
    expect.accepted(grouped.group.try_get_status())


@checks(rules.UNKNOWN_CONTAINER_IOCTL)
def test_a_number_that_type1_does_not_know_is_refused(
    grouped: Assigned, by_type1: Way, promised: Callable[[Rule], int]
) -> None:
    """With type1 set, all numbers but its own are refused, those of sPAPR and EEH among them."""
    del by_type1  # an iommufd knows numbers of its own
    for request in others(OWN | TYPE1):
        call = grouped.container.try_ioctl(request, BUFFER)
        expect.refused(call, promised(rules.UNKNOWN_CONTAINER_IOCTL))


@checks(rules.CONTAINER_WITHOUT_IOMMU)
def test_a_container_without_iommu_knows_its_own_numbers_only(
    port: Port, promised: Callable[[Rule], int]
) -> None:
    """Before SET_IOMMU, all numbers but the container's own three are refused."""
    with Container.create(port) as container:
        for request in others(OWN):
            call = container.try_ioctl(request, BUFFER)
            expect.refused(call, promised(rules.CONTAINER_WITHOUT_IOMMU))


@checks(rules.CONTAINER_WITHOUT_IOMMU)
@pytest.mark.parametrize("kind", [0x3A, 0x3C, 0x4B], ids="type-{:02x}".format)
def test_a_container_without_iommu_refuses_other_types(
    port: Port, kind: int, promised: Callable[[Rule], int]
) -> None:
    """Before SET_IOMMU, GET_API_VERSION of another type is refused as any other number."""
    with Container.create(port) as container:
        call = container.try_ioctl(kind << 8 | vfio.VFIO_GET_API_VERSION & 0xFF, BUFFER)
        expect.refused(call, promised(rules.CONTAINER_WITHOUT_IOMMU))
        expect.accepted(container.try_get_api_version(), vfio.VFIO_API_VERSION)


@checks(rules.UNKNOWN_CONTAINER_IOCTL)
@pytest.mark.parametrize("kind", [0x3A, 0x3C, 0x4B], ids="type-{:02x}".format)
def test_type1_refuses_other_types(
    grouped: Assigned, kind: int, promised: Callable[[Rule], int]
) -> None:
    """With type1 set, IOMMU_GET_INFO of another type is refused."""
    call = grouped.container.try_ioctl(kind << 8 | vfio_iommu.VFIO_IOMMU_GET_INFO & 0xFF, BUFFER)
    expect.refused(call, promised(rules.UNKNOWN_CONTAINER_IOCTL))
