# SPDX-License-Identifier: MIT
"""The ways to a device as an axis: which tests run in each, in what order, and where one lacks.

A test that takes a device is reached by the fixture `reached_by`, directly or through others; it
alone decides. What asks for a group or a container takes a fixture that only some ways have.
"""

from typing import Final

import pytest

from vfiospec.device.iommufd import IOMMUFD_PATH
from vfiospec.device.ways import ALL, IN_GROUP, REAL_CONTAINER, USUAL, Way, uses_iommufd
from vfiospec.lab import LabError
from vfiospec.lab.bench import PortSysfs

FIXTURE: Final = "reached_by"
PLUGIN: Final = "vfiospec-ways"
_NONE: Final = "no-way"
_CDEV_FOLDER: Final = "/dev/vfio/devices"
_BUILD: Final = "`vfiospec kernels build SOURCE --profile conformance` makes one that has"

# What is asked of a device itself, and holds however it was reached.
CHAPTERS: Final = (
    "config_space",
    "conventions",
    "device_info",
    "dma",
    "feature",
    "interrupts",
    "ioeventfd",
    "irq_info",
    "mmap",
    "region_access",
    "region_info",
    "reset",
    "set_irqs",
)

# Fixtures that only some ways can give.
GIVEN_BY: Final = {
    "by_group": IN_GROUP,  # the fds of a group and of what stands for its container
    "by_type1": REAL_CONTAINER,  # a container with type1, for where compatibility ends
}


def parse(text: str) -> tuple[Way, ...]:
    """`all`, or names with commas between them, in the order of `ALL`. LabError if unknown."""
    if text == "all":
        return ALL
    names = [name.strip() for name in text.split(",")] if text else []
    for name in names:
        if name not in list(Way):
            raise LabError(f"--ways {name}: there are {', '.join(Way)}, and all")
    return tuple(way for way in ALL if way in names)


def isolates_interrupts(sysfs: PortSysfs) -> bool:
    """Whether the platform isolates interrupts, as any but an Intel one is taken to do."""
    units = sysfs.listdir("/sys/class/iommu") if sysfs.exists("/sys/class/iommu") else []
    capabilities = [f"/sys/class/iommu/{unit}/intel-iommu/ecap" for unit in units]
    remapping = 1 << 3  # Intel VT-d, Extended Capability Register
    return all(int(sysfs.read(c), 16) & remapping for c in capabilities if sysfs.exists(c))


def lacking(way: Way, sysfs: PortSysfs) -> str:
    """Why a machine has not a way to its devices, and what to do; empty if it has."""
    if not uses_iommufd(way):
        return ""
    options = [] if sysfs.exists(IOMMUFD_PATH) else ["CONFIG_IOMMUFD"]
    if way is Way.IOMMUFD and not sysfs.exists(_CDEV_FOLDER):
        options.append("CONFIG_VFIO_DEVICE_CDEV")
    if options:
        return f"the kernel has no {' and no '.join(options)}: {_BUILD}"
    if not isolates_interrupts(sysfs):
        return "iommufd asks for interrupt remapping: judge a machine that has it"
    return ""


def usable(fixtures: list[str], ways: tuple[Way, ...]) -> tuple[Way, ...]:
    """The ways, out of those, that can give all of a test's fixtures."""
    limits = [set(GIVEN_BY[name]) for name in fixtures if name in GIVEN_BY]
    return tuple(way for way in ways if all(way in limit for limit in limits))


def way_of(item: pytest.Item) -> Way | None:
    """The way a test runs in, where it is one of several."""
    callspec = getattr(item, "callspec", None)
    found = callspec.params.get(FIXTURE) if callspec else None
    return Way(found) if found and found != _NONE else None


class WaysPlugin:
    """Active when --ways is given: tests run in each way, one way after the other."""

    def __init__(self, ways: tuple[Way, ...]) -> None:
        self.ways = ways

    # Last, so that the way is the last part of the id.
    @pytest.hookimpl(trylast=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a test that takes a device once in each way."""
        if FIXTURE not in metafunc.fixturenames:
            return
        if metafunc.definition.path.parent.name not in CHAPTERS:
            return
        names = [str(way) for way in usable(metafunc.fixturenames, self.ways)] or [_NONE]
        metafunc.parametrize(FIXTURE, names, ids=names, indirect=True)

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out what no way can give; change from way to way as seldom as possible."""
        left = [i for i in items if _param(i) == _NONE]
        if left:
            config.hook.pytest_deselected(items=left)
        kept = [i for i in items if _param(i) != _NONE]
        items[:] = sorted(kept, key=self._turn)

    def _turn(self, item: pytest.Item) -> int:
        way = way_of(item)
        return -1 if way is None else self.ways.index(way)


def _param(item: pytest.Item) -> object:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get(FIXTURE) if callspec else None


def chosen(parameter: str | None) -> Way:
    """What `reached_by` is: a way of the axis, or the usual one."""
    return Way(parameter) if parameter else USUAL
