# SPDX-License-Identifier: MIT
"""Which features a device has, and devices that may be put to sleep."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec.abi import vfio_feature as feature
from vfiospec.device import dmabuf
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, Memory
from vfiospec.device.pci import SYSFS, PciDevice
from vfiospec.device.port import Port
from vfiospec.device.scratch import decode_memory
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import feature as rules
from vfiospec.rules import feature_dmabuf
from vfiospec.rules.model import Rule
from vfiospec.session.eventfds import Ids
from vfiospec.session.run import Run

GET, SET = feature.VFIO_DEVICE_FEATURE_GET, feature.VFIO_DEVICE_FEATURE_SET
SLEEP = (
    feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
    feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
    feature.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
)
OPTION = "CONFIG_VFIO_PCI_DMABUF"


@pytest.fixture
def dmabuf_built(run: Run, promised: Callable[[Rule], int]) -> bool | None:
    """Whether the kernel is built with DMA_BUF; None if it may be and its configuration is unknown.

    Opens nothing.
    """
    if promised(feature_dmabuf.PRESENT):
        return False
    config = run.bench.booted.config
    return config.get(OPTION) == "y" if config else None


@pytest.fixture
def has_dmabuf(device: Device, dmabuf_built: bool | None) -> bool:  # noqa: FBT001 -- a fixture
    """Whether the kernel is to have DMA_BUF; asked by a probe where its build is not known."""
    if dmabuf_built is None:
        return dmabuf.is_known(device)
    return dmabuf_built


@pytest.fixture
def operations(
    spec: BenchDevice,
    sysfs: PortSysfs,
    has_dmabuf: bool,  # noqa: FBT001 -- a fixture
    promised: Callable[[Rule], int],
) -> dict[int, int]:
    """Features the device is to have, each with the one operation it has."""
    found: dict[int, int] = {}
    if not promised(rules.LOW_POWER):
        found.update(dict.fromkeys(SLEEP, SET))
    if sysfs.exists(f"{SYSFS}/{spec.bdf}/sriov_totalvfs"):
        found[feature.VFIO_DEVICE_FEATURE_PCI_VF_TOKEN] = SET
    if has_dmabuf:
        found[feature.VFIO_DEVICE_FEATURE_DMA_BUF] = GET
    return found


@pytest.fixture
def low_power(promised: Callable[[Rule], int]) -> None:
    """Skip where the kernel has no such features."""
    if promised(rules.LOW_POWER):
        pytest.skip("the kernel has no low power features: they came with 6.1")


@pytest.fixture
def sleeper(low_power: None, device: Device) -> Iterator[Device]:
    """A device that decodes memory; awake, and its command put back, after the test."""
    del low_power
    before = decode_memory(device)
    yield device
    device.try_feature(feature.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT | SET)
    device.write_config(4, 2, before)


@pytest.fixture
def waker(port: Port) -> Iterator[EventFd]:
    """An eventfd for what wakes a device."""
    with EventFd.create(port) as made:
        yield made


@pytest.fixture
def ids(port: Port, memory: Memory) -> Ids:
    """Who holds eventfds."""
    return Ids(port, memory)


@pytest.fixture
def paged_bar(pci: PciDevice, page: int) -> int:
    """A memory BAR of a page or more, which can be mapped."""
    for index, bar in enumerate(pci.bars[:6]):
        if bar.is_memory and bar.size >= page:
            return index
    pytest.skip("the device has no memory BAR of a page or more")
