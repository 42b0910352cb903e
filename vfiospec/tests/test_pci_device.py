# SPDX-License-Identifier: MIT
"""A PCI device as sysfs shows it: capabilities, BARs and roles, from made-up files."""

from errno import ENOENT

import pytest

from vfiospec.abi import pci
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.device.pci import ROM, Bar, PciDevice
from vfiospec.tests.made_up_port import MadeUpPort

BDF = "0000:00:14.0"
NONE = "0x0000000000000000 0x0000000000000000 0x0000000000000000"
MEM32 = "0x00000000feb40000 0x00000000feb5ffff 0x0000000000040200"
MEM64 = "0x0000000800000000 0x0000000800003fff 0x0000000000140204"
SUBPAGE = "0x00000000feb91000 0x00000000feb910ff 0x0000000000040200"
PORTS = "0x000000000000c000 0x000000000000c01f 0x0000000000040101"
ROM_BAR = "0x00000000feb00000 0x00000000feb3ffff 0x0000000000046200"


class Config(bytearray):
    """Config space under construction."""

    def put(self, offset: int, size: int, value: int) -> "Config":
        self[offset : offset + size] = value.to_bytes(size, "little")
        return self

    def capability(self, offset: int, number: int, following: int = 0) -> "Config":
        """A capability, and the status bit that says there are some."""
        self.put(pci.PCI_STATUS, 2, pci.PCI_STATUS_CAP_LIST)
        return self.put(offset, 1, number).put(offset + 1, 1, following)

    def extended(self, offset: int, number: int, following: int = 0) -> "Config":
        return self.put(offset, 4, following << 20 | 1 << 16 | number)


def config(first: int = 0x40, size: int = 4096) -> Config:
    """A device's config space, its list of capabilities beginning at `first`."""
    empty = Config(size).put(pci.PCI_VENDOR_ID, 2, 0x8086).put(pci.PCI_DEVICE_ID, 2, 0x10D3)
    return empty.put(pci.PCI_CAPABILITY_LIST, 1, first)


def device(
    space: bytearray,
    *lines: str,
    group: str | None = "../../kernel/iommu_groups/12",
    behind: str = "",
) -> PciDevice:
    """The device with this config space, these BARs, then none; its ROM comes last of seven."""
    text = "\n".join([*lines, *[NONE] * (13 - len(lines))]) + "\n"
    files = {"config": bytes(space), "resource": text.encode()}

    def answer(op: AnyOp) -> Reply:
        assert isinstance(op, o.ReadFile | o.ReadLink)
        folder, _, name = op.path.rpartition("/")
        if name == BDF:
            return Reply(0, 0, f"../../../devices/pci0000:00/{behind}{BDF}".encode())
        assert folder == f"/sys/bus/pci/devices/{BDF}"
        if isinstance(op, o.ReadLink):
            return Reply(0, 0, group.encode()) if group else Reply(-1, ENOENT)
        return Reply(0, 0, files[name][: op.limit])

    return PciDevice(MadeUpPort(answer), BDF)


def test_what_lies_in_the_header() -> None:
    made = device(config().put(pci.PCI_INTERRUPT_PIN, 1, 2))
    assert made.ids == (0x8086, 0x10D3)
    assert made.interrupt_pin == 2
    assert (made.u8(0), made.u16(0), made.u32(0)) == (0x86, 0x8086, 0x10D38086)
    assert made.group == 12


def test_a_device_behind_a_bridge() -> None:
    """Its folder lies in the bridge's; on a root bus it lies in the host bridge's."""
    assert "below-bridge" not in device(config()).roles()
    assert "below-bridge" in device(config(), behind="0000:00:1c.0/").roles()
    assert "below-bridge" in device(config(), behind="0000:00:1c.0/0000:01:00.0/").roles()


def test_a_device_without_an_iommu_has_no_group() -> None:
    assert device(config(), group=None).group is None


def test_no_such_device_is_an_error() -> None:
    with pytest.raises(OSError, match=f"no PCI device {BDF}") as caught:
        PciDevice(MadeUpPort(lambda _: Reply(-1, ENOENT)), BDF)
    assert caught.value.errno == ENOENT


def test_capabilities_are_found_in_the_chain() -> None:
    """The first of each id; the two low bits of a pointer are reserved."""
    space = config(0x41).capability(0x40, pci.PCI_CAP_ID_PM, 0x52)
    space.capability(0x50, pci.PCI_CAP_ID_MSI, 0xF0).capability(0xF0, pci.PCI_CAP_ID_PM)
    assert device(space).capabilities == {pci.PCI_CAP_ID_PM: 0x40, pci.PCI_CAP_ID_MSI: 0x50}


def test_without_the_status_bit_there_are_none() -> None:
    space = config().capability(0x40, pci.PCI_CAP_ID_PM).put(pci.PCI_STATUS, 2, 0)
    assert device(space).capabilities == {}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("following", [0x40, 0x50, 0x3C, 0x04])
def test_a_chain_that_loops_or_leaves_ends(following: int) -> None:
    """Back to the first, to itself, or into the header."""
    space = config().capability(0x40, pci.PCI_CAP_ID_PM, 0x50)
    space.capability(0x50, pci.PCI_CAP_ID_MSI, following)
    assert device(space).capabilities == {pci.PCI_CAP_ID_PM: 0x40, pci.PCI_CAP_ID_MSI: 0x50}


