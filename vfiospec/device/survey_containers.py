# SPDX-License-Identifier: MIT
"""Calls on a container, or on an iommufd that stands for one."""

from typing import Final

from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.container import Container
from vfiospec.device.device import Info
from vfiospec.device.files import Memory
from vfiospec.device.survey import Subject, Telling
from vfiospec.device.survey_mappings import BASE, FEW, READ, WRITE, pages

_EXTENSIONS: Final = {
    "TYPE1": vfio.VFIO_TYPE1_IOMMU,
    "TYPE1v2": vfio.VFIO_TYPE1v2_IOMMU,
    "TYPE1_NESTING": vfio.VFIO_TYPE1_NESTING_IOMMU,
    "DMA_CC": vfio.VFIO_DMA_CC_IOMMU,
    "UNMAP_ALL": vfio.VFIO_UNMAP_ALL,
    "UPDATE_VADDR": vfio.VFIO_UPDATE_VADDR,
    "SPAPR_TCE": vfio.VFIO_SPAPR_TCE_IOMMU,
    "none of them": 0x7FFF,
}


def container_info(subject: Subject) -> Telling:
    """VFIO_IOMMU_GET_INFO: how argsz is answered, page sizes, capabilities; and extensions."""
    container = subject.access.mappings
    if not isinstance(container, Container):
        return
    struct = iommu.vfio_iommu_type1_info
    for argsz in (0, 8, struct.end_of("iova_pgsizes"), struct.sizeof(), 64, 1024):
        call = container.try_get_iommu_info(argsz)
        yield f"GET_INFO with argsz {argsz}", call.answer()
        if call.ok:
            info = call.unpack(struct)
            yield f"flags for argsz {argsz}", f"{info.flags:#x}"
            yield f"page sizes for argsz {argsz}", f"{info.iova_pgsizes:#x}"
            room = "all has room" if info.argsz <= argsz else "more is asked for"
            yield f"argsz {argsz} afterwards", room
            yield f"argsz {argsz} is rewritten", "yes" if info.argsz != argsz else "no"
    whole = container.get_iommu_info()
    for name, number in (
        ("IOVA_RANGE", iommu.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE),
        ("MIGRATION", iommu.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION),
        ("DMA_AVAIL", iommu.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL),
    ):
        yield f"capability {name}", _version(whole, number)
    yield "mappings available", f"{container.available():#x}"
    for name, extension in _EXTENSIONS.items():
        yield f"CHECK_EXTENSION of {name}", container.try_check_extension(extension).answer()
    yield "API version", container.try_get_api_version().answer()


def _version(info: Info, number: int) -> str:
    raw = info.capability(number)
    return "absent" if raw is None else str(vfio.vfio_info_cap_header.unpack(raw).version)


def container_calls(subject: Subject) -> Telling:
    """What else a container can be told: flags of MAP and UNMAP, dirty pages, SET_IOMMU again."""
    container, page = subject.access.mappings, subject.page
    if not isinstance(container, Container):
        return
    with Memory(container.port, FEW * page) as memory:
        for name, flag in (("VADDR", iommu.VFIO_DMA_MAP_FLAG_VADDR), ("an unknown flag", 1 << 31)):
            call = container.try_map(memory, BASE, page, READ | WRITE | flag)
            yield f"map with {name}", call.answer()
        for argsz in (0, iommu.DMA_MAP_MIN - 1, iommu.DMA_MAP_MIN + 8):
            call = container.try_map(memory, BASE, page, argsz=argsz)
            yield f"map with argsz {argsz}", call.answer()
        for argsz in (0, iommu.DMA_UNMAP_MIN - 1, iommu.DMA_UNMAP_MIN + 8):
            call = container.try_unmap(BASE, page, argsz=argsz)
            yield f"unmap with argsz {argsz}", call.answer()
        for name, flag in (
            ("VADDR", iommu.VFIO_DMA_UNMAP_FLAG_VADDR),
            ("an unknown flag", 1 << 31),
        ):
            container.try_map(memory, BASE, page)
            yield f"unmap with {name}", container.try_unmap(BASE, page, flag).answer()
            container.try_unmap(BASE, page)
        container.try_map(memory, BASE, 2 * page)
        container.try_map(memory, BASE + 4 * page, page)
        everything = iommu.VFIO_DMA_UNMAP_FLAG_ALL
        yield "unmap ALL with a size", container.try_unmap(0, page, everything).answer()
        yield "unmap ALL", pages(container.try_unmap(0, 0, everything), page)
    start = iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_START
    yield "DIRTY_PAGES, START", container.try_dirty_pages(start).answer()
    stop = iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
    yield "DIRTY_PAGES, STOP", container.try_dirty_pages(stop).answer()
    yield "SET_IOMMU to another model", container.try_set_iommu(vfio.VFIO_SPAPR_TCE_IOMMU).answer()
    for number in (5, 19, 22, 25):
        call = container.try_ioctl(vfio.VFIO_TYPE << 8 | vfio.VFIO_BASE + number)
        yield f"ioctl VFIO_BASE + {number}", call.answer()
    yield "SET_IOMMU to type1 v2", container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU).answer()
