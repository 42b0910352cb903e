# SPDX-License-Identifier: MIT
"""What argsz does: refused if too small, kept otherwise."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.rules import irq_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

REQ = vfio.VFIO_PCI_REQ_IRQ_INDEX
WHOLE = vfio.IRQ_INFO_MIN


@checks(rules.ARGSZ_TOO_SMALL)
@pytest.mark.parametrize("argsz", [0, 1, 4, 8, 12, 15], ids="argsz-{}".format)
def test_too_small_an_argsz_is_refused(
    device: Device, argsz: int, promised: Callable[[Rule], int]
) -> None:
    """The last argsz that is refused is one below that of the next test."""
    expect.refused(device.try_get_irq_info(REQ, argsz), promised(rules.ARGSZ_TOO_SMALL))


@checks(rules.ARGSZ_KEPT)
def test_the_size_of_the_structure_is_enough(device: Device) -> None:
    """An argsz that ends with count is accepted, and comes back."""
    call = expect.accepted(device.try_get_irq_info(REQ, WHOLE))
    expect.equal("argsz", call.unpack(vfio.vfio_irq_info).argsz, WHOLE)


@checks(rules.ARGSZ_KEPT, rules.REST_UNTOUCHED)
@pytest.mark.parametrize("index", [0, 1, 2, 4], ids="irq-{}".format)
@pytest.mark.parametrize(
    "argsz", [16, 17, 20, 24, 64, 4096, 1 << 31, (1 << 32) - 1], ids="argsz-{}".format
)
def test_a_larger_argsz_changes_nothing(device: Device, argsz: int, index: int) -> None:
    """What the kernel does not know of is neither used nor written."""
    whole = expect.accepted(device.try_get_irq_info(index)).unpack(vfio.vfio_irq_info)
    whole.argsz = argsz
    expect.reply(device.try_get_irq_info(index, argsz), whole)


@checks(rules.FLAGS_IGNORED)
@pytest.mark.parametrize("flags", [0, 1, 16, 0x80000000, 0xFFFFFFFF], ids="flags-{:x}".format)
def test_flags_are_not_read(device: Device, flags: int) -> None:
    """Flags are the kernel's to fill; what was there does not show."""
    for index in (0, 1, 2, 4):
        control = expect.accepted(device.try_get_irq_info(index))
        call = expect.accepted(device.try_get_irq_info(index, flags=flags))
        expect.equal(f"reply for index {index}", call.data.hex(), control.data.hex())
