# SPDX-License-Identifier: MIT
"""Steps that belong together: what leads from nothing to an open device, or to an interrupt.

A new program begins with one of them now and then, and they are put into others whole: chance alone
takes long to find four steps in the one order in which they do something.
"""

from typing import Final

from vfiospec.fuzzing.fields import PAGE
from vfiospec.fuzzing.model import RAW, Operation, Program

_FIRST, _SECOND = RAW + 0x100000, RAW + 0x101000  # addresses side by side
_WORD_OF_PAGES = RAW + 64 * PAGE  # as many as one word of a dirty bitmap stands for
_BOTH = RAW + 65 * PAGE
_NO_FILE = RAW + 0xFFFF_FFFF  # what takes an eventfd away
_BOTH_ON_BOTH = RAW + 2  # a race of the last two calls with themselves


def _steps(*names: str) -> Program:
    return tuple(Operation(name) for name in names)


IDIOMS: Final[tuple[Program, ...]] = (
    _steps("open group", "VFIO_GROUP_SET_CONTAINER"),
    _steps("open container", "open group", "VFIO_GROUP_SET_CONTAINER", "VFIO_SET_IOMMU"),
    _steps(
        "open group", "VFIO_GROUP_SET_CONTAINER", "VFIO_GROUP_GET_DEVICE_FD", "close",
        "VFIO_GROUP_GET_DEVICE_FD", "pread",
    ),
    _steps("eventfd", "VFIO_DEVICE_SET_IRQS/eventfd", "VFIO_DEVICE_SET_IRQS/none", "pause"),
    (
        *_steps("eventfd", "VFIO_DEVICE_SET_IRQS/eventfd"),
        Operation("VFIO_DEVICE_SET_IRQS/eventfd", 0, (0, 0, 0, 0, 0, _NO_FILE)),
        *_steps("close", "pause", "VFIO_DEVICE_SET_IRQS/none"),
    ),
    (
        *_steps("eventfd", "VFIO_DEVICE_IOEVENTFD"),
        Operation("VFIO_DEVICE_IOEVENTFD", 0, (0, 0, 0, 0, _NO_FILE)),
        Operation("race", 0, (0, _BOTH_ON_BOTH)),
    ),
    _steps("open group", "unbind", "VFIO_GROUP_GET_STATUS", "bind"),
    _steps(
        "open container", "open group", "VFIO_GROUP_SET_CONTAINER", "VFIO_SET_IOMMU",
        "VFIO_GROUP_GET_DEVICE_FD",
    ),
    _steps("open group", "VFIO_GROUP_SET_CONTAINER", "VFIO_GROUP_GET_DEVICE_FD"),
    _steps("VFIO_IOMMU_MAP_DMA", "VFIO_IOMMU_UNMAP_DMA"),
    _steps("VFIO_IOMMU_DIRTY_PAGES/switch", "VFIO_IOMMU_MAP_DMA", "VFIO_IOMMU_DIRTY_PAGES/get"),
    (
        Operation("VFIO_IOMMU_MAP_DMA", 0, (0, 0, 0, _FIRST)),
        Operation("VFIO_IOMMU_MAP_DMA", 0, (0, 0, 0, _SECOND, _WORD_OF_PAGES)),
        Operation("VFIO_IOMMU_DIRTY_PAGES/switch"),
        Operation("VFIO_IOMMU_DIRTY_PAGES/get", 0, (0, 0, _FIRST, _BOTH)),
    ),
    _steps("VFIO_IOMMU_MAP_DMA", "edu dma"),
    _steps("eventfd", "VFIO_DEVICE_SET_IRQS/eventfd", "write register"),
    _steps("eventfd", "VFIO_DEVICE_SET_IRQS/eventfd", "VFIO_DEVICE_SET_IRQS/none"),
    _steps("eventfd", "VFIO_DEVICE_IOEVENTFD", "write"),
    _steps("mmap", "load"),
    _steps("mmap", "write config", "store"),
    _steps("open cdev", "open iommufd", "VFIO_DEVICE_BIND_IOMMUFD"),
    _steps(
        "open cdev", "open iommufd", "VFIO_DEVICE_BIND_IOMMUFD", "IOMMU_IOAS_ALLOC",
        "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
    ),
    _steps("IOMMU_IOAS_ALLOC", "IOMMU_IOAS_MAP", "IOMMU_IOAS_UNMAP"),
    _steps("IOMMU_IOAS_ALLOC", "IOMMU_IOAS_MAP", "IOMMU_IOAS_ALLOC", "IOMMU_IOAS_COPY"),
    _steps("open iommufd", "IOMMU_IOAS_ALLOC", "IOMMU_VFIO_IOAS", "open group"),
)  # fmt: skip
