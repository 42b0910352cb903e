# SPDX-License-Identifier: MIT
"""What a container is asked, of an iommufd: version, extensions, models, what is not there."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd as abi
from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.iommufd import Iommufd
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import iommufd_compat as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
NOIOMMU = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
SUPPORTED = {vfio.VFIO_TYPE1_IOMMU, vfio.VFIO_TYPE1v2_IOMMU, vfio.VFIO_UNMAP_ALL}
ELSEWHERE = {vfio.VFIO_DMA_CC_IOMMU, vfio.VFIO_NOIOMMU_IOMMU}
MODELS = [n for n in (*range(13), 255, 1 << 32) if n not in SUPPORTED - {vfio.VFIO_UNMAP_ALL}]
UNSUPPORTED = {
    "dirty-pages": iommu.VFIO_IOMMU_DIRTY_PAGES,
    "enable": vfio.VFIO_TYPE << 8 | vfio.VFIO_BASE + 15,
    "disable": vfio.VFIO_TYPE << 8 | vfio.VFIO_BASE + 16,
    "group-status": vfio.VFIO_GROUP_GET_STATUS,
    "unregister-memory": vfio.VFIO_TYPE << 8 | vfio.VFIO_BASE + 18,
    "eeh": vfio.VFIO_TYPE << 8 | vfio.VFIO_BASE + 21,
    "unknown": vfio.VFIO_TYPE << 8 | 0x7F,
}


@checks(rules.VERSION)
@pytest.mark.parametrize("value", [0, 1, 0xFFFFFFFF], ids="value-{}".format)
def test_the_version(iommufd: Iommufd, value: int, promised: Promised) -> None:
    """It takes no argument and needs no address space."""
    expect.accepted(iommufd.try_get_api_version(value), promised(rules.VERSION))


@checks(rules.EXTENSIONS)
@pytest.mark.parametrize("extension", [*range(1, 20), 255, 1 << 32], ids="extension-{}".format)
def test_extensions(iommufd: Iommufd, extension: int, sysfs: PortSysfs) -> None:
    """Each number, without an address space and with one, whatever model is set."""
    if extension == vfio.VFIO_DMA_CC_IOMMU:
        expect.holds(not iommufd.try_check_extension(extension).ok, "refused", "answered")
        expect.accepted(iommufd.try_vfio_ioas(abi.IOMMU_VFIO_IOAS_SET, iommufd.alloc_ioas()))
        expect.accepted(iommufd.try_check_extension(extension), 1)
        return
    there = extension in SUPPORTED
    if extension == vfio.VFIO_NOIOMMU_IOMMU:
        there = sysfs.exists(NOIOMMU)
    expect.accepted(iommufd.try_check_extension(extension), int(there))
    expect.accepted(iommufd.try_vfio_ioas(abi.IOMMU_VFIO_IOAS_SET, iommufd.alloc_ioas()))
    expect.accepted(iommufd.try_set_iommu(vfio.VFIO_TYPE1_IOMMU))
    expect.accepted(iommufd.try_check_extension(extension), int(there))


@checks(rules.COHERENT)
def test_dma_cc_without_devices(compat: Iommufd) -> None:
    """Nothing there that is not coherent."""
    expect.accepted(compat.try_check_extension(vfio.VFIO_DMA_CC_IOMMU), 1)


def large_pages(iommufd: Iommufd) -> int:
    """IOMMU_OPTION_HUGE_PAGES of the address space."""
    ioas = expect.accepted(iommufd.try_vfio_ioas(abi.IOMMU_VFIO_IOAS_GET))
    option = abi.iommu_option(
        option_id=abi.IOMMU_OPTION_HUGE_PAGES,
        op=abi.IOMMU_OPTION_OP_GET,
        object_id=ioas.unpack(abi.iommu_vfio_ioas).ioas_id,
        val64=7,
    )
    return int(iommufd.call(abi.IOMMU_OPTION, option).val64)


@checks(rules.SET)
def test_models_that_can_be_set(compat: Iommufd) -> None:
    """Again, and one after the other; version 1 turns large pages off, and nothing else does."""
    expect.equal("large pages", large_pages(compat), 1)
    for _ in range(2):
        expect.accepted(compat.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
        expect.equal("large pages", large_pages(compat), 1)
    for model in (vfio.VFIO_TYPE1_IOMMU, vfio.VFIO_TYPE1_IOMMU, vfio.VFIO_TYPE1v2_IOMMU):
        expect.accepted(compat.try_set_iommu(model))
        expect.equal("large pages", large_pages(compat), 0)


@checks(rules.SET_UNKNOWN)
@pytest.mark.parametrize("model", MODELS, ids="model-{}".format)
def test_models_that_cannot_be_set(iommufd: Iommufd, model: int, promised: Promised) -> None:
    """Without an address space and with one."""
    expect.refused(iommufd.try_set_iommu(model), promised(rules.SET_UNKNOWN))
    expect.accepted(iommufd.try_vfio_ioas(abi.IOMMU_VFIO_IOAS_SET, iommufd.alloc_ioas()))
    expect.refused(iommufd.try_set_iommu(model), promised(rules.SET_UNKNOWN))
    expect.equal("large pages", large_pages(iommufd), 1)


@checks(rules.UNSUPPORTED)
@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_not_there(compat: Iommufd, name: str, promised: Promised) -> None:
    """Whatever the argument."""
    for argument in (0, (256).to_bytes(4, "little") + bytes(252)):
        call = compat.try_ioctl(UNSUPPORTED[name], argument)
        expect.refused(call, promised(rules.UNSUPPORTED))
