# SPDX-License-Identifier: MIT
"""vfiospec.abi against the compiled kernel headers: every layout, every value, nothing left out.

The headers are the installed ones, or those of the include root in VFIOSPEC_HEADERS.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from vfiospec.abi import (
    iommufd,
    iommufd_hwpt,
    iommufd_viommu,
    pci,
    vfio,
    vfio_feature,
    vfio_iommu,
    vfio_zdev,
)
from vfiospec.abi.base import AbiStruct, s32, u8, u32, u64
from vfiospec.abi.ioctl import IOCTLS
from vfiospec.tests.dwarf import Field, Header, Struct, compiler, read_header
from vfiospec.tests.layout import differences

MODULES: dict[str, tuple[ModuleType, ...]] = {
    "linux/vfio.h": (vfio, vfio_feature, vfio_iommu),
    "linux/vfio_zdev.h": (vfio_zdev,),
    "linux/iommufd.h": (iommufd, iommufd_hwpt, iommufd_viommu),
    "linux/pci_regs.h": (pci,),
}
WHOLE = [name for name in MODULES if name != "linux/pci_regs.h"]  # of that one we take a part
NEWEST = "VFIO_DEVICE_FEATURE_ZPCI_ERROR"  # what the newest header that we follow, v7.3, added
RETIRED = {"VFIO_TYPE1_NESTING_IOMMU"}  # names that the newest header no longer has
COUNTS = {"VFIO_AP_NUM_IRQS"}  # the end of an enum, so older headers have a smaller one
OURS = re.compile(r"VFIO_TYPE|VFIO_BASE|_*(VFIO|IOMMU|IOMMUFD|PCI)_\w+")
SHARED_NUMBER = {"VFIO_IOMMU_SPAPR_TCE_GET_INFO", "VFIO_IOMMU_SPAPR_REGISTER_MEMORY"}

Load = Callable[[str], Header]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Compile a header once; skip where this machine has no compiler or not that header."""
    cc, read = compiler(), dict[str, Header]()
    root = Path(os.environ.get("VFIOSPEC_HEADERS", "/usr/include"))
    if cc is None:
        pytest.skip("no C compiler: apt install gcc")
    if not (root / "linux/vfio.h").exists():
        assert "VFIOSPEC_HEADERS" not in os.environ, f"{root}: not an include root, no linux/vfio.h"
        pytest.skip("no kernel headers: apt install linux-libc-dev, or set VFIOSPEC_HEADERS")

    def header(name: str) -> Header:
        if not (root / name).exists():
            pytest.skip(
                f"{root}/{name}: these headers have none; set VFIOSPEC_HEADERS to newer ones"
            )
        if name not in read:
            read[name] = read_header(cc, root, name, tmp_path_factory.mktemp("header"))
        return read[name]

    return header


def names(header: str) -> dict[str, object]:
    """Collect what our modules declare for a header: constants and functions by name."""
    found = {key: value for module in MODULES[header] for key, value in vars(module).items()}
    return {key: value for key, value in found.items() if OURS.fullmatch(key)}


def structs(header: str) -> dict[str, type[AbiStruct]]:
    """Collect the structures our modules declare for a header."""
    return {
        key: value
        for module in MODULES[header]
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, AbiStruct)
        if value.__module__ == module.__name__
    }


@pytest.mark.parametrize("name", WHOLE)
def test_structures_have_the_layout_of_the_header(load: Load, name: str) -> None:
    """Each field of each structure has the name, offset, size and sign that C gives it."""
    theirs, ours = load(name).structs, structs(name)
    common = ours.keys() & theirs.keys()
    found = {key: differences(ours[key], theirs[key]) for key in sorted(common)}
    assert common
    assert {key: lines for key, lines in found.items() if lines} == {}


@pytest.mark.parametrize("name", MODULES)
def test_constants_have_the_value_of_the_header(load: Load, name: str) -> None:
    """Each number and string that both sides have is the same; -1 and 0xffffffff are, as u32."""
    header, ours = load(name), names(name)
    older = NEWEST not in load("linux/vfio.h").constants
    wrong = {
        key: f"{ours[key]!r}, the header has {value:#x}"
        for key, (value, width) in header.constants.items()
        if key in ours and ours[key] != value
        if not (older and key in COUNTS)
    }
    wrong |= {
        key: f"{ours[key]!r}, the header has {value!r}"
        for key, value in header.strings.items()
        if key in ours and ours[key] != value
    }
    assert ours.keys() & header.constants.keys()
    assert wrong == {}


