# SPDX-License-Identifier: MIT
"""Both sides of a device's config space, the rules of its registers, and putting it all back."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.access import Access, Attach
from vfiospec.device.device import Device
from vfiospec.device.files import File
from vfiospec.device.pci import IORESOURCE_PREFETCH, ROM, SYSFS, PciDevice
from vfiospec.device.port import Port
from vfiospec.device.region import Region
from vfiospec.expect import Mismatch
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import config_space as rules
from vfiospec.rules.config_space_layout import Layout
from vfiospec.rules.config_space_layout import layout as lay_out
from vfiospec.rules.config_space_map import DWORD
from vfiospec.rules.model import Rule
from vfiospec.session.run import Run

CONFIG = vfio.VFIO_PCI_CONFIG_REGION_INDEX
NOINTXMASK = "/sys/module/vfio_pci/parameters/nointxmask"


def _differing(before: bytes, now: bytes) -> list[int]:
    return [i for i, (a, b) in enumerate(zip(before, now, strict=True)) if a != b]


def _put(region: Region, at: int, data: bytes) -> o.Pwrite:
    return o.Pwrite(region.device.handle, data, int(region.info.offset) + at)


def put_back(hardware: Region, real: bytes) -> None:
    """Bytes of the device that changed are written back, and no others: some clear by writing."""
    now = hardware.try_read(0, len(real)).data
    changed = runs(bytes(a ^ b for a, b in zip(real, now, strict=True)))
    hardware.device.port.run([_put(hardware, start, real[start:end]) for start, end in changed])


def _restore(space: Region, hardware: Region, shown: bytes, real: bytes) -> None:
    """Bytes that changed are written back: first as the user sees them, then in the device."""
    port = space.device.port
    now = space.try_read(0, len(shown)).data
    words = sorted({i & ~3 for i in _differing(shown, now)})
    port.run([_put(space, at, shown[at : at + 4]) for at in words])
    put_back(hardware, real)


@pytest.fixture
def hardware(port: Port, spec: BenchDevice, pci: PciDevice) -> Iterator[Region]:
    """The device's own config space, as the host reads and writes it."""
    size = len(pci.config)
    with File.open(port, f"{SYSFS}/{spec.bdf}/config") as opened:
        yield Region(opened, CONFIG, vfio.vfio_region_info(index=CONFIG, size=size))


@pytest.fixture
def layout(run: Run, pci: PciDevice) -> Layout:
    """Which registers are where, and how each is virtualised."""
    made = lay_out(pci.config)
    if run.machine is None:
        # On real hardware nobody knows what hides between the capabilities.
        for area in made.areas:
            if area.raw:
                made.swept[area.start : area.end] = bytes(area.size)
    return made


def _keeping(space: Region, hardware: Region, size: int) -> Callable[[], None]:
    shown = space.try_read(0, size).data
    real = hardware.try_read(0, size).data
    return lambda: _restore(space, hardware, shown, real)


@pytest.fixture
def space(device: Device, hardware: Region) -> Iterator[Region]:
    """Config space as the user sees it; what a test changed of its 256 bytes is changed back."""
    space = device.region(CONFIG)
    restore = _keeping(space, hardware, regs.PCI_CFG_SPACE_SIZE)
    yield space
    restore()


@pytest.fixture
def extended(space: Region, hardware: Region) -> Iterator[Region]:
    """The same, for tests that write to extended space too."""
    restore = _keeping(space, hardware, int(space.info.size))
    yield space
    restore()


@pytest.fixture
def again(space: Region, hardware: Region) -> Iterator[Callable[[], None]]:
    """Puts the start of config space back in the midst of a test."""
    restore = _keeping(space, hardware, min(int(space.info.size), 2 * regs.PCI_CFG_SPACE_SIZE))
    yield restore
    restore()


@pytest.fixture
def same(layout: Layout) -> Callable[[str, bytes, bytes], None]:
    """Judges bytes of config space from its start; a difference is told by its register."""

    def judge(what: str, actual: bytes, expected: bytes) -> None:
        different = _differing(expected, actual)
        if different:
            at = different[0]
            raise Mismatch(
                f"{what}: {layout.name(at)} = {expected[at]:#04x}",
                f"{what}: {layout.name(at)} = {actual[at]:#04x}; {len(different)} bytes differ",
            )

    return judge


