# SPDX-License-Identifier: MIT
"""Extended capabilities of every kind, made up where an emulated device lets us.

QEMU's e1000e has its serial number inside the room of its error log: an injected error with
prefixes writes its header anew. It may lead on to where config space is memory.
"""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.device.pci import PciDevice
from vfiospec.device.region import Region
from vfiospec.lab.bench import BenchDevice
from vfiospec.lab.qemu import Vm
from vfiospec.rules import config_space as rules
from vfiospec.rules import config_space_caps as caps
from vfiospec.rules.config_space_layout import Layout, layout, visible, walk_extended
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Body = dict[int, int]  # dwords of a capability by their offset in it
START, ROOM, VERSION = 0x150, 0x50, 1 << 16
PREFIXED = regs.PCI_ERR_UNC_ACSV  # QEMU logs prefixes if this bit is set where DEVCAP2 would be

FIXED: list[tuple[int, Body]] = [
    (kind, {})
    for kind in (
        regs.PCI_EXT_CAP_ID_ERR, regs.PCI_EXT_CAP_ID_DSN, regs.PCI_EXT_CAP_ID_PWR,
        regs.PCI_EXT_CAP_ID_ARI, regs.PCI_EXT_CAP_ID_ATS, regs.PCI_EXT_CAP_ID_SRIOV,
        regs.PCI_EXT_CAP_ID_MCAST, regs.PCI_EXT_CAP_ID_PRI, regs.PCI_EXT_CAP_ID_LTR,
    )
]  # fmt: skip
HIDDEN: list[tuple[int, Body]] = [
    (kind, {})
    for kind in (
        regs.PCI_EXT_CAP_ID_RCLD, regs.PCI_EXT_CAP_ID_RCILC, regs.PCI_EXT_CAP_ID_RCEC,
        regs.PCI_EXT_CAP_ID_RCRB, regs.PCI_EXT_CAP_ID_CAC, regs.PCI_EXT_CAP_ID_MRIOV,
        regs.PCI_EXT_CAP_ID_AMD_XXX, regs.PCI_EXT_CAP_ID_SECPCI, regs.PCI_EXT_CAP_ID_PMUX,
        regs.PCI_EXT_CAP_ID_PASID, regs.PCI_EXT_CAP_ID_L1SS, regs.PCI_EXT_CAP_ID_PTM,
        0x55, 0xFF, 0xFFFE,
    )
]  # fmt: skip
CHANNELS: list[tuple[int, Body]] = [
    (regs.PCI_EXT_CAP_ID_VC, {4: 0, 8: 0}),
    (regs.PCI_EXT_CAP_ID_VC, {4: 1, 8: regs.PCI_VC_CAP2_32_PHASE}),
    (regs.PCI_EXT_CAP_ID_VC, {4: 1 | ~regs.PCI_VC_CAP1_EVCC & 0xFFFFFFFF, 8: 0}),
    (regs.PCI_EXT_CAP_ID_MFVC, {4: 2, 8: 0}),
    (regs.PCI_EXT_CAP_ID_VC9, {4: 0, 8: regs.PCI_VC_CAP2_64_PHASE}),
    (regs.PCI_EXT_CAP_ID_VC9, {4: 0, 8: 7 * regs.PCI_VC_CAP2_32_PHASE}),
]
VARIABLE: list[tuple[int, Body]] = [
    (regs.PCI_EXT_CAP_ID_VNDR, {4: 0x1C << 20}),
    (regs.PCI_EXT_CAP_ID_ACS, {4: 0}),
    (regs.PCI_EXT_CAP_ID_ACS, {4: regs.PCI_ACS_EC | 8 << 8}),
    (regs.PCI_EXT_CAP_ID_ACS, {4: regs.PCI_ACS_EC | 32 << 8}),
    (regs.PCI_EXT_CAP_ID_ACS, {4: regs.PCI_ACS_EC | 33 << 8}),
    (regs.PCI_EXT_CAP_ID_ACS, {4: regs.PCI_ACS_EC}),
    (regs.PCI_EXT_CAP_ID_REBAR, {8: 2 << regs.PCI_REBAR_CTRL_NBAR_SHIFT}),
    (regs.PCI_EXT_CAP_ID_DPA, {4: 4}),
    (regs.PCI_EXT_CAP_ID_TPH, {4: 0}),
    (regs.PCI_EXT_CAP_ID_TPH, {4: regs.PCI_TPH_LOC_MSIX | 3 << regs.PCI_TPH_CAP_ST_SHIFT}),
    (regs.PCI_EXT_CAP_ID_TPH, {4: regs.PCI_TPH_LOC_CAP | 3 << regs.PCI_TPH_CAP_ST_SHIFT}),
]
CHAINS = {"fixed": FIXED, "hidden": HIDDEN, "channels": CHANNELS, "variable": VARIABLE}
chains = pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)


def _chain(what: list[tuple[int, Body]]) -> bytes:
    """The capabilities one behind the other, with bytes between them that belong to none."""
    data = b""
    for n, (kind, body) in enumerate(what):
        here = bytearray(b"\x69" * ROOM)
        following = START + (n + 1) * ROOM if n + 1 < len(what) else 0
        for at, value in ({0: kind | VERSION | following << 20} | body).items():
            here[at : at + 4] = value.to_bytes(4, "little")
        data += here
    return data


def _swapped(word: int) -> int:
    """The log is in the order of the wire."""
    return int.from_bytes(word.to_bytes(4, "little"), "big")


Craft = Callable[[list[tuple[int, Body]]], bytes]


