# SPDX-License-Identifier: MIT
"""A group nobody has open, by itself, in a container, and with a model; and a sibling to take."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec.abi import vfio
from vfiospec.device.call import checked
from vfiospec.device.container import Container
from vfiospec.device.group import Group
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.bind import PCI, driver_of
from vfiospec.session.run import Run

VFIO = "vfio-pci"


@pytest.fixture
def subject(run: Run) -> BenchDevice:
    """A device that is alone in its group, of which nothing is open."""
    groups = [d.group for d in run.devices]
    alone = [d for d in run.devices if d.group is not None and groups.count(d.group) == 1]
    if not alone:
        pytest.skip("no device is alone in its group: judge one that is with --device BDF")
    found = min(alone, key=lambda d: "dma-stimulus" not in d.roles)
    run.give_up(found)
    return found


@pytest.fixture
def number(subject: BenchDevice) -> int:
    """The number of the subject's group."""
    assert subject.group is not None
    return subject.group


@pytest.fixture
def group(number: int, port: Port) -> Iterator[Group]:
    """The subject's group, just opened."""
    with Group.of(port, number) as opened:
        yield opened


@pytest.fixture
def attached(group: Group, container: Container) -> Group:
    """The group in a container."""
    checked(group.try_set_container(container))
    return group


@pytest.fixture
def ready(attached: Group, container: Container) -> Group:
    """The group in a container with a model: its device can be had."""
    checked(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))
    return attached


def unbind(sysfs: PortSysfs, bdf: str) -> None:
    """Take a device from its driver, if it has one."""
    driver = driver_of(sysfs, bdf)
    if driver is not None:
        sysfs.write(f"{PCI}/drivers/{driver}/unbind", bdf)


def give(sysfs: PortSysfs, bdf: str, driver: str) -> None:
    """Bind a device to a driver. OSError if the driver refuses."""
    sysfs.write(f"{PCI}/devices/{bdf}/driver_override", f"{driver}\n")
    sysfs.write(f"{PCI}/drivers/{driver}/bind", bdf)


@pytest.fixture
def rebind(sysfs: PortSysfs) -> Iterator[Callable[[str, str | None], None]]:
    """Give a device to another driver, or to none; afterwards it is vfio-pci's again."""
    touched = []

    def to(bdf: str, driver: str | None) -> None:
        touched.append(bdf)
        unbind(sysfs, bdf)
        if driver is not None:
            give(sysfs, bdf, driver)

    yield to
    for bdf in touched:
        if driver_of(sysfs, bdf) != VFIO:
            unbind(sysfs, bdf)
            give(sysfs, bdf, VFIO)


@pytest.fixture
def siblings(run: Run) -> tuple[BenchDevice, BenchDevice]:
    """Two devices of one group of which nothing is open; a host driver can take the second."""
    first = next((d for d in run.devices if {"grouped", "irq-stimulus"} <= d.roles), None)
    second = next(
        (d for d in run.devices if {"grouped", "msix"} <= d.roles and d is not first), None
    )
    if first is None or second is None or first.group != second.group:
        pytest.skip("no two devices of one group: `vfiospec topologies` shows which has them")
    run.give_up(first)
    return first, second
