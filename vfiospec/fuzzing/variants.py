# SPDX-License-Identifier: MIT
"""What the header does not say of an ioctl: what follows its structure, what goes together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vfiospec.abi import vfio, vfio_feature, vfio_iommu
from vfiospec.abi.base import s32, u8, u32, u64
from vfiospec.fuzzing.description import SLOW
from vfiospec.fuzzing.fields import Choice, files, numbers


@dataclass(frozen=True)
class Variant:
    """An ioctl with something behind its structure, or with values that go together."""

    suffix: str = ""
    tail: tuple[type[Any], ...] = ()
    hints: Mapping[str, Sequence[Choice]] = field(default_factory=dict)
    returns: str = ""
    undo: tuple[str, ...] = ()
    bits: str = ""  # prefix of the constants that flags may hold
    weight: float = 4


def _feature(number: int, *tail: type[Any], get: bool, **more: Any) -> Variant:  # noqa: ANN401
    base = vfio_feature
    name = next(
        k
        for k, v in vars(base).items()
        if v == number and k.startswith("VFIO_DEVICE_FEATURE_") and k not in _FEATURE_BITS
    )
    do = base.VFIO_DEVICE_FEATURE_GET if get else base.VFIO_DEVICE_FEATURE_SET
    other = base.VFIO_DEVICE_FEATURE_SET if get else base.VFIO_DEVICE_FEATURE_GET
    probe = base.VFIO_DEVICE_FEATURE_PROBE
    flags = numbers(number | do, number | probe, number | probe | do, number | other,
                    number | do | other, number | probe | do | other, number)  # fmt: skip
    suffix = name.removeprefix("VFIO_DEVICE_FEATURE_").lower()
    hints = {"flags": flags, **more.pop("hints", {})}
    return Variant(suffix, tail, hints, **more)


_FEATURE_BITS = {
    "VFIO_DEVICE_FEATURE_MASK", "VFIO_DEVICE_FEATURE_GET", "VFIO_DEVICE_FEATURE_SET",
    "VFIO_DEVICE_FEATURE_PROBE", "VFIO_DEVICE_FEATURE_CLEAR_MASTER",
    "VFIO_DEVICE_FEATURE_SET_MASTER",
}  # fmt: skip
_TOKEN = u32 * 4
_RANGES = u64 * 4


def _irqs(suffix: str, data: int, *tail: type[Any]) -> Variant:
    actions = (vfio.VFIO_IRQ_SET_ACTION_TRIGGER, vfio.VFIO_IRQ_SET_ACTION_MASK,
               vfio.VFIO_IRQ_SET_ACTION_UNMASK)  # fmt: skip
    return Variant(
        suffix, tail, {"flags": numbers(*(data | a for a in actions)), "count": numbers(1, 0)},
        undo=("irqs",), bits="VFIO_IRQ_SET_", weight=10,
    )  # fmt: skip


_f = vfio_feature
# By the name of the ioctl. What is not named has one variant: its structure and nothing more.
VARIANTS: Final[Mapping[str, tuple[Variant, ...]]] = {
    "VFIO_DEVICE_SET_IRQS": (
        _irqs("none", vfio.VFIO_IRQ_SET_DATA_NONE),
        _irqs("bool", vfio.VFIO_IRQ_SET_DATA_BOOL, u8 * 8),
        _irqs("eventfd", vfio.VFIO_IRQ_SET_DATA_EVENTFD, s32 * 8),
    ),
    "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO": (Variant(tail=(u32 * 16,)),),
    "VFIO_DEVICE_PCI_HOT_RESET": (
        Variant(tail=(s32 * 4,), hints={"fd": files("group"), "flags": numbers(0)}, weight=SLOW),
    ),
        "VFIO_DEVICE_IOEVENTFD": (
        Variant(
            hints={
                "offset": numbers(0x0, 0x60, 0x64, 0x20, 1 << 40, 2 << 40, 4 << 40, 7 << 40,
                                  (7 << 40) | 4, 8 << 40, (8 << 40) | 0x3B0, 9 << 40),
                "flags": numbers(4, 1, 2, 8, 0),
                "data": numbers(0, 1, 0xFF, 0xFFFFFFFF),
            },
            undo=("ioeventfds",), bits="VFIO_DEVICE_IOEVENTFD_", weight=6,
        ),
    ),
    "VFIO_DEVICE_FEATURE": (
        _feature(_f.VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, _TOKEN, get=False, undo=("token",)),
        _feature(_f.VFIO_DEVICE_FEATURE_MIGRATION, _f.vfio_device_feature_migration, get=True),
        _feature(_f.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, _f.vfio_device_feature_mig_state,
                 get=False, hints={"device_state": numbers(*range(9))}, undo=("migration",)),
        _feature(_f.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, get=False, undo=("power",), weight=0.5),
        _feature(_f.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
                 _f.vfio_device_low_power_entry_with_wakeup, get=False, undo=("power",),
                 weight=0.5),
        _feature(_f.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, get=False, weight=2),
        _feature(_f.VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
                 _f.vfio_device_feature_dma_logging_control, get=False),
        _feature(_f.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, get=False),
        _feature(_f.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
                 _f.vfio_device_feature_dma_logging_report, get=True),
        _feature(_f.VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, _f.vfio_device_feature_mig_data_size,
                 get=True),
        _feature(_f.VFIO_DEVICE_FEATURE_BUS_MASTER, _f.vfio_device_feature_bus_master, get=False),
        _feature(_f.VFIO_DEVICE_FEATURE_DMA_BUF, _f.vfio_device_feature_dma_buf, _RANGES,
                 get=True, returns="file",
                 hints={"nr_ranges": numbers(1, 2, 0), "open_flags": numbers(2, 0x80002, 0, 1)}),
        _feature(_f.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, get=False),
        _feature(_f.VFIO_DEVICE_FEATURE_ZPCI_ERROR, _f.vfio_device_feature_zpci_err, get=True),
    ),
    "VFIO_DEVICE_QUERY_GFX_PLANE": (Variant(bits="VFIO_GFX_PLANE_TYPE_"),),
    "VFIO_DEVICE_BIND_IOMMUFD": (
        Variant(hints={"flags": numbers(0), "iommufd": files("iommufd")}, weight=10),
    ),
    "VFIO_DEVICE_ATTACH_IOMMUFD_PT": (
        Variant(hints={"flags": numbers(0), "pt_id": numbers(2, 1, 3)}, weight=8),
    ),
    "VFIO_DEVICE_DETACH_IOMMUFD_PT": (Variant(hints={"flags": numbers(0)}),),
    "VFIO_IOMMU_MAP_DMA": (
        Variant(hints={"flags": numbers(3, 1, 2)}, undo=("mappings",), bits="VFIO_DMA_MAP_FLAG_",
                 weight=12),
    ),
    "VFIO_IOMMU_UNMAP_DMA": (
        Variant(hints={"flags": numbers(0)}, bits="VFIO_DMA_UNMAP_FLAG_", weight=6),
        Variant("all", hints={"flags": numbers(2, 4, 6), "iova": numbers(0), "size": numbers(0)},
                 bits="VFIO_DMA_UNMAP_FLAG_", undo=("mappings",)),
        Variant("bitmap", (vfio_iommu.vfio_bitmap,), {"flags": numbers(1)},
                 bits="VFIO_DMA_UNMAP_FLAG_"),
    ),
    "VFIO_IOMMU_DIRTY_PAGES": (
        Variant("switch", hints={"flags": numbers(1, 2)}, undo=("dirty",)),
        Variant("get", (vfio_iommu.vfio_iommu_type1_dirty_bitmap_get,), {"flags": numbers(4)}),
    ),
    "IOMMU_IOAS_ALLOC": (Variant(hints={"flags": numbers(0)}, weight=8, undo=("ioas",)),),
    "IOMMU_IOAS_MAP": (
        Variant(hints={"flags": numbers(7, 3, 5, 6), "ioas_id": numbers(1, 2)}, weight=8,
                 bits="IOMMU_IOAS_MAP_", undo=("ioas",)),
    ),
    "IOMMU_IOAS_UNMAP": (Variant(hints={"ioas_id": numbers(1, 2)}),),
    "IOMMU_IOAS_COPY": (
        Variant(hints={"flags": numbers(7, 3, 5), "dst_ioas_id": numbers(1, 2),
                        "src_ioas_id": numbers(1, 2)}, bits="IOMMU_IOAS_MAP_", undo=("ioas",)),
    ),
    "IOMMU_IOAS_MAP_FILE": (
        Variant(hints={"flags": numbers(7), "ioas_id": numbers(1, 2), "fd": files("file")},
                 undo=("ioas",)),
    ),
    "IOMMU_IOAS_IOVA_RANGES": (Variant(hints={"ioas_id": numbers(1, 2)}),),
    "IOMMU_IOAS_ALLOW_IOVAS": (Variant(hints={"ioas_id": numbers(1, 2)}),),
    "IOMMU_DESTROY": (Variant(hints={"id": numbers(1, 2, 3, 4, 5)}),),
    "IOMMU_HWPT_ALLOC": (
        Variant(hints={"flags": numbers(0, 1, 2), "dev_id": numbers(2, 1, 3),
                        "pt_id": numbers(1, 2)}, bits="IOMMU_HWPT_ALLOC_", undo=("ioas",)),
    ),
    "IOMMU_GET_HW_INFO": (Variant(hints={"dev_id": numbers(2, 1, 3)}),),
    "IOMMU_VFIO_IOAS": (Variant(hints={"op": numbers(0, 1, 2), "ioas_id": numbers(1, 2)}),),
}  # fmt: skip
