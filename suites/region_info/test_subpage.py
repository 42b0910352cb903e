# SPDX-License-Identifier: MIT
"""Memory BARs smaller than a page, held against who owns what in /proc/iomem."""

from collections.abc import Callable
from typing import NamedTuple

from vfiospec import expect
from vfiospec.device.access import Access
from vfiospec.device.device import Device
from vfiospec.device.ops import ReadFile
from vfiospec.device.pci import ROM, Bar, PciDevice
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import region_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

RESERVED = "vfio sub-page reserved"


class Resource(NamedTuple):
    """A line of /proc/iomem; `end` is the last byte."""

    start: int
    end: int
    name: str


def resources(port: Port) -> list[Resource]:
    """Read /proc/iomem; to anyone but root, all addresses are 0."""
    out = []
    for line in port.do(ReadFile("/proc/iomem")).bytes.decode().splitlines():
        span, _, name = line.strip().partition(" : ")
        start, _, end = span.partition("-")
        out.append(Resource(int(start, 16), int(end, 16), name))
    return out


def rest_of_page(bar: Bar, page: int) -> tuple[int, int]:
    """First and last byte of what a BAR at the start of a page leaves of it."""
    return bar.start + bar.size, bar.start + page - 1


def is_exclusive(bar: Bar, page: int, owners: list[Resource]) -> bool:
    """Whether a small BAR starts a page of which nothing else owns a part."""
    first, last = rest_of_page(bar, page)
    return bar.start % page == 0 and not any(
        first <= r.start <= last for r in owners if r.name != RESERVED
    )


def small_bars(pci: PciDevice, page: int) -> dict[int, Bar]:
    """The memory BARs below a page, by index."""
    return {i: b for i, b in enumerate(pci.bars[:ROM]) if b.is_memory and 0 < b.size < page}


@checks(rules.SUBPAGE_MMAP)
@devices("subpage")
def test_a_small_bar_can_be_mapped_if_its_page_is_exclusive(
    device: Device, pci: PciDevice, port: Port, page: int, promised: Callable[[Rule], int]
) -> None:
    """The MMAP flag is there just if the BAR starts a page it shares with nobody."""
    owners, mmap = resources(port), promised(rules.SUBPAGE_MMAP)
    for index, bar in small_bars(pci, page).items():
        flags = device.get_region_info(index).struct.flags & mmap
        wanted = mmap if is_exclusive(bar, page, owners) else 0
        expect.equal(f"MMAP flag of BAR {index}", flags, wanted)


@checks(rules.SUBPAGE_RESERVED)
@devices("subpage")
def test_the_rest_of_the_page_is_reserved_while_open(
    device: Device, pci: PciDevice, port: Port, page: int, promised: Callable[[Rule], int]
) -> None:
    """Just behind the BAR, up to the end of the page."""
    owners, mmap = resources(port), promised(rules.SUBPAGE_MMAP)
    for index, bar in small_bars(pci, page).items():
        mappable = bool(device.get_region_info(index).struct.flags & mmap)
        reserved = Resource(*rest_of_page(bar, page), RESERVED) in owners
        expect.equal(f"remainder of the page of BAR {index} reserved", reserved, mappable)


@checks(rules.SUBPAGE_RESERVED)
@devices("subpage")
def test_the_rest_of_the_page_is_free_after_the_last_close(
    assigned: Access, spec: BenchDevice, pci: PciDevice, port: Port, page: int
) -> None:
    """The reservation ends with the last fd of the device."""
    with assigned.open(spec.bdf):
        pass
    assigned.release(spec.bdf)
    owners = resources(port)
    for index, bar in small_bars(pci, page).items():
        reserved = Resource(*rest_of_page(bar, page), RESERVED) in owners
        expect.equal(f"remainder of the page of BAR {index} reserved", reserved, False)
