# SPDX-License-Identifier: MIT
"""Memory BARs smaller than a page: alone in it, beside another, and not at its start."""

import mmap as m
from collections.abc import Callable
from itertools import pairwise

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.access import Attach
from vfiospec.device.call import Call
from vfiospec.device.device import Device
from vfiospec.device.files import Mapping
from vfiospec.device.ops import ReadFile
from vfiospec.device.pci import ROM, SYSFS, Bar, PciDevice
from vfiospec.device.port import Port
from vfiospec.device.region import Region
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.qemu import Vm
from vfiospec.rules import mmap as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices
from vfiospec.session.run import Run

FLAG = vfio.VFIO_REGION_INFO_FLAG_MMAP
RESERVED = "vfio sub-page reserved"
PROTS = (m.PROT_READ, m.PROT_WRITE, m.PROT_READ | m.PROT_WRITE)


def small_bars(pci: PciDevice, page: int) -> dict[int, Bar]:
    """The memory BARs below a page, by index."""
    return {i: b for i, b in enumerate(pci.bars[:ROM]) if b.is_memory and 0 < b.size < page}


def reserved(port: Port) -> list[tuple[int, int]]:
    """First and last address of each reservation, as often as it is there."""
    out = []
    for line in port.do(ReadFile("/proc/iomem", 1 << 20)).bytes.decode().splitlines():
        span, _, name = line.strip().partition(" : ")
        if name == RESERVED:
            start, _, end = span.partition("-")
            out.append((int(start, 16), int(end, 16)))
    return sorted(out)


def rest(bar: Bar, page: int) -> tuple[int, int]:
    """First and last address of what a BAR leaves of the page it starts."""
    return bar.start + bar.size, bar.start + page - 1


def refused(made: tuple[Call, Mapping | None], errno: int) -> None:
    """A mapping is refused; one that is made all the same does not stay."""
    call, mapping = made
    if mapping is not None:
        mapping.unmap()
    expect.refused(call, errno)


def one_page(region: Region, page: int, errno: int) -> None:
    """One page can be mapped, of which the region is the start; and no more."""
    for length in (1, int(region.info.size), int(region.info.size) + 1, page):
        with region.map(length) as mapping:
            expect.equal("word", mapping.load(0, 4).value, region.read(0, 4))
            expect.equal("signal", mapping.load(page - 4, 4).signal, 0)
    refused(region.try_map(page + 1), errno)
    refused(region.try_map(2 * page), errno)
    refused(region.try_map(page, offset=page), errno)
    for prot in PROTS:
        refused(region.try_map(page, prot=prot, flags=m.MAP_PRIVATE), errno)


def no_page(region: Region, page: int, errno: int) -> None:
    """Nothing can be mapped, and the flag says so."""
    expect.equal("MMAP flag", region.info.flags & FLAG, 0)
    for length in (1, int(region.info.size), page, 2 * page):
        for prot in PROTS:
            refused(region.try_map(length, prot=prot), errno)
    refused(region.try_map(page, offset=page), errno)


@checks(rules.SUBPAGE)
@devices("subpage", without=("shared-page",))
def test_a_page_of_its_own_is_mapped(
    decoding: Device, pci: PciDevice, page: int, promised: Callable[[Rule], int]
) -> None:
    """Its one page, of which the BAR is the start."""
    found = [r for r in map(decoding.region, small_bars(pci, page)) if r.info.flags & FLAG]
    if not found:
        pytest.skip("no BAR smaller than a page has one for itself")
    for region in found:
        one_page(region, page, promised(rules.SUBPAGE))


@checks(rules.SUBPAGE_SHARED)
@devices("shared-page")
def test_a_shared_page_is_not_mapped(
    decoding: Device, pci: PciDevice, page: int, promised: Callable[[Rule], int]
) -> None:
    """Whether the BAR starts it or not; it is read and written all the same."""
    for index in small_bars(pci, page):
        region = decoding.region(index)
        no_page(region, page, promised(rules.SUBPAGE_SHARED))
        expect.accepted(region.try_read(0, 4), 4)


