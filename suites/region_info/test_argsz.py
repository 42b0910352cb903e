# SPDX-License-Identifier: MIT
"""What argsz does: refused if too small, kept if everything fits."""

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.rules import conventions
from vfiospec.rules import region_info as rules
from vfiospec.session.marks import checks

CONFIG = vfio.VFIO_PCI_CONFIG_REGION_INDEX


@checks(conventions.ARGSZ_KEPT, conventions.ARGSZ_BEYOND)
@pytest.mark.parametrize(
    "argsz", [33, 39, 40, 41, 64, 4096, 1 << 31, (1 << 32) - 1], ids="argsz-{}".format
)
def test_a_larger_argsz_changes_nothing(device: Device, argsz: int) -> None:
    """What the kernel does not know of is neither used nor written."""
    whole = expect.accepted(device.try_get_region_info(CONFIG)).unpack(vfio.vfio_region_info)
    whole.argsz = argsz
    expect.reply(device.try_get_region_info(CONFIG, argsz), whole)


@checks(conventions.ARGSZ_KEPT, conventions.ARGSZ_BEYOND)
@pytest.mark.parametrize("index", range(8), ids="region-{}".format)
def test_argsz_is_kept_where_all_fits(device: Device, index: int) -> None:
    """With room for the one capability there can be, argsz is not rewritten."""
    call = expect.accepted(device.try_get_region_info(index, 48))
    expect.equal("argsz", call.unpack(vfio.vfio_region_info).argsz, 48)
    expect.untouched(call, 40)


@checks(rules.CAP_OFFSET_UNUSED, conventions.ARGSZ_BEYOND)
@pytest.mark.parametrize("argsz", [32, 64], ids="argsz-{}".format)
@pytest.mark.parametrize("index", range(8), ids="region-{}".format)
def test_without_capabilities_only_the_fields_are_written(
    device: Device, index: int, argsz: int
) -> None:
    """cap_offset and what follows the structure stay as the caller had them."""
    call = expect.accepted(device.try_get_region_info(index, argsz))
    if not call.unpack(vfio.vfio_region_info).flags & vfio.VFIO_REGION_INFO_FLAG_CAPS:
        expect.untouched(call, 12, 16)
        expect.untouched(call, 32)


@checks(conventions.FLAGS_NOT_READ)
@pytest.mark.parametrize("flags", [0, 1, 8, 0x80000000, 0xFFFFFFFF], ids="flags-{:x}".format)
def test_flags_are_not_read(device: Device, flags: int) -> None:
    """Flags are the kernel's to fill; what was there does not show."""
    for index in range(vfio.VFIO_PCI_VGA_REGION_INDEX):
        control = expect.accepted(device.try_get_region_info(index))
        call = expect.accepted(device.try_get_region_info(index, flags=flags))
        expect.equal(f"reply for region {index}", call.data.hex(), control.data.hex())
