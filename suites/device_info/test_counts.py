# SPDX-License-Identifier: MIT
"""num_regions and num_irqs of GET_INFO: the highest index plus one."""

from collections.abc import Callable

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.rules import device_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

MORE = 8  # indexes to look at behind the last


@checks(rules.NUM_REGIONS)
@devices(without=("vga",))
def test_there_are_nine_regions(device: Device, promised: Callable[[Rule], int]) -> None:
    """num_regions counts the fixed regions; only graphics have others behind them."""
    expect.equal("num_regions", device.get_info().struct.num_regions, promised(rules.NUM_REGIONS))


@checks(rules.NUM_REGIONS)
@devices("vga")
def test_a_graphics_device_has_the_nine_regions_too(
    device: Device, promised: Callable[[Rule], int]
) -> None:
    """Regions of its own come behind the fixed ones, and each one says what it is."""
    fixed = promised(rules.NUM_REGIONS)
    own = sum(
        device.get_region_info(index).capability(vfio.VFIO_REGION_INFO_CAP_TYPE) is not None
        for index in range(fixed, fixed + MORE)
        if device.try_get_region_info(index).ok
    )
    expect.equal("num_regions", device.get_info().struct.num_regions, fixed + own)


@checks(rules.NUM_REGIONS_MAXIMUM)
def test_no_region_lies_at_or_above_num_regions(device: Device) -> None:
    """The config region answers below the maximum, no region answers from it on."""
    count = device.get_info().struct.num_regions
    answering = [i for i in range(count + MORE) if device.try_get_region_info(i).ok]
    expect.holds(
        vfio.VFIO_PCI_CONFIG_REGION_INDEX in answering and max(answering) < count,
        f"regions up to {vfio.VFIO_PCI_CONFIG_REGION_INDEX} at least, and below {count}",
        f"regions {answering} answer",
    )


@checks(rules.NUM_IRQS)
def test_there_are_five_interrupt_indexes(device: Device, promised: Callable[[Rule], int]) -> None:
    """num_irqs is the same for each device, with an error interrupt or without."""
    expect.equal("num_irqs", device.get_info().struct.num_irqs, promised(rules.NUM_IRQS))


@checks(rules.NUM_IRQS_MAXIMUM)
def test_the_last_interrupt_index_is_num_irqs_less_one(device: Device) -> None:
    """The last index below num_irqs answers; none at or above it does."""
    count = device.get_info().struct.num_irqs
    answering = [i for i in range(count + MORE) if device.try_get_irq_info(i).ok]
    expect.equal("the last interrupt index that answers", max(answering, default=-1), count - 1)