def test_a_chain_ends_where_config_space_was_hidden() -> None:
    """Only root reads past the first 64 bytes."""
    space = config().capability(0x40, pci.PCI_CAP_ID_MSI)
    assert device(space[:64]).capabilities == {}
    assert device(space[:64]).extended_capabilities == {}
    assert device(space[:256]).extended_capabilities == {}


def test_extended_capabilities_are_found_behind_one_of_the_same_id() -> None:
    """Devices have several vendor-specific ones; what follows the second is there too."""
    space = config().extended(0x100, 0x0B, 0x140).extended(0x140, 0x0B, 0x200)
    space.extended(0x200, pci.PCI_EXT_CAP_ID_SRIOV)
    assert device(space).extended_capabilities == {0x0B: 0x100, pci.PCI_EXT_CAP_ID_SRIOV: 0x200}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("following", [0x100, 0x140, 0x004, 0xFFF])
def test_an_extended_chain_that_loops_or_leaves_ends(following: int) -> None:
    """Back to the first, to itself, into the lower 256 bytes, and to the last, which is empty."""
    space = config().put(4, 4, 0xABCD).extended(0x100, 1, 0x140).extended(0x140, 3, following)
    assert device(space).extended_capabilities == {1: 0x100, 3: 0x140}


def test_bars_are_as_sysfs_has_them() -> None:
    made = device(config(), MEM32, PORTS, MEM64, NONE, SUBPAGE, NONE, ROM_BAR, MEM32)
    assert len(made.bars) == ROM + 1
    assert [bar.size for bar in made.bars] == [0x20000, 0x20, 0x4000, 0, 0x100, 0, 0x40000]
    assert made.bars[0] == Bar(0xFEB40000, 0x20000, 0x40200)
    assert [bar.is_memory for bar in made.bars] == [True, False, True, False, True, False, True]
    assert [bar.is_io for bar in made.bars] == [False, True] + [False] * 5
    assert [bar.is_64bit for bar in made.bars] == [False] * 2 + [True] + [False] * 4


def msi(flags: int) -> Config:
    return config().capability(0x40, pci.PCI_CAP_ID_MSI).put(0x40 + pci.PCI_MSI_FLAGS, 2, flags)


def test_vectors() -> None:
    """MSI has a power of two, in bits 1 to 3; MSI-X has one more than its size says."""
    assert [device(msi(n << 1 | 0xFF80)).msi_vectors for n in range(6)] == [1, 2, 4, 8, 16, 32]
    space = config().capability(0x40, pci.PCI_CAP_ID_MSIX)
    space.put(0x40 + pci.PCI_MSIX_FLAGS, 2, 0xC004).put(0x40 + pci.PCI_MSIX_TABLE, 4, 0x2003)
    space.put(0x40 + pci.PCI_MSIX_PBA, 4, 0x3004)
    made = device(space)
    assert (made.msix_vectors, made.msix_bars) == (5, {3})
    bare = device(config())
    assert (bare.msi_vectors, bare.msix_vectors, bare.msix_bars) == (0, 0, set())


def pcie(flags: int = 0) -> Config:
    space = config().capability(0x40, pci.PCI_CAP_ID_EXP)
    return space.put(0x40 + pci.PCI_EXP_DEVCAP, 4, flags)


def advanced(flags: int) -> Config:
    return config().capability(0x40, pci.PCI_CAP_ID_AF).put(0x40 + pci.PCI_AF_CAP, 1, flags)


@pytest.mark.parametrize(
    ("made", "roles"),
    [
        (device(config()), {"conventional"}),
        (device(pcie()), {"pcie"}),
        (device(pcie(pci.PCI_EXP_DEVCAP_FLR)), {"pcie", "flr"}),
        (device(advanced(pci.PCI_AF_CAP_FLR)), {"conventional", "flr"}),
        (device(advanced(pci.PCI_AF_CAP_TP)), {"conventional"}),
        (device(config().put(pci.PCI_INTERRUPT_PIN, 1, 1)), {"conventional", "intx"}),
        (device(msi(0)), {"conventional", "msi"}),
        (device(msi(2)), {"conventional", "msi", "multivector-msi"}),
        (device(config().capability(0x40, pci.PCI_CAP_ID_PM)), {"conventional", "pm"}),
        (device(config().capability(0x40, pci.PCI_CAP_ID_MSIX)), {"conventional", "msix"}),
        (device(config(), PORTS), {"conventional", "io-bar"}),
        (device(config(), MEM64), {"conventional", "bar64"}),
        (device(config(), MEM32, SUBPAGE), {"conventional", "subpage"}),
        (device(config(), *[NONE] * ROM, ROM_BAR), {"conventional", "rom"}),
        (device(config().put(pci.PCI_CLASS_DEVICE, 2, 0x0300)), {"conventional", "vga"}),
        (device(config().put(pci.PCI_CLASS_DEVICE, 2, 0x0380)), {"conventional"}),
        (device(pcie().extended(0x100, pci.PCI_EXT_CAP_ID_SRIOV)), {"pcie", "sriov"}),
    ],
)
def test_roles_are_read_off(made: PciDevice, roles: set[str]) -> None:
    """Each role by the one thing that gives it; a ROM or ports of few bytes are no sub-page BAR."""
    assert made.roles() == roles
