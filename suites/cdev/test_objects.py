# SPDX-License-Identifier: MIT
"""Objects of the iommufd that take a device: page tables of one's own, what the IOMMU is."""

from collections.abc import Callable
from errno import ENOENT

import pytest

from vfiospec import expect
from vfiospec.abi import iommufd_hwpt as hwpt
from vfiospec.device.call import Call
from vfiospec.device.cdev import Bound, Cdev
from vfiospec.device.files import Memory
from vfiospec.device.iommufd import Iommufd, pinned_bytes
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import cdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
IOVA = 0x100000
VTD = hwpt.iommu_hw_info_vtd


@checks(rules.OWN_TABLE, rules.ATTACHED_BUSY, rules.REPLACE)
def test_a_page_table_of_ones_own(bound: Bound, promised: Promised) -> None:
    """Attached by its id or moved to; only the user's destroying it ends it."""
    cdev, iommufd = bound.cdev, bound.iommufd
    made = cdev.attach(bound.ioas)
    tables = [iommufd.alloc_page_table(bound.devid, bound.ioas) for _ in range(2)]
    expect.equal("ids", len({made, bound.ioas, bound.devid, 0, *tables}), 6)
    for table in (*tables, tables[0]):
        expect.equal("page table", cdev.attach(table), table)
        expect.refused(iommufd.try_destroy(table), promised(rules.ATTACHED_BUSY))
    expect.refused(iommufd.try_destroy(made), promised(rules.GONE))
    cdev.detach()
    expect.refused(iommufd.try_destroy(bound.ioas), promised(rules.ATTACHED_BUSY))
    cdev.attach(tables[1])
    expect.accepted(iommufd.try_destroy(tables[0]))
    cdev.close()
    expect.accepted(iommufd.try_destroy(tables[1]))
    expect.accepted(iommufd.try_destroy(bound.ioas))


@checks(rules.RELEASED, rules.BIND_OUT)
@pytest.mark.parametrize("refused", ["nothing", "address", "twice"])
def test_nothing_is_left(
    cdev: Cdev, iommufd: Iommufd, port: Port, refused: str, page: int,
    bind_at: Callable[[Cdev, Iommufd], Call], promised: Promised,
) -> None:  # fmt: skip
    """Pages in a page table that only the end of the iommufd destroys."""
    with Memory(port, 4 * page) as pinned:
        before = pinned_bytes(port)
        if refused == "address":
            expect.refused(bind_at(cdev, iommufd), promised(rules.BIND_OUT))
        devid, ioas = cdev.bind(iommufd), iommufd.alloc_ioas()
        if refused == "twice":
            expect.refused(cdev.try_bind(iommufd), promised(rules.BIND_TWICE))
        iommufd.alloc_page_table(devid, ioas)
        expect.accepted(iommufd.try_map_ioas(ioas, pinned, IOVA, pinned.size))
        expect.equal("pinned", pinned_bytes(port), before + pinned.size)
        cdev.close()
        expect.equal("pinned without the device", pinned_bytes(port), before + pinned.size)
        iommufd.close()
        expect.equal("pinned at the end", pinned_bytes(port), before)


@checks(rules.HW_INFO)
def test_what_the_iommu_is(
    bound: Bound, sysfs: PortSysfs, spec: BenchDevice, memory: Memory
) -> None:
    """On an Intel machine the registers sysfs shows; more room is zeroed, less is respected."""
    folder = f"{SYSFS}/{spec.bdf}/iommu/intel-iommu"
    if not sysfs.exists(folder):
        pytest.skip("no Intel IOMMU: what another tells is not known here")
    whole, room = VTD.sizeof(), 64
    for size in (0, 8, whole, room):
        memory.write(0, b"\xa5" * 2 * room)
        call = expect.accepted(bound.iommufd.try_get_hw_info(bound.devid, memory, size))
        info = call.unpack(hwpt.iommu_hw_info)
        expect.equal("type", info.out_data_type, hwpt.IOMMU_HW_INFO_TYPE_INTEL_VTD)
        expect.equal("bytes there are", info.data_len, whole)
        expect.equal("bytes behind", memory.read(size, room), b"\xa5" * room)
        if size > whole:
            expect.equal("zeros", memory.read(whole, size - whole), bytes(size - whole))
    data = VTD.unpack(memory.read(0, whole))
    expect.equal("capabilities", data.cap_reg, int(sysfs.read(f"{folder}/cap"), 16))
    expect.equal("more of them", data.ecap_reg, int(sysfs.read(f"{folder}/ecap"), 16))


@checks(rules.HW_INFO, rules.GONE)
def test_only_of_devices(bound: Bound, promised: Promised) -> None:
    """Neither of an address space, nor of what is not there or no longer."""
    assert promised(rules.GONE) == ENOENT
    for number in (0, bound.ioas, 1 << 20):
        expect.refused(bound.iommufd.try_get_hw_info(number), promised(rules.GONE))
    bound.cdev.close()
    expect.refused(bound.iommufd.try_get_hw_info(bound.devid), promised(rules.GONE))