@pytest.fixture
def reach(layout: Layout, sysfs: PortSysfs, space: Region) -> Callable[[bytes], bytes]:
    """Which bits of the device a sweep of these bytes may write."""
    disable = regs.PCI_COMMAND_INTX_DISABLE >> 8
    high = regs.PCI_COMMAND + 1

    def bits(value: bytes) -> bytes:
        masks = zip(layout.writable, layout.kept, layout.swept, strict=True)
        found = bytearray(w & ~k & s for w, k, s in masks)
        # While no INTx is set up, the device's own bit follows the virtual one as that changes.
        follows = sysfs.read(NOINTXMASK).strip() == "N" if sysfs.exists(NOINTXMASK) else True
        if follows and (value[high] ^ space.read(high, 1)) & disable:
            found[high] |= disable
        return bytes(found)

    return bits


@pytest.fixture
def reference(
    hardware: Region, layout: Layout, reach: Callable[[bytes], bytes]
) -> Callable[[bytes], bytes]:
    """What the device makes of a sweep if only the bits that may reach it do.

    The host writes them itself, so that no test needs to know what the device implements.
    """

    def expected(value: bytes) -> bytes:
        before = hardware.try_read(0, layout.size).data
        through = reach(value)
        mixed = bytes(b & ~r | v & r for b, v, r in zip(before, value, through, strict=True))
        for start, end in runs(through):
            hardware.try_write(start, mixed[start:end])
        after = hardware.try_read(0, layout.size).data
        put_back(hardware, before)
        return after

    return expected


@pytest.fixture
def uncounted(layout: Layout) -> Callable[[bytes], bytes]:
    """Takes out how many MSI vectors are on: as many as were allotted last, by whomever."""
    area = layout.find("MSI")

    def without(space: bytes) -> bytes:
        if area is None:
            return space
        at = area.start + regs.PCI_MSI_FLAGS
        return space[:at] + bytes([space[at] & ~regs.PCI_MSI_FLAGS_QSIZE]) + space[at + 1 :]

    return without


@pytest.fixture
def sweep(extended: Region, layout: Layout) -> Callable[[bytes], None]:
    """Writes all that may be swept."""

    def write(value: bytes) -> None:
        for start, end in runs(bytes(layout.swept)):
            extended.try_write(start, value[start:end])

    return write


def runs(mask: bytes) -> list[tuple[int, int]]:
    """Where bytes are not 0, in stretches."""
    found, start = [], 0
    while start < len(mask):
        if not mask[start]:
            start += 1
            continue
        end = mask.find(0, start)
        end = len(mask) if end < 0 else end
        found.append((start, end))
        start = end
    return found


@pytest.fixture
def fresh(attach: Attach, spec: BenchDevice) -> Iterator[Callable[[], Region]]:
    """Opens the device for the first time, as often as it is asked to."""
    opened: list[Device | Access] = []

    def close() -> None:
        while opened:
            opened.pop().close()

    def open_it() -> Region:
        close()
        assigned = attach()
        opened.append(assigned)
        device = assigned.open(spec.bdf)
        opened.append(device)
        return device.region(CONFIG)

    yield open_it
    close()


@pytest.fixture
def sized(promised: Callable[[Rule], int]) -> Callable[[PciDevice, int, int], int]:
    """What a value written to the register of a BAR must read as."""
    absent = promised(rules.BAR_ABSENT)

    def reads(pci: PciDevice, index: int, value: int) -> int:
        if index and pci.bars[index - 1].is_64bit and pci.bars[index - 1].start:
            return value & ~(pci.bars[index - 1].size - 1) >> 32 & DWORD
        bar = pci.bars[index]
        if not bar.start:
            return absent
        kept = value & ~(bar.size - 1) & DWORD
        if bar.is_io:
            return kept | regs.PCI_BASE_ADDRESS_SPACE_IO
        prefetch = regs.PCI_BASE_ADDRESS_MEM_PREFETCH if bar.flags & IORESOURCE_PREFETCH else 0
        wide = regs.PCI_BASE_ADDRESS_MEM_TYPE_64 if bar.is_64bit else 0
        return kept | prefetch | wide

    return reads


@pytest.fixture
def memory_bar(device: Device, pci: PciDevice) -> Region:
    """A BAR in memory whose first register is the device's own, not one of MSI-X."""
    bars = [i for i, bar in enumerate(pci.bars[:ROM]) if bar.is_memory and bar.size and bar.start]
    usable = [i for i in bars if i not in pci.msix_bars] or bars
    if not usable:
        pytest.skip("this device has no memory: judge one that has with --device BDF")
    return device.region(usable[0])


@pytest.fixture
def capability(pci: PciDevice) -> Callable[[int], int]:
    """The offset of a capability that the device is known to have."""
    return lambda kind: pci.capabilities[kind]
