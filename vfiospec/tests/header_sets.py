# SPDX-License-Identifier: MIT
"""The kernel headers vfiospec.abi is held against: the installed ones, and those of Debian suites.

Where an older header differs from the ABI of today, the difference is listed here by its name.
"""

from dataclasses import dataclass, field
from pathlib import Path

from vfiospec.lab.debian import fetch_package
from vfiospec.tests.dwarf import Header, compiler, read_header

VFIO, ZDEV = "linux/vfio.h", "linux/vfio_zdev.h"
IOMMUFD, PCI = "linux/iommufd.h", "linux/pci_regs.h"
HEADERS = (VFIO, ZDEV, IOMMUFD, PCI)

INSTALLED = "installed"
SUITES = ("bullseye", "bookworm", "trixie", "trixie-backports")  # from the oldest kernel on
NEWEST = SUITES[-1]
LACKING = [("bullseye", IOMMUFD), ("bookworm", IOMMUFD)]  # iommufd came with v6.2

_SYSTEM = Path("/usr/include")
_V1 = "migration protocol v1, replaced in v5.18: states were bits, and lay in a region"
_COUNT = "the end of an enum that has grown since"


@dataclass(frozen=True)
class Older:
    """How vfio.h of a suite differs from today's: values by name, names we do not declare."""

    values: dict[str, tuple[int, str]] = field(default_factory=dict)
    undeclared: dict[str, str] = field(default_factory=dict)


OLDER = {
    "bullseye": Older(
        values={
            "VFIO_DEVICE_STATE_STOP": (0, _V1),
            "VFIO_DEVICE_STATE_RUNNING": (1, _V1),
            "VFIO_CCW_NUM_IRQS": (2, _COUNT),
        },
        undeclared={
            "VFIO_DEVICE_STATE_SAVING": f"VFIO_DEVICE_STATE_V1_SAVING today; {_V1}",
            "VFIO_REGION_TYPE_MIGRATION": f"now with _DEPRECATED behind it; {_V1}",
            "VFIO_REGION_SUBTYPE_MIGRATION": f"now with _DEPRECATED behind it; {_V1}",
        },
    ),
    "bookworm": Older(),
    "trixie": Older(values={"VFIO_AP_NUM_IRQS": (1, _COUNT)}),
    NEWEST: Older(),
}


def older(headers: str, header: Header) -> tuple[dict[str, int], set[str]]:
    """What may differ in a set's vfio.h: values by name, and names we do not declare.

    Of what is installed we do not know the age: there, what one of the suites has may be.
    """
    if headers in OLDER:
        one = OLDER[headers]
        return {name: value for name, (value, _) in one.values.items()}, set(one.undeclared)
    values = {
        name: value
        for one in OLDER.values()
        for name, (value, _) in one.values.items()
        if header.constants.get(name, (None,))[0] == value
    }
    return values, {name for one in OLDER.values() for name in one.undeclared}


def pairs(*names: str) -> list[tuple[str, str]]:
    """Each of the headers in each set that has it."""
    return [
        (headers, name)
        for headers in (INSTALLED, *SUITES)
        for name in names
        if ((_SYSTEM / name).exists() if headers == INSTALLED else (headers, name) not in LACKING)
    ]


def include_root(headers: str) -> Path:
    """The folder that holds `linux/vfio.h`; LabError if a suite's cannot be fetched."""
    if headers == INSTALLED:
        return _SYSTEM
    return fetch_package(headers, ["linux-libc-dev"], lambda _: None) / "usr/include"


class HeaderSets:
    """Headers, each compiled once, in folders below `work`."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._roots: dict[str, Path] = {}
        self._read: dict[tuple[str, str], Header] = {}

    def root(self, headers: str) -> Path:
        """The include root of a set, fetched once."""
        if headers not in self._roots:
            self._roots[headers] = include_root(headers)
        return self._roots[headers]

    def load(self, headers: str, name: str) -> Header:
        """A header of a set as compiled."""
        cc = compiler()
        assert cc is not None, "no C compiler: apt install gcc"
        if (headers, name) not in self._read:
            folder = self._work / headers / Path(name).stem
            folder.mkdir(parents=True)
            self._read[headers, name] = read_header(cc, self.root(headers), name, folder)
        return self._read[headers, name]
