# SPDX-License-Identifier: MIT
"""GET_INFO answers the same whatever the device is doing."""

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.access import Access
from vfiospec.device.device import Device
from vfiospec.device.pci import PciDevice
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import device_info as rules
from vfiospec.session.marks import checks, devices

DECODING = regs.PCI_COMMAND_IO | regs.PCI_COMMAND_MEMORY
D3HOT = 3  # in the state field of PCI_PM_CTRL


def answer(device: Device) -> str:
    """All bytes of the reply."""
    return expect.accepted(device.try_get_info(4096)).data.hex(" ")


@checks(rules.CONSTANT)
def test_while_the_device_does_not_decode(device: Device) -> None:
    """With memory and I/O space switched off, as with both on, the answer is the same."""
    before, command = answer(device), device.read_config(regs.PCI_COMMAND, 2)
    try:
        for decoding in (0, DECODING):
            device.write_config(regs.PCI_COMMAND, 2, command & ~DECODING | decoding)
            expect.equal(f"answer with decoding {decoding}", answer(device), before)
    finally:
        device.write_config(regs.PCI_COMMAND, 2, command)
    expect.equal("answer afterwards", answer(device), before)


@checks(rules.CONSTANT)
@devices("pm")
def test_in_low_power(device: Device, pci: PciDevice) -> None:
    """In D3hot the answer is the same."""
    control = pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL
    before, value = answer(device), device.read_config(control, 2)
    try:
        device.write_config(control, 2, value & ~regs.PCI_PM_CTRL_STATE_MASK | D3HOT)
        state = device.read_config(control, 2) & regs.PCI_PM_CTRL_STATE_MASK
        expect.equal("power state", state, D3HOT)
        expect.equal("answer in D3hot", answer(device), before)
    finally:
        device.write_config(control, 2, value & ~regs.PCI_PM_CTRL_STATE_MASK)
    expect.equal("answer afterwards", answer(device), before)


@checks(rules.CONSTANT)
def test_after_a_reset(device: Device) -> None:
    """After DEVICE_RESET, done or refused, the answer is the same."""
    before = answer(device)
    works = bool(device.get_info().struct.flags & vfio.VFIO_DEVICE_FLAGS_RESET)
    expect.equal("DEVICE_RESET succeeds", device.try_reset().ok, works)
    expect.equal("answer after a reset", answer(device), before)


@checks(rules.CONSTANT)
def test_after_all_fds_were_closed(assigned: Access, spec: BenchDevice) -> None:
    """A device opened anew, a few times over, gives the answer it gave before."""
    with assigned.open(spec.bdf) as device:
        before = answer(device)
    for _ in range(3):
        assigned.release(spec.bdf)
        with assigned.open(spec.bdf) as device:
            expect.equal("answer of the device opened anew", answer(device), before)
