# SPDX-License-Identifier: MIT
"""MSI and MSI-X in config space: SET_IRQS has the say, and a config write only some."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.device.region import Region
from vfiospec.rules import config_space as rules
from vfiospec.rules import config_space_caps as caps
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

ENABLE, QSIZE, QMASK = regs.PCI_MSI_FLAGS_ENABLE, regs.PCI_MSI_FLAGS_QSIZE, regs.PCI_MSI_FLAGS_QMASK
MSI, MSIX = vfio.VFIO_PCI_MSI_IRQ_INDEX, vfio.VFIO_PCI_MSIX_IRQ_INDEX
Enabled = Callable[[int, int], AbstractContextManager[None]]


@pytest.fixture
def msi(pci: PciDevice) -> int:
    """The offset of MSI."""
    return pci.capabilities[regs.PCI_CAP_ID_MSI]


@pytest.fixture
def flags(msi: int) -> int:
    """The offset of MSI's flags."""
    return msi + regs.PCI_MSI_FLAGS


@pytest.fixture
def enabled(device: Device, port: Port) -> Enabled:
    """Turns on so many vectors of MSI or MSI-X, and off again."""

    @contextmanager
    def on(index: int, count: int) -> Iterator[None]:
        trigger = vfio.VFIO_IRQ_SET_DATA_EVENTFD | vfio.VFIO_IRQ_SET_ACTION_TRIGGER
        none = vfio.VFIO_IRQ_SET_DATA_NONE | vfio.VFIO_IRQ_SET_ACTION_TRIGGER
        with EventFd.create(port) as event:
            call = device.try_set_irqs(index, trigger, 0, count, eventfds=(event,) * count)
            if call.ret > 0:
                pytest.skip(f"this platform has no {count} vectors: judge it with a remapping one")
            expect.accepted(call)
            try:
                yield
            finally:
                expect.accepted(device.try_set_irqs(index, none))

    return on


@checks(caps.MSI_ENABLE)
@devices("msi")
@pytest.mark.parametrize("width", [1, 2, 4], ids="width-{}".format)
def test_a_write_does_not_enable_it(
    space: Region,
    hardware: Region,
    msi: int,
    promised: Callable[[Rule], int],
    width: int,
) -> None:
    """Whatever its width, and even if it hits the flags by the way."""
    at = msi if width == 4 else msi + regs.PCI_MSI_FLAGS
    shift = 8 * (msi + regs.PCI_MSI_FLAGS - at)
    space.write(at, width, (1 << 8 * width) - 1 & ~(QSIZE << shift))
    for side in (space, hardware):
        bit = side.read(msi + regs.PCI_MSI_FLAGS, 2) & ENABLE
        expect.equal("MSI enable", bit, promised(caps.MSI_ENABLE))


@checks(rules.READ_ONLY, rules.READS)
@devices("msi")
@pytest.mark.parametrize("width", [1, 2, 4], ids="width-{}".format)
def test_the_high_byte_of_its_flags_is_the_devices(
    space: Region, hardware: Region, msi: int, flags: int, width: int
) -> None:
    """That it has mask bits, and what is reserved: no write changes them, on either side."""
    before = hardware.read(flags + 1, 1)
    at, part = {1: (flags + 1, 0), 2: (flags, 1), 4: (msi, 3)}[width]
    for high in (0xFF, 0, before ^ 0xFF):
        low = space.read(at, width) & (1 << 8 * part) - 1
        space.write(at, width, high << 8 * part | low)
        for side in (space, hardware):
            expect.equal(
                f"high byte of MSI's flags after {high:#x}", side.read(flags + 1, 1), before
            )


@checks(caps.MSI_ENABLED)
@devices("msi")
def test_it_can_be_switched_while_it_is_allotted(
    space: Region, hardware: Region, flags: int, enabled: Enabled
) -> None:
    """Off and on, in the device."""
    with enabled(MSI, 1):
        expect.flags("MSI flags of the device", hardware.read(flags, 2), needed=ENABLE)
        for value in (ENABLE, 0, ENABLE):
            space.write(flags, 2, value)
            expect.equal("MSI enable of the device", hardware.read(flags, 2) & ENABLE, value)
            expect.equal("MSI enable as the user sees it", space.read(flags, 2) & ENABLE, value)
    expect.flags("MSI flags of the device", hardware.read(flags, 2), forbidden=ENABLE)


@checks(caps.MSI_ENABLE)
@devices("msi", "msix")
def test_msi_x_is_not_msi(
    space: Region,
    hardware: Region,
    flags: int,
    enabled: Enabled,
    promised: Callable[[Rule], int],
) -> None:
    """While MSI-X is on, MSI cannot be enabled either."""
    with enabled(MSIX, 1):
        space.write(flags, 2, ENABLE)
        for side in (space, hardware):
            bit = side.read(flags, 2) & ENABLE
            expect.equal("MSI enable", bit, promised(caps.MSI_ENABLE))


