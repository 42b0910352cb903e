# SPDX-License-Identifier: MIT
"""Config space of a virtual function: what its own registers lack is made up."""

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.files import File
from vfiospec.device.group import Assigned
from vfiospec.device.pci import ROM, SYSFS, PciDevice
from vfiospec.device.port import Port
from vfiospec.device.region import Region
from vfiospec.device.sriov import first_vf, set_numvfs
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import config_space as rules
from vfiospec.rules import config_space_caps as caps
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

ENABLE = "/sys/module/vfio_pci/parameters/enable_sriov"
TOKEN = UUID("9f3ce5a0-43a8-4a38-8c7b-5d3f6f2d1e07")
CONFIG = vfio.VFIO_PCI_CONFIG_REGION_INDEX
VIRTUAL = 0xFFFF  # what a virtual function has in place of ids
ONES = 0xFFFFFFFF


@pytest.fixture
def vf(
    port: Port, sysfs: PortSysfs, closed: int, spec: BenchDevice, request: pytest.FixtureRequest
) -> Iterator[tuple[str, Assigned, str]]:
    """A virtual function: its address, its group, and how its name is to be given."""
    request.getfixturevalue("machine")  # on other machines nobody knows what hangs on a VF
    if not sysfs.exists(ENABLE):
        pytest.skip("vfio-pci cannot make VFs: needs CONFIG_PCI_IOV")
    allowed = sysfs.read(ENABLE).strip()
    sysfs.write(ENABLE, "Y")
    parent = Assigned(port, closed)
    physical = parent.open(spec.bdf)
    groups = []
    try:
        expect.accepted(physical.try_set_vf_token(TOKEN))
        made = set_numvfs(port, spec.bdf, 1)
        expect.holds(made.ok, "a VF", f"errno {made.errno}")
        bdf = first_vf(port, spec.bdf)
        groups.append(Assigned(port, PciDevice(port, bdf).group or 0))
        yield bdf, groups[0], f"{bdf} vf_token={TOKEN}"
    finally:
        for group in groups:
            group.close()
        set_numvfs(port, spec.bdf, 0)
        physical.close()
        parent.close()
        sysfs.write(ENABLE, allowed)


@checks(caps.VF_IDS, caps.VF_MEMORY)
@devices("sriov")
def test_ids_pin_and_memory_enable_are_made_up(
    port: Port,
    sysfs: PortSysfs,
    vf: tuple[str, Assigned, str],
    promised: Callable[[Rule], int],
) -> None:
    """Though the function itself has none of them; and it can be reached whatever the bit says."""
    bdf, group, name = vf
    memory = promised(caps.VF_MEMORY)
    with group.open(name) as device, File.open(port, f"{SYSFS}/{bdf}/config") as config:
        hardware = Region(config, CONFIG, vfio.vfio_region_info(index=CONFIG))
        space = device.region(CONFIG)
        for at, file in ((regs.PCI_VENDOR_ID, "vendor"), (regs.PCI_DEVICE_ID, "device")):
            expected = int(sysfs.read(f"{SYSFS}/{bdf}/{file}"), 16)
            expect.equal(file, space.read(at, 2), expected)
            expect.equal(f"{file} of the function itself", hardware.read(at, 2), VIRTUAL)
        expect.equal("interrupt pin", space.read(regs.PCI_INTERRUPT_PIN, 1), 0)
        bar = device.region(0)
        first = bar.read(0, 4)
        expect.equal("memory enable", space.read(regs.PCI_COMMAND, 2) & memory, memory)
        for width in (1, 2, 4):
            for value in (0, memory):
                space.write(regs.PCI_COMMAND, width, value)
                shown = space.read(regs.PCI_COMMAND, width) & memory
                expect.equal(f"memory enable after {value}", shown, value)
                expect.equal("first register", bar.read(0, 4), first)


@checks(rules.BAR_SIZING, rules.BAR_VIRTUAL, rules.BAR_ABSENT)
@devices("sriov")
def test_bars_are_made_up(
    port: Port,
    vf: tuple[str, Assigned, str],
    sized: Callable[[PciDevice, int, int], int],
) -> None:
    """Each is sized and keeps an address, as another function's; its own registers are empty."""
    bdf, group, name = vf
    pci = PciDevice(port, bdf)
    expect.holds(any(bar.start for bar in pci.bars[:ROM]), "a BAR", "none")
    with group.open(name) as device, File.open(port, f"{SYSFS}/{bdf}/config") as config:
        hardware = Region(config, CONFIG, vfio.vfio_region_info(index=CONFIG))
        space = device.region(CONFIG)
        for index in range(regs.PCI_STD_NUM_BARS):
            at = regs.PCI_BASE_ADDRESS_0 + 4 * index
            for value in (ONES, 0, 0x12345678):
                space.write(at, 4, value)
                shown = sized(pci, index, value)
                expect.equal(f"BAR {index} after {value:#x}", space.read(at, 4), shown)
            expect.equal(f"BAR {index} of the function itself", hardware.read(at, 4), 0)
