# SPDX-License-Identifier: MIT
"""The ROM, held against sysfs `rom`, which maps it as vfio-pci does."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.ops import Pread, Pwrite, ReadFile, WriteFile
from vfiospec.device.pci import ROM, SYSFS, PciDevice
from vfiospec.device.port import Port
from vfiospec.rules import region_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

ROM_REGION = vfio.VFIO_PCI_ROM_REGION_INDEX
CONFIG = vfio.VFIO_PCI_CONFIG_REGION_INDEX
SAMPLE = 64


@pytest.fixture
def content(pci: PciDevice, port: Port) -> bytes:
    """The first bytes of the ROM by way of sysfs; none if it is invalid or there is none."""
    path = f"{SYSFS}/{pci.bdf}/rom"
    enable, read, _ = port.run(
        [WriteFile(path, b"1"), ReadFile(path, SAMPLE), WriteFile(path, b"0")]
    )
    return read.bytes if enable.ok and read.ok else b""


@pytest.fixture
def memory_off(device: Device, port: Port) -> Iterator[Device]:
    """The device with memory decoding turned off through its configuration space."""
    at = device.get_region_info(CONFIG).struct.offset + regs.PCI_COMMAND
    before = port.do(Pread(device.handle, 2, at)).value
    off = before & ~regs.PCI_COMMAND_MEMORY
    port.do(Pwrite(device.handle, off.to_bytes(2, "little"), at))
    yield device
    port.do(Pwrite(device.handle, before.to_bytes(2, "little"), at))


def registers(pci: PciDevice, port: Port) -> tuple[str, str]:
    """The command register and the ROM's BAR, as the device has them now."""
    config = port.do(ReadFile(f"{SYSFS}/{pci.bdf}/config", 64)).bytes
    command = config[regs.PCI_COMMAND : regs.PCI_COMMAND + 2]
    return command.hex(), config[regs.PCI_ROM_ADDRESS : regs.PCI_ROM_ADDRESS + 4].hex()


@checks(rules.ROM)
@devices("rom")
def test_it_is_as_large_as_its_bar(device: Device, pci: PciDevice, content: bytes) -> None:
    """Not as large as the image in it; empty if the image is invalid."""
    size = device.get_region_info(ROM_REGION).struct.size
    expect.equal("size of the ROM", size, pci.bars[ROM].size if content else 0)


@checks(rules.ROM)
@devices("rom")
def test_it_can_only_be_read(
    device: Device, content: bytes, promised: Callable[[Rule], int]
) -> None:
    """Neither written nor mapped."""
    flags = device.get_region_info(ROM_REGION).struct.flags
    expect.equal("flags of the ROM", flags, promised(rules.ROM) if content else 0)


@checks(rules.UNIMPLEMENTED)
@devices(without=("rom",))
def test_a_device_without_one_has_an_empty_region(
    device: Device, promised: Callable[[Rule], int]
) -> None:
    """The index is answered all the same."""
    info = device.get_region_info(ROM_REGION).struct
    expect.equal("size of the ROM", info.size, promised(rules.UNIMPLEMENTED))
    expect.equal("flags of the ROM", info.flags, promised(rules.UNIMPLEMENTED))


@checks(rules.OFFSET_USE)
@devices("rom")
def test_its_offset_leads_to_its_content(device: Device, port: Port, content: bytes) -> None:
    """What is read there is what sysfs has."""
    info = device.get_region_info(ROM_REGION).struct
    read = port.do(Pread(device.handle, SAMPLE, info.offset)).bytes if content else b""
    expect.equal("start of the ROM", read.hex(), content.hex())


@checks(rules.ROM_SIDE_EFFECT)
@devices("rom")
def test_asking_changes_no_register(device: Device, pci: PciDevice, port: Port) -> None:
    """The command register and the ROM's BAR are as before."""
    before = registers(pci, port)
    device.get_region_info(ROM_REGION)
    expect.equal("command register and ROM BAR", registers(pci, port), before)


@checks(rules.ROM_SIDE_EFFECT)
@devices("rom")
def test_asking_with_memory_off_changes_no_register(
    memory_off: Device, pci: PciDevice, port: Port
) -> None:
    """Memory decoding that was off is off again."""
    before = registers(pci, port)
    memory_off.get_region_info(ROM_REGION)
    expect.equal("command register and ROM BAR", registers(pci, port), before)


@checks(rules.ROM_SIDE_EFFECT)
@devices("rom")
def test_memory_off_does_not_hide_it(pci: PciDevice, content: bytes, memory_off: Device) -> None:
    """The kernel turns decoding on to look, and finds the same."""
    size = memory_off.get_region_info(ROM_REGION).struct.size
    expect.equal("size of the ROM", size, pci.bars[ROM].size if content else 0)
