# SPDX-License-Identifier: MIT
"""The kernel headers vfiospec.abi is held against: the installed ones, and those of Debian suites.

Where an older header differs from the ABI of today, the difference is an accepted change.
"""

import re
from pathlib import Path

from vfiospec.lab.layouts import debian_headers
from vfiospec.layout.accepted import ACCEPTED
from vfiospec.layout.headers import read_headers
from vfiospec.layout.includes import installed
from vfiospec.layout.model import Layout, by_header
from vfiospec.rules import layout as rules

VFIO, ZDEV = "linux/vfio.h", "linux/vfio_zdev.h"
IOMMUFD, PCI = "linux/iommufd.h", "linux/pci_regs.h"
HEADERS = (VFIO, ZDEV, IOMMUFD, PCI)

INSTALLED = "installed"
SUITES = ("bullseye", "bookworm", "trixie", "trixie-backports")  # from the oldest kernel on
NEWEST = SUITES[-1]
LACKING = [("bullseye", IOMMUFD), ("bookworm", IOMMUFD)]  # iommufd came with v6.2

_WAS = re.compile(r"(\d+) became")
_SYSTEM = Path("/usr/include")
# Names of protocol v1 that the newest header has in no enum and no macro any more.
_GONE = {
    "VFIO_DEVICE_STATE_SAVING",
    "VFIO_REGION_TYPE_MIGRATION",
    "VFIO_REGION_SUBTYPE_MIGRATION",
}
_VALUES = (rules.CONSTANT_VALUE, rules.FIXED_RANGE)


def older(headers: str, header: Layout) -> tuple[dict[str, int], set[str]]:
    """What may differ in a set's header: values by name, and names we do not declare.

    Both are among the changes that are accepted; the newest headers have none.
    """
    if headers == NEWEST:
        return {}, set()
    changes = [
        (one.item or one.subject, int(match[1]))
        for one in ACCEPTED
        if one.rule in _VALUES and (match := _WAS.search(one.change))
    ]
    numbers = header.numbers()
    gone = {one.subject for one in ACCEPTED if one.rule is rules.CONSTANT_REMOVED}
    return {name: was for name, was in changes if numbers.get(name) == was}, gone & _GONE


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
    return _SYSTEM if headers == INSTALLED else debian_headers(headers)


class HeaderSets:
    """Sets of headers, each compiled once."""

    def __init__(self) -> None:
        self._read: dict[str, Layout] = {}

    def whole(self, headers: str) -> Layout:
        """All headers of a set as compiled."""
        if headers not in self._read:
            self._read[headers] = read_headers(installed(include_root(headers)), HEADERS)
        return self._read[headers]

    def load(self, headers: str, name: str) -> Layout:
        """What one header of a set defines."""
        return by_header(self.whole(headers), name)
