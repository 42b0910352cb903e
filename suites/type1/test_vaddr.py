# SPDX-License-Identifier: MIT
"""The update of a mapping's address: for a program that hands its devices to a new process."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.container import READ_WRITE, Container, locked_bytes
from vfiospec.device.files import Memory
from vfiospec.device.group import Group
from vfiospec.rules import type1 as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

VADDR, ALL = iommu.VFIO_DMA_UNMAP_FLAG_VADDR, iommu.VFIO_DMA_UNMAP_FLAG_ALL
NEW = iommu.VFIO_DMA_MAP_FLAG_VADDR
Promised = Callable[[Rule], int]

with_update = pytest.mark.usefixtures("update_vaddr")


def still_valid(container: Container, iova: int, size: int) -> None:
    """No new address is accepted for what has one."""
    expect.refused(container.try_map(0, iova, size, NEW), rules.VADDR_MISMATCH.answers[0].value)


@checks(rules.VADDR_FLAGS)
@pytest.mark.parametrize("direction", [1, 2, READ_WRITE], ids="direction-{}".format)
def test_a_direction_with_it_is_refused(
    two: Container, base: int, buffer: Memory, page: int, direction: int, promised: Promised
) -> None:
    """The protection stays what it was."""
    call = two.try_map(buffer, base, 4 * page, NEW | direction)
    expect.refused(call, promised(rules.VADDR_FLAGS))


@checks(rules.VADDR_ABSENT)
def test_what_is_not_mapped_has_no_address(
    two: Container, base: int, buffer: Memory, page: int, promised: Promised
) -> None:
    """In the hole, and behind; and nothing is mapped by it."""
    for first in (4, 9):
        call = two.try_map(buffer, base + first * page, 2 * page, NEW)
        expect.refused(call, promised(rules.VADDR_ABSENT))
    expect.equal("bytes mapped", two.unmapped(base, 16 * page), 7 * page)


@checks(rules.VADDR_MISMATCH)
def test_a_valid_address_is_not_replaced(
    two: Container, base: int, buffer: Memory, page: int, promised: Promised
) -> None:
    """It must be invalid before."""
    expect.refused(two.try_map(buffer, base, 4 * page, NEW), promised(rules.VADDR_MISMATCH))


@checks(rules.VADDR_MISMATCH, rules.VADDR_RESTORED)
@with_update
@pytest.mark.parametrize("change", ["start", "end", "longer", "both", "before", "page"])
def test_another_range_than_the_mappings_is_refused(
    two: Container, base: int, buffer: Memory, page: int, change: str, promised: Promised
) -> None:
    """Longer or shorter, at either end; then the right one is accepted."""
    two.unmapped(base, 16 * page, VADDR)
    first, count = {
        "start": (7, 2), "end": (6, 2), "longer": (6, 4), "both": (5, 5), "before": (5, 4),
        "page": (7, 1),
    }[change]  # fmt: skip
    call = two.try_map(buffer, base + first * page, count * page, NEW)
    expect.refused(call, promised(rules.VADDR_MISMATCH))
    right = two.try_map(buffer.at(4 * page), base + 6 * page, 3 * page, NEW)
    expect.accepted(right, promised(rules.VADDR_RESTORED))


@checks(rules.VADDR_INVALIDATED)
def test_a_kernel_with_the_flag_marks_and_unmaps_nothing(
    two: Container, base: int, page: int, promised: Promised, locked: Callable[[], int]
) -> None:
    """It says how much it was, as if it had been unmapped."""
    call, wanted = two.try_unmap(base, 16 * page, VADDR), promised(rules.VADDR_INVALIDATED)
    if wanted:
        expect.refused(call, wanted)
    else:
        got = expect.accepted(call).unpack(iommu.vfio_iommu_type1_dma_unmap)
        expect.equal("bytes", got.size, 7 * page)
    expect.equal("bytes locked", locked(), 0)
    expect.equal("bytes still mapped", two.unmapped(base, 16 * page), 7 * page)
    expect.equal("bytes given back", locked(), -7 * page)


@checks(rules.VADDR_INVALIDATED, rules.VADDR_RESTORED)
@with_update
def test_all_invalidates_everything(
    two: Container, base: int, buffer: Memory, page: int, promised: Promised
) -> None:
    """ALL and VADDR together."""
    expect.equal("bytes", two.unmapped(0, 0, VADDR | ALL), 7 * page)
    wanted = promised(rules.VADDR_RESTORED)
    expect.accepted(two.try_map(buffer, base, 4 * page, NEW), wanted)
    call = two.try_map(buffer.at(4 * page), base + 6 * page, 3 * page, NEW)
    expect.accepted(call, wanted)
    expect.refused(two.try_unmap(base, 0, VADDR | ALL), promised(rules.UNMAP_ALL_RANGE))


@checks(rules.VADDR_INVALIDATED)
@with_update
@pytest.mark.parametrize(("first", "count"), [(0, 3), (1, 3), (0, 7), (3, 6)])
def test_a_range_that_cuts_a_mapping_is_refused(
    two: Container, base: int, page: int, first: int, count: int, promised: Promised
) -> None:
    """As it is to unmap, and both are as valid as before."""
    call = two.try_unmap(base + first * page, count * page, VADDR)
    expect.refused(call, promised(rules.UNMAP_BISECT))
    still_valid(two, base, 4 * page)
    still_valid(two, base + 6 * page, 3 * page)


@checks(rules.VADDR_INVALIDATED)
@with_update
def test_where_nothing_is_mapped_it_is_none(two: Container, base: int, page: int) -> None:
    """In the hole."""
    expect.equal("bytes", two.unmapped(base + 4 * page, 2 * page, VADDR), 0)
    still_valid(two, base, 4 * page)


@checks(rules.VADDR_TWICE, rules.VADDR_RESTORED)
@with_update
@pytest.mark.parametrize("first", [0, 6], ids="page-{}".format)
def test_what_is_invalid_already_is_refused_and_the_rest_stays_valid(
    two: Container, base: int, buffer: Memory, page: int, first: int, promised: Promised
) -> None:
    """Whichever of the two comes first."""
    sizes = {0: 4 * page, 6: 3 * page}
    other = 6 - first
    two.unmapped(base + first * page, sizes[first], VADDR)
    call = two.try_unmap(base, 16 * page, VADDR)
    expect.refused(call, promised(rules.VADDR_TWICE))
    still_valid(two, base + other * page, sizes[other])
    again = two.try_unmap(base + first * page, sizes[first], VADDR)
    expect.refused(again, promised(rules.VADDR_TWICE))
    right = two.try_map(buffer, base + first * page, sizes[first], NEW)
    expect.accepted(right, promised(rules.VADDR_RESTORED))


@checks(rules.VADDR_RESTORED)
@with_update
def test_an_address_is_restored_once(
    two: Container, base: int, buffer: Memory, page: int, promised: Promised
) -> None:
    """Then it can be invalidated anew; memory counts as before."""
    before = locked_bytes(two.port)
    for _ in range(2):
        expect.equal("bytes", two.unmapped(base, 4 * page, VADDR), 4 * page)
        right = two.try_map(buffer, base, 4 * page, NEW)
        expect.accepted(right, promised(rules.VADDR_RESTORED))
        still_valid(two, base, 4 * page)
    expect.equal("bytes locked", locked_bytes(two.port), before)


@checks(rules.ATTACH_WHILE_INVALID)
@with_update
@pytest.mark.parametrize("how", ["restored", "unmapped", "refused", "twice"])
def test_no_group_joins_while_an_address_is_invalid(
    two: Container,
    base: int,
    buffer: Memory,
    page: int,
    second_group: int,
    how: str,
    promised: Promised,
) -> None:
    """One does once the last invalid address is restored or unmapped."""
    wanted = promised(rules.ATTACH_WHILE_INVALID)
    two.unmapped(base, 4 * page, VADDR)
    if how != "refused":
        two.unmapped(base + 6 * page, 3 * page, VADDR)
    with Group.of(two.port, second_group) as other:
        expect.refused(other.try_set_container(two), wanted)
        if how == "restored":
            expect.accepted(two.try_map(buffer, base, 4 * page, NEW))
            expect.refused(other.try_set_container(two), wanted)
            expect.accepted(two.try_map(buffer, base + 6 * page, 3 * page, NEW))
        elif how == "unmapped":
            expect.equal("bytes", two.unmapped(base, 4 * page), 4 * page)
            expect.refused(other.try_set_container(two), wanted)
            expect.equal("bytes", two.unmapped(base, 16 * page), 3 * page)
        else:
            expect.refused(two.try_unmap(base, 16 * page, VADDR), promised(rules.VADDR_TWICE))
            expect.refused(other.try_set_container(two), wanted)
            expect.equal("bytes", two.unmapped(0, 0, ALL), 7 * page)
        expect.accepted(other.try_set_container(two))


@checks(rules.ATTACH_WHILE_INVALID, rules.VADDR_TWICE)
@with_update
@pytest.mark.parametrize("first", [0, 6], ids="page-{}".format)
def test_a_call_that_was_refused_keeps_no_group_out(
    two: Container,
    base: int,
    buffer: Memory,
    page: int,
    second_group: int,
    first: int,
    promised: Promised,
) -> None:
    """What it had marked when it came to an invalid address is valid again."""
    sizes = {0: 4 * page, 6: 3 * page}
    two.unmapped(base + first * page, sizes[first], VADDR)
    for _ in range(2):
        expect.refused(two.try_unmap(base, 16 * page, VADDR), promised(rules.VADDR_TWICE))
    with Group.of(two.port, second_group) as other:
        wanted = promised(rules.ATTACH_WHILE_INVALID)
        expect.refused(other.try_set_container(two), wanted)
        expect.accepted(two.try_map(buffer, base + first * page, sizes[first], NEW))
        expect.accepted(other.try_set_container(two))
