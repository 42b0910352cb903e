# SPDX-License-Identifier: MIT
"""The kernel's memory that mappings and groups take: what is left of it when they are gone."""

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.container import Container
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned, Group
from vfiospec.device.port import ForkedPort, Port
from vfiospec.rules import type1 as rules
from vfiospec.session.marks import checks
from vfiospec.session.slabs import Slabs

pytestmark = pytest.mark.usefixtures("machine")  # elsewhere others take and give memory
MAPPINGS, PROCESSES, GROUPS = 400, 60, 160


@checks(rules.NOTHING_KEPT)
def test_a_mapping_that_is_unmapped(v2: Container, base: int, buffer: Memory, page: int) -> None:
    """Of a page."""

    def mapped() -> None:
        v2.map(buffer, base, page)
        v2.unmapped(base, page)

    Slabs.small(v2.port).none_kept(mapped, MAPPINGS)


@checks(rules.NOTHING_KEPT)
@pytest.mark.parametrize("cache", ["task_struct", "mm_struct"])
def test_the_process_whose_mapping_was_unmapped(
    port: Port, v2: Container, base: int, buffer: Memory, page: int, cache: str
) -> None:
    """It is gone when it ends."""

    def mapped() -> None:
        process = port.handle()
        port.do(o.Fork(process))
        child = ForkedPort(port, process)
        there = v2.seen_by(child)
        there.map(buffer, base, page)
        there.unmapped(base, page)
        child.close()

    Slabs.of(port, [cache]).none_kept(mapped, PROCESSES)


@checks(rules.NOTHING_KEPT)
def test_a_second_group_that_left(v2: Container, second_group: int) -> None:
    """A container that goes on without it."""
    with Group.of(v2.port, second_group) as other:

        def joined() -> None:
            expect.accepted(other.try_set_container(v2))
            expect.accepted(other.try_unset_container())

        Slabs.small(v2.port).none_kept(joined, GROUPS)


@checks(rules.NOTHING_KEPT)
def test_the_last_group_that_left(
    port: Port, assigned2: Assigned, base: int, buffer: Memory, page: int
) -> None:
    """With all the IOMMU was for it, a mapping too."""
    container, group = assigned2.container, assigned2.group

    def used() -> None:
        container.map(buffer, base, page)
        expect.accepted(group.try_unset_container())
        expect.accepted(group.try_set_container(container))
        expect.accepted(container.try_set_iommu(vfio.VFIO_TYPE1v2_IOMMU))

    Slabs.small(port).none_kept(used, GROUPS)
