# SPDX-License-Identifier: MIT
"""Which addresses may be mapped while a device is attached, and once it no longer is."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd as abi
from vfiospec.device.apart import AddressSpace
from vfiospec.device.cdev import Bound
from vfiospec.device.files import Memory
from vfiospec.device.iommufd import ANYWHERE, EVERYTHING
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import cdev
from vfiospec.rules import cdev_ranges as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks
from vfiospec.session.ranges import Span, between, reserved

Promised = Callable[[Rule], int]
ALL = [(0, EVERYTHING)]
IOVA = 0x100000


@pytest.fixture
def kept(sysfs: PortSysfs, spec: BenchDevice) -> list[Span]:
    """What the device reserves."""
    found = reserved(sysfs, spec.group) if spec.group is not None else []
    if not found:
        pytest.skip("the device reserves no addresses: judge a machine with interrupt remapping")
    return found


@pytest.fixture
def space(bound: Bound) -> AddressSpace:
    """The one to attach to."""
    return AddressSpace(bound.iommufd, bound.ioas)


@checks(rules.LEFT, rules.ALIGNED)
def test_there_and_gone(bound: Bound, space: AddressSpace, kept: list[Span], page: int) -> None:
    """All, then what the device leaves of what the IOMMU reaches, then all again."""
    for _ in range(2):
        expect.equal("ranges without it", space.iova_ranges(), ALL)
        expect.equal("alignment without it", space.page_size(), 1)
        bound.cdev.attach(bound.ioas)
        ranges = space.iova_ranges()
        end = ranges[-1][1]
        expect.equal("ranges", ranges, between(kept, end))
        expect.equal(f"bits of {end + 1:#x}", (end + 1).bit_count(), 1)
        expect.equal("alignment", space.page_size(), page)
        bound.cdev.detach()


@checks(rules.LEFT, rules.ALIGNED)
def test_they_go_where_it_goes(bound: Bound, space: AddressSpace, page: int) -> None:
    """What it leaves may all be mapped again."""
    other = AddressSpace(bound.iommufd, bound.iommufd.alloc_ioas())
    bound.cdev.attach(space.ioas)
    ranges = space.iova_ranges()
    for old, new in ((space, other), (other, space)):
        bound.cdev.attach(new.ioas)
        expect.equal("ranges it left behind", old.iova_ranges(), ALL)
        expect.equal("alignment it left behind", old.page_size(), 1)
        expect.equal("ranges", new.iova_ranges(), ranges)
        expect.equal("alignment", new.page_size(), page)


@checks(rules.OUTSIDE)
def test_what_is_in_no_range(
    bound: Bound, space: AddressSpace, kept: list[Span], memory: Memory, page: int,
    promised: Promised,
) -> None:  # fmt: skip
    """One page of it is enough; without the device it can be mapped."""
    bound.cdev.attach(bound.ioas)
    end = space.iova_ranges()[-1][1] + 1
    outside = [start for low, high in kept for start in (low, high + 1 - page) if low < end]
    for iova in (*outside, end, EVERYTHING + 1 - page):
        expect.refused(space.try_map(memory, iova, page), promised(rules.OUTSIDE))
    for iova in (kept[0][0] - page, kept[0][1] + 1 - page, end - page):
        expect.refused(space.try_map(memory, iova, 2 * page), promised(rules.OUTSIDE))
    space.map(memory, end - page, page)
    bound.cdev.detach()
    for iova in (*outside, end):
        space.map(memory, iova, page)


@checks(rules.IN_USE, cdev.ATTACHED_BUSY)
@pytest.mark.parametrize("how", ["first", "last", "allowed", "iova", "length", "address"])
def test_it_does_not_fit(
    bound: Bound, space: AddressSpace, kept: list[Span], memory: Memory, page: int, how: str,
    promised: Promised,
) -> None:  # fmt: skip
    """With what is mapped at an end of what it reserves, or allowed there, or not aligned.

    Neither from nowhere nor from another address space, which it stays attached to.
    """
    (low, high), iommufd, aligned = kept[0], bound.iommufd, 512
    where = {
        "first": (memory.at(), low, page), "last": (memory.at(), high + 1 - page, page),
        "iova": (memory.at(), IOVA + aligned, page), "length": (memory.at(), IOVA, aligned),
        "address": (memory.at(aligned), IOVA, page),
    }  # fmt: skip
    if how == "allowed":
        expect.accepted(iommufd.try_allow(space.ioas, memory, (0, page - 1), (high - 1, high)))
    else:
        space.map(*where[how])
    refusal = promised(rules.IN_USE)
    other = iommufd.alloc_ioas()
    for _ in range(2):
        expect.refused(bound.cdev.try_attach(space.ioas), refusal)
        expect.equal("ranges", space.iova_ranges(), ALL)
        bound.cdev.attach(other)
        expect.refused(bound.cdev.try_attach(space.ioas), refusal)
        expect.refused(iommufd.try_destroy(other), promised(cdev.ATTACHED_BUSY))
        bound.cdev.detach()
    if how == "allowed":
        expect.accepted(iommufd.try_allow(space.ioas, memory, (0, low - 1)))
    else:
        _, iova, size = where[how]
        expect.equal("bytes unmapped", space.unmapped(iova, size), size)
    bound.cdev.attach(space.ioas)


@checks(rules.ALLOW_OUTSIDE)
def test_what_cannot_be_allowed(
    bound: Bound, space: AddressSpace, kept: list[Span], memory: Memory, page: int,
    promised: Promised,
) -> None:  # fmt: skip
    """Nor can it with others before it; the kernel chooses among those of before."""
    low, high = kept[0]
    iommufd, own = bound.iommufd, (IOVA, IOVA + 3 * page - 1)
    expect.accepted(iommufd.try_allow(space.ioas, memory, own))
    bound.cdev.attach(space.ioas)
    found = set()
    for spans in ([(low, low + 1)], [(0, page - 1), (high, high + page)], [(0, EVERYTHING)]):
        call = iommufd.try_allow(space.ioas, memory, *spans)
        expect.refused(call, promised(rules.ALLOW_OUTSIDE))
        call = expect.accepted(iommufd.try_map_ioas(space.ioas, memory, 0, page, ANYWHERE))
        found.add(call.unpack(abi.iommu_ioas_map).iova)
    expect.equal("addresses", found, set(range(own[0], own[1], page)))
    expect.accepted(iommufd.try_allow(space.ioas, memory, (0, low - 1), (high + 1, high + page)))
