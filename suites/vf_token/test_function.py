# SPDX-License-Identifier: MIT
"""What a virtual function is like, and what its existence means for the physical one."""

import signal
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.device import Device
from vfiospec.device.observe import runtime_status, suspends
from vfiospec.device.pci import SYSFS, PciDevice
from vfiospec.device.port import Port
from vfiospec.device.scratch import decode_memory, scratch_of
from vfiospec.device.sriov import Pair
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import vf_token as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
FIRST = UUID("bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3")
SET = feature.VFIO_DEVICE_FEATURE_SET
ENTRY = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY | SET
EXIT = feature.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT | SET


@pytest.fixture
def vf(pair: Pair) -> Iterator[Device]:
    """The virtual function."""
    expect.accepted(pair.pf.try_set_vf_token(FIRST))
    call, device = pair.open_vf(f" vf_token={FIRST}")
    expect.holds(device is not None, "an fd", str(call))
    assert device is not None
    with device:
        yield device


@checks(rules.DRIVER)
def test_its_driver(pair: Pair, sysfs: PortSysfs) -> None:
    """It is vfio-pci's from the beginning, and meant for it."""
    place = f"{SYSFS}/{pair.vf_bdf}"
    expect.equal("driver_override", sysfs.read(f"{place}/driver_override"), "vfio-pci")
    driver = sysfs.readlink(f"{place}/driver").rpartition("/")[2]
    expect.equal("driver", driver, "vfio-pci")


@checks(rules.NO_INTX)
def test_it_has_no_intx(vf: Device, promised: Promised) -> None:
    """Nor a pin in its configuration space."""
    count = vf.get_irq_info(vfio.VFIO_PCI_INTX_IRQ_INDEX).count
    expect.equal("count of INTx", count, promised(rules.NO_INTX))
    expect.equal("interrupt pin", vf.read_config(regs.PCI_INTERRUPT_PIN, 1), 0)


@checks(rules.MEMORY)
def test_its_memory_is_on(vf: Device) -> None:
    """Read and mapped, whatever its command register says."""
    decode_memory(vf, on=False)
    bar = vf.region(0)
    call = bar.try_read(0, 4)
    expect.equal(f"return of {call}", call.ret, 4)
    with bar.map(4096) as mapping:
        expect.equal("signal of a load", mapping.load(0, 4).signal, 0)
        decode_memory(vf)
        decode_memory(vf, on=False)
        expect.equal("signal of a load", mapping.load(0, 4).signal, 0)


@checks(rules.RESET)
def test_it_is_reset_alone(vf: Device, pair: Pair, port: Port) -> None:
    """The reset is its own: the physical function's registers stay."""
    scratch = scratch_of(PciDevice(port, pair.pf_bdf).ids)
    if scratch is None:
        pytest.skip("no register of this device is known that a reset clears")
    before = decode_memory(pair.pf)
    scratch.write(pair.pf, scratch.value)
    expect.accepted(vf.try_reset())
    expect.equal("register of the PF", scratch.read(pair.pf), scratch.value)
    expect.equal("errno", vf.try_get_hot_reset_info(512).ok, False)
    scratch.write(pair.pf, 0)
    pair.pf.write_config(regs.PCI_COMMAND, 2, before)


@checks(rules.POWER)
def test_the_pf_stays_in_full_power(pair: Pair, port: Port, promised: Promised) -> None:
    """D3hot is not entered; allowed to sleep, the device does not; the VF goes on."""
    if promised(rules.POWER):
        pytest.skip("the kernel does not hold a PF in D0 for its VFs: needs 6.1 or newer")
    control = PciDevice(port, pair.pf_bdf).capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL
    before = decode_memory(pair.pf)
    with pair.pf.region(0).map(4096) as mapping:
        pair.pf.write_config(control, 2, regs.PCI_PM_CTRL_STATE_MASK)
        expect.equal("power state", pair.pf.read_config(control, 2) & 3, 0)
        expect.equal("signal of a load", mapping.load(0, 4).signal, 0)
        expect.accepted(pair.pf.try_feature(ENTRY))
        try:
            asleep = suspends(port, pair.pf_bdf, 0.05)
            expect.equal("the PF sleeps", asleep, False)
            expect.equal("runtime status", runtime_status(port, pair.pf_bdf), "active")
            expect.equal("signal of a load", mapping.load(0, 4).signal, signal.SIGBUS)
        finally:
            expect.accepted(pair.pf.try_feature(EXIT))
    pair.pf.write_config(regs.PCI_COMMAND, 2, before)