@pytest.mark.parametrize("name", WHOLE)
def test_everything_in_the_header_is_declared(load: Load, name: str) -> None:
    """No constant, ioctl, string, function-like macro or structure of the header is missing."""
    header, ours = load(name), names(name)
    # DWARF also has what the header includes: vfio_zdev.h includes vfio.h.
    if name == "linux/vfio_zdev.h":
        ours |= names("linux/vfio.h")
    known = set().union(*(structs(other) for other in MODULES))
    declared = header.constants.keys() | header.strings.keys() | header.functions
    assert sorted(declared - ours.keys()) == []
    assert sorted(header.structs.keys() - known) == []
    assert [macro for macro in sorted(header.functions) if not callable(ours[macro])] == []


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_declared_that_the_newest_header_lacks(load: Load, name: str) -> None:
    """No name of ours is made up: the newest header has each, but for the retired ones."""
    if NEWEST not in load("linux/vfio.h").constants:
        pytest.skip("these headers are older than v7.3; set VFIOSPEC_HEADERS to newer ones")
    header = load(name)
    theirs = header.constants.keys() | header.strings.keys() | header.functions
    assert sorted(names(name).keys() - theirs - RETIRED) == []
    assert sorted(structs(name).keys() - header.structs.keys()) == []


def test_every_ioctl_is_in_the_table() -> None:
    """Each VFIO and iommufd ioctl has an entry, but for the sPAPR ones whose number type1 has."""
    tabled = {name for name, _ in IOCTLS.values()}
    declared = {
        key
        for header in ("linux/vfio.h", "linux/iommufd.h")
        for key, value in names(header).items()
        if isinstance(value, int) and value >> 8 == vfio.VFIO_TYPE
    }
    assert declared - tabled == SHARED_NUMBER
    assert tabled <= declared


@pytest.mark.parametrize(
    ("minimum", "size"),
    [
        ("GROUP_STATUS_MIN", 8),
        ("DEVICE_INFO_MIN", 16),
        ("REGION_INFO_MIN", 32),
        ("IRQ_INFO_MIN", 16),
        ("IRQ_SET_MIN", 20),
        ("HOT_RESET_INFO_MIN", 12),
        ("HOT_RESET_MIN", 12),
        ("IOEVENTFD_MIN", 28),
        ("FEATURE_MIN", 8),
        ("BIND_MIN", 16),
        ("ATTACH_MIN", 12),
        ("DETACH_MIN", 8),
        ("PRECOPY_INFO_MIN", 24),
        ("TYPE1_INFO_MIN", 16),
        ("DMA_MAP_MIN", 32),
        ("DMA_UNMAP_MIN", 24),
        ("DIRTY_BITMAP_MIN", 8),
        ("EEH_MIN", 12),
    ],
)
def test_minimum_sizes(minimum: str, size: int) -> None:
    """The smallest argsz that kernels accept does not move when a structure grows."""
    found = [vars(m)[minimum] for m in MODULES["linux/vfio.h"] if minimum in vars(m)]
    assert found == [size]


class sample(AbiStruct):
    """Ours, in the tests of the comparison itself."""

    _fields_ = [("argsz", u32), ("fd", s32), ("size", u64), ("kind", u8), ("tag", u8)]


ARGSZ, FD, SIZE = Field("argsz", 0, 4), Field("fd", 4, 4, signed=True), Field("size", 8, 8)


@pytest.mark.parametrize(
    "fields",
    [
        (ARGSZ, FD, SIZE),
        (ARGSZ, FD),
        (ARGSZ, FD, SIZE, Field("reserved", 16, 2)),
        (ARGSZ, FD, SIZE, Field("kind", 16, 1), Field("tag", 17, 1), Field("data", 18, 0)),
    ],
    ids=["older", "much older", "reserved bytes", "flexible array"],
)
def test_the_comparison_accepts_growth(fields: tuple[Field, ...]) -> None:
    """A header that is older, or that only reserves what we name, is no difference."""
    size = {2: 8, 3: 16}.get(len(fields), 24)
    assert differences(sample, Struct("sample", size, fields)) == []


@pytest.mark.parametrize(
    ("size", "fields"),
    [
        (24, (ARGSZ, Field("fd", 4, 4), SIZE)),
        (24, (ARGSZ, FD, Field("size", 8, 4))),
        (24, (ARGSZ, FD, Field("length", 8, 8))),
        (24, (ARGSZ, SIZE)),
        (24, (ARGSZ, FD, SIZE, Field("reserved", 16, 4))),
        (24, (ARGSZ, FD, SIZE, Field("data", 16, 0))),
        (32, (ARGSZ, FD, SIZE)),
        (24, (ARGSZ, FD, SIZE, Field("kind", 16, 1, struct="other"))),
    ],
    ids=["sign", "size", "name", "gap", "uncovered", "array", "shorter", "struct"],
)
def test_the_comparison_finds_a_difference(size: int, fields: tuple[Field, ...]) -> None:
    """One wrong thing in a structure is reported."""
    assert differences(sample, Struct("sample", size, fields)) != []
