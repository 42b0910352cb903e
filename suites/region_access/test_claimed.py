# SPDX-License-Identifier: MIT
"""Who owns a BAR in /proc/iomem and /proc/ioports, from its first read to the last close."""

from collections.abc import Iterator

import pytest

from vfiospec import expect
from vfiospec.device.access import Access, Attach
from vfiospec.device.device import Device
from vfiospec.device.ops import ReadFile
from vfiospec.device.pci import ROM, PciDevice
from vfiospec.device.port import Port
from vfiospec.device.region import plain_offset
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import region_access as rules
from vfiospec.session.marks import checks

OWNER = "vfio"  # or "vfio-pci"; never "vfio sub-page reserved", which lies beside a BAR


def claimed(port: Port) -> set[tuple[int, int]]:
    """First and last address of what vfio owns."""
    out = set()
    for path in ("/proc/iomem", "/proc/ioports"):
        for line in port.do(ReadFile(path, 1 << 20)).bytes.decode().splitlines():
            span, _, name = line.strip().partition(" : ")
            if name.startswith(OWNER):
                start, _, end = span.partition("-")
                out.add((int(start, 16), int(end, 16)))
    return out


@pytest.fixture
def own(attach: Attach) -> Iterator[Access]:
    """The group of a device nobody else has open."""
    assigned = attach()
    yield assigned
    assigned.close()


def read_all(device: Device, pci: PciDevice) -> None:
    """Read each BAR once."""
    for index, bar in enumerate(pci.bars[:ROM]):
        if bar.size:
            expect.accepted(device.region(index).try_read(plain_offset(pci, index), 1), 1)


@checks(rules.CLAIMED)
def test_bars_are_claimed_while_open(
    own: Access, spec: BenchDevice, pci: PciDevice, port: Port
) -> None:
    """Each of them whole, at the first open and at the next, and none after the last close."""
    bars = {(b.start, b.start + b.size - 1) for b in pci.bars[:ROM] if b.size}
    for when in ("first", "second"):
        with own.open(spec.bdf) as device:
            read_all(device, pci)
            expect.equal(f"BARs not claimed at the {when} open", bars - claimed(port), set())
        expect.equal(f"BARs claimed after the {when} close", bars & claimed(port), set())


@checks(rules.CLAIMED)
def test_bars_stay_claimed_until_the_last_close(
    own: Access, spec: BenchDevice, pci: PciDevice, port: Port
) -> None:
    """Closing one of two fds takes nothing from the other."""
    bars = {(b.start, b.start + b.size - 1) for b in pci.bars[:ROM] if b.size}
    with own.open(spec.bdf) as kept:
        with own.open(spec.bdf) as other:
            read_all(other, pci)
        expect.equal("BARs not claimed", bars - claimed(port), set())
        read_all(kept, pci)
