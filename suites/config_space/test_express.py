# SPDX-License-Identifier: MIT
"""Device control of the PCI Express capability, and its errors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.device.device import Device
from vfiospec.device.pci import SYSFS, PciDevice
from vfiospec.device.region import Region
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.qemu import Vm
from vfiospec.rules import config_space_caps as caps
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

FLR, PHANTOM = regs.PCI_EXP_DEVCTL_BCR_FLR, regs.PCI_EXP_DEVCTL_PHANTOM
PAYLOAD, READRQ = regs.PCI_EXP_DEVCTL_PAYLOAD, regs.PCI_EXP_DEVCTL_READRQ
KEPT = FLR | PAYLOAD | READRQ
NVME, XHCI, ETHERNET = 0x010802, 0x0C0330, 0x020000  # class codes
SIZES = range(6)  # 128 to 4096 bytes; two more codes mean nothing


@dataclass
class Control:
    """Device control, on both sides."""

    at: int
    space: Region
    hardware: Region

    def write(self, value: int) -> None:
        self.space.write(self.at, 2, value)

    @property
    def shown(self) -> int:
        return self.space.read(self.at, 2)

    @property
    def real(self) -> int:
        return self.hardware.read(self.at, 2)


@pytest.fixture
def control(space: Region, hardware: Region, pci: PciDevice) -> Control:
    """As it is; `space` puts it back."""
    at = pci.capabilities[regs.PCI_CAP_ID_EXP] + regs.PCI_EXP_DEVCTL
    return Control(at, space, hardware)


@checks(caps.EXP_MPS)
@devices("pcie")
def test_the_payload_size_is_only_kept(control: Control, promised: Callable[[Rule], int]) -> None:
    """Each size reads back; the device keeps the host's."""
    mask = promised(caps.EXP_MPS)
    shift = (mask & -mask).bit_length() - 1
    real, others = control.real, control.shown & ~mask
    for code in range(8):
        control.write(others | code << shift)
        expect.equal("payload size as the user sees it", control.shown & mask, code << shift)
        expect.equal("device control of the device", control.real, real)


@checks(caps.EXP_CONTROL)
@devices("pcie")
def test_the_other_bits_are_the_devices(control: Control) -> None:
    """Each by itself; phantom functions stay as they are."""
    before, virtual = control.real, control.shown & KEPT
    reach = 0xFFFF & ~(KEPT | PHANTOM)
    for value in (1 << bit for bit in range(16) if not 1 << bit & KEPT):
        control.hardware.write(control.at, 2, before & ~reach | value & reach)
        expected = control.real
        control.hardware.write(control.at, 2, before)
        control.write(value | virtual)
        expect.equal(f"device control after {value:#x}", control.real, expected)
        shown = expected & ~KEPT | virtual
        expect.equal(f"what the user sees after {value:#x}", control.shown, shown)
        control.hardware.write(control.at, 2, before)


@checks(caps.EXP_MRRS)
@devices("pcie")
def test_the_read_request_size_is_kept(control: Control) -> None:
    """Each code reads back, whatever the device makes of it."""
    others = control.shown & ~READRQ
    for code in (*range(8), 0):
        control.write(others | code << 12)
        expect.equal("read request size as the user sees it", control.shown & READRQ, code << 12)


@pytest.fixture
def requests(control: Control) -> Iterator[Callable[[int], int]]:
    """Sets the read request size as the user, and returns what the device has then."""
    real = control.real
    control.hardware.write(control.at, 2, real ^ regs.PCI_EXP_DEVCTL_READRQ_256B)
    if control.real == real:
        pytest.skip("this device's read request size is fixed: judge a real one with --device BDF")
    control.hardware.write(control.at, 2, real)

    def write(code: int) -> int:
        control.write(control.shown & ~READRQ | code << 12)
        return (control.real & READRQ) >> 12

    yield write
    control.hardware.write(control.at, 2, real)


@checks(caps.EXP_MRRS)
@devices("pcie")
def test_the_read_request_size_reaches_the_device(
    control: Control, requests: Callable[[int], int]
) -> None:
    """Unless its payload is larger."""
    for code in (*SIZES, *reversed(SIZES)):
        least = (control.real & PAYLOAD) >> 5
        expect.equal(f"read request size after {code}", requests(code), max(code, least))


@checks(caps.EXP_MRRS_KEPT)
@devices("pcie")
def test_a_read_request_size_that_stays_is_not_written(
    control: Control, requests: Callable[[int], int]
) -> None:
    """Nor one that does not exist."""
    first = requests(max(SIZES))
    control.hardware.write(control.at, 2, control.real ^ regs.PCI_EXP_DEVCTL_READRQ_256B)
    changed = (control.real & READRQ) >> 12
    expect.holds(changed != first, "a size set by the host", str(first))
    expect.equal("read request size after the same", requests(max(SIZES)), changed)
    expect.equal("read request size after 7", requests(7), changed)


# The reset bit. Whether the device was reset shows in a register that a driver would set up.


@dataclass
class Scratch:
    """A register of the device that a reset clears."""

    region: Region
    at: int
    value: int

    def set(self) -> int:
        self.region.write(self.at, 4, self.value)
        return self.region.read(self.at, 4)

    def get(self) -> int:
        return self.region.read(self.at, 4)


