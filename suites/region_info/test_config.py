# SPDX-License-Identifier: MIT
"""Configuration space as a region."""

from collections.abc import Callable

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.ops import Pread
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.rules import region_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

CONFIG = vfio.VFIO_PCI_CONFIG_REGION_INDEX
CONVENTIONAL, EXTENDED = 256, 4096


@checks(rules.CONFIG)
def test_it_is_as_large_as_sysfs_says(device: Device, pci: PciDevice) -> None:
    """The size is that of the file `config`."""
    size = device.get_region_info(CONFIG).struct.size
    expect.equal("size of configuration space", size, len(pci.config))


@checks(rules.CONFIG)
def test_it_has_one_of_two_sizes(device: Device) -> None:
    """256 bytes, or the 4096 of PCI Express."""
    size = device.get_region_info(CONFIG).struct.size
    expect.one_of("size of configuration space", size, (CONVENTIONAL, EXTENDED))


@checks(rules.CONFIG)
def test_it_can_be_read_and_written(device: Device, promised: Callable[[Rule], int]) -> None:
    """Not mapped, and without capabilities."""
    flags = device.get_region_info(CONFIG).struct.flags
    expect.equal("flags of configuration space", flags, promised(rules.CONFIG))


@checks(rules.OFFSET_USE)
def test_its_offset_leads_to_the_ids(device: Device, pci: PciDevice, port: Port) -> None:
    """The first four bytes there are the vendor and the device of sysfs."""
    info = device.get_region_info(CONFIG).struct
    read = port.do(Pread(device.handle, 4, info.offset)).bytes
    expect.equal("vendor and device", read.hex(), pci.config[:4].hex())


@checks(rules.OFFSET_USE)
@devices("pcie")
def test_the_last_register_of_extended_space_is_within(device: Device, port: Port) -> None:
    """What the size promises can be read."""
    info = device.get_region_info(CONFIG).struct
    reply = port.do(Pread(device.handle, 4, info.offset + info.size - 4))
    expect.equal("bytes read at the end of configuration space", reply.ret, 4)
