# SPDX-License-Identifier: MIT
"""Every operation a program may hold, described once from the header's structures.

An ioctl comes from vfiospec.abi.ioctl with its fields; here stands only what the header does not
say: what follows a structure, which values are good together, what an ioctl returns.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any, Final

from vfiospec.abi import iommufd, iommufd_hwpt, iommufd_viommu, vfio, vfio_feature, vfio_iommu
from vfiospec.abi.base import AbiStruct, s32, u8, u32, u64
from vfiospec.abi.ioctl import IOCTLS
from vfiospec.fuzzing.fields import Choice, Field, Source, choices_of, files, leaves, numbers

_MODULES: tuple[ModuleType, ...] = (
    vfio, vfio_feature, vfio_iommu, iommufd, iommufd_hwpt, iommufd_viommu,
)  # fmt: skip


@dataclass(frozen=True)
class Description:
    """An operation. `kind` is that of the file it is made on; `returns` that of the one it opens.

    An ioctl's argument is a buffer of `size` bytes with `fields` in it, or (size 0) a number.
    `undo` names what a program that made it on the world's own files has to put back. Operations
    that are no ioctls have a `shape`, which vfiospec.fuzzing.materialise knows.
    """

    name: str
    kind: str
    fields: tuple[Field, ...]
    request: int = 0
    size: int = 0
    returns: str = ""
    undo: tuple[str, ...] = ()
    shape: str = "ioctl"
    weight: int = 4
    template: bytes = b""

    @property
    def code(self) -> int:
        """The number that stands for it in a corpus."""
        return zlib.crc32(self.name.encode())


# Behind an ioctl's own fields: where the buffer lies, and how much room is behind its structure.
PLACES: Final = 5  # inline; at the end of a page; NULL; nowhere; memory that ends too early
ROOMS: Final = (0, 8, 64, 256, 4096)
_PLACE = Field("place", -1, 0, numbers(*range(PLACES)))
_ROOM = Field("room", -1, 0, numbers(*ROOMS))


@dataclass(frozen=True)
class _Variant:
    """An ioctl with something behind its structure, or with values that go together."""

    suffix: str = ""
    tail: tuple[type[Any], ...] = ()
    hints: Mapping[str, Sequence[Choice]] = field(default_factory=dict)
    returns: str = ""
    undo: tuple[str, ...] = ()
    bits: str = ""  # prefix of the constants that flags may hold
    weight: int = 4


def _constants(prefix: str) -> list[int]:
    if not prefix:
        return []
    found = (vars(m).items() for m in _MODULES)
    return [v for items in found for k, v in items if k.startswith(prefix) and isinstance(v, int)]


def _feature(number: int, *tail: type[Any], get: bool, **more: Any) -> _Variant:  # noqa: ANN401
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
    return _Variant(suffix, tail, hints, **more)


_FEATURE_BITS = {
    "VFIO_DEVICE_FEATURE_MASK", "VFIO_DEVICE_FEATURE_GET", "VFIO_DEVICE_FEATURE_SET",
    "VFIO_DEVICE_FEATURE_PROBE", "VFIO_DEVICE_FEATURE_CLEAR_MASTER",
    "VFIO_DEVICE_FEATURE_SET_MASTER",
}  # fmt: skip
_TOKEN = u32 * 4
_RANGES = u64 * 4


def _irqs(suffix: str, data: int, *tail: type[Any]) -> _Variant:
    actions = (vfio.VFIO_IRQ_SET_ACTION_TRIGGER, vfio.VFIO_IRQ_SET_ACTION_MASK,
               vfio.VFIO_IRQ_SET_ACTION_UNMASK)  # fmt: skip
    return _Variant(
        suffix, tail, {"flags": numbers(*(data | a for a in actions)), "count": numbers(1, 0)},
        undo=("irqs",), bits="VFIO_IRQ_SET_", weight=10,
    )  # fmt: skip


_INFO = _Variant(weight=4)
_f = vfio_feature
# By the name of the ioctl. What is not named has one variant: its structure and nothing more.
_VARIANTS: Mapping[str, tuple[_Variant, ...]] = {
    "VFIO_DEVICE_SET_IRQS": (
        _irqs("none", vfio.VFIO_IRQ_SET_DATA_NONE),
        _irqs("bool", vfio.VFIO_IRQ_SET_DATA_BOOL, u8 * 8),
        _irqs("eventfd", vfio.VFIO_IRQ_SET_DATA_EVENTFD, s32 * 8),
    ),
    "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO": (_Variant(tail=(u32 * 16,)),),
    "VFIO_DEVICE_PCI_HOT_RESET": (
        _Variant(tail=(s32 * 4,), hints={"fd": files("group"), "flags": numbers(0)}, weight=1),
    ),
    "VFIO_DEVICE_RESET": (_Variant(weight=1),),
    "VFIO_DEVICE_IOEVENTFD": (
        _Variant(
            hints={
                "offset": numbers(0x0, 0x60, 0x98, 0x20, 1 << 40, 2 << 40, 4 << 40, 7 << 40,
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
                 get=False, hints={"device_state": numbers(*range(9))}),
        _feature(_f.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, get=False, undo=("power",), weight=2),
        _feature(_f.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
                 _f.vfio_device_low_power_entry_with_wakeup, get=False, undo=("power",), weight=2),
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
    "VFIO_DEVICE_QUERY_GFX_PLANE": (_Variant(bits="VFIO_GFX_PLANE_TYPE_"),),
    "VFIO_DEVICE_BIND_IOMMUFD": (
        _Variant(hints={"flags": numbers(0), "iommufd": files("iommufd")}, weight=10),
    ),
    "VFIO_DEVICE_ATTACH_IOMMUFD_PT": (
        _Variant(hints={"flags": numbers(0), "pt_id": numbers(1, 2, 3)}, weight=8),
    ),
    "VFIO_DEVICE_DETACH_IOMMUFD_PT": (_Variant(hints={"flags": numbers(0)}),),
    "VFIO_IOMMU_MAP_DMA": (
        _Variant(hints={"flags": numbers(3, 1, 2)}, undo=("mappings",), bits="VFIO_DMA_MAP_FLAG_",
                 weight=12),
    ),
    "VFIO_IOMMU_UNMAP_DMA": (
        _Variant(hints={"flags": numbers(0)}, bits="VFIO_DMA_UNMAP_FLAG_", weight=6),
        _Variant("all", hints={"flags": numbers(2, 4, 6), "iova": numbers(0), "size": numbers(0)},
                 bits="VFIO_DMA_UNMAP_FLAG_", undo=("mappings",)),
        _Variant("bitmap", (vfio_iommu.vfio_bitmap,), {"flags": numbers(1)},
                 bits="VFIO_DMA_UNMAP_FLAG_"),
    ),
    "VFIO_IOMMU_DIRTY_PAGES": (
        _Variant("switch", hints={"flags": numbers(1, 2)}, undo=("dirty",)),
        _Variant("get", (vfio_iommu.vfio_iommu_type1_dirty_bitmap_get,), {"flags": numbers(4)}),
    ),
    "IOMMU_IOAS_ALLOC": (_Variant(hints={"flags": numbers(0)}, weight=8, undo=("ioas",)),),
    "IOMMU_IOAS_MAP": (
        _Variant(hints={"flags": numbers(7, 3, 5, 6), "ioas_id": numbers(1, 2)}, weight=8,
                 bits="IOMMU_IOAS_MAP_", undo=("ioas",)),
    ),
    "IOMMU_IOAS_UNMAP": (_Variant(hints={"ioas_id": numbers(1, 2)}),),
    "IOMMU_IOAS_COPY": (
        _Variant(hints={"flags": numbers(7, 3, 5), "dst_ioas_id": numbers(1, 2),
                        "src_ioas_id": numbers(1, 2)}, bits="IOMMU_IOAS_MAP_", undo=("ioas",)),
    ),
    "IOMMU_IOAS_MAP_FILE": (
        _Variant(hints={"flags": numbers(7), "ioas_id": numbers(1, 2), "fd": files("file")},
                 undo=("ioas",)),
    ),
    "IOMMU_IOAS_IOVA_RANGES": (_Variant(hints={"ioas_id": numbers(1, 2)}),),
    "IOMMU_IOAS_ALLOW_IOVAS": (_Variant(hints={"ioas_id": numbers(1, 2)}),),
    "IOMMU_DESTROY": (_Variant(hints={"id": numbers(1, 2, 3, 4, 5)}),),
    "IOMMU_HWPT_ALLOC": (
        _Variant(hints={"flags": numbers(0, 1, 2), "dev_id": numbers(2, 1, 3),
                        "pt_id": numbers(1, 2)}, bits="IOMMU_HWPT_ALLOC_", undo=("ioas",)),
    ),
    "IOMMU_GET_HW_INFO": (_Variant(hints={"dev_id": numbers(2, 1, 3)}),),
    "IOMMU_VFIO_IOAS": (_Variant(hints={"op": numbers(0, 1, 2), "ioas_id": numbers(1, 2)}),),
}  # fmt: skip

_SPAPR = ("VFIO_IOMMU_SPAPR_", "VFIO_EEH_", "VFIO_IOMMU_ENABLE", "VFIO_IOMMU_DISABLE")

# Ioctls whose argument is no structure: how it is handed over, what it may be, what comes back.
_NUMBERS: Mapping[str, Sequence[Choice]] = {
    "VFIO_GET_API_VERSION": numbers(0, 1),
    "VFIO_CHECK_EXTENSION": numbers(*range(13), 255, 1 << 31, (1 << 64) - 1),
    "VFIO_SET_IOMMU": numbers(3, 1, 8, 0, 2, 4, 6, 7, 9, 255, (1 << 64) - 1),
    "VFIO_GROUP_UNSET_CONTAINER": numbers(0, 1),
    "VFIO_DEVICE_RESET": numbers(0, 1),
    "VFIO_IOMMU_ENABLE": numbers(0),
    "VFIO_IOMMU_DISABLE": numbers(0),
}
_WEIGHTS = {"VFIO_GROUP_GET_DEVICE_FD": 8, "VFIO_GROUP_SET_CONTAINER": 8, "VFIO_SET_IOMMU": 6}


def _ioctls() -> Iterator[Description]:
    for (kind, request), (name, struct) in IOCTLS.items():
        if kind == "iommufd" and ("container", request) in IOCTLS:
            continue  # the container's operation, made on an iommufd, is this one
        weight = 1 if name.startswith(_SPAPR) else _WEIGHTS.get(name, 4)
        if struct is not None:
            for variant in _VARIANTS.get(name, (_Variant(weight=weight),)):
                yield _with_buffer(name, kind, request, struct, variant)
        elif name == "VFIO_GROUP_SET_CONTAINER":
            argument = Field("container", 0, 4, files("container"))
            yield _made(name, kind, (argument,), request=request, size=4, weight=weight)
        elif name == "VFIO_GROUP_GET_DEVICE_FD":
            which = Field("device", 0, 0, numbers(*range(12)))
            yield _made(name, kind, (which,), request=request, size=16, returns="device",
                        weight=weight, shape="name")  # fmt: skip
        elif name == "VFIO_DEVICE_GET_GFX_DMABUF":
            argument = Field("dmabuf_id", 0, 4, numbers(0, 1, 2, 0xFFFFFFFF))
            yield _made(name, kind, (argument,), request=request, size=4, returns="file")
        else:
            value = Field("value", 0, 8, tuple(_NUMBERS.get(name, numbers(0, 1))))
            rare = name == "VFIO_DEVICE_RESET" or name.startswith(_SPAPR)
            yield Description(name, kind, (value,), request, weight=1 if rare else weight)


def _with_buffer(
    name: str, kind: str, request: int, struct: type[AbiStruct], variant: _Variant
) -> Description:
    bits = _constants(variant.bits)
    fields: list[Field] = []
    hints = {**variant.hints}
    size = 0
    for part in (struct, *variant.tail):
        for field_name, at, ctype in _leaves(part):
            named = field_name or ("fd" if ctype is s32 else "element")
            hint = tuple(hints.get(named, ()))
            if named == "flags":
                hints.pop(named, None)  # what follows has flags of its own
            got = choices_of(named, ctype, first=size + at == 0, hint=hint, bits=bits)
            fields.append(Field(named, size + at, _sizeof(ctype), got))
        size += _sizeof(part)
    full = f"{name}/{variant.suffix}" if variant.suffix else name
    return _made(
        full, kind, tuple(fields), request=request, size=size, returns=variant.returns,
        undo=variant.undo, weight=variant.weight,
    )  # fmt: skip


def _made(name: str, kind: str, fields: tuple[Field, ...], **more: Any) -> Description:  # noqa: ANN401
    size = int(more["size"])
    template = bytearray(size)
    for f in fields:
        source, number, _ = f.choices[0]
        if source == Source.NUMBER:
            wrapped = number & ((1 << (8 * f.width)) - 1)
            template[f.offset : f.offset + f.width] = wrapped.to_bytes(f.width, "little")
    return Description(name, kind, (*fields, _PLACE, _ROOM), template=bytes(template), **more)


def _leaves(part: type[Any]) -> Iterator[tuple[str, int, type[Any]]]:
    if issubclass(part, AbiStruct):
        yield from leaves(part)
    else:  # an array: elements without a name
        step = _sizeof(part._type_)
        for n in range(part._length_):
            yield "", n * step, part._type_


def _sizeof(ctype: type[Any]) -> int:
    import ctypes  # noqa: PLC0415

    return ctypes.sizeof(ctype)


@cache
def descriptions() -> Mapping[str, Description]:
    """All operations, by name."""
    from vfiospec.fuzzing.calls import CALLS  # noqa: PLC0415 -- it is made of Descriptions

    found = [*_ioctls(), *CALLS]
    return {d.name: d for d in sorted(found, key=lambda d: d.name)}


@cache
def by_code() -> Mapping[int, Description]:
    """All operations, by the number that stands for each in a corpus."""
    found: dict[int, Description] = {}
    for d in descriptions().values():
        if d.code in found:
            raise ValueError(f"{d.name} and {found[d.code].name} have one code: rename one")
        found[d.code] = d
    return found


def chosen(test: Callable[[Description], bool]) -> tuple[str, ...]:
    """The names of the operations a test accepts."""
    return tuple(d.name for d in descriptions().values() if test(d))