@pytest.fixture
def scratch(space: Region, device: Device, pci: PciDevice) -> Iterator[Scratch]:
    """Sizes or the address of a queue, which do nothing as long as nothing runs."""
    command = space.read(regs.PCI_COMMAND, 2) | regs.PCI_COMMAND_MEMORY
    space.write(regs.PCI_COMMAND, 2, command & ~regs.PCI_COMMAND_MASTER)
    region = device.region(0)
    kind = pci.u32(regs.PCI_CLASS_REVISION) >> 8
    if kind not in {NVME, XHCI, ETHERNET}:
        pytest.skip("no register known to show a reset: judge an NVMe, xHCI or Ethernet device")
    at, value = {NVME: (0x14, 0x460000), ETHERNET: (0x2800, 0x1000)}.get(
        kind, (region.read(0, 1) + 0x30, 0x1000)
    )
    made = Scratch(region, at, value)
    before = made.get()
    if made.set() == before:
        pytest.skip("this device's register is fixed: judge an emulated one with --topology")
    yield made
    region.write(made.at, 4, before)


@checks(caps.EXP_FLR)
@devices("pcie", "flr")
@pytest.mark.parametrize("width", [1, 2, 4], ids="width-{}".format)
def test_the_reset_bit_resets(
    control: Control, scratch: Scratch, promised: Callable[[Rule], int], width: int
) -> None:
    """The register is lost, and the bit reads 0."""
    value = scratch.set()
    if width == 1:
        control.space.write(control.at + 1, 1, (control.shown | FLR) >> 8)
    else:
        control.space.write(control.at, width, control.shown | FLR)
    expect.holds(scratch.get() != value, "a register lost by the reset", f"{value:#x} still there")
    expect.equal("reset bit", control.shown & FLR, promised(caps.EXP_FLR))


@checks(caps.EXP_FLR)
@devices("pcie", "flr")
def test_no_other_write_resets(control: Control, scratch: Scratch) -> None:
    """Without the bit, the register stays."""
    value = scratch.set()
    control.write(control.shown & ~FLR)
    expect.equal("register", scratch.get(), value)


@checks(caps.EXP_FLR)
@devices("pcie", "flr")
def test_a_reset_by_the_bit_keeps_config_space(
    control: Control, same: Callable[[str, bytes, bytes], None], pci: PciDevice
) -> None:
    """COMMAND and BARs of the device are as before, and so is what the user wrote."""
    size = len(pci.config)
    control.space.write(regs.PCI_INTERRUPT_LINE, 1, 0x5A)
    real = control.hardware.try_read(0, size).data
    shown = control.space.try_read(0, size).data
    control.write(control.shown | FLR)
    same("in the device", control.hardware.try_read(0, size).data, real)
    same("as the user sees it", control.space.try_read(0, size).data, shown)


@pytest.fixture
def thorough(sysfs: PortSysfs, spec: BenchDevice) -> Iterator[None]:
    """A reset of the device is by its bus, if it can be: one by power state may leave no trace."""
    path = f"{SYSFS}/{spec.bdf}/reset_method"
    methods = sysfs.read(path).split() if sysfs.exists(path) else []
    if "bus" not in methods:
        yield
        return
    sysfs.write(path, "bus")
    yield
    sysfs.write(path, " ".join(methods))


@checks(caps.EXP_FLR)
@devices("pcie", without=("flr",))
@pytest.mark.usefixtures("thorough")
def test_the_reset_bit_of_a_device_without_it_does_nothing(
    control: Control, scratch: Scratch, promised: Callable[[Rule], int]
) -> None:
    """It reads 0 at once, and the device goes on."""
    value = scratch.set()
    real = control.real
    control.write(control.shown | FLR)
    expect.equal("reset bit", control.shown & FLR, promised(caps.EXP_FLR))
    expect.equal("device control of the device", control.real, real)
    expect.equal("register", scratch.get(), value)


# Errors


@pytest.fixture
def error(extended: Region, machine: Vm, spec: BenchDevice, pci: PciDevice) -> tuple[int, int]:
    """The device has a correctable error: the offset of its status register, and the bit."""
    at, bit = pci.extended_capabilities[regs.PCI_EXT_CAP_ID_ERR], regs.PCI_ERR_COR_BAD_TLP
    # Masked, so that nobody else is told of it and clears it.
    mask = extended.read(at + regs.PCI_ERR_COR_MASK, 4)
    extended.write(at + regs.PCI_ERR_COR_MASK, 4, mask | bit)
    machine.hmp(f"pcie_aer_inject_error -c {spec.name} {bit:#x}")
    return at + regs.PCI_ERR_COR_STATUS, bit


@checks(caps.AER_STATUS)
@devices("aer")
def test_an_error_is_cleared_by_writing_it(
    extended: Region, hardware: Region, error: tuple[int, int]
) -> None:
    """The device has it, the user sees it, and a one takes it away."""
    status, bit = error
    expect.flags("error status of the device", hardware.read(status, 4), needed=bit)
    expect.flags("error status as the user sees it", extended.read(status, 4), needed=bit)
    extended.write(status, 4, 0)
    expect.flags("error status after a zero", hardware.read(status, 4), needed=bit)
    extended.write(status, 4, bit)
    expect.flags("error status after a one", hardware.read(status, 4), forbidden=bit)
