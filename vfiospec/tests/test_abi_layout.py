# SPDX-License-Identifier: MIT
"""vfiospec.abi against the compiled kernel headers: every layout, every value, nothing left out.

The headers are the installed ones, and those of each Debian suite we judge kernels of.
"""

import re
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
from vfiospec.abi.base import AbiStruct
from vfiospec.abi.ioctl import IOCTLS
from vfiospec.layout.declared import declared_structs, differences
from vfiospec.layout.model import Layout
from vfiospec.tests.header_sets import (
    HEADERS,
    IOMMUFD,
    LACKING,
    NEWEST,
    PCI,
    SUITES,
    VFIO,
    ZDEV,
    HeaderSets,
    include_root,
    older,
    pairs,
)

MODULES: dict[str, tuple[ModuleType, ...]] = {
    VFIO: (vfio, vfio_feature, vfio_iommu),
    ZDEV: (vfio_zdev,),
    IOMMUFD: (iommufd, iommufd_hwpt, iommufd_viommu),
    PCI: (pci,),
}
WHOLE = (VFIO, ZDEV, IOMMUFD)  # of pci_regs.h we take a part
RETIRED = {"VFIO_TYPE1_NESTING_IOMMU"}  # names that the newest header no longer has
OURS = re.compile(r"VFIO_TYPE|VFIO_BASE|_*(VFIO|IOMMU|IOMMUFD|PCI)_\w+")
SHARED_NUMBER = {"VFIO_IOMMU_SPAPR_TCE_GET_INFO", "VFIO_IOMMU_SPAPR_REGISTER_MEMORY"}


@pytest.fixture(scope="module")
def sets() -> HeaderSets:
    """Every set of headers, each compiled when it is first asked for."""
    return HeaderSets()


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


def everything(header: Layout) -> set[str]:
    """Names of all that a header defines, but for structures."""
    return header.numbers().keys() | header.strings.keys() | header.functions.keys()


@pytest.mark.parametrize(("headers", "name"), pairs(*WHOLE))
def test_structures_have_the_layout_of_the_header(
    sets: HeaderSets, headers: str, name: str
) -> None:
    """Each field of each structure has the name, offset, size and sign that C gives it."""
    theirs, ours = sets.load(headers, name).structs, structs(name)
    common = ours.keys() & theirs.keys()
    found = {key: differences(ours[key], theirs[key]) for key in sorted(common)}
    assert common
    assert {key: lines for key, lines in found.items() if lines} == {}


@pytest.mark.parametrize(("headers", "name"), pairs(*HEADERS))
def test_constants_have_the_value_of_the_header(sets: HeaderSets, headers: str, name: str) -> None:
    """Each number and string is the same, but for those known to have been another."""
    header, ours = sets.load(headers, name), names(name)
    texts = {key: text.value for key, text in header.strings.items()}
    theirs: dict[str, object] = {**header.numbers(), **texts}
    found = {key: value for key, value in theirs.items() if key in ours and ours[key] != value}
    assert ours.keys() & header.numbers().keys()
    assert found == (older(headers, header)[0] if name == VFIO else {})


@pytest.mark.parametrize(("headers", "name"), pairs(*WHOLE))
def test_everything_in_the_header_is_declared(sets: HeaderSets, headers: str, name: str) -> None:
    """No constant, ioctl, string, function-like macro or structure of the header is missing."""
    header, ours = sets.load(headers, name), names(name)
    left = everything(header) - ours.keys()
    undeclared = older(headers, header)[1] & left
    assert left == undeclared
    assert sorted(header.structs.keys() - declared_structs().keys()) == []
    macros = header.functions.keys() & ours.keys()
    assert [macro for macro in sorted(macros) if not callable(ours[macro])] == []


@pytest.mark.parametrize("name", HEADERS)
def test_nothing_is_declared_that_the_newest_header_lacks(sets: HeaderSets, name: str) -> None:
    """No name of ours is made up: the newest header has each, but for the retired ones."""
    header = sets.load(NEWEST, name)
    made_up = names(name).keys() - everything(header)
    assert made_up == (RETIRED if name == VFIO else set())
    assert sorted(structs(name).keys() - header.structs.keys()) == []


def test_what_was_retired_was_once_there(sets: HeaderSets) -> None:
    """The oldest header has each name that the newest has no more."""
    assert everything(sets.load(SUITES[0], VFIO)) >= RETIRED


@pytest.mark.parametrize(("headers", "name"), LACKING)
def test_a_header_that_is_not_compared_is_not_there(headers: str, name: str) -> None:
    """What is left out for an older suite does not exist in it."""
    assert (include_root(headers) / VFIO).exists()
    assert not (include_root(headers) / name).exists()


def test_the_oldest_headers_have_every_exception(sets: HeaderSets) -> None:
    """What older headers may have otherwise is what 5.10 and 6.12 did have otherwise."""
    values, gone = older(SUITES[0], sets.whole(SUITES[0]))
    assert set(values) == {
        "VFIO_DEVICE_STATE_STOP",
        "VFIO_DEVICE_STATE_RUNNING",
        "VFIO_CCW_NUM_IRQS",
    }
    assert gone <= everything(sets.whole(SUITES[0]))
    assert older("trixie", sets.whole("trixie"))[0] == {"VFIO_AP_NUM_IRQS": 1}
    assert older(NEWEST, sets.whole(NEWEST)) == ({}, set())


def test_every_ioctl_is_in_the_table() -> None:
    """Each VFIO and iommufd ioctl has an entry, but for the sPAPR ones whose number type1 has."""
    tabled = {name for name, _ in IOCTLS.values()}
    declared = {
        key
        for header in (VFIO, IOMMUFD)
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
    found = [vars(m)[minimum] for m in MODULES[VFIO] if minimum in vars(m)]
    assert found == [size]