@pytest.fixture
def craft(
    closed: int,  # noqa: ARG001 -- the list is read at the first open
    hardware: Region,
    machine: Vm,
    spec: BenchDevice,
    pci: PciDevice,
) -> Iterator[Craft]:
    """Makes the device have these capabilities behind its first; returns its config space."""
    at = pci.extended_capabilities.get(regs.PCI_EXT_CAP_ID_DSN, 0)
    before = hardware.try_read(0, int(hardware.info.size)).data

    def header(first: int, second: int) -> bool:
        log = "0 0 0 0 0 0 " + " ".join(f"{_swapped(word):#x}" for word in (first, second))
        for _ in range(2):  # the bit that lets prefixes be logged is set after the log is written
            machine.hmp(f"pcie_aer_inject_error {spec.name} {PREFIXED:#x} {log}")
        status = pci.extended_capabilities[regs.PCI_EXT_CAP_ID_ERR] + regs.PCI_ERR_UNCOR_STATUS
        hardware.write(status, 4, PREFIXED)
        return at > 0 and hardware.read(at, 4) == first

    def make(what: list[tuple[int, Body]]) -> bytes:
        # What this leads on from is of a kind that nobody knows.
        if not header(0xFFFF | VERSION | START << 20, 0):
            pytest.skip("no list that can be led on: judge QEMU's e1000e behind a port")
        hardware.try_write(START, _chain(what))
        return hardware.try_read(0, len(before)).data

    yield make
    header(pci.u32(at), pci.u32(at + 4))
    now = hardware.try_read(0, len(before)).data
    for i in range(START, len(before)):
        if now[i] != before[i]:
            hardware.write(i, 1, before[i])


@checks(caps.EXTENDED_LIST, rules.FIRST_OPEN)
@devices("aer")
@chains
def test_the_list_is_of_what_is_known(
    craft: Craft, fresh: Callable[[], Region], hardware: Region, chain: list[tuple[int, Body]]
) -> None:
    """The unknown are skipped, the others stay in order, and all else is as it is."""
    config = craft(chain)
    space = fresh()
    shown = space.try_read(0, len(config)).data
    made = layout(config)
    found = [f"{kind:#x} at {at:#x}" for kind, at in walk_extended(shown)]
    expect.equal("extended list", found, [f"{kind:#x} at {at:#x}" for kind, at in made.extended])
    expected = visible(hardware.try_read(0, len(config)).data)[regs.PCI_CFG_SPACE_SIZE :]
    _compare("as the user sees it", made, shown[regs.PCI_CFG_SPACE_SIZE :], expected)


@checks(rules.READ_ONLY, rules.THROUGH, rules.UNASSIGNED, caps.EXTENDED_REGISTERS)
@devices("aer")
@chains
@pytest.mark.parametrize("fill", [0xFF, 0x00, 0x96], ids="write-{:#04x}".format)
def test_what_is_written_goes_where_it_may(
    craft: Craft,
    fresh: Callable[[], Region],
    hardware: Region,
    chain: list[tuple[int, Body]],
    fill: int,
) -> None:
    """Bit by bit of each register: all of this is memory, so nothing hides behind the device."""
    made = layout(craft(chain))
    space = fresh()
    before = hardware.try_read(START, len(chain) * ROOM).data
    shown = space.try_read(START, len(before)).data
    expect.accepted(space.try_write(START, bytes([fill]) * len(before)), len(before))
    at = slice(START, START + len(before))
    held = made.kept[at]
    masks = zip(made.writable[at], held, made.raw[at], strict=True)
    reach = bytes(w & (~k | r) for w, k, r in masks)
    real = bytes(b & ~r | fill & r for b, r in zip(before, reach, strict=True))
    _compare("in the device", made, hardware.try_read(START, len(real)).data, real, START)
    seen = bytes(r & ~k | s & k for r, s, k in zip(real, shown, held, strict=True))
    _compare("as the user sees it", made, space.try_read(START, len(seen)).data, seen, START)


@checks(caps.DVSEC)
@devices("aer")
def test_designated_vendor_specific_ones(
    craft: Craft,
    fresh: Callable[[], Region],
    hardware: Region,
    promised: Callable[[Rule], int],
) -> None:
    """In the list or not, what is written to their body reaches the device."""
    kind, size = regs.PCI_EXT_CAP_ID_DVSEC, 0x18
    config = craft([(kind, {4: size << 20}), (regs.PCI_EXT_CAP_ID_LTR, {})])
    space = fresh()
    shown = [k for k, _ in walk_extended(space.try_read(0, len(config)).data)]
    expect.equal("in the list", int(kind in shown), promised(caps.DVSEC))
    for at, width in ((START + 4, 4), (START + size - 4, 4), (START + size, 1)):
        value = hardware.read(at, width) ^ 0x5A
        space.write(at, width, value)
        expect.equal(f"byte {at:#x} of the device", hardware.read(at, width), value)
    header = hardware.read(START, 4) ^ 0xFF
    before = space.read(START, 4)
    space.write(START, 4, header)
    expect.equal("header of the device", hardware.read(START, 4), header)
    expected = before if promised(caps.DVSEC) else header
    expect.equal("header as the user sees it", space.read(START, 4), expected)


def _compare(
    what: str, made: Layout, actual: bytes, expected: bytes, start: int = regs.PCI_CFG_SPACE_SIZE
) -> None:
    for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
        expect.equal(f"{what}: {made.name(start + i)}", f"{a:#04x}", f"{e:#04x}")
