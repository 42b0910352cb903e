# SPDX-License-Identifier: MIT
"""A PCI device as the kernel's PCI core shows it in sysfs: what VFIO's answers are held against."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from vfiospec.abi import pci
from vfiospec.device import ops as o
from vfiospec.device.port import Port

SYSFS = "/sys/bus/pci/devices"
IORESOURCE_IO, IORESOURCE_MEM = 0x100, 0x200  # include/linux/ioport.h
IORESOURCE_PREFETCH, IORESOURCE_MEM_64 = 0x2000, 0x100000
ROM = 6  # index of the ROM in `resource`, after six BARs
CLASS_DISPLAY_VGA = 0x0300  # include/linux/pci_ids.h, PCI_CLASS_DISPLAY_VGA
_MAX_CAPS = 48  # capabilities that fit into 192 bytes
_HEADER = 64
# A device in sysfs whose folder lies in that of another device, not of a host bridge.
_BEHIND_DEVICE = re.compile(r"/[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]/[^/]+$")


@dataclass(frozen=True)
class Bar:
    """One line of sysfs `resource`: a BAR or the ROM, as assigned to the device."""

    start: int
    size: int
    flags: int

    @property
    def is_memory(self) -> bool:
        """Memory space."""
        return bool(self.flags & IORESOURCE_MEM)

    @property
    def is_io(self) -> bool:
        """I/O port space."""
        return bool(self.flags & IORESOURCE_IO)

    @property
    def is_64bit(self) -> bool:
        """Takes the next BAR register too."""
        return bool(self.flags & IORESOURCE_MEM_64)


class PciDevice:
    """What sysfs says of a device, read once."""

    def __init__(self, port: Port, bdf: str) -> None:
        """Read `config` and `resource`; OSError if there is no such device."""
        self.bdf = bdf
        config, resource, group, place = port.run(
            [
                o.ReadFile(f"{SYSFS}/{bdf}/config", 4096),
                o.ReadFile(f"{SYSFS}/{bdf}/resource"),
                o.ReadLink(f"{SYSFS}/{bdf}/iommu_group"),
                o.ReadLink(f"{SYSFS}/{bdf}"),
            ]
        )
        if not (config.ok and resource.ok):
            raise OSError(config.errno or resource.errno, f"no PCI device {bdf}")
        self.config = config.bytes
        self.group = int(group.bytes.decode().rpartition("/")[2]) if group.ok else None
        self.below_bridge = bool(_BEHIND_DEVICE.search(place.bytes.decode()))
        lines = resource.bytes.decode().splitlines()[: ROM + 1]
        self.bars = tuple(_bar(line) for line in lines)

    def u8(self, offset: int) -> int:
        """A byte of config space."""
        return self.config[offset]

    def u16(self, offset: int) -> int:
        """Two bytes of config space."""
        return int.from_bytes(self.config[offset : offset + 2], "little")

    def u32(self, offset: int) -> int:
        """Four bytes of config space."""
        return int.from_bytes(self.config[offset : offset + 4], "little")

    @property
    def ids(self) -> tuple[int, int]:
        """Vendor and device."""
        return self.u16(pci.PCI_VENDOR_ID), self.u16(pci.PCI_DEVICE_ID)

    @property
    def interrupt_pin(self) -> int:
        """0: none, 1 to 4: INTA to INTD."""
        return self.u8(pci.PCI_INTERRUPT_PIN)

    @cached_property
    def capabilities(self) -> dict[int, int]:
        """Offset of the first capability of each id."""
        found: dict[int, int] = {}
        for number, offset in self._walk():
            found.setdefault(number, offset)
        return found

    def _walk(self) -> Iterator[tuple[int, int]]:
        if not self.u16(pci.PCI_STATUS) & pci.PCI_STATUS_CAP_LIST:
            return
        offset = self.u8(pci.PCI_CAPABILITY_LIST) & ~3
        for _ in range(_MAX_CAPS):
            if not _HEADER <= offset < len(self.config) - 1:
                return
            yield self.u8(offset), offset
            offset = self.u8(offset + 1) & ~3

    @cached_property
    def extended_capabilities(self) -> dict[int, int]:
        """Offset of the first extended capability of each id."""
        found: dict[int, int] = {}
        offset = pci.PCI_CFG_SPACE_SIZE
        seen: set[int] = set()
        while pci.PCI_CFG_SPACE_SIZE <= offset <= len(self.config) - 4 and offset not in seen:
            seen.add(offset)
            header = self.u32(offset)
            if not header:
                break
            found.setdefault(header & 0xFFFF, offset)
            offset = header >> 20 & ~3
        return found

    @property
    def is_pcie(self) -> bool:
        """Whether it has the PCI Express capability."""
        return pci.PCI_CAP_ID_EXP in self.capabilities

    @property
    def is_vga(self) -> bool:
        """Class code 0x0300."""
        return self.u16(pci.PCI_CLASS_DEVICE) == CLASS_DISPLAY_VGA

    @property
    def msi_vectors(self) -> int:
        """Vectors its MSI capability offers; 0 without one."""
        at = self.capabilities.get(pci.PCI_CAP_ID_MSI)
        if at is None:
            return 0
        return 1 << ((self.u16(at + pci.PCI_MSI_FLAGS) & pci.PCI_MSI_FLAGS_QMASK) >> 1)

    @property
    def msix_vectors(self) -> int:
        """Entries of its MSI-X table; 0 without one."""
        at = self.capabilities.get(pci.PCI_CAP_ID_MSIX)
        if at is None:
            return 0
        return (self.u16(at + pci.PCI_MSIX_FLAGS) & pci.PCI_MSIX_FLAGS_QSIZE) + 1

    @property
    def msix_bars(self) -> set[int]:
        """The BAR that holds its MSI-X table; empty without one."""
        at = self.capabilities.get(pci.PCI_CAP_ID_MSIX)
        if at is None:
            return set()
        return {self.u32(at + pci.PCI_MSIX_TABLE) & 7}

    @property
    def has_flr(self) -> bool:
        """Whether it has a function level reset, by PCI Express or Advanced Features."""
        exp = self.capabilities.get(pci.PCI_CAP_ID_EXP)
        if exp is not None and self.u32(exp + pci.PCI_EXP_DEVCAP) & pci.PCI_EXP_DEVCAP_FLR:
            return True
        af = self.capabilities.get(pci.PCI_CAP_ID_AF)
        return af is not None and bool(self.u8(af + pci.PCI_AF_CAP) & pci.PCI_AF_CAP_FLR)

    def roles(self) -> frozenset[str]:
        """What tests it can serve, as far as its configuration tells."""
        bars = self.bars[:ROM]
        has = {
            "pcie": self.is_pcie,
            "conventional": not self.is_pcie,
            "intx": self.interrupt_pin != 0,
            "msi": self.msi_vectors > 0,
            "multivector-msi": self.msi_vectors > 1,
            "msix": self.msix_vectors > 0,
            "rom": self.bars[ROM].size > 0,
            "io-bar": any(b.is_io for b in bars),
            "bar64": any(b.is_64bit for b in bars),
            "subpage": any(b.is_memory and 0 < b.size < 4096 for b in bars),  # noqa: PLR2004
            "vga": self.is_vga,
            "sriov": pci.PCI_EXT_CAP_ID_SRIOV in self.extended_capabilities,
            "flr": self.has_flr,
            "pm": pci.PCI_CAP_ID_PM in self.capabilities,
            "below-bridge": self.below_bridge,
        }
        return frozenset(role for role, present in has.items() if present)


def _bar(line: str) -> Bar:
    start, end, flags = (int(word, 16) for word in line.split())
    return Bar(start, end - start + 1 if end else 0, flags)
