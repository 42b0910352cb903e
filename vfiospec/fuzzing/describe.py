# SPDX-License-Identifier: MIT
"""Every operation a program may hold, described once from the header's structures.

An ioctl comes from vfiospec.abi.ioctl with its fields; what the header does not say of it is in
vfiospec.fuzzing.variants. What is no ioctl is in vfiospec.fuzzing.calls.
"""

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any, Final

from vfiospec.abi import iommufd, iommufd_hwpt, iommufd_viommu, vfio, vfio_feature, vfio_iommu
from vfiospec.abi.base import AbiStruct, s32
from vfiospec.abi.ioctl import IOCTLS
from vfiospec.fuzzing.calls import CALLS
from vfiospec.fuzzing.description import PLACE, ROOM, SLOW, Description
from vfiospec.fuzzing.fields import Choice, Field, Source, choices_of, files, leaves, numbers
from vfiospec.fuzzing.variants import VARIANTS, Variant

_MODULES: Final[tuple[ModuleType, ...]] = (
    vfio, vfio_feature, vfio_iommu, iommufd, iommufd_hwpt, iommufd_viommu,
)  # fmt: skip
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


def _constants(prefix: str) -> list[int]:
    if not prefix:
        return []
    found = (vars(m).items() for m in _MODULES)
    return [v for items in found for k, v in items if k.startswith(prefix) and isinstance(v, int)]


def _ioctls() -> Iterator[Description]:
    for (kind, request), (name, struct) in IOCTLS.items():
        if kind == "iommufd" and ("container", request) in IOCTLS:
            continue  # the container's operation, made on an iommufd, is this one
        weight = 1 if name.startswith(_SPAPR) else _WEIGHTS.get(name, 4)
        if struct is not None:
            for variant in VARIANTS.get(name, (Variant(weight=weight),)):
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
            yield Description(name, kind, (value,), request, weight=SLOW if rare else weight)


def _with_buffer(
    name: str, kind: str, request: int, struct: type[AbiStruct], variant: Variant
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
    return Description(name, kind, (*fields, PLACE, ROOM), template=bytes(template), **more)


def _leaves(part: type[Any]) -> Iterator[tuple[str, int, type[Any]]]:
    if issubclass(part, AbiStruct):
        yield from leaves(part)
    else:  # an array: elements without a name
        step = _sizeof(part._type_)
        for n in range(part._length_):
            yield "", n * step, part._type_


def _sizeof(ctype: type[Any]) -> int:
    return ctypes.sizeof(ctype)


@cache
def descriptions() -> Mapping[str, Description]:
    """All operations, by name."""
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