@checks(rules.SUBPAGE_SHARED)
@devices("shared-page")
def test_the_neighbours_really_share_it(
    run: Run, spec: BenchDevice, pci: PciDevice, page: int
) -> None:
    """Another device of the topology has a BAR in the page, each where sysfs has it."""
    mine = {b.start // page for b in small_bars(pci, page).values()}
    others = [d for d in run.devices if "shared-page" in d.roles and d.bdf != spec.bdf]
    theirs = {b.start // page for d in others for b in small_bars(run.pci(d), page).values()}
    expect.holds(bool(mine & theirs), "a page of both", f"{mine} and {theirs}")


@checks(rules.SUBPAGE_RESERVED)
@devices("shared-page")
def test_nothing_of_a_shared_page_is_reserved(
    decoding: Device, pci: PciDevice, port: Port, page: int
) -> None:
    """What is left of it is free for the next BAR."""
    pages = {b.start // page for b in small_bars(pci, page).values()}
    taken = [span for span in reserved(port) if span[0] // page in pages]
    del decoding
    expect.equal("reservations", taken, [])


@checks(rules.SUBPAGE_RESERVED)
@devices("subpage", without=("shared-page",))
def test_the_rest_is_reserved_once_at_each_open(
    attach: Attach, port: Port, spec: BenchDevice, pci: PciDevice, page: int
) -> None:
    """From the first open to the last close; a second fd changes nothing, a second open renews."""
    wanted = sorted(rest(b, page) for b in small_bars(pci, page).values() if not b.start % page)
    before = reserved(port)
    seen = [before]
    own = attach()
    for _ in range(3):
        first = own.open(spec.bdf)
        seen.append(reserved(port))
        with own.open(spec.bdf):
            seen.append(reserved(port))
        seen.append(reserved(port))
        first.close()
        seen.append(reserved(port))
    own.close()
    lines = [sorted(set(now)) for now in seen]
    for now, once in zip(seen, lines, strict=True):
        expect.equal("reservations", now, once)
    expect.equal("reserved before", [w for w in wanted if w in before], [])
    opened = sorted([*before, *wanted])
    expected = [before] + 3 * [opened, opened, opened, before]
    expect.equal("reservations over time", seen, expected)


@checks(rules.SUBPAGE)
@devices("subpage", without=("shared-page",))
def test_it_is_mapped_at_each_open(
    attach: Attach, spec: BenchDevice, pci: PciDevice, page: int
) -> None:
    """Open after open, as the first time."""
    own = attach()
    seen = []
    for _ in range(3):
        with own.open(spec.bdf) as device:
            flags = [device.region(i).info.flags & FLAG for i in small_bars(pci, page)]
            made = [device.region(i).try_map(page)[1] for i in small_bars(pci, page)]
            seen.append((flags, [mapping is not None for mapping in made]))
            for mapping in made:
                if mapping is not None:
                    mapping.unmap()
    own.close()
    for earlier, later in pairwise(seen):
        expect.equal("flags and mappings", later, earlier)
    expect.equal("mapped", seen[0][1], [bool(flag) for flag in seen[0][0]])


@checks(rules.SUBPAGE_FREED, rules.SUBPAGE_INSIDE)
@devices("shared-page")
def test_a_page_that_is_left_to_one_bar(
    run: Run,
    machine: Vm,
    sysfs: PortSysfs,
    port: Port,
    attach: Attach,
    spec: BenchDevice,
    pci: PciDevice,
    page: int,
    promised: Callable[[Rule], int],
) -> None:
    """Once its neighbours are removed, it is mapped at the next open, if it starts the page."""
    del machine  # without one, the neighbours could not be had back by a new boot
    run.spoil("the removal of a device")
    for other in run.devices:
        if "shared-page" in other.roles and other.bdf != spec.bdf:
            run.give_up(other)
            sysfs.write(f"{SYSFS}/{other.bdf}/remove", "1")
    own = attach()
    device = own.open(spec.bdf)
    for index, bar in small_bars(pci, page).items():
        region = device.region(index)
        alone = rest(bar, page) in reserved(port)
        if bar.start % page:
            no_page(region, page, promised(rules.SUBPAGE_INSIDE))
            taken = [s for s in reserved(port) if s[0] // page == bar.start // page]
            expect.equal("reservations in its page", taken, [])
        else:
            expect.equal("MMAP flag", region.info.flags & FLAG, promised(rules.SUBPAGE_FREED))
            expect.equal("rest reserved", alone, True)
            one_page(region, page, promised(rules.SUBPAGE))
    device.close()
    own.close()
