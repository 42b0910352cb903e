# SPDX-License-Identifier: MIT
"""What argsz does: refused if too small, kept otherwise."""

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.rules import conventions
from vfiospec.session.marks import checks

REQ = vfio.VFIO_PCI_REQ_IRQ_INDEX
WHOLE = vfio.IRQ_INFO_MIN


@checks(conventions.ARGSZ_KEPT, conventions.ARGSZ_BEYOND)
@pytest.mark.parametrize("index", [0, 1, 2, 4], ids="irq-{}".format)
@pytest.mark.parametrize(
    "argsz", [16, 17, 20, 24, 64, 4096, 1 << 31, (1 << 32) - 1], ids="argsz-{}".format
)
def test_a_larger_argsz_changes_nothing(device: Device, argsz: int, index: int) -> None:
    """What the kernel does not know of is neither used nor written."""
    whole = expect.accepted(device.try_get_irq_info(index)).unpack(vfio.vfio_irq_info)
    whole.argsz = argsz
    expect.reply(device.try_get_irq_info(index, argsz), whole)


@checks(conventions.FLAGS_NOT_READ)
@pytest.mark.parametrize("flags", [0, 1, 16, 0x80000000, 0xFFFFFFFF], ids="flags-{:x}".format)
def test_flags_are_not_read(device: Device, flags: int) -> None:
    """Flags are the kernel's to fill; what was there does not show."""
    for index in (0, 1, 2, 4):
        control = expect.accepted(device.try_get_irq_info(index))
        call = expect.accepted(device.try_get_irq_info(index, flags=flags))
        expect.equal(f"reply for index {index}", call.data.hex(), control.data.hex())