@checks(caps.MSI_QUEUE)
@devices("multivector-msi")
@pytest.mark.parametrize("count", [1, 2, 3, 4], ids="allotted-{}".format)
def test_a_number_of_vectors_is_cut(
    space: Region, hardware: Region, flags: int, enabled: Enabled, count: int
) -> None:
    """To the power of two that holds those allotted."""
    most = (count - 1).bit_length()
    with enabled(MSI, count):
        for code in range(8):
            space.write(flags, 2, ENABLE | code << 4)
            got = min(code, most) << 4
            expect.equal(f"MSI vectors after {code}", space.read(flags, 2) & QSIZE, got)
            real = hardware.read(flags, 2)
            expect.equal(f"MSI vectors of the device after {code}", real & QSIZE, got)
            expect.flags("MSI flags of the device", real, needed=ENABLE)


@checks(caps.MSI_OFFERED)
@devices("msi")
def test_the_number_of_vectors_on_offer(
    space: Region, hardware: Region, flags: int, enabled: Enabled
) -> None:
    """The device's until the user writes another, which reads back and goes no further."""
    offered = hardware.read(flags, 2) & QMASK
    with enabled(MSI, 1):
        expect.equal("MSI vectors offered", space.read(flags, 2) & QMASK, offered)
        expect.equal("kind", space.read(flags - regs.PCI_MSI_FLAGS, 1), regs.PCI_CAP_ID_MSI)
    for value in (QMASK, 0):
        space.write(flags, 2, value)
        expect.equal("MSI vectors as the user wrote them", space.read(flags, 2) & QMASK, value)
        expect.equal("MSI vectors of the device", hardware.read(flags, 2) & QMASK, offered)


@checks(caps.MSI_QUEUE)
@devices("multivector-msi")
def test_the_cut_stays_when_msi_is_off(
    space: Region, hardware: Region, flags: int, enabled: Enabled
) -> None:
    """A user that asks for more before it enables MSI again gets what it was allotted last."""
    with enabled(MSI, 2):
        pass
    space.write(flags, 1, QSIZE)
    two_vectors = 1 << 4
    for side in (space, hardware):
        expect.equal("MSI vectors", side.read(flags, 2) & QSIZE, two_vectors)


@checks(caps.MSI_ADDRESS)
@devices("msi")
def test_address_and_data_are_only_kept(
    space: Region, hardware: Region, pci: PciDevice, msi: int, enabled: Enabled
) -> None:
    """While MSI is on, the device goes on sending to the host."""
    wide = pci.u16(msi + regs.PCI_MSI_FLAGS) & regs.PCI_MSI_FLAGS_64BIT
    data = regs.PCI_MSI_DATA_64 if wide else regs.PCI_MSI_DATA_32
    registers = [(regs.PCI_MSI_ADDRESS_LO, 4), (data, 2)]
    registers += [(regs.PCI_MSI_ADDRESS_HI, 4)] if wide else []
    with enabled(MSI, 1):
        before = hardware.try_read(msi, data + 2).data
        for at, width in registers:
            for value in ((1 << 8 * width) - 1, 0, 0x1234):
                space.write(msi + at, width, value)
                expect.equal(f"MSI+{at:#x}", space.read(msi + at, width), value)
        now = hardware.try_read(msi, data + 2).data
        expect.equal("MSI of the device", now.hex(), before.hex())


@checks(caps.MSIX)
@devices("msix")
def test_msi_x_control_is_the_hosts(
    space: Region, hardware: Region, pci: PciDevice, enabled: Enabled
) -> None:
    """On or off, no write changes it, and the user sees how it is."""
    at = pci.capabilities[regs.PCI_CAP_ID_MSIX] + regs.PCI_MSIX_FLAGS
    for on in (False, True, False):
        with enabled(MSIX, 1) if on else _nothing():
            before = hardware.read(at, 2)
            expect.equal("MSI-X enable", bool(before & regs.PCI_MSIX_FLAGS_ENABLE), on)
            for value in (0, 0xFFFF):
                space.write(at, 2, value)
                space.write(at + 1, 1, value & 0xFF)
                expect.equal("MSI-X control of the device", hardware.read(at, 2), before)
                expect.equal("MSI-X control as the user sees it", space.read(at, 2), before)


@checks(rules.COMPOSED, caps.MSIX)
@devices("msix")
def test_while_it_is_on_a_wide_read_says_so(
    space: Region, hardware: Region, pci: PciDevice, enabled: Enabled
) -> None:
    """With the list's header, which is made up, and with what lies before and behind."""
    at, size = pci.capabilities[regs.PCI_CAP_ID_MSIX], regs.PCI_CAP_MSIX_SIZEOF
    with enabled(MSIX, 1):
        header = space.try_read(at, regs.PCI_MSIX_FLAGS).data
        whole = header + hardware.try_read(at + len(header), size - len(header)).data
        for start in range(len(whole)):
            for length in {1, 2, 4, 8, len(whole) - start}:
                wanted = whole[start : start + length]
                got = space.try_read(at + start, len(wanted)).data
                expect.equal(f"{len(wanted)} bytes of MSI-X at {start}", got.hex(), wanted.hex())


@contextmanager
def _nothing() -> Iterator[None]:
    yield
